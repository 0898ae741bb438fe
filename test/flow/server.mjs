/*
 * server - a real server for one test: the program on a folder of its own and a free port, and a client that keeps the
 * ledger of what it was told.
 *
 *     const server = await startServer({ flags: ['--seal-rows', '1000'] });
 *     const client = new Client(server);
 *     await client.send(events);                       // batches, retried with the same ids until 2xx
 *     const reply = await client.stats('dau', { from: '2026-01-01', to: '2026-01-31' });
 *     await server.close();                            // SIGTERM, exit 0 asserted, folder removed
 *
 * The store is $POTIK_TEST_STORE: embedded, or postgres, where each folder gets a database of its own in the cluster of
 * $POTIK_TEST_POSTGRES_ADMIN_URL (tools/with-postgres sets it), and a restart on the folder finds the same database.
 *
 * The program is $POTIK_BIN, else build/potik. A server is ended by its own process id, and nothing outlives the test file:
 * what is still running when node exits is killed. Each reply is held against the HTTP contract (contract.mjs). No dependencies beyond
 * node 18, but for that check.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { checkReply } from './contract.mjs';
import { createDatabase } from './postgres.mjs';

export const TOP = path.resolve(path.dirname(new URL(import.meta.url).pathname), '../..');
export const BIN = path.resolve(process.env.POTIK_BIN ?? path.join(TOP, 'build/potik'));
/** A reason to skip, or false: for `test(name, { skip: MISSING }, …)`. */
export const MISSING = fs.existsSync(BIN) ? false : `no program at ${BIN} (./dev build)`;
/** The sanitizers slow everything down several times. */
export const SLOWNESS = process.env.POTIK_SANITIZED !== undefined ? 5 : 1;
/** The environment of a command that is to see nothing of ours: the sanitizers' options stay, so that what they find still ends it. */
export const BARE_ENV = Object.fromEntries(['PATH', 'ASAN_OPTIONS', 'LSAN_OPTIONS', 'UBSAN_OPTIONS']
  .filter((name) => process.env[name] !== undefined).map((name) => [name, process.env[name]]));

/** Which store the servers of this run are given. */
export const STORE = process.env.POTIK_TEST_STORE ?? 'embedded';
assert.ok(['embedded', 'postgres'].includes(STORE), `POTIK_TEST_STORE is embedded or postgres, not ${STORE}`);
/** Reasons to skip, or false: what is tested does not exist with the other store, or does not ask it. */
export const OF_THE_LEDGER = STORE === 'embedded' ? false : 'of the ledger alone: runs with the embedded store';
export const OF_NO_STORE = STORE === 'embedded' ? false : 'asks no store: runs once, with the embedded one';

const databases = new Map(); /* of a data folder */
/** The database of a data folder, made when it is first asked for, gone with its cluster; null with the embedded store. */
export function storeUrl(dataDir) {
  if (STORE === 'embedded') return null;
  const admin = process.env.POTIK_TEST_POSTGRES_ADMIN_URL;
  assert.ok(admin !== undefined, 'POTIK_TEST_STORE=postgres needs a PostgreSQL: run under tools/with-postgres');
  const folder = path.resolve(dataDir);
  if (!databases.has(folder)) databases.set(folder, createDatabase(admin));
  return databases.get(folder);
}
/** What a command that works on that folder needs in its environment. */
export function storeEnv(dataDir) {
  return STORE === 'embedded' ? {} : { POTIK_STORE: storeUrl(dataDir) };
}

/** A position of the same store, far ahead of `position`. */
export function farAhead(position) {
  const [generation] = position.split('.');
  return STORE === 'embedded' ? `${generation}.0.ffffffffffff` : `${generation}.ffffffffffff.0`;
}

const running = new Set();
process.on('exit', () => {
  for (const server of running) server.abandon();
});

export function temporaryFolder(name = 'flow') {
  return fs.mkdtempSync(path.join(os.tmpdir(), `potik-${name}-`));
}

