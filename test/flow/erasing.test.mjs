/*
 * Events that go: a person, a stretch of time, some events, a project; with either store. What must hold afterwards: no byte of them stands
 * in any file of the data folder, in any row of the database or in what the server said, with every format read back (Parquet files by
 * DuckDB: a search of their bytes would find nothing in what is compressed); all else is as it was; their ids stay refused. A job that
 * is killed goes on after the restart.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { query as ask } from './postgres.mjs';
import { BARE_ENV, BIN, Client, MISSING, OF_THE_LEDGER, SLOWNESS, STORE, startServer, storeEnv, storeUrl, temporaryFolder, until } from './server.mjs';
import { adminLogin, api, firstAdmin, logIn } from './access.mjs';

const options = { skip: MISSING, timeout: 300000 * SLOWNESS };
const TOOLS = process.env.POTIK_TEST_TOOLS ?? path.resolve('build');
const SMALL = ['--seal-rows', '500', '--seal-idle', '1s', '--login-throttle', 'off', '--keep-rejected', '1MiB'];
const today = () => new Date().toISOString().slice(0, 10);

/* --- looking everywhere -----------------------------------------------------------------------*/

function filesOf(folder) {
  const found = [];
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) found.push(...filesOf(file));
    else if (entry.isFile()) found.push(file);
  }
  return found;
}

/** Files that vanish while they are read are gone. */
const bytesOf = (file) => {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    assert.equal(error.code, 'ENOENT');
    return Buffer.alloc(0);
  }
};

/** Where `text` stands: files, what Parquet files hold, tables of the database, what the server said. */
function placesOf(server, text) {
  const files = filesOf(server.dataDir);
  const places = files.filter((file) => file.includes(text) || bytesOf(file).includes(text)).map((file) => path.relative(server.dataDir, file));
  const parquet = files.filter((file) => file.endsWith('.parquet'));
  if (parquet.length > 0) {
    const printed = spawnSync(path.join(TOOLS, 'test/flow/print_parquet'), parquet, { encoding: 'utf8', maxBuffer: 1 << 28 });
    assert.equal(printed.status, 0, printed.stderr);
    for (const part of printed.stdout.split(/^file /m).slice(1))
      if (part.includes(text)) places.push(`inside ${path.basename(part.slice(0, part.indexOf('\n')))}`);
  }
  if (STORE === 'postgres') {
    const url = storeUrl(server.dataDir);
    const tables = ask(url, "SELECT string_agg(table_name, ' ') FROM information_schema.tables WHERE table_schema = 'public'").trim().split(' ');
    assert.ok(tables.includes('events'), tables.join(' '));
    for (const table of tables) if (ask(url, `SELECT count(*) FROM "${table}" AS t WHERE t::text LIKE '%${text}%'`) !== '0') places.push(`table ${table}`);
  }
  if (server.stderr.includes(text) || server.stdout.includes(text)) places.push('log');
  return places;
}

/* --- events and jobs --------------------------------------------------------------------------*/

/** `count` events, among them those of `person` as user_id, as anonymous_id, and before they had a user_id. */
function events(prefix, count, person = null) {
  return Array.from({ length: count }, (_, i) => ({
    event_id: `${prefix}-${i}`, event_type: i % 3 === 0 ? 'purchase' : 'view', user_id: `user-${i % 50}`, occurred_at: new Date(Date.now() - i * 1000).toISOString(),
    properties: { number: i, page: `/p/${i % 7}` },
    ...(person !== null && i % 20 === 0 ? { user_id: person, event_id: `${prefix}-${person}-${i}`, properties: { name: `mail of ${person}` } } : {}),
    ...(person !== null && i % 20 === 7 ? { user_id: undefined, anonymous_id: person } : {}),
    ...(person !== null && i % 20 === 13 ? { anonymous_id: person } : {}),
  }));
}
/** No byte of it is left. The log of accounts.db is emptied right behind the change that ends a job: it alone is waited for. */
async function assertGone(server, text) {
  assert.deepEqual(placesOf(server, text).filter((place) => place !== 'accounts.db-wal'), []);
  await until('the log of accounts.db is empty', () => placesOf(server, text).length === 0, { limitMs: 20000 });
}
const isOf = (person) => (event) => event.user_id === person || event.anonymous_id === person;

async function done(server, token, id, limitMs = 60000) {
  return until(`erasure ${id} to end`, async () => {
    const { erasure } = await api(server, 'GET', `/v1/erasures/${id}`, { token, expect: 200 });
    assert.equal(erasure.error, null, JSON.stringify(erasure));
    return erasure.state === 'done' ? erasure : false;
  }, { limitMs, everyMs: 50 });
}

