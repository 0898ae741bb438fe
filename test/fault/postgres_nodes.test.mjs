/*
 * Two nodes on one database: T9, the duplicate storm across both; the same ids in opposite order at full rate; the same stats at the
 * same watermark; a transaction that took its numbers early and commits late; a long transaction elsewhere that holds reading back.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import { NO_POSTGRES, Postgres, changedUrl, query } from '../flow/postgres.mjs';
import { until } from '../flow/server.mjs';
import { ClientLedger, eventOf, postBody } from './client.mjs';
import { IS_LONG, SEED, SLOWNESS, getJson, random, sleep, temporaryFolder } from './harness.mjs';
import { Load, Node, RANGE, assertAgrees, assertAllExact, assertSameStats, releaseAfter } from './postgres_harness.mjs';

const skip = NO_POSTGRES;
const options = { skip, timeout: 3600000 };
let cluster;
before(async () => {
  if (!skip) cluster = await Postgres.start();
});
after(() => cluster?.close());

async function scene(t, name, { extra = [] } = {}) {
  t.diagnostic(`seed ${SEED}`);
  const folder = temporaryFolder(name);
  const url = cluster.newDatabase();
  /* The first one makes the tables and the keys; the second one finds them. */
  const nodes = [await Node.start(folder, 'a', url, { extra })];
  nodes.push(await Node.start(folder, 'b', url, { extra }));
  nodes[1].keys = nodes[0].keys;
  t.after(() => Promise.all(nodes.map((node) => node.kill('SIGKILL'))));
  const ledger = new ClientLedger(path.join(folder, 'client'));
  return {
    folder, url, nodes, ledger,
    close: async () => {
      for (const node of nodes) await node.close();
      ledger.close();
      fs.rmSync(folder, { recursive: true });
    },
  };
}

test('two nodes starting at once on an empty database: one makes the tables, both serve, with one set of keys', options, async (t) => {
  const folder = temporaryFolder('both');
  const url = cluster.newDatabase();
  const nodes = ['a', 'b', 'c'].map((name) => new Node(folder, name, url));
  releaseAfter(t, nodes);
  for (const node of nodes) assert.notEqual(await node.start(), null, node.stderr);
  const made = nodes.filter((node) => node.keys.write !== undefined && node.keys.write !== '');
  assert.ok(made.length >= 1, 'somebody was told the keys');
  const { keys } = made[0];
  let position;
  for (const [i, node] of nodes.entries()) {
    node.keys = keys;
    const reply = await until('the key known to each', async () => {
      const got = await node.post([`both-${i}`]);
      return got.status === 401 ? false : got;
    }, { limitMs: 6000 });
    assert.deepEqual([reply.status, reply.body.accepted], [200, 1], reply.text);
    position = reply.body.position;
  }
  await assertSameStats(nodes, position);
  assert.equal(query(url, 'SELECT count(*) FROM projects;'), '1');
  for (const node of nodes) await node.close();
  fs.rmSync(folder, { recursive: true });
});

test('T9: duplicate storm across two nodes', options, async (t) => {
  const it = await scene(t, 'storm');
  const ids = Array.from({ length: 1000 }, (_, i) => `storm-${i}`);
  it.ledger.intend(ids);
  const bodies = ids.map((id) => JSON.stringify(eventOf(id)));
  const totals = { accepted: 0, duplicates: 0, sent: 0 };
  const clients = 64;
  const agent = new http.Agent({ keepAlive: true, maxSockets: clients });
  let last;
  await Promise.all(Array.from({ length: clients }, async (_, client) => {
    for (let round = 0; round < (IS_LONG ? 100 : 10); round++) {
      const order = ids.map((_, i) => (i * (2 * client + 1) + round * 37) % ids.length);
      for (let at = 0; at < order.length;) {
        const part = order.slice(at, at + 1 + Math.floor(random() * 500));
        const node = it.nodes[(client + at) % 2];
        const reply = await postBody(node.port, node.keys.write, Buffer.from(`[${part.map((i) => bodies[i]).join(',')}]`), { agent });
        at += part.length;
        if (reply.status === 503) continue; /* overloaded: counted below */
        assert.equal(reply.status, 200, reply.text);
        assert.equal(reply.body.accepted + reply.body.duplicates, part.length);
        totals.accepted += reply.body.accepted;
        totals.duplicates += reply.body.duplicates;
        totals.sent += part.length;
        last = reply.body.position;
        it.ledger.ack(part.map((i) => ids[i]));
      }
    }
  }));
  agent.destroy();
  t.diagnostic(`${totals.sent} sent, ${totals.accepted} told accepted, ${totals.duplicates} told duplicate`);
  assert.equal(totals.accepted, ids.length, 'each id is accepted once, whoever is asked');

  const other = { ...eventOf(ids[0]), event_type: 'other', properties: { changed: true } };
  for (const node of it.nodes) {
    const reply = await postBody(node.port, node.keys.write, Buffer.from(JSON.stringify(other)));
    assert.deepEqual([reply.status, reply.body.accepted, reply.body.duplicates], [200, 0, 1], 'same id, other body: the first stays');
  }
  await assertSameStats(it.nodes, last);
  const verdict = await assertAllExact(it.ledger, it.nodes);
  assert.equal(verdict.stored, ids.length);
  await it.close();
});

