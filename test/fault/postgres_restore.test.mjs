/*
 * The database goes back in time under running nodes, under stopped ones, and while one of them is away that comes back only when
 * the database has grown beyond what it had read: a dump restored into a new cluster, a point-in-time
 * restore, the promotion of a replica that lagged. What the database has lost is not ours to bring back; but afterwards the warehouse
 * agrees with the database, ids that were lost are accepted anew, and nothing new is ever skipped.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { NO_POSTGRES, Postgres, ROLE, changedUrl, query } from '../flow/postgres.mjs';
import { until } from '../flow/server.mjs';
import { ClientLedger, settle } from './client.mjs';
import { SEED, getJson, temporaryFolder } from './harness.mjs';
import { Node, assertAgrees, assertAllExact, assertSameStats, releaseAfter, timeUntilBack } from './postgres_harness.mjs';
import { Proxy } from './proxy.mjs';

const skip = NO_POSTGRES;

/** The way of each restore: before() is asked when all is well, goBack() takes the database to that state, on a cluster it gives. */
const WAYS = {
  'a dump in a new cluster': {
    start: () => Postgres.start(),
    before: (it) => {
      it.dump = it.cluster.dump(changedUrl(it.cluster.adminUrl, { database: it.database }));
    },
    goBack: async (it) => {
      await it.cluster.stop();
      const other = await Postgres.start();
      other.query(`CREATE DATABASE ${it.database} OWNER ${ROLE};`);
      other.restore(changedUrl(other.adminUrl, { database: it.database }), it.dump);
      return other;
    },
  },
  'a point-in-time restore': {
    start: () => Postgres.start({ hasArchive: true }),
    before: async (it) => {
      it.copy = await it.cluster.copy();
      it.cluster.query("SELECT pg_create_restore_point('good');");
    },
    goBack: async (it) => {
      it.cluster.query('SELECT pg_switch_wal();');
      await until('the archive', () => /^0+$/.test(it.cluster.query("SELECT count(*) FROM pg_ls_dir('pg_wal/archive_status') AS f WHERE f LIKE '%.ready'")));
      await it.cluster.stop();
      it.copy.recoverTo(it.cluster.archive, 'good');
      await it.copy.start();
      await until('the recovery', () => it.copy.query('SELECT pg_is_in_recovery();') === 'f', { limitMs: 30000 });
      return it.copy;
    },
  },
  'the promotion of a lagging replica': {
    start: () => Postgres.start(),
    before: async (it) => {
      it.copy = await it.cluster.copy({ isReplica: true });
      await it.copy.start();
      await until('the replica caught up', () =>
        it.copy.query('SELECT pg_last_wal_replay_lsn();') >= '0' && it.cluster.query("SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn();") === '1',
      { limitMs: 30000 });
      it.copy.query("ALTER SYSTEM SET primary_conninfo = '';");
      it.copy.query('SELECT pg_reload_conf();');
      await until('the replica alone', () => it.cluster.query('SELECT count(*) FROM pg_stat_replication;') === '0');
    },
    goBack: async (it) => {
      await it.cluster.kill9();
      it.copy.promote();
      return it.copy;
    },
  },
};

const names = (prefix, count) => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

async function send(node, ledger, ids) {
  ledger.intend(ids);
  const reply = await node.post(ids);
  assert.equal(reply.status, 200, reply.text);
  ledger.ack(ids);
  return reply.body;
}

