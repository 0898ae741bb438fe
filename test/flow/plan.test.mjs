/*
 * Tracking plans: set, read and asked of events, with either store. The table of test/data/plan_table.txt, which the unit tests ask of
 * the checker alone, is sent through a real server here, byte for byte.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { BARE_ENV, BIN, MISSING, STORE, SLOWNESS, Server, TOP, startServer, storeEnv, storeUrl, until } from './server.mjs';
import { adminLogin, api, firstAdmin, logIn } from './access.mjs';

const options = { skip: MISSING, timeout: 120000 * SLOWNESS };
const FLAGS = ['--login-throttle', 'off'];

const start = async (t, more = {}) => {
  const server = await startServer({ flags: FLAGS, ...more });
  t.after(() => server.close());
  server.token = await adminLogin(server);
  return server;
};

/** Events as raw JSON texts; the reply with its verdicts. */
async function send(server, events, { key = server.keys.write } = {}) {
  const body = Buffer.from(`[${events.join(',')}]`);
  return server.request({
    method: 'POST', path: '/v1/events?detail=all', body,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': body.length },
  });
}
let last = 0;
const event = (type, properties, { id = `e-${++last}` } = {}) =>
  `{"event_id":${JSON.stringify(id)},"event_type":${JSON.stringify(type)},"user_id":"u"${properties === null ? '' : `,"properties":${properties}`}}`;

const put = (server, plan, { headers = {}, expect = 200, token = server.token, target = '/v1/tracking-plan?project=1' } = {}) =>
  api(server, 'PUT', target, { token, body: plan, headers, expect });
const get = (server, { expect = 200, token = server.token, target = '/v1/tracking-plan?project=1' } = {}) => api(server, 'GET', target, { token, expect });
const enforced = (properties, more = {}) => ({ events: { t: { mode: 'enforce', properties } }, ...more });

test('an enforced type refuses what differs, names it, and one bad event costs only itself', options, async (t) => {
  const server = await start(t);
  const before = await api(server, 'GET', '/v1/tracking-plan?project=1', { token: server.token });
  assert.deepEqual([before.status, before.headers.etag], [200, '"0"']);
  assert.deepEqual(before.json.plan, { unknown_events: 'observe', events: {} });
  const plan = { events: { purchase: { mode: 'enforce', properties: { properties: { amount: { type: 'number', minimum: 0 } }, required: ['amount'] } } } };
  const set = await api(server, 'PUT', '/v1/tracking-plan?project=1', { token: server.token, body: plan });
  assert.deepEqual([set.status, set.headers.etag, set.json.revision], [200, '"1"', 1]);
  assert.deepEqual((await get(server)).plan, plan);

  const reply = await send(server, [event('purchase', '{"amount":5}'), event('purchase', '{"amount":"5"}'), event('other', '{"amount":"5"}'), event('purchase', null), event('purchase', '{"amount":1,"amout":2}')]);
  assert.equal(reply.status, 200, reply.text);
  assert.deepEqual(reply.json.results, ['accepted', 'rejected', 'accepted', 'rejected', 'rejected']);
  assert.deepEqual(reply.json.errors.map(({ index, code, field }) => [index, code, field]), [
    [1, 'plan_violation', 'properties.amount'], [3, 'plan_violation', 'properties.amount'], [4, 'plan_violation', 'properties.amout']]);
  assert.equal(reply.json.errors[0].message, 'properties.amount: must be number by the tracking plan of purchase, not "5"');
  assert.equal(reply.json.errors[1].message, 'properties.amount: is missing; the tracking plan of purchase requires it');
  assert.equal(reply.json.errors[2].message, 'properties.amout: is not in the tracking plan of purchase; correct the name, or add it to the plan');

  const all = await send(server, [event('purchase', '{}'), event('purchase', '{"amount":-1}')]);
  assert.deepEqual([all.status, all.json.error.code, all.json.rejected], [400, 'all_rejected', 2]);
  const metrics = await server.request({ path: '/metrics' });
  assert.match(metrics.text, /^potik_events_rejected_total\{code="plan_violation"\} 5$/m);
});

