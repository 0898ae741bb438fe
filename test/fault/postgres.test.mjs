/*
 * T8 - PostgreSQL at fault under a load: the link reset at a batch's Sync on every side of it, a black hole, one byte a second, the
 * server killed, stopped, locked. Whatever happens, a 2xx is stored, nothing is stored twice, what was unknown settles by a retry;
 * while PostgreSQL is away ingest is refused at once, stats go on, and the way back takes less than 5 s.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { NO_POSTGRES, PASSWORD, Postgres, ROLE, changedUrl, query } from '../flow/postgres.mjs';
import { until } from '../flow/server.mjs';
import { ClientLedger } from './client.mjs';
import { IS_LONG, SEED, SLOWNESS, getJson, random, sleep, temporaryFolder } from './harness.mjs';
import { IMPATIENT, Load, Node, RANGE, assertAllExact, releaseAfter, timeUntilBack } from './postgres_harness.mjs';
import { Proxy } from './proxy.mjs';

const skip = NO_POSTGRES;
const options = { skip, timeout: 3600000 };
let cluster;
before(async () => {
  if (!skip) cluster = await Postgres.start();
});
after(() => cluster?.close());

/** A node behind a proxy on a database of its own, with a client's ledger; given back in order. */
async function scene(t, name, { extra = [] } = {}) {
  t.diagnostic(`seed ${SEED}`);
  const folder = temporaryFolder(name);
  const proxy = await Proxy.start(cluster.port);
  releaseAfter(t, proxy);
  const url = cluster.newDatabase();
  const node = await Node.start(folder, 'node', proxy.url(url), { extra });
  releaseAfter(t, node);
  node.databaseUrl = url;
  const ledger = new ClientLedger(path.join(folder, 'client'));
  return {
    folder, proxy, url, node, ledger,
    close: async () => {
      await node.close();
      await proxy.close();
      ledger.close();
      fs.rmSync(folder, { recursive: true });
    },
  };
}

/** While PostgreSQL is away: 503 with Retry-After, at once; /readyz 503 with the reason; stats 200. Gives the slowest 503 in ms. */
async function assertAway(node, { count = 20 } = {}) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    const reply = await node.post(['never-stored-before']);
    times.push(performance.now() - began);
    assert.deepEqual([reply.status, reply.body?.error?.code], [503, 'not_ready'], reply.text);
    assert.ok(Number(reply.headers['retry-after']) >= 1);
  }
  times.sort((a, b) => a - b);
  assert.ok(times[Math.floor(count * 0.9)] < 100 * SLOWNESS, `a 503 took ${times[Math.floor(count * 0.9)]} ms`);
  const ready = await node.request({ path: '/readyz' });
  assert.equal(ready.status, 503, ready.text);
  assert.ok(ready.json.error.message.length > 20, ready.text);
  assert.ok(!/to ken|to%20ken/.test(ready.text), 'no password');
  const stats = await getJson(node, `/v1/stats/top-events?${RANGE}`);
  assert.equal(stats.status, 200, JSON.stringify(stats.body));
  return times.at(-1);
}

test(`T8: the link is reset at a batch's Sync, ${IS_LONG ? 120 : 10} times each way`, options, async (t) => {
  const it = await scene(t, 'reset');
  const load = new Load(it.node, it.ledger, 't8');
  await load.acked(50);
  const linesBefore = it.node.logLines;
  let strikes = 0;
  for (let i = 0; i < (IS_LONG ? 120 : 10); i++) {
    for (const kind of ['reset-before', 'reset-after', 'reset-race', 'half-close']) {
      const struck = it.proxy.strike(kind);
      await load.acked(1 + Math.floor(random() * 60));
      await struck;
      strikes++;
    }
  }
  const took = await load.acked(50);
  const statuses = await load.stop();
  const verdict = await assertAllExact(it.ledger, [it.node], 'after resets');
  assert.ok(statuses.get(503) > 0, 'no reset was felt');
  t.diagnostic(`${strikes} strikes, ${verdict.stored} events, statuses ${JSON.stringify([...statuses])}, last way back ${took} ms`);
  assert.ok(it.node.logLines - linesBefore <= strikes * 4, `${it.node.logLines - linesBefore} log lines for ${strikes} strikes`);
  await it.close();
});

test(`T8: a black hole of ${IS_LONG ? 30 : 3} s`, options, async (t) => {
  const it = await scene(t, 'hole', { extra: IS_LONG ? [] : IMPATIENT });
  const load = new Load(it.node, it.ledger, 'hole');
  await load.acked(50);
  const linesBefore = it.node.logLines;
  it.proxy.hole();
  const began = Date.now();
  /* Nobody can know at once that nothing comes; when the deadline of a statement has passed, it is known. */
  await until('a 503', async () => (await it.node.request({ path: '/readyz' })).status === 503, { limitMs: 15000 });
  const noticed = Date.now() - began;
  await assertAway(it.node);
  await sleep(Math.max(0, (IS_LONG ? 30000 : 3000) - (Date.now() - began)));
  await assertAway(it.node);
  await it.proxy.clear();
  const back = await timeUntilBack(it.node, it.ledger, 'hole', { limitMs: 5000 });
  await load.acked(50);
  const statuses = await load.stop();
  const verdict = await assertAllExact(it.ledger, [it.node], 'after the hole');
  const lines = it.node.logLines - linesBefore;
  t.diagnostic(`noticed after ${noticed} ms, back after ${back} ms, ${verdict.stored} events, statuses ${JSON.stringify([...statuses])}, ${lines} log lines`);
  assert.ok(lines < 40, `${lines} log lines`);
  await it.close();
});

