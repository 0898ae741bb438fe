/*
 * auth - logging in, by the whole program: tokens, their renewal and end, projects, the throttle, and forged tokens. Each
 * refused token is a 401 and one line in the log, which does not hold it.
 */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { MISSING, readKeys, startServer, until } from './server.mjs';

const skip = MISSING;
let server; /* no throttle: most tests fail logins on purpose */
let number = 0;

function credentials(of) {
  const text = fs.readFileSync(path.join(of.dataDir, 'first-run.txt'), 'utf8');
  const value = (name) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)[1];
  return { email: value('admin_email'), password: value('admin_password') };
}

function post(target, body, { token = null, headers = {}, on = server } = {}) {
  return on.request({
    method: 'POST', path: target, body: body === null ? null : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...headers },
  });
}

function get(target, token, { on = server, headers = {} } = {}) {
  return on.request({ path: target, headers: { authorization: `Bearer ${token}`, ...headers } });
}

async function login(on = server, password = undefined) {
  const reply = await post('/v1/auth/login', { ...credentials(on), ...(password === undefined ? {} : { password }) }, { on });
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}

const linesOf = (on, id) => on.stderr.split('\n').filter((line) => line.includes('auth.refused ') && line.includes(`request_id=${id} `));

/* The signing key of the server, as its file has it. */
function ring(on = server) {
  const lines = fs.readFileSync(path.join(on.dataDir, 'token-keys'), 'utf8').trim().split('\n');
  const [kid, alg, secret, created] = lines[1].split(' ');
  return { lines, kid, alg, secret: Buffer.from(secret, 'base64url'), created };
}

