/*
 * The HTTP contract and the program are one: every operation of the document is sent to a real server, with real keys and tokens, until
 * each 2xx it tells of was seen, and its main errors; its parameters are those that the program takes, in both directions. That every
 * other reply of the flow suite is as told, contract.mjs sees to. A new operation fails here until it stands in CALLS.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { MISSING, OF_NO_STORE, TOP, farAhead, query, startServer, until } from './server.mjs';
import { adminLogin, api, firstAdmin, logIn } from './access.mjs';
import { NO_CONTRACT, checkReply, contract, deref, hasSeen } from './contract.mjs';
import { fromNpm } from './npm.mjs';

const skip = MISSING || OF_NO_STORE || NO_CONTRACT;
const TOOLS = process.env.POTIK_TEST_TOOLS ?? path.resolve('build');
const routes = () => spawnSync(path.join(TOOLS, 'test/flow/print_routes'), { encoding: 'utf8' }).stdout.trim().split('\n').map((line) => {
  const [method, pattern, who, ...parameters] = line.split(' ');
  return { method, pattern, who, parameters };
});
const parametersOf = (operation, where = 'query') => operation.parameters.filter((each) => each.in === where);

/* --- the document itself ------------------------------------------------------------------------*/

test('a public validator finds nothing to say', { skip }, async () => {
  const { createConfig, lintFromString } = fromNpm('@redocly/openapi-core');
  const config = await createConfig({ extends: ['recommended'] });
  const found = await lintFromString({ source: JSON.stringify(contract().document), absoluteRef: '/openapi.json', config });
  /* The error of a method that a path lacks is of no operation, and neither is the form that all errors share. */
  const told = found.map((each) => `${each.ruleId}: ${each.message}`)
    .filter((each) => !/^no-unused-components: Component: "(MethodNotAllowed|Error|Error405)" is never used/.test(each));
  assert.deepEqual(told, []);
});

test('routes and operations are the same', { skip }, () => {
  const told = contract().operations.map((each) => `${each.method.toUpperCase()} ${each.pattern.replace(/^\/v1\/stats\/.*/, '/v1/stats/{}').replace(/\{\w+\}/g, '{}')}`);
  assert.deepEqual([...new Set(told)].sort(), routes().map((each) => `${each.method} ${each.pattern}`).sort());
});

test('the check sees what differs', { skip }, () => {
  const good = { status: 200, headers: { 'content-type': 'application/json', 'x-request-id': 'a' }, text: '{"status":"alive"}', json: { status: 'alive' } };
  const refuse = (change, words, target = '/healthz') => assert.throws(() => checkReply('GET', target, { ...good, ...change }), words);
  checkReply('GET', '/healthz', good);
  refuse({ status: 418 }, /does not tell of this status/);
  refuse({ json: { status: 'alive', more: 1 } }, /must NOT have additional properties/);
  refuse({ json: { status: 'well' } }, /must be equal to constant/);
  refuse({ json: null }, /is no JSON/);
  refuse({ headers: { 'x-request-id': 'a', 'content-type': 'text/html' } }, /Content-Type text\/html/);
  refuse({ headers: { 'content-type': 'application/json' } }, /there is no X-Request-Id/);
  refuse({}, /is no route of the document/, '/nowhere');
  refuse({ status: 404 }, /body/, '/nowhere');
});

