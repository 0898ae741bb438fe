/*
 * Starting on a PostgreSQL that is not as it should be: one sentence that names the cause and the cure, exit 1, never the password;
 * and starting on one that is, by each way of naming it. `potik migrate` shows what it would do, does it once, and does no more.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { NO_COPIES, NO_POSTGRES, PASSWORD, Postgres, ROLE, changedUrl, freePort, query } from './postgres.mjs';
import { BARE_ENV, BIN, Client, MISSING, SLOWNESS, startServer, temporaryFolder, until } from './server.mjs';

const skip = MISSING || NO_POSTGRES;
const options = { skip, timeout: 300000 };
const folder = temporaryFolder('postgres');
let cluster;
before(async () => {
  if (!skip) cluster = await Postgres.start();
});
after(async () => {
  await cluster?.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** A command that ends by itself: { status, stdout, stderr, took }. */
function run(words, env = {}) {
  const began = Date.now();
  const child = spawn(BIN, words, { env: { ...BARE_ENV, ...env }, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), 30000 * SLOWNESS);
  const ended = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].on('data', (part) => { ended[name] += part; });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ status: code ?? signal, took: Date.now() - began, ...ended });
    });
  });
}

let made = 0;
const serve = (url, words = [], env = {}) =>
  run(['serve', '--data-dir', path.join(folder, `data-${++made}`), '--listen', '127.0.0.1:0', ...words], { POTIK_STORE: url, ...env });

/** Exit 1 (or `status`), one sentence, within the deadline, no secret in it. */
function assertRefused(ended, words, { status = 1, limitMs = 10000 } = {}) {
  assert.equal(ended.status, status, ended.stderr);
  assert.equal(ended.stdout, '');
  const told = ended.stderr.split('\n').filter((line) => line.startsWith('potik: '));
  assert.equal(told.length, 1, ended.stderr);
  assert.match(told[0], words);
  assert.ok(ended.stderr.split('\n').length <= 6, `no loop of log lines:\n${ended.stderr}`);
  for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), 'to ken', 'sesame']) assert.ok(!ended.stderr.includes(secret), `no password: ${ended.stderr}`);
  assert.ok(ended.took < limitMs * SLOWNESS, `${ended.took} ms`);
}

const sql = (text) => cluster.query(text);

const REFUSALS = [
  ['nobody listens', async (url) => changedUrl(url, { port: await freePort() }), /is PostgreSQL running/],
  ['no such host', (url) => changedUrl(url, { host: 'nowhere.invalid' }), /no such host/],
  ['a wrong password', (url) => changedUrl(url, { password: 'sesame' }), /password is wrong/],
  ['no password', (url) => changedUrl(url, { password: '' }), /password/],
  ['no such user', (url) => changedUrl(url, { user: 'nobody_here' }), /user/],
  ['no such database', (url) => changedUrl(url, { database: 'nothing_here' }), /nothing_here.*|createdb/],
  ['no such socket', () => `postgresql://${ROLE}:sesame@/x?host=%2Ftmp%2Fpotik-nowhere`, /is PostgreSQL running/],
  ['no right to connect', (url, name) => {
    sql(`REVOKE CONNECT ON DATABASE ${name} FROM PUBLIC; ALTER DATABASE ${name} OWNER TO admin;`);
    return url;
  }, /GRANT CONNECT/],
  ['no right to make tables', (url, name) => {
    sql(`ALTER DATABASE ${name} OWNER TO admin;`);
    cluster.query('REVOKE CREATE ON SCHEMA public FROM PUBLIC;', { url: changedUrl(cluster.adminUrl, { database: name }) }); // as from 15 on
    return url;
  }, /GRANT USAGE, CREATE ON SCHEMA public TO potik/],
  ['a read-only role', (url, name) => {
    sql(`ALTER DATABASE ${name} SET default_transaction_read_only = on;`);
    return url;
  }, /read-only/],
  ['no connections left', (url, name) => {
    sql(`ALTER DATABASE ${name} CONNECTION LIMIT 0;`);
    return url;
  }, /CONNECTION LIMIT/],
  ['a table events of somebody else\'s', (url) => {
    query(url, 'CREATE TABLE events (id int);');
    return url;
  }, /events.*(schema of its own|another)/],
  ['a table projects of somebody else\'s', (url) => {
    query(url, 'CREATE TABLE projects (id int);');
    return url;
  }, /projects.*(schema of its own|another)/],
  ['an encoding that cannot hold every text', (url, name) => {
    sql(`CREATE DATABASE ${name}_latin OWNER ${ROLE} ENCODING 'LATIN1' TEMPLATE template0;`);
    return changedUrl(url, { database: `${name}_latin` });
  }, /UTF8/],
  ['no schema', (url) => `${url}?options=-csearch_path%3Dnowhere`, /schema|search_path/],
];