/** The ids that the warehouse has of these people, by the pages of their timelines. */
async function storedIds(client, people) {
  const ids = [];
  for (const person of people) {
    for (let before = ''; before !== null;) {
      const reply = await client.get(`/v1/users/${person}/events?limit=1000${before}`);
      assert.equal(reply.status, 200, reply.text);
      ids.push(...reply.json.events.map((event) => event.event_id));
      before = reply.json.next === null || reply.json.next === undefined ? null : `&before=${reply.json.next}`;
    }
  }
  return ids.sort();
}
const peopleOf = (list) => [...new Set(list.map((event) => event.user_id ?? event.anonymous_id))];
async function storedCount(client) {
  const { rows } = await client.stats('top-events', { from: '2025-12-01', to: today() });
  return rows.reduce((sum, row) => sum + row[1], 0);
}

const idsOf = (list) => list.map((event) => event.event_id).sort();

/* --- tests ------------------------------------------------------------------------------------*/

test('a person is forgotten: no byte stays, ids stay refused, all else is as it was', options, async (t) => {
  const person = 'ghost-7c1f2e';
  const dataDir = temporaryFolder();
  let server = await startServer({ dataDir, flags: SMALL });
  t.after(() => server.kill().then(() => fs.rmSync(dataDir, { recursive: true, force: true })));
  let token = await adminLogin(server);
  const client = new Client(server);
  t.after(() => client.close());
  const sent = events('a', 3000, person);
  const gone = sent.filter(isOf(person));
  const rest = sent.filter((event) => !isOf(person)(event));
  assert.equal(gone.length, 450);
  await client.send(sent);
  await client.send(events('refused', 10).map((event, i) => ({ ...event, user_id: i % 2 === 0 ? person : event.user_id, event_type: '' })));
  const before = await client.stats('top-events', { from: today(), to: today() });
  assert.ok(before.rows.length > 0);
  await until('files', () => filesOf(dataDir).some((file) => file.endsWith('.parquet')));
  assert.notDeepEqual(placesOf(server, person), []);
  assert.ok(placesOf(server, person).some((place) => place.startsWith('inside ')));
  await until('refused events are in files', () => placesOf(server, person).some((place) => place.startsWith('rejected/'))); /* a quarter of a second */

  const { erasure } = await api(server, 'DELETE', `/v1/users/${person}?project=1`, { token, expect: 202 });
  assert.equal(erasure.state, 'waiting');
  const ended = await done(server, token, erasure.id);
  assert.equal(ended.events, gone.length);
  assert.match(ended.person_hash, /^[0-9a-f]{32}$/);
  assert.ok(ended.finished_at >= ended.requested_at);

  await assertGone(server, person);
  const same = async () => {
    assert.deepEqual(await storedIds(client, peopleOf(sent)), idsOf(rest));
    assert.equal(await storedCount(client), rest.length);
    const again = await client.post(gone.slice(0, 400));
    assert.deepEqual([again.status, again.json.accepted, again.json.duplicates], [200, 0, 400]);
  };
  await same();
  assert.deepEqual(placesOf(server, person), [], 'a late retry brings nothing back');
  await server.stop();
  server = await startServer({ dataDir, flags: SMALL });
  client.server = server;
  await same();
  await server.kill();
  fs.rmSync(path.join(dataDir, 'warehouse'), { recursive: true }); /* all of it is made again from the store */
  server = await startServer({ dataDir, flags: SMALL });
  client.server = server;
  await client.send(events('b', 10));
  await until('the warehouse made again', async () => (await storedCount(client)) === rest.length + 10, { limitMs: 30000 });
  await assertGone(server, person);

  /* Who comes back comes as somebody new. */
  token = await adminLogin(server);
  await client.send([{ event_id: 'back', event_type: 'view', user_id: person }]);
  await until('the event', async () => (await client.get(`/v1/users/${person}/events`)).json.events.length === 1);
  const audit = await api(server, 'GET', '/v1/audit', { token, expect: 200 });
  assert.ok(audit.lines.some((line) => line.action === 'erasure.done'));
  assert.ok(!JSON.stringify(audit).includes(person));
});