test('the build refuses a document that is not the program\'s', { skip }, (t) => {
  const folder = fs.mkdtempSync('/tmp/potik-contract-');
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const whole = fs.readFileSync(path.join(TOP, 'openapi/openapi.yaml'), 'utf8');
  const build = (from, to) => {
    assert.ok(whole.includes(from), from);
    fs.writeFileSync(path.join(folder, 'changed.yaml'), whole.replace(from, to));
    const how = spawnSync(path.join(TOP, 'tools/openapi'), [path.join(folder, 'changed.yaml'), '--version', '1'], { encoding: 'utf8' });
    return how.status === 0 ? 'good' : how.stderr;
  };
  for (const [from, to, words] of [
    ['        - already_exists\n', '', /ErrorCode: .*only in src\/base\/err\.h: \['already_exists'\]/],
    ['        - already_exists\n', '        - already_exists\n        - made_up\n', /only in the document: \['made_up'\]/],
    ['        - too_deep\n', '', /EventErrorCode/],
    ['code: {enum: [request_timeout]}', 'code: {enum: [request_timeout, rate_limited]}', /Error408: rate_limited has status 429/],
    ['      operationId: logOut\n', '', /post \/v1\/auth\/logout: has no operationId/],
    ['operationId: logOut', 'operationId: logIn', /logIn is the operationId of post \/v1\/auth\/login, too/],
    ['      x-potik-handler: logout\n', '', /names one of x-potik-handler and x-potik-resource/],
    ['      security: *login\n      summary: End', '      security: [{token: [ingest]}]\n      summary: End', /none of the sets/],
    ['      security: *login\n      summary: End', '      summary: End', /has no `security`/],
    ["'#/components/responses/Tokens'", "'#/components/responses/Token'", /nothing at #\/components\/responses\/Token$/m],
    ['/v1/erasures/{id}:', '/v1/erasures/{job}:', /other parameters than are described/],
    ['      operationId: logOut\n', '      operationId: logOut\n      operationId: logOut\n', /operationId stands twice/],
    ["schema: {$ref: '#/components/schemas/Error409'}", "schema: {$ref: '#/components/schemas/Error404'}", /nothing uses it|has the body of Error404/],
    ['openapi: 3.1.0', 'openapi: 3.1.0 ', /^good$/],
  ]) assert.match(build(from, to), words, `${from} → ${to}`);
});

test('contract_report: what a run has not seen is named, and an operation without a success fails it', { skip }, (t) => {
  const folder = fs.mkdtempSync('/tmp/potik-seen-');
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const report = (pairs) => {
    fs.writeFileSync(path.join(folder, '1'), pairs.map((pair) => `${pair}\n`).join(''));
    const { status, stdout } = spawnSync(path.join(TOP, 'tools/contract_report'), [TOOLS, folder], { encoding: 'utf8' });
    return { status, stdout };
  };
  const all = contract().operations.flatMap((each) => Object.keys(each.operation.responses).map((status) => `${each.id} ${status}`));
  assert.equal(report(all).status, 0);
  const without = report(all.filter((pair) => pair !== 'logOut 204' && pair !== 'getDau 503'));
  assert.equal(without.status, 1);
  assert.match(without.stdout, /^  204: logOut$/m);
  assert.match(without.stdout, /^  503: getDau$/m);
  assert.match(without.stdout, /never answered with a success: logOut$/m);
});

/* --- every operation ------------------------------------------------------------------------------*/

let server;
let admin; /* a token */
let owner; /* of project 1, no administrator */
let made = 0;
const fresh = (word) => `${word}-${++made}`;

test.before(async () => {
  if (skip) return;
  server = await startServer({ flags: ['--keep-rejected', '1MiB', '--login-throttle', 'off', '--hash-memory', '19456', '--hash-passes', '2'] });
  admin = await adminLogin(server);
  await api(server, 'POST', '/v1/accounts', { token: admin, body: { email: 'owner@one.example', password: 'password of owner' }, expect: 201 });
  await api(server, 'POST', '/v1/projects/1/members', { token: admin, body: { email: 'owner@one.example', role: 'owner' }, expect: 200 });
  owner = await logIn(server, { email: 'owner@one.example', password: 'password of owner' });
});
test.after(async () => {
  await server?.close();
});

const post = (target, body, token = admin, expect = undefined) => api(server, 'POST', target, { token, body, expect });
const newAccount = async () => (await post('/v1/accounts', { email: `${fresh('someone')}@one.example`, password: 'a password' }, admin, 201)).account;
const newProject = async () => (await post('/v1/projects', { name: fresh('project') }, admin, 201)).project;
const newKey = async () => (await post('/v1/projects/1/keys', { kind: 'read', name: fresh('key') }, admin, 201)).key;
const newErasure = async () => (await api(server, 'DELETE', `/v1/users/${fresh('nobody')}?project=1`, { token: admin, expect: 202 })).erasure;
const events = (body, { headers = {}, target = '/v1/events' } = {}) => server.request({
  method: 'POST', path: target, body, headers: { authorization: `Bearer ${server.keys.write}`, 'content-type': 'application/json', ...headers },
});
const one = () => JSON.stringify({ event_id: fresh('sent'), event_type: 'view', user_id: 'u' });
const reading = (target) => api(server, 'GET', target, { token: server.keys.read });
const newRejected = async () => {
  await events('[{}]');
  return (await reading('/v1/rejected?limit=1')).json.rejected[0].id;
};
const setPlan = (body, headers = {}) => api(server, 'PUT', '/v1/tracking-plan?project=1', { token: owner, body, headers });
const notChanged = async (target) => {
  const { etag } = (await server.request({ path: target })).headers;
  return server.request({ path: target, headers: { 'if-none-match': etag } });
};
const everyForm = (metric) => [['200', () => reading(`/v1/stats/${metric}`)], ['200', () => reading(`/v1/stats/${metric}?format=csv`)], ['200', () => reading(`/v1/stats/${metric}?format=ndjson`)],
  ['400', () => reading(`/v1/stats/${metric}?tz=Mars`)], ['503', async () => reading(`/v1/stats/${metric}?min_position=${farAhead((await events(one())).json.position)}`)]];

/** Of each operation: [status, how it comes about]. 400 by an unknown parameter, 401, 403, 404 and 415 are asked of all (below). */
const CALLS = {
  sendEvents: [['200', () => events(one())], ['200', () => events(`[${one()},{}]`, { target: '/v1/events?detail=all' })], ['200', () => events('[]')],
    ['200', () => events(`${one()}\n{`, { headers: { 'content-type': 'application/x-ndjson' } })], ['200', () => events(one(), { headers: { 'content-type': 'text/plain' } })],
    ['200', () => events('{"event_type":"v","user_id":"u"}', { headers: { 'content-type': 'application/x-www-form-urlencoded' } })],
    ['400', () => events('[{}]')], ['400', () => events('[')], ['400', () => events('')], ['413', () => events(`[${'1,'.repeat(10000)}1]`)]],
  listEvents: [['200', () => reading('/v1/events')], ['200', async () => reading(`/v1/events?limit=1&after=${(await events(one())).json.position}`)], ['400', () => reading('/v1/events?limit=0')]],
  listUserEvents: [['200', () => reading('/v1/users/u/events?limit=1')], ['400', () => reading('/v1/users/u/events?before=never')]],
  getDau: everyForm('dau'),
  getTopEvents: everyForm('top-events'),
  getRetention: [...everyForm('retention'), ['200', () => reading('/v1/stats/retention?measure=percent&unit=week&cohorts=2&windows=3')]],
  logIn: [['200', () => post('/v1/auth/login', firstAdmin(server), null)], ['401', () => post('/v1/auth/login', { email: 'a@b.example', password: 'x' }, null)],
    ['400', () => post('/v1/auth/login', { email: 'a@b.example' }, null)], ['403', () => api(server, 'POST', '/v1/auth/login', { body: {}, headers: { origin: 'https://other.example' } })]],
  refreshToken: [['200', async () => post('/v1/auth/refresh', { refresh_token: (await post('/v1/auth/login', firstAdmin(server), null)).json.refresh_token }, null)],
    ['401', () => post('/v1/auth/refresh', { refresh_token: 'x' }, null)], ['403', () => api(server, 'POST', '/v1/auth/refresh', { body: {}, headers: { origin: 'https://other.example' } })], ['400', () => post('/v1/auth/refresh', {}, null)]],
  logOut: [['204', async () => api(server, 'POST', '/v1/auth/logout', { token: await adminLogin(server) })]],
  getMe: [['200', () => api(server, 'GET', '/v1/auth/me', { token: owner })]],
  changePassword: [['204', async () => {
    const { email } = await newAccount();
    return post('/v1/auth/password', { current_password: 'a password', new_password: 'another password' }, await logIn(server, { email, password: 'a password' }));
  }], ['403', () => post('/v1/auth/password', { current_password: 'no', new_password: 'another password' })], ['400', () => post('/v1/auth/password', {})]],
  listProjects: [['200', () => api(server, 'GET', '/v1/projects', { token: owner })]],
  createProject: [['201', () => post('/v1/projects', { name: fresh('project'), retention_days: 30, week_start: 'sunday' })], ['400', () => post('/v1/projects', {})],
    ['409', () => post('/v1/projects', { name: 'default' })]],
  getProject: [['200', () => api(server, 'GET', '/v1/projects/1', { token: owner })], ['200', () => reading('/v1/projects/1')]],
  changeProject: [['200', async () => api(server, 'PATCH', `/v1/projects/${(await newProject()).id}`, { token: admin, body: { retention_days: null } })],
    ['400', () => api(server, 'PATCH', '/v1/projects/1', { token: admin, body: { time_zone: 'Mars/Olympus' } })],
    ['409', async () => api(server, 'PATCH', `/v1/projects/${(await newProject()).id}`, { token: admin, body: { name: 'default' } })]],
  deleteProject: [['202', async () => api(server, 'DELETE', `/v1/projects/${(await newProject()).id}`, { token: admin })], ['409', () => api(server, 'DELETE', '/v1/projects/1', { token: admin })]],
  listKeys: [['200', () => api(server, 'GET', '/v1/projects/1/keys', { token: owner })]],
  createKey: [['201', () => post('/v1/projects/1/keys', { kind: 'write', name: fresh('key'), expires_at: '2100-01-01T00:00:00Z' })], ['400', () => post('/v1/projects/1/keys', { kind: 'x', name: 'x' })]],
  revokeKey: [['204', async () => api(server, 'DELETE', `/v1/projects/1/keys/${(await newKey()).id}`, { token: owner })]],
  listMembers: [['200', () => api(server, 'GET', '/v1/projects/1/members', { token: owner })]],
  addMember: [['200', async () => post('/v1/projects/1/members', { email: (await newAccount()).email, role: 'analyst' })], ['400', () => post('/v1/projects/1/members', { email: 'x', role: 'x' })],
    ['404', () => post('/v1/projects/1/members', { email: 'nobody@one.example', role: 'analyst' })]],
  setMember: [['200', async () => api(server, 'PUT', `/v1/projects/1/members/${(await newAccount()).id}`, { token: admin, body: { role: 'ingest' } })],
    ['400', async () => api(server, 'PUT', `/v1/projects/1/members/${(await newAccount()).id}`, { token: admin, body: { role: 'x' } })]],
  removeMember: [['204', async () => {
    const { id, email } = await newAccount();
    await post('/v1/projects/1/members', { email, role: 'analyst' }, admin, 200);
    return api(server, 'DELETE', `/v1/projects/1/members/${id}`, { token: owner });
  }]],
  listAccounts: [['200', () => api(server, 'GET', '/v1/accounts', { token: admin })]],
  createAccount: [['201', () => post('/v1/accounts', { email: `${fresh('someone')}@one.example` })], ['400', () => post('/v1/accounts', { email: 'a@b.example', password: 'short' })],
    ['409', () => post('/v1/accounts', { email: 'owner@one.example' })]],
  getAccount: [['200', () => api(server, 'GET', '/v1/accounts/1', { token: admin })]],
  changeAccount: [['200', async () => api(server, 'PATCH', `/v1/accounts/${(await newAccount()).id}`, { token: admin, body: { is_admin: false } })],
    ['400', () => api(server, 'PATCH', '/v1/accounts/1', { token: admin, body: { is_admin: 1 } })], ['409', () => api(server, 'PATCH', '/v1/accounts/1', { token: admin, body: { is_admin: false } })]],
  deleteAccount: [['204', async () => api(server, 'DELETE', `/v1/accounts/${(await newAccount()).id}`, { token: admin })], ['409', () => api(server, 'DELETE', '/v1/accounts/1', { token: admin })]],
  listAudit: [['200', () => api(server, 'GET', '/v1/audit?limit=3', { token: admin })], ['200', () => api(server, 'GET', '/v1/audit?project=1', { token: owner })],
    ['400', () => api(server, 'GET', '/v1/audit?before=x', { token: admin })]],
  forgetPerson: [['202', () => api(server, 'DELETE', `/v1/users/${fresh('nobody')}?project=1`, { token: admin })], ['400', () => api(server, 'DELETE', `/v1/users/${'x'.repeat(201)}?project=1`, { token: admin })]],
  deleteEvents: [['202', () => post('/v1/deletions?project=1', { event_ids: ['e-none'], free_ids: true })],
    ['202', () => post('/v1/deletions?project=1', { occurred_from: '2026-01-01T00:00:00Z', occurred_to: '2026-01-02T00:00:00Z', dry_run: true })],
    ['400', () => post('/v1/deletions?project=1', {})], ['413', () => api(server, 'POST', '/v1/deletions?project=1', { token: admin, body: { event_ids: ['x'.repeat(5000000)] } })]],
  listErasures: [['200', () => api(server, 'GET', '/v1/erasures', { token: admin })], ['400', () => api(server, 'GET', '/v1/erasures?limit=1001', { token: admin })]],
  getErasure: [['200', async () => api(server, 'GET', `/v1/erasures/${(await newErasure()).id}?project=1`, { token: admin })]],
  listRejected: [['200', () => reading('/v1/rejected?limit=3&code=missing_field&event_id=x')], ['400', () => reading('/v1/rejected?before=x')]],
  getRejected: [['200', async () => reading(`/v1/rejected/${await newRejected()}`)], ['404', () => reading('/v1/rejected/999999')]],
  getTrackingPlan: [['200', () => reading('/v1/tracking-plan')], ['200', () => reading('/v1/tracking-plan?suggest=true')], ['400', () => reading('/v1/tracking-plan?suggest=yes')]],
  setTrackingPlan: [['200', () => setPlan({ unknown_events: 'observe', events: { wanted: { mode: 'warn', properties: { type: 'object' } } } })], ['400', () => setPlan({ events: 1 })],
    ['412', () => setPlan({}, { 'if-match': '"999"' })], ['413', () => setPlan({ events: { x: { description: 'x'.repeat(1100000) } } })]],
  getHealth: [['200', () => server.request({ path: '/healthz' })]],
  getReadiness: [['200', () => server.request({ path: '/readyz' })]],
  getMetrics: [['200', () => server.request({ path: '/metrics' })]],
  getOpenapi: [['200', () => server.request({ path: '/openapi.json' })], ['304', () => notChanged('/openapi.json')]],
  getDocs: [['200', () => server.request({ path: '/docs' })], ['304', () => notChanged('/docs')]],
  getDocsFile: [['200', () => server.request({ path: '/docs/start.js' })], ['200', () => server.request({ path: '/docs/page.css' })], ['304', () => notChanged('/docs/page.css')]],
  getRoot: [['200', () => server.request({ path: '/' })]],
};
/** Told, and not brought about here: they take thousands of rows. */
const FULL = ['setTrackingPlan 409', 'createKey 409', 'addMember 409', 'setMember 409', 'forgetPerson 409', 'deleteEvents 409'];
const OF_ALL = ['401', '403', '404', '415'];

const whoOf = (operation) => routes().find((each) => each.method === operation.method.toUpperCase() &&
  each.pattern === operation.pattern.replace(/^\/v1\/stats\/.*/, '/v1/stats/{}').replace(/\{\w+\}/g, '{}')).who;
/** Its path, with things that are there (1), or not. */
const address = (operation, thing = '1') => operation.pattern.replace('{user_id}', 'u').replace('{file}', 'start.js').replace(/\{\w+\}/g, thing);
/** With the project that a token needs. */
const ofProject = (operation) => `${address(operation)}${parametersOf(operation).some((each) => each.name === 'project') ? '?project=1' : ''}`;
const send = (operation, { token = null, target = ofProject(operation), body = '{}', type = 'application/json' } = {}) => server.request({
  method: operation.method.toUpperCase(), path: target,
  headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...(operation.operation.requestBody ? { 'content-type': type } : {}) },
  body: operation.operation.requestBody ? body : null,
});
/** What may ask, and what may not. */
const credential = (who) => ({ write: server.keys.write, read: server.keys.read }[who] ?? admin);
const wrongOne = (who) => ({ write: server.keys.read, read: server.keys.write, admin: owner }[who] ?? server.keys.write);