for (const [what, change, words] of REFUSALS) {
  test(`refused: ${what}`, options, async (t) => {
    const url = cluster.newDatabase();
    const changed = await change(url, new URL(url).pathname.slice(1));
    const ended = await serve(changed);
    t.diagnostic(ended.stderr.trim());
    assertRefused(ended, words);
  });
}

test('refused: nobody answers', options, async (t) => {
  const hole = net.createServer(() => {});
  await new Promise((resolve) => hole.listen(0, '127.0.0.1', resolve));
  const url = changedUrl(cluster.newDatabase(), { port: hole.address().port });
  const ended = await serve(url, ['--store-connect-timeout', '1s']);
  hole.close();
  t.diagnostic(`${ended.took} ms: ${ended.stderr.trim()}`);
  assertRefused(ended, /no answer|in time/);
});

test('refused: somebody else than PostgreSQL answers', options, async (t) => {
  const other = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
  const ended = await serve(changedUrl(cluster.newDatabase(), { port: other.address().port }));
  other.close();
  t.diagnostic(ended.stderr.trim());
  assertRefused(ended, /./);
});

test('refused: a read-only replica', { ...options, skip: skip || NO_COPIES }, async (t) => {
  const url = cluster.newDatabase();
  const replica = await cluster.copy({ isReplica: true });
  try {
    await replica.start();
    const ended = await serve(changedUrl(url, { port: replica.port }));
    t.diagnostic(ended.stderr.trim());
    assertRefused(ended, /read-only|replica/);
  } finally {
    await replica.close();
  }
});

test('refused: a schema of a newer program; a newer one still is not touched', options, async (t) => {
  const url = cluster.newDatabase();
  const server = await startServer({ env: { POTIK_STORE: url } });
  await server.close();
  query(url, "INSERT INTO potik_migrations (version, name, program) VALUES (999, 'later', '99.0.0');");
  const ended = await serve(url);
  t.diagnostic(ended.stderr.trim());
  assertRefused(ended, /999.*newer/);
  const migrated = await run(['migrate'], { POTIK_STORE: url });
  assert.equal(migrated.status, 1, migrated.stdout);
});

const MALFORMED = ['postgres://[::1', 'postgres://u:sesame@h:port/x', 'postgresql://u:sesame@h/x?nonsense=1', 'postgres://u:sesame@h/x?target_session_attrs=standby',
  'postgres://u:sesame@h/x?client_encoding=LATIN1', 'postgres://u:sesame@h/x?replication=database', 'mysql://u:sesame@h/x', 'postgres:/u:sesame@h/x'];
for (const url of MALFORMED) {
  test(`refused: ${url}`, options, async (t) => {
    const ended = await serve(url);
    t.diagnostic(ended.stderr.trim());
    assertRefused(ended, /store/i, { status: 2 });
  });
}

/** Stores one event and counts it. */
async function assertServes(server) {
  const client = new Client(server);
  const reply = await client.post([{ event_id: 'one', event_type: 'v', user_id: 'u' }]);
  assert.equal(reply.status, 200, reply.text);
  assert.deepEqual((await client.stats('top-events')).rows, [['v', 1, 1]]);
  client.close();
}

test('served: through a unix socket, by the other scheme, with PGPASSFILE, into a schema of its own', options, async (t) => {
  const WAYS = {
    'a unix socket': (url) => ({ url: cluster.socketUrl(url) }),
    'postgres://': (url) => ({ url: url.replace('postgresql://', 'postgres://') }),
    'PGPASSFILE': (url) => {
      const file = path.join(folder, 'passwords');
      fs.writeFileSync(file, `127.0.0.1:*:*:${ROLE}:${PASSWORD.replaceAll('\\', '\\\\').replaceAll(':', '\\:')}\n`, { mode: 0o600 });
      return { url: changedUrl(url, { password: '' }), env: { PGPASSFILE: file } };
    },
    'a schema of its own': (url) => {
      query(url, 'CREATE SCHEMA potik; CREATE TABLE public.events (id int);');
      return { url: `${url}?options=-csearch_path%3Dpotik`, table: 'potik.events' };
    },
    'a host by its name': (url) => ({ url: changedUrl(url, { host: 'localhost' }) }),
    'two hosts, the first of which is away': (url) => ({ url: url.replace(/127\.0\.0\.1:(\d+)/, '127.0.0.1:1,127.0.0.1:$1') }),
    'settings of the URL': (url) => ({ url: `${url}?application_name=shop&sslmode=disable` }),
  };
  for (const [what, way] of Object.entries(WAYS)) {
    await t.test(what, async () => {
      const made = cluster.newDatabase();
      const { url, env = {}, table = 'events' } = way(made);
      const server = await startServer({ env: { POTIK_STORE: url, ...env } });
      await assertServes(server);
      assert.equal(query(made, `SELECT count(*) FROM ${table};`), '1');
      assert.ok(!server.stderr.includes('to ken') && !server.stderr.includes(encodeURIComponent(PASSWORD)), 'the password is not logged');
      await server.close();
    });
  }
});

