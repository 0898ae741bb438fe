/*
 * The wall between tenants: two projects × every route × every credential, own, foreign and absent things asked for. The routes are those
 * of the program's own table (print_routes), so a new one is covered by itself; one whose path holds something this test cannot name
 * fails it. What must hold:
 *
 *   - who may not is refused: 401 without a good credential, 403 or 404 with one;
 *   - nothing of the other project is in any reply: no id, no name, no event;
 *   - what is another's and what is not there are answered with the same bytes;
 *   - nothing is changed by who may not change it.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { MISSING, SLOWNESS, startServer, until } from './server.mjs';
import { adminLogin, api, logIn } from './access.mjs';

const options = { skip: MISSING, timeout: 240000 * SLOWNESS };
const TOOLS = process.env.POTIK_TEST_TOOLS ?? path.resolve('build');
const MARK = { mine: 'tenant-one-7f3a', other: 'tenant-two-9c1e' };

let server;
let routes;
let admin;
const tenants = {};
const bad = []; /* credentials that are good for nothing */

/** A project with keys, three accounts, an event, a finished erasure. */
async function makeTenant(name) {
  const mark = MARK[name];
  const project = (await api(server, 'POST', '/v1/projects', { token: admin, body: { name: `${mark}-project` }, expect: 201 })).project;
  const tenant = { name, mark, project: project.id, credentials: {}, accounts: {} };
  for (const kind of ['write', 'read']) {
    const { key } = await api(server, 'POST', `/v1/projects/${project.id}/keys`, { token: admin, body: { kind, name: `${mark}-${kind}` }, expect: 201 });
    tenant.credentials[`${kind} key`] = { text: key.text, project: project.id, may: kind === 'write' ? ['write'] : ['read'], isKey: true };
    tenant.key = key.id;
  }
  for (const [role, may] of Object.entries({ owner: ['write', 'read', 'login', 'owner'], analyst: ['read', 'login'], ingest: ['write', 'login'] })) {
    const account = { email: `${role}@${mark}.example`, password: `password of ${role}` };
    const made = (await api(server, 'POST', '/v1/accounts', { token: admin, body: account, expect: 201 })).account;
    await api(server, 'PUT', `/v1/projects/${project.id}/members/${made.id}`, { token: admin, body: { role }, expect: 200 });
    tenant.accounts[role] = made.id;
    tenant.credentials[role] = { text: await logIn(server, account), project: project.id, may, account };
  }
  const sent = await server.request({
    method: 'POST', path: '/v1/events', headers: { authorization: `Bearer ${tenant.credentials['write key'].text}` },
    body: JSON.stringify({ event_id: `${mark}-event`, event_type: `${mark}-type`, user_id: `${mark}-user`, properties: { mark } }),
  });
  assert.equal(sent.status, 200, sent.text);
  const refused = await server.request({
    method: 'POST', path: '/v1/events', headers: { authorization: `Bearer ${tenant.credentials['write key'].text}` },
    body: JSON.stringify({ event_id: `${mark}-refused`, event_type: '' }),
  });
  assert.equal(refused.status, 400, refused.text);
  const kept = await server.request({ path: '/v1/rejected', headers: { authorization: `Bearer ${tenant.credentials['read key'].text}` } });
  tenant.rejected = kept.json.rejected[0].id;
  const job = await api(server, 'DELETE', `/v1/users/nobody-${name}?project=${project.id}`, { token: admin, expect: 202 });
  tenant.erasure = job.erasure.id;
  return tenant;
}

async function picture(tenant) {
  const read = tenant.credentials['read key'].text;
  const events = await server.request({ path: '/v1/events?limit=100', headers: { authorization: `Bearer ${read}` } });
  const project = await api(server, 'GET', `/v1/projects/${tenant.project}`, { token: admin, expect: 200 });
  const keys = await api(server, 'GET', `/v1/projects/${tenant.project}/keys`, { token: admin, expect: 200 });
  const members = await api(server, 'GET', `/v1/projects/${tenant.project}/members`, { token: admin, expect: 200 });
  for (const key of keys.keys) delete key.last_used_at;
  return JSON.stringify([events.json.events, project, keys, members]);
}