test(`the same ids in opposite order at full rate, ${IS_LONG ? 60 : 5} s: no deadlock reaches a client`, options, async (t) => {
  const it = await scene(t, 'opposite');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  const end = Date.now() + (IS_LONG ? 60000 : 5000);
  let rounds = 0;
  let accepted = 0;
  let last;
  await Promise.all(Array.from({ length: 4 }, async (_, pair) => {
    for (let round = 0; Date.now() < end; round++) {
      const ids = Array.from({ length: 500 }, (_, i) => `opposite-${pair}-${round}-${i}`);
      it.ledger.intend(ids);
      const orders = [ids, [...ids].reverse()];
      const replies = await Promise.all(it.nodes.flatMap((node, n) => [0, 1].map((half) => {
        /* Each node gets both halves at once, on two connections: its two links meet the other's. */
        const part = orders[n].slice(half * 250, half * 250 + 250);
        return postBody(node.port, node.keys.write, Buffer.from(JSON.stringify(part.map(eventOf))), { agent });
      })));
      let sum = 0;
      for (const reply of replies) {
        assert.equal(reply.status, 200, reply.text);
        sum += reply.body.accepted;
        last = reply.body.position;
      }
      assert.equal(sum, ids.length, 'each id is accepted by one of the two');
      it.ledger.ack(ids);
      accepted += sum;
      rounds++;
    }
  }));
  agent.destroy();
  await assertSameStats(it.nodes, last);
  await assertAllExact(it.ledger, it.nodes);
  const deadlocks = cluster.log.split('\n').filter((line) => /deadlock detected/.test(line)).length;
  t.diagnostic(`${rounds} rounds, ${accepted} events accepted of ${accepted * 2} sent, ${deadlocks} deadlocks in PostgreSQL's log`);
  assert.equal(deadlocks, 0, 'ids are sent in one order; that PostgreSQL must undo one of two is no way to live');
  await it.close();
});

test(`two nodes under load, one killed ${IS_LONG ? 10 : 2} times: both answer the same`, options, async (t) => {
  const it = await scene(t, 'pair');
  const loads = it.nodes.map((node, i) => new Load(node, it.ledger, `pair-${i}`, { workers: 3 }));
  for (let i = 0; i < (IS_LONG ? 10 : 2); i++) {
    await loads[0].acked(300);
    const { keys } = it.nodes[1];
    it.nodes[1].kill('SIGKILL');
    await it.nodes[1].exited;
    await loads[1].stop();
    it.nodes[1] = await Node.start(it.folder, 'b', it.url);
    it.nodes[1].keys = keys;
    loads[1] = new Load(it.nodes[1], it.ledger, `pair-1-${i}`, { workers: 3 });
  }
  await loads[0].acked(300);
  for (const load of loads) await load.stop();
  const verdict = await assertAllExact(it.ledger, it.nodes);
  const probe = await it.nodes[0].post(['pair-last']);
  it.ledger.intend(['pair-last']);
  await assertSameStats(it.nodes, probe.body.position);
  t.diagnostic(`${verdict.stored} events`);
  await it.close();
});

const INSERT = (id) => {
  const e = eventOf(id);
  return `INSERT INTO events (project_id, event_id, event_type, user_id, occurred_at, received_at, properties, generation)
    SELECT 1, '${id}', '${e.event_type}', '${e.user_id}', to_timestamp(${e.occurred_at} / 1000.0), now(), '${JSON.stringify(e.properties)}', generation
    FROM potik_state;`;
};

