/*
 * Quotas of events a month: never one event more than a project may store, with either store; told where they are asked, counted
 * anew after a start, and given back by an erasure. What several nodes may overshoot by is told in docs/OPERATE.md.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, Client, MISSING, SLOWNESS, STORE, Server, startServer, storeEnv, storeUrl, temporaryFolder, until } from './server.mjs';
import { adminLogin, api, firstAdmin, logIn } from './access.mjs';

const options = { skip: MISSING, timeout: 120000 * SLOWNESS };
const FLAGS = ['--login-throttle', 'off'];
const PROJECT = '/v1/projects/1';

const start = async (t, { flags = [], ...more } = {}) => {
  const server = await startServer({ flags: [...FLAGS, ...flags], ...more });
  t.after(() => server.close());
  server.token = await adminLogin(server);
  return server;
};
const potik = (server, words, input = undefined) => spawnSync(BIN, [...words, '--data-dir', server.dataDir],
  { encoding: 'utf8', input, env: { ...process.env, ...storeEnv(server.dataDir) } });

const set = (server, quota, { expect = 200, token = server.token } = {}) =>
  api(server, 'PATCH', PROJECT, { token, body: { events_per_month: quota }, expect });
const look = async (server) => (await api(server, 'GET', PROJECT, { token: server.token, expect: 200 })).project;
/** The count, once it is known and is `events`. */
const counted = (server, events) => until(`a count of ${events}`, async () => (await look(server)).events_this_month === events);
/** A quota set and counted. */
const sell = async (server, quota, events = 0) => {
  await set(server, quota);
  await counted(server, events);
};

let last = 0;
const event = (id = `e-${++last}`, more = {}) => ({ event_id: id, event_type: 'v', user_id: 'u', ...more });
const events = (count) => Array.from({ length: count }, () => event());
const total = async (server) => {
  const found = /^potik_store_events (\d+)$/m.exec((await server.request({ path: '/metrics' })).text);
  return found === null ? null : Number(found[1]);
};
const results = (reply) => reply.json.results.map((word) => word[0]).join('');

test('the first events by index take the room, to the last one', options, async (t) => {
  const server = await start(t);
  const client = new Client(server);
  t.after(() => client.close());
  await sell(server, 10);
  const first = await client.post(events(9), { target: '/v1/events?detail=all' });
  assert.deepEqual([first.status, results(first)], [200, 'aaaaaaaaa']);
  const bad = { event_type: 'v' };
  const second = await client.post([bad, event('ten'), event('eleven'), event('twelve')], { target: '/v1/events?detail=all' });
  assert.deepEqual([second.status, results(second)], [200, 'rarr'], second.text);
  assert.deepEqual(second.json.errors.map((error) => [error.index, error.event_id, error.code, error.field]), [
    [0, null, 'missing_field', second.json.errors[0].field], [2, 'eleven', 'quota_exceeded', null], [3, 'twelve', 'quota_exceeded', null]]);
  const month = new Date();
  const end = new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + 1, 1)).toISOString().slice(0, 19);
  assert.match(second.json.errors[1].message, new RegExp(`^the project's quota is 10 events a month, and 10 are used; the next month begins at ${end}\\.000000Z$`));

  const single = await client.post([event('eleven')]);
  assert.deepEqual([single.status, single.json.error.code, single.json.rejected], [429, 'quota_exceeded', 1], single.text);
  assert.equal(single.json.error.message, single.json.errors[0].message);
  assert.match(single.json.position, /./);
  assert.ok(Number(single.headers['retry-after']) >= 1 && Number(single.headers['retry-after']) <= 3600, single.headers['retry-after']);
  assert.match(single.headers['ratelimit-policy'], /"project-month";q=10;w=(2419200|2505600|2592000|2678400);qu="events"$/);
  assert.match(single.headers.ratelimit, /"project-month";r=0;t=\d+$/);
  const mixed = await client.post([bad, event('eleven')]);
  assert.deepEqual([mixed.status, mixed.json.error.code], [400, 'all_rejected'], 'other reasons are for the sender to mend');

  await counted(server, 10);
  const project = await look(server);
  assert.deepEqual([project.events_per_month, project.events_this_month], [10, 10]);
  const sure = await until('an exact refusal', async () => {
    const reply = await client.post([event('eleven')]);
    assert.equal(reply.status, 429, reply.text);
    return Number(reply.headers['retry-after']) > 1 ? reply : false;
  });
  assert.ok(Number(sure.headers['retry-after']) <= 3600);
  const text = (await server.request({ path: '/metrics' })).text;
  const refused = Number(/^potik_quota_refused_total (\d+)$/m.exec(text)[1]);
  assert.ok(refused >= 5, text);
  assert.equal(Number(/^potik_events_rejected_total\{code="quota_exceeded"\} (\d+)$/m.exec(text)[1]), refused);
});