test('where nothing is stored yet an erasure ends at once', options, async (t) => {
  const server = await startServer({ flags: SMALL });
  t.after(() => server.kill().then(() => server.remove()));
  const token = await adminLogin(server);
  const { erasure } = await api(server, 'DELETE', '/v1/users/nobody?project=1', { token, expect: 202 });
  assert.equal((await done(server, token, erasure.id, 10000)).events, 0);
});

test('event_ids has limits that are told, and no body is too much for the server', options, async () => {
  const server = await startServer({ flags: SMALL });
  try {
    const token = await adminLogin(server);
    const send = (body, headers = {}) => server.request({
      method: 'POST', path: '/v1/deletions?project=1', body, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    });
    const MOST = 4 * 1024 * 1024;
    /* As long as ids may be, each character in three bytes, and escaped as some clients do it. */
    const ids = (count) => `{"dry_run":true,"event_ids":[${Array.from({ length: count }, (_, i) => `"${'\\u20ac'.repeat(41)}${String(i).padStart(5, '0')}"`).join(',')}]}`;
    for (const count of [9999, 10000]) {
      const sent = await send(ids(count));
      assert.equal(sent.status, 202, sent.text);
    }
    const many = await send(ids(10001));
    assert.deepEqual([many.status, many.json.error.code, many.json.error.field], [400, 'too_long', 'event_ids']);
    assert.match(many.json.error.message, /over 10,000/);
    const filled = (begin, unit, end) => {
      const count = Math.floor((MOST - begin.length - end.length) / unit.length);
      return (begin + unit.repeat(count) + end).padEnd(MOST);
    };
    for (const [body, code] of [
      [filled('{"event_ids":[', '"\\n",', '"x"]}'), 'too_long'], [filled('{"event_ids":[', '1,', '2]}'), 'invalid_type'],
      [filled('{', '"\\n":1,', '"x":1}'), 'unknown_field'], [filled('{"event_ids":["', '\\n', '"]}'), 'too_long'],
      [filled('{"event_ids":[{', '"\\n":1,', '"x":1}]}'), 'invalid_type'], [filled('[', '[', ''), 'invalid_json'], [' '.repeat(MOST), 'invalid_json']]) {
      const refused = await send(body);
      assert.deepEqual([refused.status, refused.json.error.code], [400, code], `${body.slice(0, 30)}: ${refused.text}`);
    }
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
      const large = await send(' '.repeat(MOST + 1), headers);
      assert.deepEqual([large.status, large.json.error.code, large.json.error.field], [413, 'body_too_large', 'event_ids']);
      assert.match(large.json.error.message, /4194304 bytes/);
    }
  } finally {
    await server.close();
  }
});

test('files the ledger set aside go with the person', { ...options, skip: MISSING || OF_THE_LEDGER }, async (t) => {
  const server = await startServer({ flags: SMALL });
  t.after(() => server.kill().then(() => server.remove()));
  const client = new Client(server);
  t.after(() => client.close());
  const sent = events('a', 100, 'ghost-aside');
  await client.send(sent);
  const segment = filesOf(path.join(server.dataDir, 'ledger')).find((file) => file.endsWith('.seg'));
  fs.copyFileSync(segment, `${segment}.damaged`);
  fs.writeFileSync(path.join(server.dataDir, 'ledger/cut-00000000000000000001-64'), bytesOf(segment).subarray(64, 4096));
  const token = await adminLogin(server);
  const { erasure } = await api(server, 'DELETE', '/v1/users/ghost-aside?project=1', { token, expect: 202 });
  await done(server, token, erasure.id);
  await assertGone(server, 'ghost-aside');
});