test('every operation is there, with each success that it tells of, and its main errors', { skip, timeout: 120000 }, async (t) => {
  const { document, operations } = contract();
  assert.deepEqual(operations.map((each) => each.id).filter((id) => CALLS[id] === undefined), [], 'operations without a line in CALLS');
  assert.deepEqual(Object.keys(CALLS).filter((id) => !operations.some((each) => each.id === id)), [], 'lines of CALLS without an operation');
  for (const operation of operations) {
    const { id } = operation;
    await t.test(`${operation.method.toUpperCase()} ${operation.pattern}: ${id}`, async () => {
      const who = whoOf(operation);
      const expect = (status, reply, words) => {
        assert.equal(String(reply.status), status, `${id}, ${words}: ${reply.text}`);
      };
      for (const [status, call] of CALLS[id]) await expect(status, await call(), call);
      if (who !== 'open') {
        const nobody = await send(operation);
        await expect('401', nobody, 'nobody asks');
        assert.equal(nobody.json.error.code, 'unauthorized');
        await expect('403', await send(operation, { token: wrongOne(who) }), 'the wrong one asks');
      }
      const names = parametersOf(operation).map((each) => each.name);
      if (names.includes('project') && !document.paths[operation.pattern].parameters?.length) {
        await expect('404', await send(operation, { token: admin, target: `${address(operation)}?project=999999` }), 'a project that is not there');
      } else if (operation.pattern.includes('{') && operation.operation.responses[404] !== undefined && id !== 'getDocsFile') {
        await expect('404', await send(operation, { token: admin, target: address(operation, '999999'), body: '{"role":"owner"}' }), 'a thing that is not there');
      }
      if (operation.operation.requestBody) {
        await expect('415', await send(operation, { token: credential(who), type: 'application/xml' }), 'another type');
        await expect('400', await send(operation, { token: credential(who), body: '{' }), 'broken JSON');
      }
      const never = Object.keys(operation.operation.responses)
        .filter((status) => /^[23]/.test(status) || status === '409' || (OF_ALL.includes(status) && id !== 'getDocsFile'))
        .filter((status) => !hasSeen(id, status) && !FULL.includes(`${id} ${status}`));
      assert.deepEqual(never, [], 'told by the document, and never seen');
    });
  }
});