test('T8: a black hole that one connection has met: the idle ones are not trusted either', options, async (t) => {
  const it = await scene(t, 'idle', { extra: ['--store-timeout', '6s', '--store-connect-timeout', '1s'] });
  /* Several posts at once, so that each link has been of use. */
  await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    const ids = [`idle-${i}`];
    it.ledger.intend(ids);
    const reply = await it.node.post(ids);
    assert.equal(reply.status, 200, reply.text);
    it.ledger.ack(ids);
  }));
  it.proxy.hole();
  it.ledger.intend(['idle-lost']);
  const lost = await it.node.post(['idle-lost']);
  assert.equal(lost.status, 503, lost.text);
  await it.proxy.clear();
  const backs = [];
  for (let i = 0; i < 8; i++) backs.push(await timeUntilBack(it.node, it.ledger, `idle-${i}`)); /* both loops, most likely */
  await assertAllExact(it.ledger, [it.node], 'after the hole');
  t.diagnostic(`back after ${backs.join(' ')} ms`);
  await it.close();
});

test(`T8: one byte a second, ${IS_LONG ? 30 : 4} s`, options, async (t) => {
  const it = await scene(t, 'trickle', { extra: IMPATIENT });
  const load = new Load(it.node, it.ledger, 'trickle');
  await load.acked(50);
  it.proxy.trickle();
  await until('a 503', async () => (await it.node.request({ path: '/readyz' })).status === 503, { limitMs: 15000 });
  await assertAway(it.node);
  await sleep(IS_LONG ? 28000 : 2000);
  await it.proxy.clear();
  const back = await timeUntilBack(it.node, it.ledger, 'trickle');
  await load.acked(50);
  const statuses = await load.stop();
  const verdict = await assertAllExact(it.ledger, [it.node], 'after the trickle');
  t.diagnostic(`back after ${back} ms, ${verdict.stored} events, statuses ${JSON.stringify([...statuses])}`);
  await it.close();
});

test(`T8: kill -9 of PostgreSQL under load, ${IS_LONG ? 20 : 3} times`, options, async (t) => {
  const it = await scene(t, 'kill9');
  const load = new Load(it.node, it.ledger, 'kill9');
  const backs = [];
  for (let i = 0; i < (IS_LONG ? 20 : 3); i++) {
    await load.acked(200 + Math.floor(random() * 400));
    await cluster.kill9();
    await sleep(random() * 300);
    if (i % 2 === 0) await assertAway(it.node, { count: 5 });
    await cluster.start();
    backs.push(await timeUntilBack(it.node, it.ledger, `kill9-${i}`));
  }
  await load.acked(50);
  const statuses = await load.stop();
  const verdict = await assertAllExact(it.ledger, [it.node], 'after kills of PostgreSQL');
  t.diagnostic(`${verdict.stored} events, back after ${backs.join(' ')} ms, statuses ${JSON.stringify([...statuses])}`);
  await it.close();
});

test('PostgreSQL away: refused at once, stats go on, one line when it goes and one when it is back', options, async (t) => {
  const it = await scene(t, 'away');
  const first = Array.from({ length: 100 }, (_, i) => `away-${i}`);
  it.ledger.intend(first);
  const stored = await it.node.post(first);
  assert.equal(stored.status, 200, stored.text);
  it.ledger.ack(first);
  await until('loaded', async () =>
    (await getJson(it.node, `/v1/stats/top-events?${RANGE}`)).body.rows.reduce((sum, row) => sum + row[1], 0) === 100);
  const linesBefore = it.node.logLines;
  await cluster.stop();
  await until('not ready', async () => (await it.node.request({ path: '/readyz' })).status === 503, { limitMs: 2000 });
  const slowest = await assertAway(it.node, { count: 50 });
  assert.equal((await getJson(it.node, '/v1/events?limit=5')).body.events.length, 5);
  await sleep(IS_LONG ? 20000 : 3000);
  await assertAway(it.node);
  const linesAway = it.node.stderr.split('\n').slice(linesBefore);
  await cluster.start();
  const back = await timeUntilBack(it.node, it.ledger, 'away');
  await until('ready', async () => (await it.node.request({ path: '/readyz' })).status === 200, { limitMs: 5000 });
  await assertAllExact(it.ledger, [it.node]);
  const lines = it.node.logLines - linesBefore;
  t.diagnostic(`slowest 503 ${slowest.toFixed(1)} ms, back after ${back} ms, ${lines} log lines`);
  assert.ok(lines <= 6, `${lines} log lines:\n${linesAway.join('\n')}`);
  assert.ok(lines >= 2, 'it is told');
  await it.close();
});