test('a stretch of time and some events: counted first, then gone; --free-ids lets them come again', options, async (t) => {
  const server = await startServer({ flags: SMALL });
  t.after(() => server.kill().then(() => server.remove()));
  const client = new Client(server);
  t.after(() => client.close());
  const token = await adminLogin(server);
  const at = (i) => new Date(Date.UTC(2026, 0, 1) + i * 3600e3).toISOString();
  const sent = Array.from({ length: 1200 }, (_, i) => ({ event_id: `t-${i}`, event_type: 'view', user_id: `u-${i % 9}`, occurred_at: at(i) }));
  await client.send(sent);
  const remove = async (body) => {
    const { erasure } = await api(server, 'POST', '/v1/deletions?project=1', { token, body, expect: 202 });
    return done(server, token, erasure.id);
  };
  const range = { occurred_from: at(100), occurred_to: at(300) };
  assert.equal((await remove({ ...range, dry_run: true })).events, 200);
  assert.equal(await storedCount(client), 1200);
  assert.equal((await remove(range)).events, 200);
  const left = sent.filter((_, i) => i < 100 || i >= 300);
  assert.deepEqual(await storedIds(client, peopleOf(sent)), idsOf(left));
  let again = await client.post(sent.slice(90, 310));
  assert.deepEqual([again.json.accepted, again.json.duplicates], [0, 220]);

  /* The ids of an import, by the command; these are free again. */
  const file = path.join(server.dataDir, 'import.ndjson');
  fs.writeFileSync(file, sent.slice(500, 600).map((event) => JSON.stringify(event)).join('\n'));
  const run = (words) => spawnSync(BIN, [...words, '--data-dir', server.dataDir], { encoding: 'utf8', timeout: 60000 * SLOWNESS, env: { ...BARE_ENV, ...storeEnv(server.dataDir) } });
  const words = ['delete', '--project', 'default', '--import', file, '--free-ids'];
  const counted = run([...words, '--dry-run', '--json']);
  assert.equal(counted.status, 0, counted.stderr);
  assert.equal(JSON.parse(counted.stdout).erasures.reduce((sum, job) => sum + job.events, 0), 100, counted.stdout);
  assert.equal(await storedCount(client), 1000);
  const removed = run([...words, '--yes']);
  assert.equal(removed.status, 0, removed.stderr);
  assert.match(removed.stdout + removed.stderr, /100 events/);
  assert.deepEqual(await storedIds(client, peopleOf(sent)), idsOf(left.filter((event) => !(Number(event.event_id.slice(2)) >= 500 && Number(event.event_id.slice(2)) < 600))));
  again = await client.post(sent.slice(495, 605));
  assert.deepEqual([again.json.accepted, again.json.duplicates], [100, 10]);
  await until('all again', async () => (await storedCount(client)) === 1000);
  fs.rmSync(file);
});

test('a deleted project leaves nothing: rows, files, keys, its name', options, async (t) => {
  const server = await startServer({ flags: SMALL });
  t.after(() => server.kill().then(() => server.remove()));
  const token = await adminLogin(server);
  const client = new Client(server);
  t.after(() => client.close());
  await client.send(events('stays', 700));
  const { project } = await api(server, 'POST', '/v1/projects', { token, body: { name: 'brief' }, expect: 201 });
  const { key } = await api(server, 'POST', `/v1/projects/${project.id}/keys`, { token, body: { kind: 'write', name: 'w' }, expect: 201 });
  const send = (list) => server.request({ method: 'POST', path: '/v1/events', headers: { authorization: `Bearer ${key.text}` }, body: JSON.stringify(list) });
  for (const part of [0, 1, 2]) assert.equal((await send(events(`brief-${part}`, 400, 'ghost-brief'))).status, 200);
  await until('its files', () => fs.existsSync(path.join(server.dataDir, 'warehouse', String(project.id))));
  assert.notDeepEqual(placesOf(server, 'ghost-brief'), []);
  const { erasure } = await api(server, 'DELETE', `/v1/projects/${project.id}`, { token, expect: 202 });
  assert.equal((await send(events('late', 1))).status, 401);
  const ended = await done(server, token, erasure.id);
  assert.equal(ended.events, 1200);
  await assertGone(server, 'ghost-brief');
  await assertGone(server, 'brief-');
  assert.ok(!fs.existsSync(path.join(server.dataDir, 'warehouse', String(project.id))));
  assert.equal((await api(server, 'GET', `/v1/projects/${project.id}`, { token })).status, 404);
  assert.equal(await storedCount(client), 700);
  await api(server, 'POST', '/v1/projects', { token, body: { name: 'brief' }, expect: 201 });
});