before(async () => {
  if (options.skip) return;
  const listed = spawnSync(path.join(TOOLS, 'test/flow/print_routes'), { encoding: 'utf8' });
  assert.equal(listed.status, 0, listed.stderr);
  routes = listed.stdout.trim().split('\n').map((line) => {
    const [method, pattern, auth] = line.split(' ');
    return { method, pattern, auth };
  });
  server = await startServer({ flags: ['--login-throttle', 'off', '--keep-rejected', '1MiB'] });
  admin = await adminLogin(server);
  for (const name of ['mine', 'other']) tenants[name] = await makeTenant(name);
  await until('both events loaded', async () => {
    const all = await Promise.all(Object.values(tenants).map(async (tenant) => (await server.request({
      path: '/v1/events', headers: { authorization: `Bearer ${tenant.credentials['read key'].text}` },
    })).json.events.length));
    return all.every((count) => count === 1);
  });
  const { mine } = tenants;
  const text = mine.credentials['read key'].text;
  const token = mine.credentials.owner.text;
  const change = (given, at) => given.slice(0, at) + (given[at] === 'a' ? 'b' : 'a') + given.slice(at + 1);
  bad.push(['no credential', null], ['a cut key', text.slice(0, -1)], ['an altered key', change(text, 10)], ['a longer key', `${text}a`],
    ['a cut token', token.slice(0, -1)], ['an altered token', change(token, token.indexOf('.') + 5)], ['an altered signature', change(token, token.lastIndexOf('.') + 5)],
    ['nonsense', 'x'], ['a refresh token', `rt_${'a'.repeat(52)}`]);
  for (const kind of ['write', 'read']) {
    const revoked = (await api(server, 'POST', `/v1/projects/${mine.project}/keys`, { token: admin, body: { kind, name: 'revoked' }, expect: 201 })).key;
    await api(server, 'DELETE', `/v1/projects/${mine.project}/keys/${revoked.id}`, { token: admin, expect: 204 });
    const expired = (await api(server, 'POST', `/v1/projects/${mine.project}/keys`, {
      token: admin, body: { kind, name: 'expired', expires_at: new Date(Date.now() + 1500).toISOString() }, expect: 201,
    })).key;
    bad.push([`a revoked ${kind} key`, revoked.text], [`an expired ${kind} key`, expired.text]);
  }
  const ended = await logIn(server, mine.credentials.owner.account);
  await api(server, 'POST', '/v1/auth/logout', { token: ended, expect: 204 });
  bad.push(['the token of an ended session', ended]);
  await until('the keys expired', async () => (await server.request({ path: '/v1/events', headers: { authorization: `Bearer ${bad.find(([name]) => name === 'an expired read key')[1]}` } })).status === 401);
});

after(async () => {
  await server?.close();
});

/** What stands behind a word of a path, by whose it is. */
function thing(word, whose) {
  const tenant = whose === 'mine' ? tenants.mine : tenants.other;
  const of = {
    projects: tenant.project, keys: tenant.key, members: tenant.accounts.analyst, accounts: tenant.accounts.analyst,
    users: `${tenant.mark}-user`, erasures: tenant.erasure, stats: 'dau', rejected: tenant.rejected,
  };
  const absent = { projects: 999999, keys: 999999, members: 999999, accounts: 999999, users: 'never-seen-0000', erasures: 999999, stats: 'dau', rejected: 999999 };
  const found = (whose === 'absent' ? absent : of)[word];
  assert.notEqual(found, undefined, `teach this test what stands behind /${word}/ in a path`);
  return found;
}

