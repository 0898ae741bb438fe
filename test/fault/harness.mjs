/*
 * harness - what the fault tests share: a server started under a wrapper (strace, a preload), watched for its
 * listening line, ended by process id; and the verdict over the client ledger.
 *
 * Everything runs in folders of its own and on ports of its own. FAULT_LONG=1 (./dev fault) asks for the long form.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import assert from 'node:assert/strict';
import { seeded } from './power_replay.mjs';

const here = path.dirname(new URL(import.meta.url).pathname);
const top = path.resolve(here, '../..');
export const BIN = process.env.POTIK_BIN ?? path.join(top, 'build/potik');
export const TOOLS = process.env.POTIK_TEST_TOOLS ?? path.join(top, 'build');
export const IS_LONG = process.env.FAULT_LONG === '1';
export const DUMP = path.join(TOOLS, 'test/fault/dump_ledger');
export const SHIM = path.join(TOOLS, 'test/fault/libpower_shim.so');

/** The seed of the whole file: printed, so that a failure can be run again with FAULT_SEED. */
export const SEED = Number(process.env.FAULT_SEED ?? Date.now() % 1000000);
export const random = seeded(SEED);

export function temporaryFolder(name) {
  const base = process.env.FAULT_TMP ?? os.tmpdir();
  return fs.mkdtempSync(path.join(base, `potik-${name}-`));
}

export class Server {
  /** wrapper: words before the program; extra: further flags; env: added to ours. */
  constructor(dataDir, { wrapper = [], extra = [], env = {}, log = null } = {}) {
    this.dataDir = dataDir;
    const words = [...wrapper, BIN, 'serve', '--data-dir', dataDir, '--listen', '127.0.0.1:0', ...extra];
    this.stderr = '';
    this.child = spawn(words[0], words.slice(1), {
      env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stderr.on('data', (part) => {
      this.stderr = (this.stderr + part).slice(-20000);
      if (log !== null) fs.appendFileSync(log, part);
    });
    this.exited = new Promise((resolve) => {
      this.child.on('error', (error) => resolve({ code: null, signal: null, error }));
      this.child.on('exit', (code, signal) => resolve({ code, signal }));
    });
    this.isGone = false;
    this.exited.then((how) => {
      this.isGone = true;
      this.how = how;
    });
    let out = '';
    this.listening = new Promise((resolve) => {
      this.child.stdout.on('data', (part) => {
        out += part;
        const found = /listening on http:\/\/127\.0\.0\.1:(\d+)\n/.exec(out);
        if (found) resolve(Number(found[1]));
      });
      this.exited.then(() => resolve(null));
    });
  }

  /** The port, or null where the process ended instead. */
  async start() {
    this.port = await this.listening;
    if (this.port !== null) this.keys = readKeys(this.dataDir);
    return this.port;
  }

  /** The server's own process id, also below a wrapper. */
  get pid() {
    const below = fs.readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, 'utf8').trim();
    const name = fs.readFileSync(`/proc/${this.child.pid}/comm`, 'utf8').trim();
    return name === 'potik' || below === '' ? this.child.pid : Number(below.split(' ')[0]);
  }

  kill(signal = 'SIGKILL') {
    if (!this.isGone) process.kill(this.pid, signal);
  }

  /** SIGTERM; the exit, or SIGKILL and an error after limitMs. */
  async stop(limitMs = 15000) {
    if (this.isGone) return this.how;
    this.kill('SIGTERM');
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve('late'), limitMs);
    });
    const how = await Promise.race([this.exited, late]);
    clearTimeout(timer);
    if (how === 'late') {
      this.kill('SIGKILL');
      await this.exited;
      throw new Error(`did not stop within ${limitMs} ms:\n${this.stderr}`);
    }
    return how;
  }
}

export function readKeys(dataDir) {
  const text = fs.readFileSync(path.join(dataDir, 'first-run.txt'), 'utf8');
  const of = (name) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1];
  return { write: of('write_key'), read: of('read_key') };
}

/** The store's rows as a fresh process reads them. */
export function dump(dataDir) {
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