test('the table of schemas and events has its verdicts through the server', options, async (t) => {
  const server = await start(t);
  const lines = fs.readFileSync(path.join(TOP, 'test/data/plan_table.txt'), 'utf8').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const groups = [];
  for (const line of lines) {
    const [word, rest] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
    if (word === 'schema') groups.push({ schema: rest, rows: [] });
    else groups.at(-1).rows.push([word, rest]);
  }
  const plan = `{"events":{${groups.map(({ schema }, i) => `"t${i}":{"mode":"enforce","properties":${schema}}`).join(',')}}}`;
  const set = await server.request({ method: 'PUT', path: '/v1/tracking-plan?project=1', body: plan, headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(plan) } });
  assert.equal(set.status, 200, set.text);
  const rows = groups.flatMap(({ rows: each }, i) => each.map(([wanted, properties]) => ({ wanted, properties, type: `t${i}` })));
  assert.ok(rows.length >= 150, `${rows.length} rows`);
  const reply = await send(server, rows.map(({ type, properties }) => event(type, properties === '-' ? null : properties)));
  assert.equal(reply.status, 200, reply.text);
  const errors = new Map(reply.json.errors.map((error) => [error.index, error]));
  rows.forEach(({ wanted, properties }, i) => {
    const error = errors.get(i);
    const got = error === undefined ? 'fits' : error.code === 'plan_violation' ? error.field : `!${error.code}`;
    assert.equal(got, wanted, `${properties}: ${JSON.stringify(error)}`);
  });
});

test('a stored id is a duplicate before the plan is asked; without one the event is refused', options, async (t) => {
  const server = await start(t);
  const id = 'stored-before';
  assert.deepEqual((await send(server, [event('t', '{"a":"old"}', { id })])).json.results, ['accepted']);
  await put(server, enforced({ properties: { a: { type: 'integer' } } }));
  const reply = await send(server, [event('t', '{"a":"old"}', { id }), event('t', '{"a":"new"}'), event('t', '{"a":1}', { id: 'twice' }), event('t', '{"a":"x"}', { id: 'twice' }), event('t', '{"a":"x"}', { id: 'later' }), event('t', '{"a":1}', { id: 'later' })]);
  assert.deepEqual(reply.json.results, ['duplicate', 'rejected', 'accepted', 'duplicate', 'rejected', 'accepted']);
  const refused = reply.json.errors.find((error) => error.index === 1);
  assert.match(refused.event_id, /^e-/);
  /* An event without an id of its own has none to be told. */
  const anonymous = await send(server, ['{"event_type":"t","user_id":"u","properties":{"a":"x"}}']);
  assert.deepEqual([anonymous.json.errors[0].event_id, anonymous.json.assigned], [null, undefined]);
});

test('other bodies are asked too: single objects, lines, and large ones that come in pieces', options, async (t) => {
  const server = await start(t);
  await put(server, enforced({ properties: { a: { type: 'integer' }, pad: { type: 'string' } } }));
  const post = (body, type) => server.request({ method: 'POST', path: '/v1/events', body, headers: { authorization: `Bearer ${server.keys.write}`, 'content-type': type, 'content-length': Buffer.byteLength(body) } });
  const single = await post(event('t', '{"a":"x"}'), 'application/json');
  assert.deepEqual([single.status, single.json.errors[0].code], [400, 'plan_violation']);
  const lines = await post([event('t', '{"a":1}'), event('t', '{"a":"x"}')].join('\n'), 'application/x-ndjson');
  assert.deepEqual([lines.json.accepted, lines.json.rejected], [1, 1]);
  const pad = 'x'.repeat(1000);
  const large = Array.from({ length: 1000 }, (_, i) => event('t', `{"pad":"${pad}","a":${i % 10 === 0 ? '"x"' : i}}`));
  const reply = await send(server, large);
  assert.deepEqual([reply.json.accepted, reply.json.rejected], [900, 100]);
  assert.ok(reply.json.errors.every((error) => error.index % 10 === 0 && error.field === 'properties.a'));
});

test('warn stores and counts; unknown types follow unknown_events; observe says nothing', options, async (t) => {
  const server = await start(t);
  await put(server, { unknown_events: 'warn', events: { w: { mode: 'warn', properties: { properties: { a: { type: 'integer' } } } }, o: { properties: {} } } });
  const again = event('w', '{"a":"x"}');
  assert.deepEqual((await send(server, [again, event('w', '{"b":1}'), event('w', '{"a":1}'), event('o', '{"b":1}'), event('new', '{}')])).json.results, Array(5).fill('accepted'));
  assert.deepEqual((await send(server, [again])).json.results, ['duplicate']); /* not counted twice */
  const { violations } = await get(server);
  assert.deepEqual(violations.map(({ event_type, count }) => [event_type, count]), [['w', 2], [null, 1]]);
  assert.equal(violations[1].last.property, 'event_type');
  assert.ok(['properties.a', 'properties.b'].includes(violations[0].last.property));
  assert.ok(Date.parse(violations[0].last.at) > Date.now() - 60000);
  assert.match((await server.request({ path: '/metrics' })).text, /^potik_plan_warnings_total 3$/m);

  await put(server, { unknown_events: 'enforce', events: { w: { mode: 'warn', properties: { properties: { a: { type: 'integer' } } } } } });
  assert.equal((await get(server)).violations[0].count, 2); /* goes on */
  const reply = await send(server, [event('w', '{"b":1}'), event('new', '{}')]);
  assert.deepEqual(reply.json.results, ['accepted', 'rejected']);
  assert.deepEqual([reply.json.errors[0].code, reply.json.errors[0].field], ['plan_violation', 'event_type']);
  assert.equal((await get(server)).violations[0].count, 3);
});