test('what the server says before it knows a route', { skip }, async () => {
  const odd = (headers, target = '/v1/events') => server.request({ path: target, headers: { authorization: `Bearer ${server.keys.read}`, ...headers } });
  assert.equal((await odd({}, `/v1/events?x=${'y'.repeat(9000)}`)).status, 414);
  assert.equal((await odd({ 'x-long': 'y'.repeat(17000) })).status, 431);
  assert.equal((await odd({ expect: 'a reply' })).status, 417);
  assert.equal((await odd({}, '/v1/%zz')).status, 400);
  const wrong = await server.request({ method: 'PUT', path: '/v1/events' });
  assert.deepEqual([wrong.status, wrong.headers.allow], [405, 'POST, GET, HEAD, OPTIONS']);
  const { document, ajv } = contract();
  assert.ok(ajv.validate({ $ref: 'potik#/components/schemas/Error405' }, wrong.json));
  assert.ok(document.components.responses.MethodNotAllowed.headers.Allow.required);
});

/* --- parameters -----------------------------------------------------------------------------------*/

const statsOperations = () => contract().operations.filter((each) => each.pattern.startsWith('/v1/stats/'));
const schemaOf = (parameter) => deref(contract().document, parameter.schema);
const ask = (operation, params) => reading(`${operation.pattern}?${query(params)}`);