async function run(t, way, meanwhile) {
  t.diagnostic(`seed ${SEED}`);
  const folder = temporaryFolder('restore');
  const it = { cluster: await way.start() };
  const started = [];
  t.after(async () => {
    for (const node of started) await node.kill('SIGKILL');
    for (const each of new Set([first, it.cluster, it.copy])) await each?.close();
  });
  const first = it.cluster;
  const url = it.cluster.newDatabase();
  it.database = new URL(url).pathname.slice(1);
  /* Some transactions of others, so that its numbers are ahead of a new cluster's. */
  for (let i = 0; i < 5; i++) query(changedUrl(it.cluster.adminUrl, { database: it.database }), `DO $$ BEGIN FOR i IN 1..400 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$;`);
  const proxy = await Proxy.start(it.cluster.port);
  releaseAfter(t, proxy);
  /* Small tails, so that some of what is to be forgotten stands in files. */
  const extra = ['--seal-rows', '150'];
  const start = async (name) => {
    const node = await Node.start(folder, name, proxy.url(url), { extra });
    started.push(node);
    return node;
  };
  const nodes = [await start('a'), await start('b')];
  const { keys } = nodes[0];
  nodes[1].keys = keys;
  const ledger = new ClientLedger(path.join(folder, 'client'));
  await send(nodes[0], ledger, names('kept-a', 400));
  await send(nodes[1], ledger, names('kept-b', 100));
  for (const node of nodes) await assertAgrees(node, url, 'before');
  await way.before(it);

  /* What will be lost. */
  const later = new ClientLedger(path.join(folder, 'later'));
  await send(nodes[0], later, names('later-a', 300));
  const last = await send(nodes[1], later, names('later-b', 200));
  for (const node of nodes) await assertAgrees(node, url, 'with what will be lost');
  await assertSameStats(nodes, last.position);
  const stopped = meanwhile === 'running' ? [] : meanwhile === 'stopped' ? nodes : [nodes[1]];
  for (const node of stopped) await node.close();

  it.cluster = await way.goBack(it);
  proxy.target = it.cluster.port;
  for (const link of [...proxy.links]) link.reset();
  const newUrl = changedUrl(url, { port: it.cluster.port });
  assert.equal(query(newUrl, 'SELECT count(*) FROM events;'), '500', 'it went back');
  if (meanwhile === 'one away') {
    /* Beyond the xids and the seqs that the one who is away has read. */
    await timeUntilBack(nodes[0], ledger, 'grown', { limitMs: 10000 });
    for (let i = 0; i < 30; i++) await send(nodes[0], ledger, names(`grown-${i}`, 50));
    query(newUrl, 'DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$;');
    for (let i = 0; i < 10; i++) await send(nodes[0], ledger, names(`grown-on-${i}`, 50));
  }
  if (meanwhile === 'stopped') nodes[0] = await start('a');
  if (meanwhile !== 'running') nodes[1] = await start('b');
  for (const node of nodes) {
    node.keys = keys;
    node.databaseUrl = newUrl;
  }
  const back = await timeUntilBack(nodes[0], ledger, 'restored', { limitMs: 10000 });
  await timeUntilBack(nodes[1], ledger, 'restored-b', { limitMs: 10000 });
  for (const node of nodes) await assertAgrees(node, newUrl, 'after the restore');

  /* New ones are loaded, lost ones are taken anew, kept ones are duplicates; by either node. */
  await send(nodes[1], ledger, names('new', 100));
  for (const id of later.intent) ledger.intent.add(id);
  const again = await nodes[0].post([...names('later-a', 300), ...names('kept-a', 400)]);
  assert.deepEqual([again.status, again.body.accepted, again.body.duplicates], [200, 300, 400], again.text);
  ledger.ack(names('later-a', 300));
  await settle(ledger, { port: nodes[1].port, key: keys.write });
  const probe = await send(nodes[0], ledger, ['probe']);
  await assertSameStats(nodes, probe.position);
  await assertAllExact(ledger, nodes, 'after the restore');

  /* And once more after a restart: nothing of the old state comes back. */
  for (const [i, node] of nodes.entries()) {
    await node.close();
    nodes[i] = await start(i === 0 ? 'a' : 'b');
  }
  for (const node of nodes) {
    node.keys = keys;
    node.databaseUrl = newUrl;
    await assertAgrees(node, newUrl, 'after a restart');
  }
  const listed = [];
  for (const node of nodes) listed.push((await getJson(node, '/v1/events?limit=1000')).body.events.map((event) => event.event_id));
  assert.deepEqual(listed[0], listed[1], 'in one order');
  t.diagnostic(`back after ${back} ms; generation ${query(newUrl, 'SELECT generation FROM potik_state;')}`);
  for (const node of nodes) await node.close();
  ledger.close();
  later.close();
  await proxy.close();
  await it.cluster.close();
  await first.close();
  await it.copy?.close();
  fs.rmSync(folder, { recursive: true });
}

for (const [name, way] of Object.entries(WAYS)) {
  for (const meanwhile of ['running', 'stopped', 'one away']) {
    test(`${name}, nodes ${meanwhile}`, { skip, timeout: 600000 }, (t) => run(t, way, meanwhile));
  }
}
