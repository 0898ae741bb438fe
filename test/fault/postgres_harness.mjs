/*
 * postgres_harness - what the fault tests of PostgreSQL share: nodes on one database, a load that goes on in the background,
 * and the questions whether everything is exact, whether the warehouse agrees with the database, and how long the way back took.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { query } from '../flow/postgres.mjs';
import { until } from '../flow/server.mjs';
import { load, post, settle } from './client.mjs';
import { SEED, SLOWNESS, Server, dumpDatabase, getJson, random } from './harness.mjs';

/** Deadlines of 1 s for a statement and for a connect, in place of 10 s and 5 s. */
export const IMPATIENT = ['--store-timeout', '1s', '--store-connect-timeout', '1s'];
export const RANGE = 'from=2025-12-25&to=2026-02-10';

/** A server on the database of `url`, in <folder>/<name>. */
export class Node extends Server {
  constructor(folder, name, url, { extra = [], env = {} } = {}) {
    super(path.join(folder, name), { extra, env: { POTIK_STORE: url, ...env } });
    this.url = url;
  }

  static async start(folder, name, url, options) {
    const node = new Node(folder, name, url, options);
    assert.notEqual(await node.start(), null, `${name} did not start: ${JSON.stringify(node.how)}\n${node.stderr}`);
    return node;
  }

  post(ids, options) {
    return post(this.port, this.keys.write, ids, options);
  }

  get logLines() {
    return this.stderr.split('\n').filter((line) => line !== '').length;
  }

  async metric(name) {
    const { text } = await this.request({ path: '/metrics' });
    const found = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text);
    assert.notEqual(found, null, `/metrics has no ${name}`);
    return Number(found[1]);
  }

  /** Ends in order; exit 0 is wanted. */
  async close() {
    const how = await this.stop();
    assert.deepEqual(how, { code: 0, signal: null }, this.stderr.slice(-3000));
  }
}

/** What a test leaves behind when it fails must not keep node running: each is given back when the test is over, however it ended. */
export function releaseAfter(t, ...things) {
  t.after(async () => {
    for (const thing of things.flat()) {
      if (thing instanceof Server) await thing.kill('SIGKILL');
      else await thing.close();
    }
  });
}

/** A load that goes on until stop(): its ids are `<prefix>-0`, `<prefix>-1` …; their fate is in `ledger`. */
export class Load {
  constructor(node, ledger, prefix, { workers = 6, most = 40 } = {}) {
    this.node = node;
    this.ledger = ledger;
    this.count = 0;
    this.isOver = false;
    this.ended = load(ledger, {
      port: node.port, key: node.keys.write, workers, random, batch: () => 1 + Math.floor(random() * most),
      nextId: () => `${prefix}-${this.count++}`, stopped: () => this.isOver,
    });
    this.ended.catch(() => {}); /* stop() tells it */
  }

  /** Until `n` more events were answered 2xx: the ms it took. */
  async acked(n, { limitMs = 30000 } = {}) {
    const began = Date.now();
    const goal = this.ledger.acked.size + n;
    await until(`${n} more events acked`, () => this.ledger.acked.size >= goal, { limitMs, everyMs: 5 });
    return Date.now() - began;
  }

  /** Ends it; gives how often each status came. */
  async stop() {
    this.isOver = true;
    return this.ended;
  }
}

/** Sends what is unknown until 2xx; then nothing of `ledger` is lost, doubled, invented or altered in the database, and each node counts it. */
export async function assertAllExact(ledger, nodes, context = '') {
  await settle(ledger, { port: nodes[0].port, key: nodes[0].keys.write });
  const verdict = ledger.judge(dumpDatabase(nodes[0].databaseUrl ?? nodes[0].url));
  for (const name of ['lost', 'doubled', 'invented', 'altered'])
    assert.equal(verdict[name].length, 0, `${name} ${verdict[name].length} (first ${verdict[name][0]}) ${context} seed ${SEED}`);
  assert.equal(verdict.stored, ledger.intent.size, `${context} seed ${SEED}`);
  for (const node of nodes) await assertAgrees(node, nodes[0].databaseUrl ?? nodes[0].url, context);
  return verdict;
}

/** The node's stats equal the database's rows, in time. */
export async function assertAgrees(node, url, context = '') {
  const expected = JSON.parse(query(url, `SELECT coalesce(json_agg(json_build_array(event_type, n, users) ORDER BY n DESC, event_type COLLATE "C"), '[]')
    FROM (SELECT event_type, count(*) AS n, count(DISTINCT user_id) AS users FROM events GROUP BY event_type) AS t;`));
  let got;
  try {
    await until('the warehouse to agree with the database', async () => {
      const reply = await getJson(node, `/v1/stats/top-events?${RANGE}&limit=1000`);
      got = reply.body.rows ?? reply.body;
      return JSON.stringify(got) === JSON.stringify(expected);
    }, { limitMs: 10000, everyMs: 100 });
  } catch {
    assert.deepEqual(got, expected, `the warehouse differs from the database ${context} seed ${SEED}\n${node.stderr.slice(-2000)}`);
  }
}

/** Every node answers the same at one watermark. */
export async function assertSameStats(nodes, position) {
  for (const target of ['dau', 'top-events', 'retention']) {
    const range = target === 'retention' ? 'start_date=2026-01-01&windows=30' : RANGE;
    const replies = [];
    for (const node of nodes) {
      const reply = await getJson(node, `/v1/stats/${target}?${range}&min_position=${encodeURIComponent(position)}&wait_ms=10000`);
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
      replies.push({ rows: reply.body.rows, partial: reply.body.partial });
    }
    for (const reply of replies) assert.deepEqual(reply, replies[0], target);
    assert.ok(replies[0].rows.length > 0);
  }
}

/** From now on: how long until a post is answered 200. */
export async function timeUntilBack(node, ledger, prefix, { limitMs = 5000 } = {}) {
  const began = Date.now();
  let i = 0;
  await until('ingest back', async () => {
    const ids = [`${prefix}-back-${i++}`];
    ledger.intend(ids);
    const reply = await node.post(ids, { timeoutMs: limitMs });
    if (reply.status === 200) ledger.ack(ids);
    else assert.ok([0, 503].includes(reply.status), reply.text);
    return reply.status === 200;
  }, { limitMs, everyMs: 20 });
  const took = Date.now() - began;
  assert.ok(took < limitMs * SLOWNESS, `back after ${took} ms`);
  return took;
}