test('duplicates cost nothing, and are told so when the room is used up', options, async (t) => {
  const server = await start(t);
  const client = new Client(server);
  t.after(() => client.close());
  await sell(server, 3);
  await client.post([event('a'), event('b')]);
  const again = await client.post([event('a'), event('b'), event('a'), event('c')], { target: '/v1/events?detail=all' });
  assert.equal(again.status, 200);
  assert.ok(['dddr', 'ddda'].includes(results(again)), again.text); /* the boundary request may use less room than there was */
  const next = await client.post([event('c'), event('d')], { target: '/v1/events?detail=all' });
  assert.ok(['ar', 'dr'].includes(results(next)), `the next one gets it: ${next.text}`);
  const full = await client.post([event('d'), event('a'), event('c')], { target: '/v1/events?detail=all' });
  assert.deepEqual([full.status, results(full)], [200, 'rdd'], full.text);
  const known = await client.post([event('a'), event('b')]);
  assert.deepEqual([known.status, known.json.duplicates], [200, 2]);
  await counted(server, 3);
});

test('8 connections to 2 loops store the quota and not one event more', options, async (t) => {
  const server = await start(t);
  const QUOTA = 5000;
  await sell(server, QUOTA);
  const clients = Array.from({ length: 8 }, () => new Client(server));
  t.after(() => clients.forEach((client) => client.close()));
  let accepted = 0;
  await Promise.all(clients.map(async (client, k) => {
    for (let i = 0; i < 60; i++) {
      const shared = Array.from({ length: i % 7 }, (_, n) => event(`shared-${i}-${n}`)); /* eight times the same */
      const reply = await client.post([...shared, ...Array.from({ length: 1 + (i * 5 + k) % 31 }, (_, n) => event(`c-${k}-${i}-${n}`))]);
      assert.ok([200, 429].includes(reply.status), reply.text);
      accepted += reply.json.accepted;
    }
  }));
  /* What duplicates gave back is used by who comes next. */
  await until('the quota used to the last', async () => {
    const reply = await clients[0].post([event()]);
    accepted += reply.json.accepted;
    return reply.status === 429 && accepted === QUOTA;
  });
  await counted(server, QUOTA);
  assert.equal(await until('all of them loaded', async () => {
    const { rows } = await clients[0].stats('top-events');
    return rows[0]?.[1] === QUOTA ? QUOTA : false;
  }), QUOTA);
  assert.equal(accepted, QUOTA);
});