/** Waits until `probe()` gives something true, and gives that; fails with `what` after limitMs. */
export async function until(what, probe, { limitMs = 10000, everyMs = 20 } = {}) {
  const end = Date.now() + limitMs * SLOWNESS;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${limitMs * SLOWNESS} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

export class Server {
  /** `dataDir`: an existing folder (a restart), removed by close() only with ownsFolder. `wrapper`: words before the program.
   *  `ca`: the PEM text that requests to a server with TLS trust. */
  constructor({ dataDir = null, ownsFolder = dataDir === null, flags = [], env = {}, listen = '127.0.0.1:0', wrapper = [], ca = undefined } = {}) {
    this.ca = ca;
    this.ownsFolder = ownsFolder;
    this.dataDir = dataDir ?? temporaryFolder();
    this.stdout = '';
    this.stderr = '';
    this.how = null;
    const words = [...wrapper, BIN, 'serve', '--data-dir', this.dataDir, '--listen', listen, ...flags];
    this.child = spawn(words[0], words.slice(1), {
      // Two loops on any machine, so that commits meet.
      cwd: this.dataDir, env: { POTIK_LOOP_THREADS: '2', ...process.env, ...storeEnv(this.dataDir), ...env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this);
    this.exited = new Promise((resolve) => {
      const end = (how) => {
        running.delete(this);
        this.how ??= how;
        resolve(this.how);
      };
      this.child.on('error', (error) => end({ code: null, signal: null, error }));
      this.child.on('close', (code, signal) => end({ code, signal }));
    });
    this.child.stderr.on('data', (part) => {
      this.stderr = (this.stderr + part).slice(-200000);
    });
    this.listening = new Promise((resolve, reject) => {
      this.child.stdout.on('data', (part) => {
        this.stdout += part;
        const found = /^listening on (\S+)\n/.exec(this.stdout);
        if (found) resolve(found[1]);
      });
      this.exited.then((how) => reject(new Error(`the server ended before it listened: ${JSON.stringify(how)}\n${this.stderr}`)));
    });
    this.listening.catch(() => {}); /* told to whoever asks */
  }

  get pid() {
    return this.child.pid;
  }

  /** Listening and ready (/readyz 200). */
  async ready({ limitMs = 30000 } = {}) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not listening after ${limitMs} ms\n${this.stderr}`)), limitMs * SLOWNESS);
    });
    try {
      this.address = await Promise.race([this.listening, late]);
    } finally {
      clearTimeout(timer);
    }
    this.socketPath = this.address.startsWith('unix:') ? this.address.slice(5) : null;
    this.keys = readKeys(this.dataDir);
    await until('/readyz', async () => {
      assert.equal(this.how, null, `the server ended: ${JSON.stringify(this.how)}\n${this.stderr}`);
      return (await this.request({ path: '/readyz' })).status === 200;
    }, { limitMs });
    return this;
  }

  /** One request on a connection of `agent`'s; resolves to { status, headers, bytes, text, json } (json null if the body is none). */
  request({ method = 'GET', path: target, headers = {}, body = null, agent = undefined, timeoutMs = 30000 }) {
    const place = this.socketPath !== null ? { socketPath: this.socketPath }
      : { host: new URL(this.address).hostname.replace(/^\[|\]$/g, ''), port: new URL(this.address).port };
    const secure = this.address.startsWith('https:');
    return new Promise((resolve, reject) => {
      const request = (secure ? https : http).request({ ...place, ...(secure ? { ca: this.ca } : {}), method, path: target, headers, agent }, (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const bytes = Buffer.concat(parts);
          const text = bytes.toString('utf8');
          const reply = { status: response.statusCode, headers: response.headers, bytes, text, json: parsed(text) };
          try {
            checkReply(method, target, reply);
            resolve(reply);
          } catch (error) {
            reject(error);
          }
        });
      });
      request.setTimeout(timeoutMs * SLOWNESS, () => request.destroy(new Error(`no answer in ${timeoutMs} ms: ${method} ${target}`)));
      request.on('error', reject);
      request.end(body ?? undefined);
    });
  }

  kill(signal = 'SIGKILL') {
    if (this.how === null) this.child.kill(signal);
    return this.exited;
  }

  /** SIGTERM; gives how it ended, or kills it and fails after limitMs. */
  async stop({ limitMs = 15000 } = {}) {
    if (this.how !== null) return this.how;
    this.child.kill('SIGTERM');
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve('late'), limitMs * SLOWNESS);
    });
    const how = await Promise.race([this.exited, late]);
    clearTimeout(timer);
    if (how === 'late') {
      await this.kill('SIGKILL');
      throw new Error(`the server did not stop within ${limitMs} ms\n${this.stderr}`);
    }
    return how;
  }

  /** Stops, wants exit 0, removes the folder if it was made here. */
  async close() {
    const how = await this.stop();
    this.remove();
    assert.deepEqual(how, { code: 0, signal: null }, this.stderr);
  }

  remove() {
    if (this.ownsFolder) fs.rmSync(this.dataDir, { recursive: true, force: true });
  }

  /** At node's exit: no waiting is possible any more. */
  abandon() {
    this.child.kill('SIGKILL');
    try {
      this.remove();
    } catch {
      /* a dying server may still write there; the folder is a temporary one */
    }
  }
}

export async function startServer(options = {}) {
  const server = new Server(options);
  try {
    return await server.ready();
  } catch (error) {
    await server.kill();
    server.remove();
    throw error;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** 400, and yet every event has its verdict. */
function isAllRejected(reply) {
  return reply.status === 400 && reply.json?.error?.code === 'all_rejected';
}

/** The address and the keys in <data-dir>/first-run.txt. */
export function readKeys(dataDir) {
  const text = fs.readFileSync(path.join(dataDir, 'first-run.txt'), 'utf8');
  const of = (name) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1];
  return { server: of('server'), write: of('write_key'), read: of('read_key') };
}

/** "a=1&b=2"; an array repeats its name; undefined and null are left out. */
export function query(params) {
  const list = new URLSearchParams();
  for (const [name, value] of Object.entries(params))
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined && each !== null) list.append(name, String(each));
  return list.toString();
}

export class Client {
  /** A client may go on with another server (after a restart): client.server = … */
  constructor(server) {
    this.server = server;
    this.agent = new (server.address?.startsWith('https:') ? https : http).Agent({ keepAlive: true, maxSockets: 8 });
    this.intended = new Set(); /* ids sent at least once */
    this.acked = new Set();    /* ids in a 2xx, accepted or duplicate */
    this.refused = new Map();  /* id → code */
    this.position = null;      /* of the last 2xx that stored or knew an event */
    this.accepted = 0;
    this.duplicates = 0;
  }

  /** One POST of a batch, no retry: { status, headers, text, json }. The ledger is kept all the same. */
  async post(events, { target = '/v1/events', headers = {} } = {}) {
    for (const event of events) if (event.event_id !== undefined) this.intended.add(event.event_id);
    const body = Buffer.from(JSON.stringify(events));
    const reply = await this.server.request({
      method: 'POST', path: target, body, agent: this.agent,
      headers: { authorization: `Bearer ${this.server.keys.write}`, 'content-type': 'application/json', 'content-length': body.length, ...headers },
    });
    if (reply.status === 200 || isAllRejected(reply)) this.#note(events, reply.json);
    return reply;
  }

  #note(events, reply) {
    const refused = new Map(reply.errors.map((error) => [error.index, error.code]));
    assert.equal(reply.accepted + reply.duplicates + reply.rejected, events.length, 'the counts of a reply add up');
    assert.equal(reply.rejected, refused.size, 'every refusal is told');
    events.forEach((event, i) => {
      if (refused.has(i)) this.refused.set(event.event_id, refused.get(i));
      else if (event.event_id !== undefined) this.acked.add(event.event_id);
    });
    this.accepted += reply.accepted;
    this.duplicates += reply.duplicates;
    if (reply.accepted + reply.duplicates > 0) this.position = reply.position;
  }

  /** Sends all, `batch` at a time, retrying 503, 429 and broken connections with the same ids. Gives the last position. */
  async send(events, { batch = 1000, limitMs = 60000 } = {}) {
    for (let i = 0; i < events.length; i += batch) {
      const some = events.slice(i, i + batch);
      await until('a 2xx for a batch', async () => {
        let reply;
        try {
          reply = await this.post(some);
        } catch {
          return false; /* outcome unknown: the same ids again */
        }
        if (reply.status === 503 || reply.status === 429) return false;
        assert.ok(reply.status === 200 || isAllRejected(reply), reply.text);
        return true;
      }, { limitMs, everyMs: 100 });
    }
    return this.position;
  }

  get(target, { headers = {}, key = this.server.keys.read } = {}) {
    const auth = key === null ? {} : { authorization: `Bearer ${key}` };
    return this.server.request({ path: target, headers: { ...auth, ...headers }, agent: this.agent });
  }

  /** A metric's whole JSON answer, counting at least everything this client was told is stored; 200 is asserted. */
  async stats(metric, params = {}) {
    const reply = await this.tryStats(metric, params);
    assert.equal(reply.status, 200, `${metric}?${query(params)}: ${reply.text}`);
    return reply.json ?? reply.text;
  }

  tryStats(metric, params = {}) {
    const fresh = this.position === null ? {} : { min_position: this.position, wait_ms: 10000 };
    return this.get(`/v1/stats/${metric}?${query({ ...fresh, ...params })}`);
  }

  /** acked − stored, and stored − intended, by the newest 1,000 events the server shows: for small tests. */
  async judge() {
    assert.ok(this.acked.size <= 1000, 'judge() reads at most 1,000 events');
    const reply = await until('the events loaded', async () => {
      const got = await this.get('/v1/events?limit=1000');
      assert.equal(got.status, 200, got.text);
      return got.json.events.length >= this.acked.size ? got : false;
    });
    const ids = reply.json.events.map((event) => event.event_id);
    const stored = new Set(ids);
    return {
      lost: [...this.acked].filter((id) => !stored.has(id)),
      doubled: ids.filter((id, i) => ids.indexOf(id) !== i),
      invented: ids.filter((id) => !this.intended.has(id)),
    };
  }

  close() {
    this.agent.destroy();
  }
}

/** Numbers from a seed (mulberry32), the same on every machine. */
export function seeded(seed) {
  let state = seed >>> 0;
  const unit = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    unit,
    below: (n) => Math.floor(unit() * n),
    pick: (list) => list[Math.floor(unit() * list.length)],
    shuffle: (list) => {
      for (let i = list.length - 1; i > 0; i--) {
        const k = Math.floor(unit() * (i + 1));
        [list[i], list[k]] = [list[k], list[i]];
      }
      return list;
    },
  };
}