const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
function sign(header, claims, secret) {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${crypto.createHmac('sha256', secret).update(text).digest('base64url')}`;
}

before(async () => {
  if (!skip) server = await startServer({ flags: ['--login-throttle', 'off'] });
});
after(async () => {
  await server?.close();
});

test('a login gives tokens that read and write, and me tells who it is', { skip }, async () => {
  const tokens = await login();
  assert.equal(tokens.token_type, 'Bearer');
  assert.equal(tokens.expires_in, 900);
  assert.equal(tokens.refresh_expires_in, 30 * 24 * 3600);
  assert.match(tokens.refresh_token, /^rt_[a-z2-7]{52}$/);
  const account = { id: tokens.account.id, email: 'admin@localhost', is_admin: true, projects: [{ id: 1, name: 'default', role: 'owner' }] };
  assert.deepEqual(tokens.account, account);
  const me = await get('/v1/auth/me', tokens.access_token);
  assert.deepEqual([me.status, me.json], [200, account]);
  assert.equal(me.headers['cache-control'], 'no-store');
  assert.equal(me.headers['x-content-type-options'], 'nosniff');
  const sent = await post('/v1/events', { event_id: 'a1', event_type: 't', user_id: 'u' }, { token: tokens.access_token });
  assert.equal(sent.status, 200, sent.text);
  const stats = await get(`/v1/stats/top-events?min_position=${sent.json.position}&wait_ms=10000`, tokens.access_token);
  assert.deepEqual([stats.status, stats.json?.rows], [200, [['t', 1, 1]]], stats.text);
});

test('project= is taken out, and one that is not there is like one that is not yours', { skip }, async () => {
  const { access_token: token } = await login();
  const { read, write } = server.keys;
  const answers = {
    'project=1&from=2026-01-01': 200, 'from=2026-01-01&project=1': 200, 'pro%6aect=1': 200, 'project=2': 404, 'project=4294967295': 404,
    'project=0': 400, 'project=x': 400, 'project=': 400, 'project=1&project=1': 400, 'project=4294967296': 400,
  };
  for (const [query, status] of Object.entries(answers)) {
    for (const shown of [token, read]) {
      const reply = await get(`/v1/stats/dau?${query}`, shown);
      assert.equal(reply.status, status, `${query}: ${reply.text}`);
      if (status === 400) assert.equal(reply.json.error.field, 'project');
    }
  }
  const of = async (shown) => {
    const reply = await get('/v1/stats/dau?project=7', shown, { headers: { 'x-request-id': 'same' } });
    return [reply.status, reply.text];
  };
  assert.deepEqual(await of(token), await of(read));
  const wrong = await post('/v1/events?project=2', [], { token: write });
  assert.deepEqual([wrong.status, wrong.json.error.code], [404, 'not_found']);
  const right = await post('/v1/events?project=1&detail=all', [], { token: write });
  assert.equal(right.status, 200, right.text);
});

test('a key is no login, and X-Potik-Key takes no token', { skip }, async () => {
  const { access_token: token } = await login();
  const key = await get('/v1/auth/me', server.keys.read);
  assert.deepEqual([key.status, key.json.error.code], [403, 'wrong_key_kind']);
  assert.equal((await get('/v1/stats/dau', server.keys.write)).json.error.code, 'wrong_key_kind');
  const own = await server.request({ path: '/v1/stats/dau', headers: { 'x-potik-key': token } });
  assert.equal(own.status, 401);
});

test('what fails looks the same whether the account is there or not', { skip }, async () => {
  const { email } = credentials(server);
  const seen = [];
  for (const [who, password] of [[email, 'wrong password'], ['nobody@example.com', 'wrong password'], ['no email', 'x'], [email, 'y'.repeat(300)]]) {
    const id = `fail-${++number}`;
    const reply = await post('/v1/auth/login', { email: who, password }, { headers: { 'x-request-id': id } });
    assert.equal(reply.status, 401);
    assert.match(reply.headers['www-authenticate'], /^Bearer/);
    seen.push(reply.text.replace(id, ''));
    await until('the line', () => linesOf(server, id).length === 1);
  }
  assert.equal(new Set(seen).size, 1, seen.join('\n'));
  assert.ok(!server.stderr.includes('wrong password'), 'a password in the log');
});

test('bodies are asked for their type, size and fields', { skip }, async () => {
  const raw = (body, headers) => server.request({ method: 'POST', path: '/v1/auth/login', body, headers });
  for (const type of ['application/x-www-form-urlencoded', 'text/plain']) { /* what a form of another site could post */
    const refused = await raw('{}', { 'content-type': type });
    assert.deepEqual([refused.status, refused.json.error.code], [415, 'unsupported_media_type']);
    assert.match(refused.json.error.message, /add -H 'Content-Type: application\/json'/);
  }
  assert.equal((await raw('{}', { 'content-encoding': 'gzip' })).json.error.code, 'unsupported_encoding');
  assert.equal((await raw(' '.repeat(64 * 1024 + 1), {})).status, 413);
  assert.equal((await raw(' '.repeat(64 * 1024), {})).json.error.code, 'invalid_json');
  assert.equal((await raw(' '.repeat(64 * 1024 + 1), { 'transfer-encoding': 'chunked' })).status, 413);
  assert.equal((await raw('', {})).json.error.code, 'empty_body');
  const field = async (body) => {
    const { error } = (await raw(body, {})).json;
    return [error.code, error.field];
  };
  assert.deepEqual(await field('{"email":"a@b"}'), ['missing_field', 'password']);
  assert.deepEqual(await field('{"email":"a@b","password":"x","remember":true}'), ['unknown_field', 'remember']);
  assert.deepEqual(await field('{"email":"a@b","password":1}'), ['invalid_type', 'password']);
  assert.deepEqual(await field('{"email":"a@b","email":"a@c","password":"x"}'), ['duplicate_key', 'email']);
  assert.equal((await server.request({ path: '/v1/auth/login' })).status, 405);
});

test('a refresh token is good once; within its grace it is refused and the session goes on', { skip }, async () => {
  const first = await login();
  const refresh = (token) => post('/v1/auth/refresh', { refresh_token: token });
  const second = await refresh(first.refresh_token);
  assert.equal(second.status, 200, second.text);
  assert.notEqual(second.json.refresh_token, first.refresh_token);
  assert.deepEqual(second.json.account, first.account);
  const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
  assert.equal(claims(first.access_token).jti.replace(/\.0$/, '.1'), claims(second.json.access_token).jti);
  const raced = await refresh(first.refresh_token);
  assert.deepEqual([raced.status, raced.json.error.field], [401, 'refresh_token']);
  assert.match(raced.json.error.message, /a moment ago/);
  const third = await refresh(second.json.refresh_token);
  assert.equal(third.status, 200, third.text);
  /* Two rotations later nobody's reply can have been lost: somebody has a copy. */
  const reused = await refresh(first.refresh_token);
  assert.equal(reused.status, 401);
  for (const text of ['rt_' + 'a'.repeat(52), first.access_token, '', 'x'.repeat(1000)]) {
    const id = `refresh-${++number}`;
    const reply = await post('/v1/auth/refresh', { refresh_token: text }, { headers: { 'x-request-id': id } });
    assert.equal(reply.status, 401, text);
    await until('the line', () => linesOf(server, id).length === 1);
  }
});

test('of many that use one refresh token at once, one renews', { skip }, async () => {
  const { refresh_token: token } = await login();
  const replies = await Promise.all(Array.from({ length: 8 }, () => post('/v1/auth/refresh', { refresh_token: token })));
  assert.deepEqual(replies.map((reply) => reply.status).sort(), [200, ...Array(7).fill(401)]);
});

test('a logout ends its session at once, and no other', { skip }, async () => {
  const [mine, other] = [await login(), await login()];
  assert.equal((await get('/v1/auth/me', mine.access_token)).status, 200);
  const out = await post('/v1/auth/logout', null, { token: mine.access_token });
  assert.deepEqual([out.status, out.text], [204, '']);
  assert.equal(out.headers['cache-control'], 'no-store');
  for (let i = 0; i < 8; i++) /* on both loops */
    assert.equal((await get('/v1/auth/me', mine.access_token, { headers: { connection: 'close' } })).status, 401);
  assert.equal((await post('/v1/auth/refresh', { refresh_token: mine.refresh_token })).status, 401);
  assert.equal((await get('/v1/auth/me', other.access_token)).status, 200);
});

test('a new password ends other sessions, the caller\'s goes on', { skip }, async () => {
  const own = await startServer();
  try {
    const [mine, other] = [await login(own), await login(own)];
    const { password } = credentials(own);
    const change = (current, fresh) => post('/v1/auth/password', { current_password: current, new_password: fresh }, { token: mine.access_token, on: own });
    const wrong = await change('not it at all', 'a new password');
    assert.deepEqual([wrong.status, wrong.json.error.field], [403, 'current_password']);
    const { lines } = (await get('/v1/audit?limit=1', mine.access_token, { on: own })).json;
    assert.deepEqual([lines[0].action, lines[0].actor.email, lines[0].target, lines[0].detail],
      ['login.failed', 'admin@localhost', 'account admin@localhost', 'wrong current password']);
    const short = await change(password, '1234567');
    assert.deepEqual([short.status, short.json.error.code, short.json.error.field], [400, 'invalid_parameter', 'new_password']);
    assert.equal((await change(password, 'a new password')).status, 204);
    assert.equal((await get('/v1/auth/me', mine.access_token, { on: own })).status, 200);
    assert.equal((await get('/v1/auth/me', other.access_token, { on: own })).status, 401);
    assert.equal((await post('/v1/auth/refresh', { refresh_token: mine.refresh_token }, { on: own })).status, 200);
    assert.equal((await post('/v1/auth/refresh', { refresh_token: other.refresh_token }, { on: own })).status, 401);
    assert.equal((await post('/v1/auth/login', credentials(own), { on: own })).status, 401);
    await login(own, 'a new password');
    for (const secret of [password, 'a new password', mine.access_token, mine.refresh_token])
      assert.ok(!own.stderr.replace(/^  password .*$/m, '').includes(secret), 'a secret in the log');
  } finally {
    await own.close();
  }
});

test('a hash of a lower cost is made anew at login', { skip }, async () => {
  const own = await startServer({ flags: ['--login-throttle', 'off'] });
  try {
    await login(own);
    await own.stop();
    const again = await startServer({ dataDir: own.dataDir, flags: ['--hash-passes', '3', '--login-throttle', 'off'] });
    await login(again);
    await login(again);
    assert.ok(!again.stderr.includes('login.not_rehashed'), again.stderr);
    await again.close();
  } finally {
    own.remove();
  }
});

test('failed logins are slowed down, known or not, before anything is hashed', { skip }, async () => {
  const own = await startServer({ flags: ['--trusted-proxy', '127.0.0.1,10.0.0.0/8'] });
  try {
    const { email, password } = credentials(own);
    const attempt = (who, secret, from) => post('/v1/auth/login', { email: who, password: secret }, { on: own, headers: { 'x-forwarded-for': `9.9.9.9, ${from}, 10.1.2.3` } });
    for (const who of [email, 'nobody@example.com']) {
      const statuses = [];
      /* each from an address of its own */
      for (let i = 0; i < 5; i++) statuses.push((await attempt(who, 'not it at all', `192.0.2.${++number}`)).status);
      assert.deepEqual(statuses, [401, 401, 401, 401, 429]);
    }
    const refused = await attempt(email, password, '192.0.2.250');
    assert.deepEqual([refused.status, refused.json.error.code], [429, 'rate_limited']);
    assert.match(refused.headers['retry-after'], /^[1-2]$/);
    /* an address that goes through accounts */
    const statuses = [];
    for (let i = 0; i < 5; i++) statuses.push((await attempt(`u${i}@example.com`, 'not it at all', '2001:db8:1:2::' + i)).status);
    assert.deepEqual(statuses, [401, 401, 401, 401, 429]);
    /* what is no address is not believed: then the proxy's own counts, and is slowed down */
    const broken = [];
    for (let i = 0; i < 5; i++) broken.push((await attempt(`v${i}@example.com`, 'not it at all', `unknown-${i}`)).status);
    assert.deepEqual(broken, [401, 401, 401, 401, 429]);
    await until('the delay to end', async () => (await attempt(email, password, '192.0.2.251')).status === 200);
    assert.equal((await attempt(email, 'not it at all', '192.0.2.252')).status, 401, 'forgotten by the right password');
  } finally {
    await own.close();
  }
});

test('forged tokens: each is a 401 and one line in the log', { skip }, async () => {
  const { access_token: good, refresh_token: refresh } = await login();
  const { kid, secret } = ring();
  const [head, body, tail] = good.split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  const header = { alg: 'HS256', typ: 'at+jwt', kid };
  const now = Math.floor(Date.now() / 1000);
  assert.equal((await get('/v1/auth/me', sign(header, claims, secret))).status, 200, 'the signer of this test is right');
  const forged = {
    'alg none': `${part({ ...header, alg: 'none' })}.${body}.`,
    'alg none, signed': sign({ ...header, alg: 'none' }, claims, secret),
    'alg None': `${part({ ...header, alg: 'None' })}.${body}.${tail}`,
    'another secret': sign(header, claims, crypto.randomBytes(32)),
    'an empty secret': sign(header, claims, Buffer.alloc(0)),
    'HS512': sign({ ...header, alg: 'HS512' }, claims, secret),
    'EdDSA': sign({ ...header, alg: 'EdDSA' }, claims, secret),
    'kid a path': sign({ ...header, kid: '../../../../dev/null' }, claims, Buffer.alloc(0)),
    'kid SQL': sign({ ...header, kid: "x' UNION SELECT 'k" }, claims, 'k'),
    'kid of another': sign({ ...header, kid: 'aaaaaaaaaaaa' }, claims, secret),
    'kid a number': sign({ ...header, kid: 1 }, claims, secret),
    'no kid': sign({ alg: 'HS256', typ: 'at+jwt' }, claims, secret),
    'jwk': sign({ ...header, jwk: { kty: 'oct', k: part('k') } }, claims, 'k'),
    'crit': sign({ ...header, crit: ['exp'] }, claims, secret),
    'typ JWT': sign({ ...header, typ: 'JWT' }, claims, secret),
    'altered claims': `${head}.${part({ ...claims, sub: '2' })}.${tail}`,
    'wrong iss': sign(header, { ...claims, iss: 'other' }, secret),
    'wrong aud': sign(header, { ...claims, aud: 'other' }, secret),
    'expired': sign(header, { ...claims, iat: now - 1000, exp: now - 1 }, secret),
    'expires now': sign(header, { ...claims, iat: now - 1000, exp: now }, secret),
    'not yet valid': sign(header, { ...claims, iat: now + 1000, exp: now + 2000 }, secret),
    'too long a life': sign(header, { ...claims, iat: now, exp: now + 90000 }, secret),
    'no exp': sign(header, { ...claims, exp: undefined }, secret),
    'nbf': sign(header, { ...claims, nbf: now + 1000 }, secret),
    'twice sub': sign(header, JSON.stringify(claims).replace('{', '{"sub":"2",'), secret),
    'twice exp': sign(header, JSON.stringify(claims).replace('{', `{"exp":${now + 5000},`), secret),
    'nobody': sign(header, { ...claims, sub: '999999' }, secret),
    'sub SQL': sign(header, { ...claims, sub: '1 OR 1=1' }, secret),
    'jti of no session': sign(header, { ...claims, jti: 'x' }, secret),
    'truncated': good.slice(0, -1),
    'truncated more': good.slice(0, good.length >> 1),
    'two parts': `${head}.${body}`,
    'four parts': `${good}.x`,
    'padding': `${good}=`,
    'another spelling': good.slice(0, -1) + String.fromCharCode(good.charCodeAt(good.length - 1) + 1),
    'dots': '..',
    'a refresh token': refresh,
    'a refresh token with dots': `${refresh}.a.b`,
  };
  /* 20 lines a second are written: so many in any second of the server's, those of the tests before among them. */
  const sent = Array(18).fill(Date.now());
  for (const [name, token] of Object.entries(forged)) {
    const id = `forged-${++number}`;
    await until('room in the second', () => Date.now() - sent[sent.length - 18] > 1100);
    sent.push(Date.now());
    const reply = await get('/v1/auth/me', token, { headers: { 'x-request-id': id } });
    assert.equal(reply.status, 401, `${name}: ${reply.text}`);
    assert.ok(token.length < 20 || !reply.text.includes(token), name);
    await until(`the line of ${name}`, () => linesOf(server, id).length !== 0);
    assert.ok(token.length < 20 || !server.stderr.includes(token), `${name} in the log`);
  }
  for (let i = 1; i <= Object.keys(forged).length; i++) {
    const id = `forged-${number - Object.keys(forged).length + i}`;
    assert.equal(linesOf(server, id).length, 1, `${Object.keys(forged)[i - 1]}: one line`);
  }
  for (const size of [100 * 1024, 1024 * 1024]) {
    let status;
    try {
      ({ status } = await get('/v1/auth/me', sign({ ...header, kid: 'k'.repeat(size) }, claims, secret)));
    } catch {
      status = 431; /* closed while this was still being sent */
    }
    assert.equal(status, 431);
  }
  assert.equal((await get('/v1/auth/me', sign({ ...header, kid: 'k'.repeat(5000) }, claims, secret))).status, 401);
  assert.equal((await get('/v1/auth/me', good)).status, 200, 'the good one still is');
});

/* CRC32C (Castagnoli), as docs/FORMATS.md has it in token-keys. */
function crc32c(text) {
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
}

test('a new signing key logs nobody out', { skip }, async () => {
  const { access_token: old } = await login();
  const { kid, alg, secret, created } = ring();
  const now = Math.floor(Date.now() / 1000);
  const fresh = crypto.randomBytes(32).toString('base64url');
  const text = `potik-token-keys 1\nfreshkey2345 ${alg} ${fresh} ${now} 0\n${kid} ${alg} ${secret.toString('base64url')} ${created} ${now + 86460}\n`;
  const file = path.join(server.dataDir, 'token-keys');
  fs.writeFileSync(`${file}.new`, `${text}crc32c ${crc32c(text)}\n`, { mode: 0o600 });
  fs.renameSync(`${file}.new`, file);
  await until('a token signed with the new key', async () => {
    const { access_token: token } = await login();
    const { kid: signer } = JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));
    assert.equal((await get('/v1/auth/me', token)).status, 200);
    return signer === 'freshkey2345';
  }, { everyMs: 100 });
  assert.equal((await get('/v1/auth/me', old)).status, 200);
});

test('browsers: listed origins may ask, others may change nothing', { skip }, async () => {
  const own = await startServer({ flags: ['--origins', 'https://app.example.com, http://localhost:3000'] });
  try {
    const ask = (method, target, headers, body = null) => own.request({ method, path: target, headers, body });
    const listed = { origin: 'https://app.example.com' };
    const stats = await ask('GET', '/v1/stats/dau', { ...listed, authorization: `Bearer ${own.keys.read}` });
    assert.equal(stats.headers['access-control-allow-origin'], 'https://app.example.com');
    assert.equal(stats.headers['access-control-allow-credentials'], undefined);
    assert.equal(stats.headers.vary, 'Origin');
    const other = await ask('GET', '/v1/stats/dau', { origin: 'https://evil.example', authorization: `Bearer ${own.keys.read}` });
    assert.deepEqual([other.status, other.headers['access-control-allow-origin'], other.headers.vary], [200, undefined, 'Origin']);
    const preflight = { 'access-control-request-method': 'POST' };
    const before = await ask('OPTIONS', '/v1/auth/login', { ...listed, ...preflight });
    assert.deepEqual([before.status, before.headers['access-control-allow-methods']], [204, 'POST']);
    assert.equal((await ask('OPTIONS', '/v1/auth/login', { origin: 'https://evil.example', ...preflight })).status, 405);
    const reading = { 'access-control-request-method': 'GET' };
    assert.equal((await ask('OPTIONS', '/v1/events', { ...listed, ...reading })).headers['access-control-allow-origin'], '*');
    const body = JSON.stringify(credentials(own));
    const log = (headers) => ask('POST', '/v1/auth/login', { 'content-type': 'application/json', ...headers }, body);
    assert.equal((await log(listed)).status, 200);
    assert.equal((await log({ origin: own.address })).status, 200, 'its own');
    for (const origin of ['https://evil.example', 'null', `${own.address}.evil.example`, 'https://app.example.com.evil.example', 'http://app.example.com']) {
      const reply = await log({ origin });
      assert.deepEqual([reply.status, reply.json.error.code], [403, 'forbidden'], origin);
    }
    const sent = await ask('POST', '/v1/events', { origin: 'https://any.example', authorization: `Bearer ${own.keys.write}` }, '[]');
    assert.deepEqual([sent.status, sent.headers['access-control-allow-origin']], [200, '*']);
    assert.equal(sent.headers['x-content-type-options'], undefined);
    const page = await ask('GET', '/', {});
    assert.match(page.headers['content-security-policy'], /style-src 'unsafe-inline'/);
    assert.ok(!page.headers['content-security-policy'].includes(','), 'one policy');
  } finally {
    await own.close();
  }
});

test('the admin is made once and kept', { skip }, async () => {
  const own = await startServer();
  const { password } = credentials(own);
  assert.match(own.stderr, new RegExp(`password   ${password}`));
  await own.stop();
  const again = await startServer({ dataDir: own.dataDir });
  try {
    assert.ok(!again.stderr.includes(password));
    assert.equal(credentials(again).password, password);
    assert.deepEqual(readKeys(again.dataDir).write, own.keys.write);
    await login(again);
  } finally {
    await again.close();
    own.remove();
  }
});