const OF_NODES = STORE === 'postgres' ? false : 'of several nodes: runs with PostgreSQL';
test('a node that was away while a person was erased never shows them again', { ...options, skip: MISSING || OF_NODES }, async (t) => {
  const ghosts = ['ghost-away', 'ghost-cut'];
  const dataDir = temporaryFolder();
  const url = storeUrl(dataDir);
  let away = await startServer({ dataDir, flags: SMALL });
  t.after(() => away.kill().then(() => fs.rmSync(dataDir, { recursive: true, force: true })));
  const other = await startServer({ flags: SMALL, env: { POTIK_STORE: url } });
  t.after(() => other.kill().then(() => other.remove()));
  const { keys } = away;
  other.keys = keys;
  const clients = [new Client(away), new Client(other)];
  t.after(() => clients.forEach((client) => client.close()));
  const admin = firstAdmin(away);
  const token = await logIn(other, admin);

  const { project } = await api(other, 'POST', '/v1/projects', { token, body: { name: 'brief' }, expect: 201 });
  const { key } = await api(other, 'POST', `/v1/projects/${project.id}/keys`, { token, body: { kind: 'write', name: 'w' }, expect: 201 });
  const brief = events('brief', 700, 'ghost-brief');
  const posted = await other.request({ method: 'POST', path: '/v1/events', headers: { authorization: `Bearer ${key.text}` }, body: JSON.stringify(brief) });
  assert.equal(posted.status, 200, posted.text);
  /* Refused by the node that will be away, and kept there. */
  const refused = (list, text) => away.request({ method: 'POST', path: '/v1/events', headers: { authorization: `Bearer ${text}` }, body: JSON.stringify(list) });
  await until('the key to be known there', async () => (await refused([{ event_id: 'brief-refused', event_type: '' }], key.text)).status === 400);
  assert.equal((await refused(ghosts.map((ghost) => ({ event_id: 'refused', userId: ghost })), keys.write)).status, 400);
  const sent = [...events('a', 1500, ghosts[0]), ...events('c', 1500, ghosts[1])];
  await clients[1].send(sent);
  const isKept = (without) => sent.filter((event) => !without.some((ghost) => isOf(ghost)(event)));
  const folder = path.join(dataDir, 'warehouse', String(project.id));
  await until('the files', async () => fs.existsSync(folder) && (await storedCount(clients[0])) === sent.length
    && ghosts.every((ghost) => ['inside ', 'rejected/1/'].every((start) => placesOf(away, ghost).some((place) => place.startsWith(start)))), { limitMs: 30000 });

  const node = JSON.parse(fs.readFileSync(path.join(dataDir, 'postgres-node.json'), 'utf8')).node;
  const isLongAgo = () => ask(url, `UPDATE potik_nodes SET seen_at = now() - interval '1 hour' WHERE node = '${node}' RETURNING 1`);
  const forget = async (ghost) => done(other, token, (await api(other, 'DELETE', `/v1/users/${ghost}?project=1`, { token, expect: 202 })).erasure.id);
  const missed = (server) => server.stderr.split('erasure.missed').length - 1;
  /** Asked again and again until all is loaded: whatever comes, nothing of the ghost. */
  const neverShows = async (ghost, count) => {
    await until('all to be loaded again', async () => {
      for (const what of [`/v1/users/${ghost}/events?limit=1000`, '/v1/events?limit=1000']) {
        const reply = await clients[0].get(what);
        assert.ok(!reply.text.includes(ghost) || reply.json?.events?.length === 0, reply.text.slice(0, 500));
        assert.ok(reply.status === 200 || reply.status === 503, reply.text);
      }
      const reply = await clients[0].get(`/v1/stats/top-events?from=2025-12-01&to=${today()}`);
      return reply.status === 200 && reply.json.rows.reduce((sum, row) => sum + row[1], 0) === count;
    }, { limitMs: 30000, everyMs: 1 });
    await until('its part to be noted', () => ask(url, 'SELECT count(*) FROM erasures_missed') === '0');
    await assertGone(away, ghost);
  };

  /* Killed, and started again on its folder. */
  await away.kill();
  assert.equal(isLongAgo(), '1');
  assert.equal((await forget(ghosts[0])).events, 225);
  const removed = await api(other, 'DELETE', `/v1/projects/${project.id}`, { token, expect: 202 });
  assert.equal((await done(other, token, removed.erasure.id)).events, 700);
  assert.equal(ask(url, `SELECT count(*) FROM erasures_missed WHERE node = '${node}'`), '2');
  assert.equal(ask(url, 'SELECT count(*) FROM erasures_missed'), '2', 'of no other node');
  assert.ok(fs.existsSync(folder));
  away = await startServer({ dataDir, flags: SMALL });
  away.keys = keys;
  clients[0].server = away;
  const left = isKept([ghosts[0]]);
  await neverShows(ghosts[0], left.length);
  assert.equal(missed(away), 2);
  assert.ok(!fs.existsSync(folder), 'a deleted project is gone');
  await assertGone(away, 'brief-');
  assert.deepEqual(await storedIds(clients[0], peopleOf(sent)), idsOf(left));

  /* Cut off while it runs: it notices within some seconds of its return. */
  await refused([{ event_id: 'refused', userId: ghosts[1] }], keys.write);
  await until('it to be kept', () => placesOf(away, ghosts[1]).some((place) => place.startsWith('rejected/1/')));
  process.kill(away.pid, 'SIGSTOP');
  isLongAgo();
  assert.equal((await forget(ghosts[1])).events, 225);
  process.kill(away.pid, 'SIGCONT');
  await until('to be noticed', () => missed(away) === 3, { limitMs: 15000 });
  const rest = isKept(ghosts);
  await neverShows(ghosts[1], rest.length);
  assert.deepEqual(await storedIds(clients[0], peopleOf(sent)), idsOf(rest));

  /* Once is enough. */
  await away.stop();
  away = await startServer({ dataDir, flags: SMALL });
  away.keys = keys;
  clients[0].server = away;
  assert.equal(await storedCount(clients[0]), rest.length);
  assert.equal(missed(away), 0);
  for (const ghost of ghosts) await assertGone(away, ghost);
});