test('a late committer: numbers taken early, committed late, loaded always', options, async (t) => {
  const it = await scene(t, 'late');
  const project = query(it.url, 'SELECT id FROM projects;');
  let round = 0;
  for (const how of ['commit', 'commit', 'rollback', 'commit']) {
    const late = `late-${round}`;
    const session = cluster.session(it.url);
    await session.query(`BEGIN; ${INSERT(late).replace('SELECT 1,', `SELECT ${project},`)}`);
    for (const node of it.nodes) {
      for (let i = 0; i < 5; i++) {
        const ids = Array.from({ length: 20 }, (_, k) => `between-${round}-${node === it.nodes[0] ? 'a' : 'b'}-${i}-${k}`);
        it.ledger.intend(ids);
        const reply = await node.post(ids);
        assert.equal(reply.status, 200, reply.text);
        it.ledger.ack(ids);
      }
    }
    await sleep(200); /* time for a reader that does not wait to run past it */
    if (how === 'commit') {
      it.ledger.intend([late]);
      await session.query('COMMIT');
      it.ledger.ack([late]);
    } else {
      await session.query('ROLLBACK');
    }
    const began = Date.now();
    await session.close();
    for (const node of it.nodes) await assertAgrees(node, it.url, `round ${round}`);
    t.diagnostic(`${how}: all loaded ${Date.now() - began} ms later`);
    round++;
  }
  await assertAllExact(it.ledger, it.nodes);
  /* In the same order on both. */
  const listed = [];
  for (const node of it.nodes) listed.push((await getJson(node, '/v1/events?limit=1000')).body.events.map((event) => event.event_id));
  assert.deepEqual(listed[0], listed[1]);
  await it.close();
});

test('many writers of SQL beside two nodes: none of their late rows is skipped', options, async (t) => {
  const it = await scene(t, 'writers');
  const project = query(it.url, 'SELECT id FROM projects;');
  const loads = it.nodes.map((node, i) => new Load(node, it.ledger, `beside-${i}`, { workers: 2 }));
  let rows = 0;
  const end = Date.now() + (IS_LONG ? 30000 : 4000);
  await Promise.all(Array.from({ length: 4 }, async (_, writer) => {
    const session = cluster.session(it.url);
    for (let i = 0; Date.now() < end; i++) {
      const id = `sql-${writer}-${i}`;
      it.ledger.intend([id]);
      await session.query(`BEGIN; ${INSERT(id).replace('SELECT 1,', `SELECT ${project},`)}`);
      await sleep(random() * 60);
      await session.query('COMMIT');
      it.ledger.ack([id]);
      rows++;
    }
    await session.close();
  }));
  for (const load of loads) await load.stop();
  const verdict = await assertAllExact(it.ledger, it.nodes, 'beside writers');
  t.diagnostic(`${rows} rows by SQL, ${verdict.stored} in all`);
  await it.close();
});

test('a long writing transaction elsewhere: the metric and the warning name it; stats go on once it ends', options, async (t) => {
  const it = await scene(t, 'held');
  const [node] = it.nodes;
  const session = cluster.session(changedUrl(cluster.adminUrl, { database: new URL(cluster.newDatabase()).pathname.slice(1) }));
  const pid = await session.query('SELECT pg_backend_pid()');
  await session.query('BEGIN; SELECT pg_current_xact_id();');
  const began = Date.now();
  const ids = Array.from({ length: 30 }, (_, i) => `held-${i}`);
  it.ledger.intend(ids);
  const reply = await node.post(ids);
  assert.equal(reply.status, 200, 'ingest goes on');
  it.ledger.ack(ids);
  const behind = await getJson(node, `/v1/stats/dau?${RANGE}&min_position=${encodeURIComponent(reply.body.position)}&wait_ms=500`);
  assert.deepEqual([behind.status, behind.body.error?.code], [503, 'behind'], 'not loaded before it ends');
  assert.equal((await getJson(node, `/v1/stats/dau?${RANGE}`)).status, 200);
  const ready = await until('the warning', async () => {
    const got = await node.request({ path: '/readyz' });
    assert.equal(got.status, 200, got.text);
    return got.json.warning !== undefined ? got : false;
  }, { limitMs: 60000, everyMs: 200 });
  const warned = Date.now() - began;
  assert.ok(ready.json.warning.includes(pid), `the warning names ${pid}: ${ready.text}`);
  const age = await node.metric('potik_store_xmin_age_seconds');
  assert.ok(age >= 1 && age <= (Date.now() - began) / 1000 + 2, `${age} s`);
  await session.query('COMMIT');
  const ended = Date.now();
  const loaded = await getJson(node, `/v1/stats/top-events?${RANGE}&min_position=${encodeURIComponent(reply.body.position)}&wait_ms=10000`);
  assert.equal(loaded.status, 200, JSON.stringify(loaded.body));
  const took = Date.now() - ended;
  await session.close();
  for (const each of it.nodes) await assertAgrees(each, it.url);
  await until('the warning gone', async () => (await node.request({ path: '/readyz' })).json.warning === undefined, { limitMs: 15000 });
  await until('the age back', async () => await node.metric('potik_store_xmin_age_seconds') < 1, { limitMs: 15000 });
  t.diagnostic(`warned after ${warned} ms: ${ready.json.warning}; loaded ${took} ms after its end`);
  assert.ok(took < 5000 * SLOWNESS, `${took} ms`);
  await it.close();
});
