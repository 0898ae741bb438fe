/*
 * harness - what the fault tests share: a server started under a wrapper (strace, a preload), watched for its
 * listening line, ended by process id; and the verdict over the client ledger.
 *
 * Everything runs in folders of its own and on ports of its own. FAULT_LONG=1 (./dev fault) asks for the long form.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import assert from 'node:assert/strict';
import { query } from '../flow/postgres.mjs';
import { BIN, SLOWNESS, STORE, Server as FlowServer, storeUrl, temporaryFolder } from '../flow/server.mjs';
import { seeded } from './power_replay.mjs';

export { SLOWNESS, temporaryFolder };
export const IS_LONG = process.env.FAULT_LONG === '1';
/* The helpers are built beside the program. */
const TOOLS = process.env.POTIK_TEST_TOOLS ?? path.dirname(fs.existsSync(BIN) ? fs.realpathSync(BIN) : BIN);
function tool(name) {
  const place = path.join(TOOLS, 'test/fault', name);
  if (!fs.existsSync(place)) throw new Error(`${place} is not built (./dev build, or set POTIK_TEST_TOOLS)`);
  return place;
}
export const DUMP = tool('dump_ledger');
const SHIM = tool('libpower_shim.so');
/* A sanitizer's library, where the program has one, must stay the first that is loaded. */
const SANITIZER = /=> (\S*\/lib[at]san\.so\S*)/.exec(spawnSync('ldd', [BIN], { encoding: 'utf8' }).stdout)?.[1];
export const PRELOAD = SANITIZER === undefined ? SHIM : `${SANITIZER}:${SHIM}`;
/* LeakSanitizer traces the process it looks at, and a process has one tracer only: below strace it stays off. */
export const TRACED_ENV = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` };

/** The seed of the whole file: printed, so that a failure can be run again with FAULT_SEED. */
export const SEED = Number(process.env.FAULT_SEED ?? Date.now() % 1000000);
export const random = seeded(SEED);

export class Server extends FlowServer {
  /** wrapper: words before the program; extra: further flags; env: added to ours. */
  constructor(dataDir, { wrapper = [], extra = [], env = {} } = {}) {
    fs.mkdirSync(dataDir, { recursive: true });
    super({ dataDir, flags: extra, env, wrapper });
  }

  /** The port once it is ready, or null where the process ended instead. */
  async start() {
    try {
      await this.ready();
    } catch (error) {
      if (this.how === null) throw error;
      return null;
    }
    this.port = Number(new URL(this.address).port);
    return this.port;
  }

  /** The server's own process id, also below a wrapper. */
  get pid() {
    const id = this.child.pid;
    try {
      const below = fs.readFileSync(`/proc/${id}/task/${id}/children`, 'utf8').trim();
      const name = fs.readFileSync(`/proc/${id}/comm`, 'utf8').trim();
      return name.startsWith('potik') || below === '' ? id : Number(below.split(' ')[0]);
    } catch {
      return id;
    }
  }

  kill(signal = 'SIGKILL') {
    try {
      if (this.how === null) process.kill(this.pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
    return this.exited;
  }
}

/**
 * The rows of a database, one after another, in the form of dump_ledger. jsonb orders keys by length, then by bytes: those of eventOf
 * stand so already. Read in pages: a minute at full rate is more than one text can hold.
 */
export function* dumpDatabase(url) {
  let after = '(0, \'0\'::xid8, 0)';
  for (;;) {
    const text = query(url, `SELECT json_build_array(event_id, event_type, user_id, (extract(epoch FROM occurred_at) * 1000000)::bigint,
      properties::text, generation, xid::text, seq::text) FROM events WHERE (generation, xid, seq) > ${after} ORDER BY generation, xid, seq LIMIT 100000;`);
    if (text === '') return;
    for (const line of text.split('\n')) {
      const row = JSON.parse(line);
      after = `(${row[5]}, '${row[6]}'::xid8, ${row[7]})`;
      yield JSON.stringify([...row.slice(0, 4), JSON.stringify(JSON.parse(row[4]))]);
    }
  }
}

/** The store's rows as a fresh process reads them. */
export function dump(dataDir) {
  if (STORE === 'postgres') return dumpDatabase(storeUrl(dataDir));
  const result = spawnSync(DUMP, [dataDir], { encoding: 'utf8', maxBuffer: 1 << 30 });
  assert.equal(result.status, 0, `dump_ledger: ${result.stderr}`);
  return result.stdout.split('\n').filter((line) => line !== '');
}

export async function getJson(server, target) {
  const reply = await fetch(`http://127.0.0.1:${server.port}${target}`, {
    headers: { authorization: `Bearer ${server.keys.read}` },
  });
  const text = await reply.text();
  return { status: reply.status, body: text === '' ? null : JSON.parse(text) };
}

/** Nothing lost, doubled, invented or altered. */
export function assertExact(ledger, dataDir, context = '') {
  const verdict = ledger.judge(dump(dataDir));
  for (const name of ['lost', 'doubled', 'invented', 'altered'])
    assert.equal(verdict[name].length, 0, `${name} ${verdict[name].length} (first ${verdict[name][0]}) ${context} seed ${SEED}`);
  return verdict;
}

/** The warehouse counts what the store holds: waits till the position of an acked batch is loaded. */
export async function assertCounts(server, position, expected, context = '') {
  const reply = await getJson(server,
    `/v1/stats/top-events?from=2025-12-25&to=2026-02-10&limit=1000&min_position=${encodeURIComponent(position)}&wait_ms=10000`);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  const counted = reply.body.rows.reduce((sum, row) => sum + row[1], 0);
  assert.equal(counted, expected, `the warehouse counts ${counted}, the store ${expected} ${context} seed ${SEED}`);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