test('the database ends our connections: they are made anew', options, async () => {
  const url = cluster.newDatabase();
  const server = await startServer({ env: { POTIK_STORE: url } });
  const client = new Client(server);
  await client.send([{ event_id: 'a', event_type: 'v', user_id: 'u' }]);
  for (let i = 0; i < 5; i++) {
    const ended = Number(sql(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '${new URL(url).pathname.slice(1)}';`));
    assert.ok(ended >= 3, `${ended} connections`);
    await client.send([{ event_id: `b-${i}`, event_type: 'v', user_id: 'u' }], { limitMs: 5000 });
  }
  const answer = await until('all counted', async () => {
    const reply = await client.stats('top-events');
    return reply.rows[0][1] === 6 ? reply : false;
  });
  assert.deepEqual(answer.rows, [['v', 6, 1]]);
  const metrics = (await server.request({ path: '/metrics' })).text;
  assert.ok(Number(/^potik_store_reconnects_total (\d+)$/m.exec(metrics)[1]) >= 5, 'they are counted');
  assert.ok(Number(/^potik_store_connections (\d+)$/m.exec(metrics)[1]) >= 3);
  client.close();
  await server.close();
  await until('no connection left behind', () =>
    sql(`SELECT count(*) FROM pg_stat_activity WHERE datname = '${new URL(url).pathname.slice(1)}';`) === '0');
});

test('migrate: a dry run prints SQL and changes nothing; then it is done, once', options, async () => {
  const url = cluster.newDatabase();
  const tables = () => query(url, "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public';");
  const dry = await run(['migrate', '--store', url, '--dry-run']);
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(dry.stdout, /CREATE TABLE events/);
  assert.match(dry.stdout, /CREATE TABLE keys/);
  assert.equal(tables(), '');
  /* What it prints is whole: another database takes it as it is. */
  const elsewhere = cluster.newDatabase();
  query(elsewhere, dry.stdout);
  assert.equal(query(elsewhere, 'SELECT count(*) FROM events;'), '0');
  const done = await run(['migrate', '--store', url]);
  assert.equal(done.status, 0, done.stderr);
  assert.match(tables(), /events.*keys.*potik_migrations.*projects/);
  const versions = query(url, 'SELECT string_agg(version::text, \' \' ORDER BY version) FROM potik_migrations;');
  assert.match(versions, /^1 2/);
  const again = await run(['migrate'], { POTIK_STORE: url });
  assert.equal(again.status, 0, again.stderr);
  assert.equal(query(url, 'SELECT string_agg(version::text, \' \' ORDER BY version) FROM potik_migrations;'), versions);
  const none = await run(['migrate', '--store', url, '--dry-run']);
  assert.ok(!none.stdout.includes('CREATE TABLE'), none.stdout);
  const server = await startServer({ env: { POTIK_STORE: url } });
  await assertServes(server);
  await server.close();
  const wrong = await run(['migrate', '--store', changedUrl(url, { password: 'sesame' })]);
  assertRefused({ ...wrong, stdout: '' }, /password is wrong/);
});

test('after migrate, rights on the tables are enough: no CREATE, no ownership', options, async () => {
  const url = cluster.newDatabase();
  const name = new URL(url).pathname.slice(1);
  assert.equal((await run(['migrate', '--store', url])).status, 0);
  sql(`DROP ROLE IF EXISTS writer; CREATE ROLE writer LOGIN PASSWORD 'sesame';`);
  query(url, 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO writer;');
  sql(`REVOKE CREATE ON DATABASE ${name} FROM PUBLIC;`);
  const server = await startServer({ env: { POTIK_STORE: changedUrl(url, { user: 'writer', password: 'sesame' }) } });
  await assertServes(server);
  await server.close();
});