test('a start and a kill keep the count; a raised quota lets in at once, a lowered one refuses', options, async (t) => {
  const dataDir = temporaryFolder('quota');
  t.after(() => fs.rmSync(dataDir, { recursive: true, force: true }));
  const first = await startServer({ dataDir, flags: FLAGS });
  t.after(() => first.kill());
  first.token = await adminLogin(first);
  const client = new Client(first);
  t.after(() => client.close());
  await sell(first, 100);
  assert.equal((await client.post(events(60))).json.accepted, 60);
  await first.stop();

  const second = await startServer({ dataDir, flags: FLAGS });
  t.after(() => second.kill());
  second.token = await adminLogin(second);
  client.server = second;
  await counted(second, 60);
  const some = await client.post(events(50));
  assert.deepEqual([some.status, some.json.accepted, some.json.rejected], [200, 40, 10]);
  await second.kill();

  const third = await startServer({ dataDir, flags: FLAGS });
  t.after(() => third.stop());
  third.token = await adminLogin(third);
  client.server = third;
  await counted(third, 100);
  assert.equal((await client.post([event()])).status, 429);
  await set(third, 101);
  const raised = await client.post(events(2));
  assert.deepEqual([raised.status, raised.json.accepted], [200, 1], raised.text);
  await set(third, 50);
  assert.equal((await client.post([event()])).status, 429);
  await counted(third, 101);
  await set(third, null);
  assert.deepEqual([(await look(third)).events_per_month, (await look(third)).events_this_month], [null, null]);
  assert.equal((await client.post(events(20))).json.accepted, 20);
  await sell(third, 122, 121); /* what came while there was none is counted */
  assert.equal((await client.post(events(2))).json.accepted, 1);

  /* The command line, and a running server knows it within a second. */
  const cli = potik(third, ['project', 'quota', 'default', '124']);
  assert.equal(cli.status, 0, cli.stderr);
  const one = event();
  await until('the room of the command line', async () => (await client.post([one])).status === 200, { limitMs: 1000 });
  assert.equal((await client.post(events(5))).json.accepted, 1);
});

test('an erasure gives its room back at the next count', options, async (t) => {
  const server = await start(t);
  const client = new Client(server);
  t.after(() => client.close());
  await sell(server, 4);
  await client.post([event('x1', { user_id: 'gone' }), event('x2', { user_id: 'gone' }), event('x3'), event('x4')]);
  assert.equal((await client.post([event()])).status, 429);
  await api(server, 'DELETE', '/v1/users/gone?project=1', { token: server.token, expect: 202 });
  await until('the room of the erased', async () => (await look(server)).events_this_month === 2, { limitMs: 30000 });
  const reply = await client.post(events(3));
  assert.deepEqual([reply.status, reply.json.accepted], [200, 2], reply.text);
});

test('administrators set it, others see it; each change stands in the audit log', options, async (t) => {
  const server = await start(t);
  const account = { email: 'owner@example.org', password: 'a long enough password' };
  await api(server, 'POST', '/v1/accounts', { token: server.token, body: account, expect: 201 });
  await api(server, 'POST', '/v1/projects/1/members', { token: server.token, body: { email: account.email, role: 'owner' }, expect: 200 });
  const owner = await logIn(server, account);
  for (const quota of [5, null]) {
    const refused = await set(server, quota, { expect: 403, token: owner });
    assert.deepEqual([refused.error.code, refused.error.field], ['forbidden', 'events_per_month']);
  }
  for (const wrong of [0, -1, 2 ** 53 + 2]) {
    const refused = await set(server, wrong, { expect: 400 });
    assert.equal(refused.error.field, 'events_per_month', JSON.stringify(refused));
  }
  assert.equal((await set(server, '5', { expect: 400 })).error.code, 'invalid_type');
  for (const right of [1, 2 ** 53 - 1, 2 ** 53]) assert.equal((await set(server, right)).project.events_per_month, right);
  await sell(server, 7);
  await api(server, 'PATCH', PROJECT, { token: owner, body: { name: 'shop' }, expect: 200 });
  const seen = (await api(server, 'GET', PROJECT, { token: owner, expect: 200 })).project;
  assert.deepEqual([seen.name, seen.events_per_month, seen.events_this_month], ['shop', 7, 0]);
  const list = (await api(server, 'GET', '/v1/projects', { token: owner, expect: 200 })).projects;
  assert.deepEqual([list[0].events_per_month, list[0].events_this_month], [7, 0]);
  const read = await api(server, 'GET', PROJECT, { token: server.keys.read, expect: 200 });
  assert.deepEqual([read.project.events_per_month, read.project.events_this_month], [7, 0]);
  const audit = await api(server, 'GET', '/v1/audit', { token: server.token, expect: 200 });
  const lines = audit.lines.filter((line) => line.action === 'project.changed').map((line) => line.detail);
  assert.match(lines[1], /events_per_month 7$/);
});