test('a locked table: the statement\'s deadline, 503, and on it goes', options, async (t) => {
  const it = await scene(t, 'locked', { extra: IMPATIENT });
  const one = await it.node.post(['locked-0']);
  assert.equal(one.status, 200, one.text);
  it.ledger.intend(['locked-0']);
  it.ledger.ack(['locked-0']);
  const linesBefore = it.node.logLines;
  const session = cluster.session(it.url);
  await session.query('BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE;');
  const began = Date.now();
  const ids = ['locked-1', 'locked-2'];
  it.ledger.intend(ids);
  const reply = await it.node.post(ids);
  const took = Date.now() - began;
  assert.equal(reply.status, 503, reply.text);
  assert.ok(Number(reply.headers['retry-after']) >= 1);
  assert.ok(took < 4000 * SLOWNESS, `${took} ms`);
  await session.query('COMMIT');
  await session.close();
  const back = await timeUntilBack(it.node, it.ledger, 'locked');
  await assertAllExact(it.ledger, [it.node]);
  t.diagnostic(`refused after ${took} ms: ${reply.body.error.message}; back after ${back} ms, ${it.node.logLines - linesBefore} log lines`);
  assert.ok(it.node.logLines - linesBefore < 12, it.node.stderr.split('\n').slice(linesBefore).join('\n'));
  await it.close();
});

const canMount = !skip && process.getuid() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
test(`PostgreSQL's disk full, ${IS_LONG ? 20 : 3} times: storage_full, and on it goes when there is room`, {
  ...options, skip: skip || (canMount ? false : 'needs root and a mount namespace of its own (neither in a plain container nor in a chroot)'),
}, async (t) => {
  const folder = temporaryFolder('disk');
  const small = await Postgres.start({ smallDisk: '48m' });
  small.query(`CREATE DATABASE full_disk OWNER ${ROLE} TABLESPACE small;`);
  const url = changedUrl(small.adminUrl, { database: 'full_disk', user: ROLE, password: PASSWORD });
  const admin = changedUrl(small.adminUrl, { database: 'full_disk' });
  releaseAfter(t, small);
  const node = await Node.start(folder, 'node', url);
  releaseAfter(t, node);
  const ledger = new ClientLedger(path.join(folder, 'client'));
  let counter = 0;
  const send = async (n) => {
    const ids = Array.from({ length: n }, () => `disk-${counter++}`);
    ledger.intend(ids);
    const reply = await node.post(ids);
    if (reply.status === 200) ledger.ack(ids);
    return reply;
  };
  const linesBefore = node.logLines;
  for (let cycle = 0; cycle < (IS_LONG ? 20 : 3); cycle++) {
    assert.equal((await send(20)).status, 200, node.stderr);
    query(admin, 'CREATE TABLE filler (t text);');
    for (const rows of [10000, 100, 1])
      while (small.query(`INSERT INTO filler SELECT repeat('x', 90) FROM generate_series(1, ${rows});`, { url: admin, isTried: true }).status === 0);
    let refused;
    for (let i = 0; i < 3000 && refused === undefined; i++) {
      const reply = await send(10);
      if (reply.status !== 200) refused = reply;
    }
    assert.deepEqual([refused?.status, refused?.body?.error?.code], [503, 'storage_full'], refused?.text);
    assert.ok(Number(refused.headers['retry-after']) >= 1);
    assert.equal((await getJson(node, `/v1/stats/dau?${RANGE}`)).status, 200, 'asking goes on');
    query(admin, 'DROP TABLE filler;'); /* TRUNCATE would need a page for its new file */
    await until('stored again', async () => (await send(5)).status === 200, { limitMs: 5000 });
  }
  node.databaseUrl = url;
  const verdict = await assertAllExact(ledger, [node], 'after full disks');
  t.diagnostic(`${verdict.stored} events, ${node.logLines - linesBefore} log lines`);
  await node.close();
  await small.close();
  ledger.close();
  fs.rmSync(folder, { recursive: true });
});

test('the role loses its right to insert, and gets it back', options, async (t) => {
  const it = await scene(t, 'right');
  const first = await it.node.post(['right-0']);
  assert.equal(first.status, 200, first.text);
  it.ledger.intend(['right-0']);
  it.ledger.ack(['right-0']);
  const linesBefore = it.node.logLines;
  query(it.url, 'REVOKE INSERT ON events FROM potik;');
  for (let i = 0; i < 20; i++) {
    const refused = await it.node.post(['right-1']);
    assert.equal(refused.status, 503, refused.text);
  }
  const lines = it.node.logLines - linesBefore;
  query(it.url, 'GRANT INSERT ON events TO potik;');
  it.ledger.intend(['right-1']);
  const back = await timeUntilBack(it.node, it.ledger, 'right');
  await assertAllExact(it.ledger, [it.node]);
  t.diagnostic(`${lines} log lines for 20 refusals, back after ${back} ms`);
  assert.ok(lines <= 8, it.node.stderr.split('\n').slice(linesBefore).join('\n'));
  await it.close();
});