test('stats: the parameters told are those that the program takes, one by one', { skip }, async () => {
  const { json } = await reading('/v1/stats/nothing');
  assert.deepEqual(/there are: (.*)$/.exec(json.error.message)[1].split(', ').sort(), statsOperations().map((each) => each.pattern.slice(10)).sort());
  for (const operation of statsOperations()) {
    const told = parametersOf(operation).map((each) => each.name).filter((name) => name !== 'project');
    const refused = await ask(operation, { no_such_parameter: 1 });
    assert.deepEqual(/it takes (.*)$/.exec(refused.json.error.message)[1].split(', ').sort(), [...told].sort(), operation.pattern);
    /* The reply names every parameter in force, and the schema requires exactly those. */
    const reply = await ask(operation, {});
    assert.deepEqual(Object.keys(reply.json.params).sort(), [...told].sort());
    for (const parameter of parametersOf(operation)) {
      const schema = schemaOf(parameter);
      if (schema.default !== undefined) assert.equal(reply.json.params[parameter.name], schema.default, `${operation.pattern} ${parameter.name}`);
    }
  }
});

test('stats: choices, ranges and repeats are as told', { skip }, async () => {
  for (const operation of statsOperations()) {
    for (const parameter of parametersOf(operation).filter((each) => each.name !== 'project')) {
      const { name } = parameter;
      const schema = schemaOf(parameter);
      const give = async (value, status) => {
        const reply = await ask(operation, { [name]: value });
        assert.equal(reply.status, status, `${operation.pattern}?${name}=${value}: ${reply.text}`);
        if (status === 400) assert.equal(reply.json.error.field, name);
        return reply;
      };
      if (schema.enum !== undefined) {
        for (const value of schema.enum) await give(value, 200);
        const words = (await give('no_such_value', 400)).json.error.message;
        assert.deepEqual(words.replace(/^.*: must be (one of )?/, '').split(', ').sort(), [...schema.enum].sort(), words);
      } else if (schema.type === 'integer') {
        await give(schema.minimum, 200);
        await give(schema.maximum, 200);
        await give(schema.maximum + 1, 400);
        await give(schema.minimum - 1, 400);
      } else if (schema.type === 'array') {
        await give(['a', 'b'], 200);
        await give('x'.repeat(schema.items.maxLength), 200);
        await give('x'.repeat(schema.items.maxLength + 1), 400);
        await give('', 400);
      } else {
        await give('no such thing', 400);
        await give(['2026-01-01', '2026-01-01'], 400);
      }
    }
  }
});