test('quota-events-month is the quota of projects without one of their own', options, async (t) => {
  const server = await start(t, { flags: ['--quota-events-month', '2'] });
  const client = new Client(server);
  t.after(() => client.close());
  await counted(server, 0);
  assert.equal((await look(server)).events_per_month, 2);
  assert.equal((await client.post(events(3))).json.accepted, 2);
  await set(server, 4);
  assert.equal((await client.post(events(3))).json.accepted, 2);
  await set(server, null);
  assert.equal((await look(server)).events_per_month, 2);
  assert.equal((await client.post([event()])).status, 429);
});

test('the command line sets and tells it, and an import stops with clear words', options, async (t) => {
  const server = await start(t);
  for (const [words, said] of [[['quota', 'default', '0'], /1 to 9007199254740992, or none/], [['quota', 'default', '9007199254740993'], /1 to 9007199254740992/],
    [['quota', 'default', 'many'], /1 to 9007199254740992, or none/], [['quota', 'default'], /say list/], [['quota', 'nowhere', '1'], /nowhere/]]) {
    const wrong = potik(server, ['project', ...words]);
    assert.notEqual(wrong.status, 0, words.join(' '));
    assert.match(wrong.stderr, said);
  }
  const done = potik(server, ['project', 'quota', 'default', '1500']);
  assert.deepEqual([done.status, done.stdout], [0, ''], done.stderr);
  assert.match(done.stderr, /project default, number 1, may store 1,500 events a month/);
  await counted(server, 0);
  assert.match(potik(server, ['project', 'list']).stdout, /1,500/);
  const json = JSON.parse(potik(server, ['project', 'list', '--json']).stdout);
  assert.equal(json.projects[0].events_per_month, 1500);
  const shown = potik(server, ['project', 'show', 'default']);
  assert.equal(shown.status, 0, shown.stderr);
  assert.match(shown.stdout, /events a month +1,500/);

  const file = path.join(server.dataDir, 'events.ndjson');
  fs.writeFileSync(file, events(4000).map((one) => `${JSON.stringify(one)}\n`).join(''));
  const words = ['import', file, '--server', server.address, '--key', server.keys.write];
  const imported = spawnSync(BIN, words, { encoding: 'utf8', env: { ...process.env, ...storeEnv(server.dataDir) } });
  assert.equal(imported.status, 1, imported.stdout + imported.stderr);
  assert.match(imported.stderr, /quota is 1500 events a month, and 1500 are used; the next month begins at .*the same command again/);
  await counted(server, 1500);
  const none = potik(server, ['project', 'quota', 'default', 'none']);
  assert.match(none.stderr, /project default, number 1, has no quota of its own/);
  await until('no quota', async () => (await look(server)).events_per_month === null);
  assert.match(potik(server, ['project', 'show', 'default']).stdout, /events a month +none/);
});

test('two nodes on one PostgreSQL count what the other stores', { ...options, skip: MISSING || (STORE === 'embedded' && 'several nodes need PostgreSQL') }, async (t) => {
  const server = await start(t);
  const other = await startServer({ flags: FLAGS, env: { POTIK_STORE: storeUrl(server.dataDir) } });
  t.after(() => other.close());
  other.token = server.token;
  const one = new Client(server);
  const two = new Client(other);
  two.server = Object.assign(Object.create(other), { keys: server.keys });
  t.after(() => [one, two].forEach((client) => client.close()));
  await sell(server, 100);
  other.token = await logIn(other, firstAdmin(server));
  await counted(other, 0);
  assert.equal((await one.post(events(70))).json.accepted, 70);
  await counted(other, 70);
  assert.equal((await two.post(events(50))).json.accepted, 30);
  await counted(server, 100);
  assert.equal((await one.post([event()])).status, 429);
  assert.equal((await two.post([event()])).status, 429);
});