test('kill -9 at 20 moments of an erasure: it goes on and ends, and nothing else is lost', options, async (t) => {
  const dataDir = temporaryFolder();
  const flags = [...SMALL, ...(STORE === 'embedded' ? ['--segment-size', '1MiB', '--young-ids-seal', '2048'] : [])];
  let server = await startServer({ dataDir, flags });
  t.after(() => server.kill().then(() => fs.rmSync(dataDir, { recursive: true, force: true })));
  const client = new Client(server);
  t.after(() => client.close());
  const PEOPLE = 22;
  const PER_PERSON = 300;
  const sent = Array.from({ length: PEOPLE * PER_PERSON }, (_, i) => ({
    event_id: `k-${i}`, event_type: 'view', user_id: `ghost-k${i % PEOPLE}-`, occurred_at: new Date(Date.now() - i * 500).toISOString(), properties: { fill: 'x'.repeat(200 + (i % 100)) },
  }));
  await client.send(sent);
  await client.stats('top-events', { from: today(), to: today() });
  const forget = async (i) => {
    const token = await adminLogin(server);
    const { erasure } = await api(server, 'DELETE', `/v1/users/ghost-k${i}-?project=1`, { token, expect: 202 });
    return erasure.id;
  };
  const begun = (token, id) => until('the erasure to begin', async () =>
    (await api(server, 'GET', `/v1/erasures/${id}`, { token, expect: 200 })).erasure.state !== 'waiting', { everyMs: 2 });
  /* The first, undisturbed, tells how long one takes from when it begins. */
  let token = await adminLogin(server);
  const first = await forget(0);
  await begun(token, first);
  const began = Date.now();
  await until('the first erasure to end', async () =>
    (await api(server, 'GET', `/v1/erasures/${first}`, { token, expect: 200 })).erasure.state === 'done', { limitMs: 60000, everyMs: 2 });
  const wholeMs = Date.now() - began;
  const found = {};
  for (let round = 1; round <= 20; round++) {
    const id = await forget(round);
    await begun(token, id);
    await new Promise((resolve) => setTimeout(resolve, (wholeMs * (round - 1)) / 19));
    await server.kill();
    server = await startServer({ dataDir, flags });
    client.server = server;
    token = await adminLogin(server);
    const ended = await done(server, token, id);
    assert.equal(ended.state, 'done');
    const state = /erasure\.resumed .*state="?([a-z ]+)/.exec(server.stderr)?.[1] ?? 'done';
    found[state] = (found[state] ?? 0) + 1;
    /* Killed between the row's last change and the emptying of its log: the next start empties it, soon. */
    await until('nothing of the person to be left', () => placesOf(server, `ghost-k${round}-`).length === 0);
    assert.notDeepEqual(placesOf(server, 'ghost-k21-'), []);
  }
  t.diagnostic(`an erasure took ${wholeMs} ms from when it began; the restarts found it ${JSON.stringify(found)}`);
  assert.ok(Object.keys(found).some((state) => state !== 'done'), JSON.stringify(found));
  assert.deepEqual(await storedIds(client, peopleOf(sent)), idsOf(sent.filter((_, i) => i % PEOPLE === 21)));
  for (let i = 0; i < sent.length; i += 1000) {
    const again = await client.post(sent.slice(i, i + 1000));
    assert.deepEqual([again.json.accepted, again.json.duplicates], [0, sent.slice(i, i + 1000).length]);
  }
  await server.stop();
  const doctor = spawnSync(BIN, ['doctor', '--data-dir', dataDir], { encoding: 'utf8', env: { ...BARE_ENV, ...storeEnv(dataDir) } });
  assert.equal(doctor.status, 0, doctor.stdout + doctor.stderr);
});