/** The path for a tenant's things; a project in the path, else in the query string where the route is of a project. */
function addressOf(route, whose, { withParameter = true } = {}) {
  const words = route.pattern.split('/');
  const target = words.map((word, i) => (word === '{}' ? encodeURIComponent(String(thing(words[i - 1], whose))) : word)).join('/');
  const isInPath = /\/projects\/\{\}/.test(route.pattern);
  const project = thing('projects', whose);
  return withParameter && !isInPath && ['write', 'read', 'owner'].includes(route.auth) ? `${target}?project=${project}` : target;
}

async function ask(route, target, text) {
  const body = ['POST', 'PUT', 'PATCH'].includes(route.method) ? '{}' : null;
  const headers = { ...(text === null ? {} : { authorization: `Bearer ${text}` }), ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': 2 }) };
  return server.request({ method: route.method, path: target, headers, body });
}

/** A reply without what differs from request to request, and without the thing's own name, which the client knows. */
function plain(reply, whose) {
  let text = reply.text.replace(/"request_id":"[^"]*"/, '"request_id":""');
  for (const word of ['projects', 'keys', 'accounts', 'erasures', 'users']) text = text.replaceAll(String(thing(word, whose)), 'X');
  return `${reply.status} ${reply.headers['content-type']} ${reply.headers['www-authenticate'] ?? ''} ${text}`;
}

const isOpen = (route) => route.auth === 'open';

test('the table has routes of every kind', options, () => {
  const kinds = new Set(routes.map((route) => route.auth));
  for (const kind of ['open', 'write', 'read', 'login', 'owner', 'admin']) assert.ok(kinds.has(kind), kind);
});

test('a credential that is not good opens nothing', options, async (t) => {
  for (const route of routes.filter((each) => !isOpen(each))) {
    await t.test(`${route.method} ${route.pattern}`, async () => {
      for (const [name, text] of bad) {
        for (const whose of ['mine', 'absent']) {
          const reply = await ask(route, addressOf(route, whose), text);
          assert.equal(reply.status, 401, `${name}: ${reply.text}`);
          assert.match(reply.headers['www-authenticate'], /^Bearer/);
          assert.ok(!reply.text.includes(MARK.mine), name);
        }
      }
    });
  }
});

test('a good credential opens what it is for, of its own project, and nothing else', options, async (t) => {
  const before = await picture(tenants.other);
  const beforeMine = await picture(tenants.mine);
  for (const route of routes.filter((each) => !isOpen(each))) {
    await t.test(`${route.method} ${route.pattern}`, async () => {
      for (const [name, credential] of Object.entries(tenants.mine.credentials)) {
        const what = `${name} of another project`;
        const isAllowed = credential.may.includes(route.auth);
        /* What names no project has nothing foreign in it, and does what it is for (logs out, for one). */
        if (isAllowed && route.auth === 'login' && route.method !== 'GET') continue;
        const foreign = await ask(route, addressOf(route, 'other'), credential.text);
        const absent = await ask(route, addressOf(route, 'absent'), credential.text);
        assert.ok(!(foreign.text + JSON.stringify(foreign.headers)).includes(MARK.other), `${what}: ${foreign.text}`);
        if (!isAllowed || route.auth !== 'login') assert.equal(plain(foreign, 'other'), plain(absent, 'absent'), `${what}: foreign and absent differ`);
        const namesProject = addressOf(route, 'other') !== addressOf(route, 'absent') && route.auth !== 'login';
        if (!isAllowed) assert.ok([403, 404].includes(foreign.status), `${what}: ${foreign.status} ${foreign.text}`);
        else if (namesProject) assert.equal(foreign.status, 404, `${what}: ${foreign.status} ${foreign.text}`);
        /* Of its own project: what it is not for. (What it is for may change things: other tests have that.) */
        if (isAllowed && route.method !== 'GET') continue;
        const own = await ask(route, addressOf(route, 'mine'), credential.text);
        if (!isAllowed) assert.ok([403, 404].includes(own.status), `${name}: ${own.status} ${own.text}`);
        else assert.ok(own.status === 200, `${name}: ${own.status} ${own.text}`);
        assert.ok(!own.text.includes(MARK.other), `${name}: ${own.text}`);
      }
    });
  }
  assert.equal(await picture(tenants.other), before, 'nothing of the other project was changed');
  assert.equal(await picture(tenants.mine), beforeMine, 'nor of its own by who may not');
});

test('in its own project, what is another\'s and what is not there are one', options, async (t) => {
  const before = await picture(tenants.other);
  const beforeMine = await picture(tenants.mine);
  const bodies = { members: { role: 'analyst' } };
  const { owner } = tenants.mine.credentials;
  for (const route of routes.filter((each) => /^\/v1\/projects\/\{\}\/.*\{\}$/.test(each.pattern))) {
    await t.test(`${route.method} ${route.pattern}`, async () => {
      const word = route.pattern.split('/')[4];
      const ask = async (whose) => plain(await api(server, route.method, `/v1/projects/${tenants.mine.project}/${word}/${thing(word, whose)}`, {
        token: owner.text, ...(route.method === 'DELETE' ? {} : { body: bodies[word] ?? {} }),
      }), whose);
      const foreign = await ask('other');
      assert.match(foreign, /^404 /);
      assert.ok(!foreign.includes(MARK.other), foreign);
      assert.equal(foreign, await ask('absent'));
    });
  }
  assert.equal(await picture(tenants.other), before);
  assert.equal(await picture(tenants.mine), beforeMine);
});

test('an owner adds a colleague by email, and changes by number only members', options, async () => {
  const { mine, other } = tenants;
  const members = `/v1/projects/${mine.project}/members`;
  const { text: token } = mine.credentials.owner;
  const stranger = { email: 'colleague@third.example', password: 'password of a colleague' };
  const { id } = (await api(server, 'POST', '/v1/accounts', { token: admin, body: stranger, expect: 201 })).account;
  const put = (number, expect) => api(server, 'PUT', `${members}/${number}`, { token, body: { role: 'ingest' }, expect });
  assert.match((await put(id, 404)).error.message, /no member of the project/);
  await api(server, 'DELETE', `${members}/${id}`, { token, expect: 404 });
  assert.equal((await api(server, 'POST', members, { token, body: { email: 'nobody@third.example', role: 'ingest' }, expect: 404 })).error.field, 'email');
  assert.equal((await api(server, 'POST', members, { token, body: { email: stranger.email, role: 'analyst' }, expect: 200 })).member.account, id);
  assert.equal((await put(id, 200)).member.role, 'ingest');
  await api(server, 'DELETE', `${members}/${id}`, { token, expect: 204 });
  await put(id, 404);
  /* An admin names any account by its number. */
  await api(server, 'PUT', `${members}/${id}`, { token: admin, body: { role: 'analyst' }, expect: 200 });
  await api(server, 'DELETE', `${members}/${id}`, { token: admin, expect: 204 });
  await api(server, 'DELETE', `${members}/${other.accounts.owner}`, { token: admin, expect: 404 });
});

test('the first project stays, whoever asks', options, async () => {
  const { error } = await api(server, 'DELETE', '/v1/projects/1', { token: admin, expect: 409 });
  assert.equal(error.code, 'conflict');
  assert.match(error.message, /first project \(number 1\) stays/);
  await api(server, 'GET', '/v1/projects/1', { token: admin, expect: 200 });
});

test('without project= a key or an account of one project means its own', options, async () => {
  for (const route of routes.filter((each) => each.auth === 'read' && each.method === 'GET')) {
    for (const name of ['read key', 'owner', 'analyst']) {
      const reply = await ask(route, addressOf(route, 'mine', { withParameter: false }), tenants.mine.credentials[name].text);
      assert.equal(reply.status, 200, `${route.pattern} ${name}: ${reply.text}`);
      assert.ok(!reply.text.includes(MARK.other));
    }
  }
});
