/*
 * Projects and keys in PostgreSQL, and the commands that work on it: made once however many nodes start, known to all within a second, served from
 * memory while the database is away and no longer than told; no password in what `ps` shows, in logs or in errors.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { NO_POSTGRES, PASSWORD, Postgres, query } from './postgres.mjs';
import { BARE_ENV, BIN, Client, MISSING, Server, SLOWNESS, readKeys, startServer, temporaryFolder, until } from './server.mjs';

const skip = MISSING || NO_POSTGRES;
const options = { skip, timeout: 120000 * SLOWNESS };
const folder = temporaryFolder('accounts');
let cluster;
before(async () => {
  if (!skip) cluster = await Postgres.start();
});
after(async () => {
  await cluster?.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

const run = (words, env = {}) =>
  spawnSync(BIN, words, { encoding: 'utf8', cwd: folder, env: { ...BARE_ENV, ...env }, timeout: 20000 * SLOWNESS, killSignal: 'SIGKILL' });
const assertNoSecret = (text) => {
  for (const secret of [PASSWORD, encodeURIComponent(PASSWORD)]) assert.ok(!text.includes(secret), text);
};
const databaseOf = (url) => new URL(url).pathname.slice(1);

test('nodes that start at once on an empty database make one pair of keys', options, async (t) => {
  const url = cluster.newDatabase();
  const servers = Array.from({ length: 4 }, () => new Server({ env: { POTIK_STORE: url } }));
  t.after(() => Promise.all(servers.map((server) => server.close())));
  await Promise.all(servers.map((server) => server.ready()));
  const makers = servers.filter((server) => readKeys(server.dataDir).write !== undefined);
  assert.equal(makers.length, 1);
  assert.match(makers[0].stderr, /write key +wk_/);
  for (const server of servers) {
    assert.equal(readKeys(server.dataDir).server, server.address);
    if (server !== makers[0]) assert.match(server.stderr, /Its keys are those of the database/);
  }
  assert.equal(query(url, "SELECT string_agg(kind, ' ' ORDER BY kind) FROM keys;"), 'read write');
  assert.equal(query(url, 'SELECT count(*) FROM projects;'), '1');
  const client = new Client(makers[0]);
  for (const server of servers) {
    client.server = server;
    server.keys = makers[0].keys;
    const reply = await client.post([{ event_id: 'one', event_type: 'v', user_id: 'u' }]);
    assert.equal(reply.status, 200, reply.text);
  }
  assert.deepEqual([client.accepted, client.duplicates], [1, 3]);
  client.close();
});

test('key new, list and revoke, by flag and by environment, are known to every node within a second', options, async (t) => {
  const url = cluster.newDatabase();
  const env = { POTIK_STORE: url };
  const none = run(['key', 'list', '--data-dir', path.join(folder, 'none')], env);
  assert.equal(none.status, 1, none.stdout);
  assert.match(none.stderr, /^potik key: .*potik migrate/);
  const servers = [await startServer({ env }), await startServer({ env })];
  t.after(() => Promise.all(servers.map((server) => server.close())));
  const status = async (server, key) => (await server.request({ path: '/v1/stats/dau', headers: { authorization: `Bearer ${key}` } })).status;
  for (const words of [['--store', url], []]) {
    const made = run(['key', 'new', '--kind', 'read', '--name', 'näme', '--project', 'default', ...words], words.length > 0 ? {} : env);
    assert.equal(made.status, 0, made.stderr);
    const key = made.stdout.trim();
    assert.match(key, /^rk_[a-z2-7]{32}$/);
    for (const server of servers) await until('the key to be known', async () => (await status(server, key)) === 200, { limitMs: 1000 });
    assert.equal(run(['key', 'revoke', key, ...words], words.length > 0 ? {} : env).status, 0);
    for (const server of servers) await until('the key to be refused', async () => (await status(server, key)) === 401, { limitMs: 1000 });
  }
  assert.ok(!run(['key', 'list'], env).stdout.includes('näme'), 'in force no longer');
  const list = run(['key', 'list', '--all'], env);
  assert.match(list.stdout, /default +read +näme +rk_…/);
  const unknown = run(['key', 'new', '--project', 'shop'], env);
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /no project "shop"/);
  for (const ended of [none, list, unknown]) assertNoSecret(ended.stdout + ended.stderr);
});

test('while the database is away keys serve from memory, up to auth-cache-max; then 503, not 401', options, async (t) => {
  const url = cluster.newDatabase();
  const server = await startServer({ env: { POTIK_STORE: url }, flags: ['--auth-cache-max', '3s', '--store-connect-timeout', '1s'] });
  t.after(() => server.close());
  const client = new Client(server);
  await client.send([{ event_id: 'a', event_type: 'v', user_id: 'u' }]);
  await client.stats('dau');
  cluster.query(`ALTER DATABASE ${databaseOf(url)} ALLOW_CONNECTIONS false;`);
  const away = Date.now();
  cluster.query(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '${databaseOf(url)}';`);
  await until('not ready', async () => (await server.request({ path: '/readyz' })).status === 503);
  const reply = await client.get('/v1/stats/dau');
  if (Date.now() - away < 3000) assert.equal(reply.status, 200, reply.text);
  const wrong = await client.get('/v1/stats/dau', { key: `rk_${'a'.repeat(32)}` });
  if (Date.now() - away < 3000) assert.equal(wrong.status, 401, wrong.text);
  const refused = await client.post([{ event_id: 'b', event_type: 'v', user_id: 'u' }]);
  assert.deepEqual([refused.status, refused.json.error.code], [503, 'not_ready'], refused.text);
  assert.match(refused.json.error.message, /^the event store \(PostgreSQL\) is away: .*with the same ids$/);
  const late = await until('the end of the cache', async () => {
    const answer = await client.get('/v1/stats/dau');
    return answer.status === 503 ? answer : false;
  });
  assert.ok(Date.now() - away >= 2900, 'not before its time');
  assert.equal(late.json.error.code, 'not_ready');
  assert.ok(late.headers['retry-after'] !== undefined);
  assert.equal((await client.get('/v1/stats/dau', { key: `rk_${'a'.repeat(32)}` })).status, 503, 'nobody is told that a key is unknown');
  cluster.query(`ALTER DATABASE ${databaseOf(url)} ALLOW_CONNECTIONS true;`);
  await until('stats again', async () => (await client.get('/v1/stats/dau')).status === 200, { limitMs: 5000 });
  await client.send([{ event_id: 'b', event_type: 'v', user_id: 'u' }], { limitMs: 5000 });
  for (const line of ['account.unreadable', 'account.expired', 'account.readable'])
    assert.equal(server.stderr.split(line).length - 1, 1, `${line} once:\n${server.stderr}`);
  assertNoSecret(server.stderr);
  client.close();
});

test('no password in the command line of a server, nor in its folder', options, async (t) => {
  const url = cluster.newDatabase();
  const server = await startServer({ flags: ['--store', url] });
  t.after(() => server.close());
  const words = fs.readFileSync(`/proc/${server.pid}/cmdline`, 'utf8');
  assert.match(words, /postgresql:\/\/potik:x+@/);
  assertNoSecret(words);
  assertNoSecret(server.stderr);
  for (const name of ['first-run.txt', 'postgres-node.json']) assertNoSecret(fs.readFileSync(path.join(server.dataDir, name), 'utf8'));
});

test('migrate by the owner, serve by a role that may make nothing', options, async (t) => {
  const url = cluster.newDatabase();
  cluster.query(`CREATE ROLE worker_${databaseOf(url)} LOGIN PASSWORD 'w';`);
  query(url, `REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO worker_${databaseOf(url)};`);
  const worker = new URL(url);
  worker.username = `worker_${databaseOf(url)}`;
  worker.password = 'w';
  const dry = run(['migrate', '--dry-run', '--store', url]);
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(dry.stdout, /^-- 0001 events\n[^]*CREATE TABLE events[^]*\n-- 0002 accounts\n[^]*CREATE TABLE keys/);
  assert.equal(query(url, "SELECT to_regclass('events') IS NULL;"), 't', 'nothing was changed');
  const applied = run(['migrate', '--store', url]);
  assert.equal(applied.stdout, 'applied 0001 events\napplied 0002 accounts\napplied 0003 people\napplied 0004 audit_and_erasures\napplied 0005 erasing\napplied 0006 missed_erasures\napplied 0007 tracking_plans\napplied 0008 quotas\n', applied.stderr);
  const again = run(['migrate', '--store', url]);
  assert.deepEqual([again.status, again.stdout], [0, '']);
  assert.match(again.stderr, /up to date/);
  const server = await startServer({ env: { POTIK_STORE: worker.href } });
  t.after(() => server.close());
  const client = new Client(server);
  await client.send([{ event_id: 'a', event_type: 'v', user_id: 'u' }]);
  assert.deepEqual((await client.stats('top-events')).rows, [['v', 1, 1]]);
  client.close();
});

test('doctor says what applies, rebuild makes the columns anew', options, async () => {
  const url = cluster.newDatabase();
  const env = { POTIK_STORE: url };
  const dataDir = temporaryFolder('accounts');
  const server = await startServer({ dataDir, env });
  const client = new Client(server);
  await client.send(Array.from({ length: 2500 }, (_, i) => ({ event_id: `e${i}`, event_type: 'v', user_id: `u${i % 10}` })));
  const before = await client.stats('top-events');
  client.close();
  const beside = run(['doctor', '--data-dir', dataDir], env);
  assert.equal(beside.status, 0, beside.stdout + beside.stderr);
  assert.match(beside.stdout, /PostgreSQL: reached.* 2 keys are in force[^]*a server is running/);
  const locked = run(['rebuild', '--data-dir', dataDir], env);
  assert.equal(locked.status, 1);
  assert.match(locked.stderr, /another potik/);
  assert.equal((await server.stop()).code, 0);
  const repair = run(['doctor', '--repair', '--data-dir', dataDir], env);
  assert.equal(repair.status, 2);
  assert.match(repair.stderr, /potik rebuild/);
  const rebuilt = run(['rebuild', '--data-dir', dataDir], env);
  assert.equal(rebuilt.status, 0, rebuilt.stderr);
  assert.match(rebuilt.stdout, /2500 events loaded from PostgreSQL/);
  const away = run(['rebuild', '--data-dir', dataDir], { POTIK_STORE: 'postgres://u:sesame@127.0.0.1:1/x' });
  assert.equal(away.status, 1);
  assert.ok(!away.stderr.includes('sesame'));
  assert.ok(fs.existsSync(path.join(dataDir, 'warehouse')), 'a database that is away costs nothing of what is there');
  const missing = run(['doctor', '--data-dir', dataDir], { POTIK_STORE: 'postgres://u:sesame@127.0.0.1:1/x' });
  assert.equal(missing.status, 1);
  assert.match(missing.stdout, /ERROR PostgreSQL: .*is PostgreSQL running/);
  const again = await startServer({ dataDir, env });
  const reader = new Client(again);
  reader.position = before.watermark.position;
  assert.deepEqual((await reader.stats('top-events')).rows, before.rows);
  reader.close();
  assert.equal((await again.stop()).code, 0);
  fs.rmSync(dataDir, { recursive: true });
});