/* A value that is one, for parameters of other routes. */
const EXAMPLES = { limit: 5, before: '1', from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z', project: 1 };

test('other routes: the parameters told are taken, others are not', { skip }, async () => {
  EXAMPLES.after = (await events(one())).json.position;
  for (const operation of contract().operations.filter((each) => each.pattern.startsWith('/v1/') && !each.pattern.startsWith('/v1/stats/') && !each.pattern.startsWith('/v1/auth/'))) {
    const who = whoOf(operation);
    const told = parametersOf(operation).map((each) => each.name);
    const ofTable = routes().find((each) => each.pattern === operation.pattern.replace(/\{\w+\}/g, '{}') && each.method === operation.method.toUpperCase()).parameters;
    if (ofTable[0] !== '?') assert.deepEqual(told.filter((name) => name !== 'project').sort(), ofTable.filter((name) => name !== '-').sort(), operation.id);
    const target = address(operation, '1');
    const isOfProject = told.includes('project') && ['owner', 'admin'].includes(who) ? 'project=1&' : '';
    const refused = await send(operation, { token: credential(who), target: `${target}?${isOfProject}no_such_parameter=1`, body: '[]' });
    assert.equal(refused.status, 400, `${operation.id}: ${refused.text}`);
    assert.match(refused.json.error.message, /no_such_parameter/);
    if (operation.method !== 'get') continue;
    for (const name of told) {
      const reply = await send(operation, { token: credential(who), target: `${target}?${query({ [name]: EXAMPLES[name] })}` });
      assert.ok([200, 404].includes(reply.status), `${operation.id}?${name}: ${reply.text}`);
      const schema = schemaOf(parametersOf(operation).find((each) => each.name === name));
      if (name !== 'limit') continue;
      for (const [value, status] of [[schema.minimum, 200], [schema.maximum, 200], [schema.maximum + 1, 400], [schema.minimum - 1, 400]]) {
        const asked = await send(operation, { token: credential(who), target: `${target}?limit=${value}` });
        assert.equal(asked.status, status, `${operation.id}?limit=${value}: ${asked.text}`);
      }
    }
  }
});

test('examples of bodies are taken as they stand', { skip }, async () => {
  const { content } = contract().operations.find((each) => each.id === 'sendEvents').operation.requestBody;
  for (const [type, { example, examples = {} }] of Object.entries(content)) {
    for (const value of [example, ...Object.values(examples).map((each) => each.value)].filter((each) => each !== undefined)) {
      const reply = await events(typeof value === 'string' ? value : JSON.stringify(value), { headers: { 'content-type': type } });
      assert.equal(reply.status, 200, reply.text);
      assert.equal(reply.json.rejected, 0, reply.text);
    }
  }
  await until('the examples are there', async () => (await reading('/v1/stats/top-events?limit=1000')).json.rows.some(([name]) => name === 'purchase'));
});