test('the revision guards against lost changes', options, async (t) => {
  const server = await start(t);
  const plan = enforced({});
  const stale = (headers) => put(server, plan, { headers, expect: 412 });
  assert.equal((await stale({ 'if-match': '"3"' })).error.code, 'precondition_failed');
  await stale({ 'if-match': '*' });
  await stale({ 'if-match': 'W/"0"' });
  assert.equal((await put(server, plan, { headers: { 'if-match': '"0"' } })).revision, 1);
  await stale({ 'if-match': '"0"' });
  assert.equal((await put(server, plan, { headers: { 'if-match': '"1"' } })).revision, 2);
  assert.equal((await put(server, plan, { headers: { 'if-match': '*' } })).revision, 3);
  assert.equal((await put(server, plan)).revision, 4);
  const racers = await Promise.all(Array.from({ length: 8 }, () => api(server, 'PUT', '/v1/tracking-plan?project=1', { token: server.token, body: plan, headers: { 'if-match': '"4"' } })));
  assert.deepEqual(racers.map((reply) => reply.status).sort(), [200, 412, 412, 412, 412, 412, 412, 412]);
  assert.equal((await get(server)).revision, 5);
});

test('what is no plan is refused with its path, and changes nothing', options, async (t) => {
  const server = await start(t);
  await put(server, enforced({ properties: { a: { type: 'integer' } } }));
  const refused = await put(server, enforced({ properties: { a: { minimun: 0 } } }), { expect: 400 });
  assert.deepEqual([refused.error.code, refused.error.field], ['invalid_plan', 'events.t.properties.properties.a.minimun']);
  assert.equal((await api(server, 'PUT', '/v1/tracking-plan?project=1', { token: server.token })).json.error.code, 'empty_body');
  const sized = (bytes) => {
    const text = JSON.stringify(enforced({}));
    return server.request({ method: 'PUT', path: '/v1/tracking-plan?project=1', body: text + ' '.repeat(bytes - text.length), headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json', 'content-length': bytes } });
  };
  assert.equal((await get(server)).revision, 1);
  assert.deepEqual([(await sized(2 ** 20)).status, (await sized(2 ** 20 + 1)).status], [200, 413]);
  assert.equal((await get(server)).revision, 2);
});

test('who may: read keys and analysts read, owners set; changes stand in the audit log', options, async (t) => {
  const server = await start(t);
  const made = (await api(server, 'POST', '/v1/accounts', { token: server.token, body: { email: 'ann@example.com' }, expect: 201 }));
  const ann = { email: 'ann@example.com', password: made.password ?? made.account.password };
  const role = (name) => api(server, 'PUT', `/v1/projects/1/members/${made.account.id}`, { token: server.token, body: { role: name }, expect: 200 });
  await role('analyst');
  const token = await logIn(server, ann);
  await get(server, { token });
  await get(server, { token: server.keys.read, target: '/v1/tracking-plan' });
  assert.equal((await get(server, { token: server.keys.write, target: '/v1/tracking-plan', expect: 403 })).error.code, 'wrong_key_kind');
  for (const key of [server.keys.read, server.keys.write])
    assert.equal((await put(server, {}, { token: key, target: '/v1/tracking-plan', expect: 403 })).error.code, 'wrong_key_kind');
  assert.equal((await put(server, {}, { token, expect: 403 })).error.code, 'forbidden');
  await get(server, { token: null, expect: 401 });
  await role('owner');
  await put(server, { events: { a: { mode: 'enforce' }, b: { mode: 'warn' } } }, { token });
  const { lines } = await api(server, 'GET', '/v1/audit?project=1', { token: server.token, expect: 200 }).then((json) => ({ lines: json.lines ?? json.audit }));
  const line = lines.find((each) => each.action === 'plan.changed');
  assert.equal(line.target, 'tracking plan of project 1, revision 1');
  assert.equal(line.detail, '2 types: 0 observe, 1 warn, 1 enforce; unknown_events observe');
});

test('a plan is of its project alone, and goes with it', options, async (t) => {
  const server = await start(t);
  const { project } = await api(server, 'POST', '/v1/projects', { token: server.token, body: { name: 'second' }, expect: 201 });
  const { text, key } = await api(server, 'POST', `/v1/projects/${project.id}/keys`, { token: server.token, body: { kind: 'write', name: 'w' }, expect: 201 }).then((json) => ({ text: json.key.text ?? json.text ?? json.key.key, key: json.key }));
  assert.ok(text?.startsWith('wk_'), JSON.stringify(key));
  await put(server, enforced({}), { target: `/v1/tracking-plan?project=${project.id}` });
  assert.deepEqual((await send(server, [event('t', '{"a":1}')])).json.results, ['accepted']);
  assert.deepEqual((await send(server, [event('t', '{"a":1}')], { key: text })).json.results, ['rejected']);
  assert.equal((await get(server)).revision, 0);
  await api(server, 'DELETE', `/v1/projects/${project.id}`, { token: server.token, expect: 202 });
  await get(server, { target: `/v1/tracking-plan?project=${project.id}`, expect: 404 });
});

test('kill -9 behind the reply keeps the plan', options, async (t) => {
  const server = await startServer({ flags: FLAGS });
  t.after(() => server.remove());
  const token = await adminLogin(server);
  await put(server, enforced({ properties: { a: { type: 'integer' } } }), { token });
  await server.kill();
  await server.exited;
  const next = await startServer({ dataDir: server.dataDir, flags: FLAGS });
  t.after(() => next.close());
  next.keys = server.keys;
  next.token = await logIn(next, firstAdmin(next));
  assert.equal((await get(next)).revision, 1);
  assert.deepEqual((await send(next, [event('t', '{"a":"x"}')])).json.results, ['rejected']);
});

/** What was learnt, without times, once `count` events of type t are in it. */
async function learnt(server, count) {
  const found = await until(`${count} events learnt`, async () => {
    const { events } = (await get(server)).learnt ?? { events: {} };
    return events.t?.count === count && events;
  });
  for (const type of Object.values(found)) {
    assert.ok(Date.parse(type.first_seen_at) <= Date.parse(type.last_seen_at));
    delete type.first_seen_at;
    delete type.last_seen_at;
  }
  return found;
}

test('what is stored is learnt, the same after seals, restarts and a rebuild, and becomes a plan', { ...options, timeout: 240000 * SLOWNESS }, async (t) => {
  const flags = [...FLAGS, '--seal-rows', '100'];
  let server = await startServer({ flags });
  t.after(() => server.close());
  const { keys, dataDir } = server;
  server.token = await adminLogin(server);
  const sendAll = async (count) => {
    const reply = await send(server, Array.from({ length: count }, (_, i) => event('t', `{"n":${i % 2 === 0 ? i : `${i}.5`},"s":"x","m":${i % 3 === 0 ? 'null' : '[1]'}${i % 10 === 0 ? ',"o":{"deep":1},"\\u0062":true' : ''}}`)));
    assert.equal(reply.json.accepted, count, reply.text);
  };
  const expected = (runs) => ({
    t: { count: 250 * runs, is_complete: true, properties: { n: { integer: 125 * runs, number: 125 * runs }, s: { string: 250 * runs }, m: { null: 84 * runs, array: 166 * runs }, o: { object: 25 * runs }, b: { boolean: 25 * runs } } },
    bare: { count: 1, is_complete: true, properties: {} },
  });
  const startAgain = async () => {
    server = await startServer({ dataDir, ownsFolder: true, flags });
    Object.assign(server, { keys, token: await logIn(server, firstAdmin(server)) });
  };
  await send(server, [event('bare', null)]);
  await sendAll(250);
  assert.deepEqual(await learnt(server, 250), expected(1));
  await sendAll(250);
  assert.deepEqual(await learnt(server, 500), expected(2));
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL']) {
    await server.kill(signal);
    await server.exited;
    await startAgain();
    assert.deepEqual(await learnt(server, 500), expected(2), `after ${signal}`);
  }
  await server.kill('SIGTERM');
  await server.exited;
  const rebuilt = spawnSync(BIN, ['rebuild', '--data-dir', dataDir], { encoding: 'utf8', env: { ...BARE_ENV, ...storeEnv(dataDir) } });
  assert.equal(rebuilt.status, 0, rebuilt.stderr);
  await startAgain();
  assert.deepEqual(await learnt(server, 500), expected(2), 'after a rebuild');

  const suggested = await get(server, { target: '/v1/tracking-plan?project=1&suggest=true' });
  suggested.events.t.properties.required.sort(); /* PostgreSQL keeps another order of keys */
  assert.deepEqual(suggested, { unknown_events: 'observe', events: {
    bare: { mode: 'observe', properties: { type: 'object', properties: {} } },
    t: { mode: 'observe', properties: { type: 'object', properties: { n: { type: 'number' }, s: { type: 'string' }, m: { type: ['null', 'array'] }, o: { type: 'object' }, b: { type: 'boolean' } }, required: ['m', 'n', 's'] } } } });
  assert.equal((await get(server, { target: '/v1/tracking-plan?project=1&suggest=perhaps', expect: 400 })).error.field, 'suggest');
  suggested.events.t.mode = 'enforce';
  await put(server, suggested);
  assert.deepEqual((await send(server, [event('t', '{"n":1.5,"s":"","m":null}'), event('t', '{"n":"1","s":"","m":null}')])).json.results, ['accepted', 'rejected']);
});

test('the command line shows, sets, suggests, and changes a mode without touching the rest', options, async (t) => {
  const server = await start(t);
  const potik = (words, { env = { POTIK_TOKEN: server.token }, input } = {}) =>
    spawnSync(BIN, ['plan', ...words, '--server', server.address, '--data-dir', server.dataDir, '--project', '1'], { encoding: 'utf8', input, env: { ...BARE_ENV, ...env }, timeout: 20000 * SLOWNESS });
  const done = (reply) => { assert.equal(reply.status, 0, reply.stderr); return reply.stdout; };
  assert.deepEqual(JSON.parse(done(potik(['show'], { env: {} }))), { unknown_events: 'observe', events: {} });
  await send(server, [event('t', '{"a":1}')]);
  await until('the suggestion', () => JSON.parse(done(potik(['suggest']))).events.t !== undefined);
  const text = '{ "events" : {"\\u0074":{"properties":{"properties":{"a":{"minimum":0.10000000000000000000000001}}},  "mode" : "warn"},\n "u" : {}}}';
  const set = potik(['set', '-', '--revision', '0'], { input: text });
  assert.equal(JSON.parse(done(set)).revision, 1);
  assert.equal(done(potik(['show'])), `${text}\n`);
  done(potik(['mode', 't', 'enforce']));
  assert.equal(done(potik(['show'])), `${text.replace('"warn"', '"enforce"')}\n`);
  done(potik(['mode', 'u', 'observe']));
  assert.equal(done(potik(['show'])), `${text.replace('"warn"', '"enforce"').replace('"u" : {}', '"u" : {"mode":"observe"}')}\n`);
  assert.deepEqual((await send(server, [event('t', '{"a":0.1}'), event('t', '{"a":1}')])).json.results, ['rejected', 'accepted']);
  assert.equal(JSON.parse(done(potik(['show', '--json']))).revision, 3);
  for (const [words, status, pattern, more] of [
    [['mode', 'absent', 'warn'], 1, /no event type "absent"; add it first/], [['mode', 't', 'strict'], 2, /a mode is observe, warn or enforce/],
    [['set', '-', '--revision', '1'], 1, /revision 3 now/, { input: text }], [['set', '-'], 1, /events\.t\.moed/, { input: '{"events":{"t":{"moed":"warn"}}}' }],
    [['set', '-'], 1, /needs a login/, { input: text, env: {} }], [['set', '/absent'], 1, /\/absent/], [['sow'], 2, /say one of/], [['mode', 't'], 2, /say one of/]]) {
    const reply = potik(words, more);
    assert.equal(reply.status, status, `${words}: ${reply.stderr}`);
    assert.match(reply.stderr, pattern);
    assert.equal(reply.stdout, '');
  }
});

test('two nodes on one database: the other one asks the new plan within a second', { ...options, skip: MISSING || (STORE === 'postgres' ? false : 'of several nodes: with PostgreSQL') }, async (t) => {
  const server = await start(t);
  const other = new Server({ flags: FLAGS, env: { POTIK_STORE: storeUrl(server.dataDir) } });
  t.after(() => other.close());
  await other.ready();
  other.keys = server.keys;
  other.token = server.token;
  assert.deepEqual((await send(other, [event('t', '{"a":"x"}')])).json.results, ['accepted']);
  await put(server, enforced({ properties: { a: { type: 'integer' } } }));
  const began = Date.now();
  await until('the plan on the other node', async () => (await send(other, [event('t', '{"a":"x"}')])).json.results[0] === 'rejected', { limitMs: 5000 });
  assert.ok(Date.now() - began < 1000 * SLOWNESS, `${Date.now() - began} ms`);
});
