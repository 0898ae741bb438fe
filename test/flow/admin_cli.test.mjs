/*
 * Accounts, projects, keys, the audit log and erasures on the command line, beside a running server and without one, with either store.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { api, firstAdmin } from './access.mjs';
import { query } from './postgres.mjs';
import { BARE_ENV, BIN, MISSING, OF_NO_STORE, OF_THE_LEDGER, SLOWNESS, STORE, Client, startServer, storeEnv, storeUrl, temporaryFolder, until } from './server.mjs';

const skip = MISSING;
const PASSWORD = /^[a-z2-7]{20}\n$/;

/** Starts a command (or what `wrapper` makes of it); `input` null leaves stdin open. */
function start(words, { input = '', env = {}, cwd = undefined, wrapper = null } = {}) {
  const folder = words.indexOf('--data-dir') + 1;
  const [program, args] = wrapper === null ? [BIN, words] : wrapper(BIN, words);
  const child = spawn(program, args, { stdio: 'pipe', cwd, env: { ...BARE_ENV, ...(folder > 0 ? storeEnv(words[folder]) : {}), ...env } });
  const run = { child, stdout: '', stderr: '' };
  child.stdout.on('data', (part) => { run.stdout += part; });
  child.stderr.on('data', (part) => { run.stderr += part; });
  child.stdin.on('error', () => {});
  if (input !== null) child.stdin.end(input);
  run.ended = new Promise((resolve, reject) => {
    const timer = setTimeout(() => { child.kill('SIGKILL'); }, 60000 * SLOWNESS);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signal, stdout: run.stdout, stderr: run.stderr });
    });
  });
  return run;
}
/** On a data folder (null: as the words are). */
function on(dataDir) {
  const place = dataDir === null ? [] : ['--data-dir', dataDir];
  const run = (words, options) => start([...words, ...place], options).ended;
  const good = async (words, options) => {
    const end = await run(words, options);
    assert.equal(end.code, 0, `${words.join(' ')}: ${end.stderr}`);
    return end;
  };
  const json = async (words, options) => JSON.parse((await good([...words, '--json'], options)).stdout);
  const bad = async (code, pattern, words, options) => {
    const end = await run(words, options);
    assert.equal(end.code, code, `${words.join(' ')}: ${end.stdout}${end.stderr}`);
    assert.match(end.stderr, pattern, words.join(' '));
    assert.equal(end.stdout, '', words.join(' '));
  };
  return { run, good, json, bad };
}
/** A server that does not outlive a test that failed. */
async function serve(t, options = {}) {
  const server = await startServer(options);
  t.after(() => server.kill());
  return server;
}
/** A folder (and database) that a server has been started on once. */
async function usedFolder() {
  const server = await startServer({ ownsFolder: false });
  await server.close();
  return server.dataDir;
}
/** Changes rows by hand; false: there is no program for it here. */
function sql(dataDir, text) {
  if (STORE === 'postgres') query(storeUrl(dataDir), text);
  else if (spawnSync('sqlite3', [path.join(dataDir, 'accounts.db'), text]).status !== 0) return false;
  return true;
}
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

test('account: added, listed, changed, removed; the last admin stays', { skip }, async () => {
  const dataDir = await usedFolder();
  const { good, json, bad } = on(dataDir);
  let end = await good(['account', 'add', 'Ann@Example.com', '--role', 'default=analyst']);
  assert.match(end.stdout, PASSWORD);
  assert.match(end.stderr, /^added ann@example\.com \(account 2\): its password is not shown again/);
  const { account: bob } = await json(['account', 'add', 'bob@example.com', '--admin']);
  assert.match(`${bob.password}\n`, PASSWORD);
  assert.match(bob.created_at, TIME);
  assert.deepEqual([bob.id, bob.email, bob.is_admin, bob.last_login_at], [3, 'bob@example.com', true, null]);
  const { account: given } = await json(['account', 'add', 'cy@example.com', '--password-stdin'], { input: 'correct horse\nnot this\n' });
  assert.equal(given.password, undefined, 'what was given is not shown');
  await bad(1, /has it already/, ['account', 'add', 'ANN@example.com']);
  await bad(2, /email: must be/, ['account', 'add', 'nobody']);
  await bad(2, /--role: must be PROJECT=ROLE/, ['account', 'add', 'd@example.com', '--role', 'default=none']);
  await bad(1, /--role: there is no project "shop"; `potik project list`/, ['account', 'add', 'd@example.com', '--role', 'shop=owner']);
  for (const [input, ok] of [['1234567', false], ['12345678', true], ['x'.repeat(255), true], ['x'.repeat(256), true], ['x'.repeat(257), false],
    [`${'x'.repeat(256)}\r\n`, true], [`${'x'.repeat(257)}\r\n`, false], ['', false]]) {
    if (ok) await good(['account', 'password', '4', '--password-stdin'], { input });
    else await bad(2, /password: /, ['account', 'password', '4', '--password-stdin'], { input });
  }
  end = await good(['account', 'password', 'ann@example.com']);
  assert.match(end.stdout, PASSWORD);
  await good(['account', 'role', 'ann@example.com', '1', 'owner']);
  await good(['account', 'role', '3', 'default', 'ingest']);
  await good(['account', 'role', '3', 'default', 'none']);
  await bad(1, /has no role in project 1/, ['account', 'role', '3', 'default', 'none']);
  await bad(2, /role: must be owner, analyst, ingest or none, not "boss"/, ['account', 'role', '3', 'default', 'boss']);
  await bad(1, /project: there is no project "shop", by id or by name; `potik project list`/, ['account', 'role', '3', 'shop', 'owner']);
  await good(['account', 'remove', 'admin@localhost']);
  await bad(1, /last server admin/, ['account', 'remove', '3']);
  await bad(1, /last server admin/, ['account', 'admin', '3', 'off']);
  await good(['account', 'admin', '4', 'on']);
  await good(['account', 'admin', '3', 'off']);
  await bad(2, /must be on or off/, ['account', 'admin', '3', 'yes']);
  await good(['account', 'remove', 'BOB@example.com']);
  await bad(1, /account: there is none .*"bob@example.com"; `potik account list`/, ['account', 'remove', 'bob@example.com']);
  await bad(1, /account: there is none .*"99"/, ['account', 'password', '99']);
  const { accounts } = await json(['account', 'list']);
  assert.deepEqual(accounts.map(({ id, email, is_admin, projects }) => ({ id, email, is_admin, projects })), [
    { id: 2, email: 'ann@example.com', is_admin: false, projects: [{ id: 1, name: 'default', role: 'owner' }] },
    { id: 4, email: 'cy@example.com', is_admin: true, projects: [] },
  ]);
  end = await good(['account', 'list']);
  assert.match(end.stdout, /^ 2 {2}ann@example\.com +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}default=owner\n 4 {2}cy@example\.com +yes /m);
  for (const words of [['account'], ['account', 'make'], ['account', 'add'], ['account', 'list', 'x'], ['account', 'role', '1', 'default'],
    ['account', 'list', '--admin'], ['account', 'remove', '1', '--password-stdin'], ['account', 'list', '--leaked'], ['account', 'list', '--nope']])
    await bad(2, /potik account --help tells more/, words);
  fs.rmSync(dataDir, { recursive: true });
});

test('account reset: a way in where there is no admin, or nobody knows the password', { skip }, async () => {
  const dataDir = await usedFolder();
  const { good, json, bad } = on(dataDir);
  if (sql(dataDir, 'DELETE FROM logins;')) {
    const made = await good(['account', 'reset']);
    assert.match(made.stdout, PASSWORD);
    assert.match(made.stderr, /^made the server admin admin@localhost /);
  }
  let end = await good(['account', 'reset']);
  assert.match(end.stderr, /^a new password, and all sessions ended, of admin@localhost/);
  const first = end.stdout;
  end = await good(['account', 'reset']);
  assert.match(end.stdout, PASSWORD);
  assert.notEqual(end.stdout, first);
  assert.match(end.stderr, /^a new password, and all sessions ended, of admin@localhost/);
  await good(['account', 'add', 'ann@example.com']);
  await bad(1, /ann@example\.com is no server admin; `potik account password/, ['account', 'reset', 'ann@example.com']);
  await bad(1, /there is none/, ['account', 'reset', 'eve@example.com']);
  await good(['account', 'admin', 'ann@example.com', 'on']);
  end = await good(['account', 'reset', 'ann@example.com', '--password-stdin'], { input: 'correct horse' });
  assert.equal(end.stdout, '');
  const { lines: audit } = await json(['audit']);
  assert.equal(audit.filter((line) => line.action === 'account.password').length, 3);
  fs.rmSync(dataDir, { recursive: true });
});

test('account: on a terminal the password is asked for twice, without echo', { skip: skip || OF_NO_STORE || (fs.existsSync('/usr/bin/script') ? false : 'no `script`') }, async () => {
  const dataDir = await usedFolder();
  const wrapper = (bin, words) => ['/usr/bin/script', ['-qec', [bin, ...words].join(' '), '/dev/null']];
  for (const [second, code, last] of [['correct horse', 0, /added ann@example\.com/], ['correct house', 2, /the two are not the same; nothing was changed/]]) {
    const run = start(['account', 'add', code === 0 ? 'ann@example.com' : 'bob@example.com', '--password-stdin', '--data-dir', dataDir], { input: null, wrapper });
    await until('the first question', () => run.stdout.includes('new password: '));
    run.child.stdin.write('correct horse\n');
    await until('the second question', () => run.stdout.includes('the same again: '));
    run.child.stdin.write(`${second}\n`);
    const end = await run.ended;
    assert.equal(end.code, code, end.stdout);
    assert.match(end.stdout, last);
    assert.ok(!end.stdout.includes('correct'), 'nothing typed is shown');
  }
  fs.rmSync(dataDir, { recursive: true });
});

test('account rotate-keys: old keys go on verifying, unless they have leaked; it is in the audit log', { skip }, async (t) => {
  const server = await serve(t);
  const { good, json, bad } = on(server.dataDir);
  const file = path.join(server.dataDir, 'token-keys');
  const kids = () => fs.readFileSync(file, 'utf8').split('\n').slice(1, -2).map((line) => line.split(' ')[0]);
  const before = kids();
  assert.equal(before.length, 1);
  const session = await api(server, 'POST', '/v1/auth/login', { body: firstAdmin(server), expect: 200 });
  const { keys } = await json(['account', 'rotate-keys']);
  assert.deepEqual(keys.map((key) => key.kid), kids());
  assert.equal(keys[1].kid, before[0]);
  assert.equal(keys[0].retires_at, null);
  assert.equal((Date.parse(keys[1].retires_at) - Date.parse(keys[0].created_at)) / 1000, 86400 + 60);
  const end = await good(['account', 'rotate-keys', '--leaked']);
  assert.match(end.stderr, /access tokens made before are refused, sessions go on .*change its password/);
  await until('the old token is refused', async () => (await api(server, 'GET', '/v1/auth/me', { token: session.access_token })).status === 401);
  const renewed = await api(server, 'POST', '/v1/auth/refresh', { body: { refresh_token: session.refresh_token }, expect: 200 });
  await api(server, 'GET', '/v1/auth/me', { token: renewed.access_token, expect: 200 });
  assert.equal(kids().length, 1);
  assert.ok(![before[0], keys[0].kid].includes(kids()[0]));
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  const { lines: audit } = await json(['audit', '--limit', '2']);
  assert.deepEqual(audit.map((line) => [line.action, line.actor.kind, line.actor.id, line.target]), [
    ['token_keys.rotated', 'cli', process.getuid(), `token key ${kids()[0]}`],
    ['token_keys.rotated', 'cli', process.getuid(), `token key ${keys[0].kid}`]]);
  fs.chmodSync(file, 0o644);
  await bad(1, /make it private/, ['account', 'rotate-keys']);
  fs.rmSync(file);
  await bad(1, /has no token-keys yet/, ['account', 'rotate-keys']);
  await server.close();
});

test('project: made with its keys, changed, deleted, beside a running server within a second', { skip }, async (t) => {
  const server = await serve(t);
  const client = new Client(server);
  const { run, good, json, bad } = on(server.dataDir);
  const send = async (key) => (await client.post([{ event_id: '1', event_type: 'a', user_id: 'u' }], { headers: { authorization: `Bearer ${key}` } })).status;
  const ask = async (key) => (await client.get('/v1/stats/dau', { key })).status;
  const { project: shop, keys } = await json(['project', 'new', 'shop', '--time-zone', 'Europe/Kyiv', '--week-start', 'sunday', '--retention-days', '36500']);
  assert.match(shop.created_at, TIME);
  assert.deepEqual([shop.id, shop.name, shop.time_zone, shop.week_start, shop.retention_days], [2, 'shop', 'Europe/Kyiv', 'sunday', 36500]);
  assert.deepEqual(keys.map((key) => key.kind), ['write', 'read']);
  const [write, read] = keys.map((key) => key.text);
  await until('the new keys work', async () => await send(write) === 200 && await ask(read) === 200, { limitMs: 1000 * SLOWNESS });
  let end = await good(['project', 'new', 'blog']);
  const [line] = /curl http\S+\/v1\/events -H 'Authorization: Bearer (wk_\S+)'/.exec(end.stderr);
  assert.ok(line.startsWith(`curl ${server.address}/v1/events`), line);
  assert.match(end.stdout, /^wk_[a-z2-7]{32}\nrk_[a-z2-7]{32}\n$/);
  end = await good(['project', 'new', 'bare', '--no-keys']);
  assert.equal(end.stdout, '');
  await bad(1, /name/, ['project', 'new', 'shop']);
  await bad(2, /name: must be 1 to 64 bytes/, ['project', 'new', '']);
  await bad(2, /name: must be 1 to 64 bytes, this has 65/, ['project', 'new', 'x'.repeat(65)]);
  for (const name of ['x'.repeat(63), 'x'.repeat(64)]) await good(['project', 'new', name, '--no-keys']);
  await bad(2, /--time-zone: "Mars\/Base" is not known/, ['project', 'new', 'mars', '--time-zone', 'Mars/Base']);
  await bad(2, /--week-start: must be monday or sunday/, ['project', 'new', 'mars', '--week-start', 'friday']);
  await bad(2, /--retention-days: must be a number from 0 to 36500, not "36501"/, ['project', 'new', 'mars', '--retention-days', '36501']);
  assert.deepEqual(await json(['project', 'set', 'shop', '--name', 'store', '--retention-days', '0']),
    { project: { id: 2, name: 'store', time_zone: 'Europe/Kyiv', week_start: 'sunday', retention_days: null, events_per_month: null, created_at: shop.created_at } });
  await good(['project', 'set', '2', '--time-zone', 'UTC', '--week-start', 'monday']);
  await bad(1, /name/, ['project', 'set', '2', '--name', 'blog']);
  await bad(2, /say what to set/, ['project', 'set', '2']);
  await bad(1, /project: there is no project "99", by id or by name; `potik project list`/, ['project', 'set', '99', '--name', 'x']);
  end = await good(['project', 'list']);
  assert.match(end.stdout, /^ 2 {2}store +UTC +monday +all +- +2 {2}\d{4}-/m);
  /* Not without being asked for, where nobody can be asked. */
  end = await run(['project', 'delete', 'store']);
  assert.equal(end.code, 2);
  assert.match(end.stderr, /project store \(number 2\) would go for ever: all its events, its 2 keys in force/);
  assert.match(end.stderr, /nothing was deleted; --yes/);
  assert.equal(await ask(read), 200);
  const { erasure } = await json(['project', 'delete', 'store', '--yes']);
  await until('its keys are refused', async () => await send(write) === 401 && await ask(read) === 401, { limitMs: 1000 * SLOWNESS });
  assert.equal((await json(['erasures', 'show', String(erasure.id)])).erasure.id, erasure.id);
  assert.deepEqual([erasure.project, erasure.reason, erasure.kind, erasure.free_ids], [2, 'project', 'all', true]);
  assert.deepEqual((await json(['project', 'list'])).projects.map((project) => project.id), [1, 3, 4, 5, 6]);
  assert.deepEqual((await json(['audit', '--project', '2', '--limit', '2'])).lines.map((each) => each.action), ['erasure.requested', 'project.deleted']);
  await bad(1, /there is no project "store"/, ['project', 'delete', 'store', '--yes']);
  await bad(1, /first project \(number 1\) stays/, ['project', 'delete', 'default', '--yes']);
  for (const words of [['project'], ['project', 'list', 'x'], ['project', 'new'], ['project', 'new', 'a', 'b'], ['project', 'list', '--yes'],
    ['project', 'new', 'a', '--name', 'b'], ['project', 'set', '1', '--no-keys'], ['project', 'delete', '1', '--time-zone', 'UTC']])
    await bad(2, /potik project --help tells more/, words);
  client.close();
  await server.close();
});

test('project delete: a terminal is asked for the name', { skip: skip || OF_NO_STORE || (fs.existsSync('/usr/bin/script') ? false : 'no `script`') }, async () => {
  const dataDir = await usedFolder();
  const { good, json } = on(dataDir);
  const wrapper = (bin, words) => ['/usr/bin/script', ['-qec', [bin, ...words].join(' '), '/dev/null']];
  await good(['project', 'new', 'shop']);
  for (const [typed, code, left] of [['sho', 2, 2], ['shop', 0, 1]]) {
    const run = start(['project', 'delete', 'shop', '--data-dir', dataDir], { input: null, wrapper });
    await until('the question', () => run.stdout.includes('type the project\'s name to delete it: '));
    run.child.stdin.write(`${typed}\n`);
    const end = await run.ended;
    assert.equal(end.code, code, end.stdout);
    assert.equal((await json(['project', 'list'])).projects.length, left);
  }
  fs.rmSync(dataDir, { recursive: true });
});

test('key: of a project, with an end, listed with those in force or all', { skip }, async (t) => {
  const server = await serve(t);
  const { good, json, bad } = on(server.dataDir);
  await good(['project', 'new', 'shop', '--no-keys']);
  const { keys: [key] } = await json(['key', 'new', '--project', 'shop', '--kind', 'read', '--name', 'board', '--expires', '36h']);
  assert.match(key.text, /^rk_[a-z2-7]{32}$/);
  assert.deepEqual([key.project, key.kind, key.name, key.last4, key.state], [2, 'read', 'board', key.text.slice(-4), 'active']);
  assert.equal(Math.round((Date.parse(key.expires_at) - Date.parse(key.created_at)) / 3600000), 36);
  assert.deepEqual([key.last_used_at, key.revoked_at], [null, null]);
  const later = await json(['key', 'new', '--project', '2', '--expires', '2099-01-31']);
  assert.deepEqual(later.keys.map((each) => [each.kind, each.expires_at]), [['write', '2099-01-31T00:00:00.000000Z'], ['read', '2099-01-31T00:00:00.000000Z']]);
  await bad(2, /--expires: 2020-01-01 is past already/, ['key', 'new', '--expires', '2020-01-01']);
  await bad(2, /--expires: must be a span as 90d/, ['key', 'new', '--expires', '36501d']);
  await bad(1, /project: there is no project "blog", by id or by name; `potik project list`/, ['key', 'new', '--project', 'blog']);
  const listed = (await json(['key', 'list', '--project', 'shop'])).keys;
  assert.deepEqual(listed.map((each) => each.id), [3, 4, 5]);
  assert.ok(listed.every((each) => each.text === undefined));
  const { key: revoked } = await json(['key', 'revoke', '3']);
  assert.deepEqual([revoked.id, revoked.state], [3, 'revoked']);
  assert.deepEqual((await json(['key', 'list'])).keys.map((each) => each.id), [1, 2, 4, 5]);
  const all = (await json(['key', 'list', '--all'])).keys;
  assert.deepEqual(all.map((each) => each.id), [1, 2, 3, 4, 5]);
  assert.match(all[2].revoked_at, TIME);
  for (const words of [['key', 'list', '--expires', '1d'], ['key', 'revoke', '1', '--project', '1'], ['key', 'new', '--all']])
    await bad(2, /potik key --help tells more/, words);
  await server.close();
});

test('key: one whose time is over is refused, and listed no longer', { skip }, async (t) => {
  const server = await serve(t);
  const client = new Client(server);
  const { json } = on(server.dataDir);
  const soon = new Date(Date.now() + 2500 * SLOWNESS);
  const { keys: [key] } = await json(['key', 'new', '--kind', 'read', '--expires', soon.toISOString()]);
  const status = async () => (await client.get('/v1/stats/dau', { key: key.text })).status;
  await until('it works', async () => await status() === 200, { limitMs: 1500 * SLOWNESS });
  await until('it is refused', async () => await status() === 401, { limitMs: 5000 * SLOWNESS });
  assert.ok(Date.now() >= soon.getTime(), 'not before its time');
  assert.ok(!(await json(['key', 'list'])).keys.some((each) => each.id === key.id));
  client.close();
  await server.close();
});

test('login: a token on stdout alone, good for the other commands; a wrong password, no server', { skip }, async (t) => {
  const server = await serve(t);
  const { good, run } = on(server.dataDir);
  await good(['account', 'add', 'ann+x@example.com', '--role', 'default=analyst', '--password-stdin'], { input: 'correct "horse" \\ battery' });
  const end = await until('the login', async () => {
    const tried = await run(['login', 'ann+x@example.com'], { input: 'correct "horse" \\ battery\n' });
    return tried.code === 0 && tried;
  });
  assert.match(end.stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  assert.match(end.stderr, /^logged in as ann\+x@example\.com, for 15 minutes\n$/);
  assert.equal((await run(['stats', 'dau'], { env: { POTIK_TOKEN: end.stdout.trim() } })).code, 0);
  /* The first administrator, with the password that the first start told. */
  const first = fs.readFileSync(path.join(server.dataDir, 'first-run.txt'), 'utf8');
  const admin = await run(['login'], { input: /^admin_password=(.*)$/m.exec(first)[1] });
  assert.equal(admin.code, 0, admin.stderr);
  for (const [words, input, code, said] of [[['login'], 'wrong\n', 1, /not right \(401/], [['login'], '', 1, /\(4\d\d /], [['login', 'a', 'b'], 'x', 2, /one EMAIL/], [['login', 'x'.repeat(9000)], 'x', 1, /./],
    [['login', '--server', '127.0.0.1:1'], 'x', 1, /potik serve` running/]]) {
    const bad = await run(words, { input });
    assert.equal(bad.code, code, bad.stderr);
    assert.match(bad.stderr, said);
    assert.equal(bad.stdout, '');
  }
  await server.close();
});

test('a password that was set anew stands in first-run.txt no longer', { skip }, async (t) => {
  const server = await serve(t);
  const { good } = on(server.dataDir);
  const told = () => fs.readFileSync(path.join(server.dataDir, 'first-run.txt'), 'utf8');
  await good(['account', 'add', 'ann@example.com']);
  await good(['account', 'password', 'ann@example.com']); // another's: nothing to do with it
  const before = told();
  assert.match(before, /^admin_password=/m);
  let end = await good(['account', 'password', 'admin@localhost']);
  assert.match(end.stderr, /first-run\.txt told the old password: that line is gone/);
  assert.equal(told(), before.replace(/^admin_password=.*\n/m, ''));
  end = await good(['account', 'reset']);
  assert.doesNotMatch(end.stderr, /first-run/);
  await server.close();
});

test('import, stats and tail as somebody who has logged in, in the project named', { skip }, async (t) => {
  const server = await serve(t);
  const { json, good } = on(server.dataDir);
  await good(['project', 'new', 'shop', '--no-keys']);
  await good(['account', 'add', 'ann@example.com', '--role', 'default=owner', '--role', 'shop=owner', '--password-stdin'], { input: 'correct horse' });
  const login = await until('the login', async () => {
    const reply = await server.request({ method: 'POST', path: '/v1/auth/login', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'ann@example.com', password: 'correct horse' }) });
    return reply.status === 200 ? reply.json : false;
  });
  const env = { POTIK_TOKEN: login.access_token };
  const asAnn = (words, options) => on(server.dataDir).run(words, { env, ...options });
  await until('the server knows the role', async () => (await asAnn(['stats', 'dau', '--project', '2'])).code === 0);
  let end = await asAnn(['import', '--project', '2', '-'], { input: '{"event_id":"1","event_type":"shop-only","user_id":"u","occurred_at":"2026-01-01T00:00:00Z"}\n' });
  assert.equal(end.code, 0, end.stderr);
  assert.match(end.stdout, /^1 event: 1 stored/);
  const top = async (project) => (await asAnn(['stats', 'top-events', '--from', '2026-01-01', '--to', '2026-01-01', '--format', 'json', '--project', project])).stdout;
  await until('the event in its project', async () => (await top('2')).includes('shop-only'));
  assert.ok(!(await top('1')).includes('shop-only'));
  end = await asAnn(['stats', 'dau', '--format', 'json']);
  assert.equal(end.code, 2);
  assert.match(end.stderr, /add project=ID/);
  assert.ok((await top('shop')).includes('shop-only'));
  assert.ok(!(await top('default')).includes('shop-only'));
  for (const [name, words, code, env] of [['0', /--project: this account has no project "0"/, 1], ['blog', /has no project "blog"/, 1],
    ['shop', /names are known to a login alone/, 2, { POTIK_READ_KEY: server.readKey }]]) {
    end = await on(server.dataDir).run(['stats', 'dau', '--project', name], { env: env ?? { POTIK_TOKEN: login.access_token } });
    assert.equal(end.code, code, end.stderr);
    assert.match(end.stderr, words);
  }
  const tail = start(['tail', '--last', '1', '--project', '2', '--data-dir', server.dataDir], { env, input: null });
  await until('the event', () => tail.stdout.includes('shop-only'));
  tail.child.kill('SIGINT');
  await tail.ended;
  /* A new password ends the session, and what came with it. */
  await good(['account', 'password', 'ann@example.com']);
  await until('the token is refused', async () => /401/.test((await asAnn(['stats', 'dau', '--project', '2'])).stderr), { limitMs: 2000 * SLOWNESS });
  assert.ok((await json(['audit', '--limit', '10'])).lines.some((line) => line.actor.kind === 'account' && line.actor.email === 'ann@example.com'));
  await server.close();
});

test('audit: newest first, by time and project, as many as asked for', { skip }, async () => {
  const dataDir = await usedFolder();
  const { good, json, bad } = on(dataDir);
  await good(['account', 'add', 'ann@example.com', '--role', 'default=owner']);
  const { lines: audit } = await json(['audit']);
  assert.deepEqual(audit.slice(0, 2).map((line) => line.action), ['role.set', 'account.created']);
  assert.deepEqual(Object.keys(audit[0]), ['id', 'at', 'actor', 'from', 'action', 'project', 'target', 'detail']);
  assert.deepEqual([audit[0].project, audit[1].project], [1, null]);
  assert.deepEqual(audit.map((line) => line.id), audit.map((line) => line.id).sort((a, b) => b - a));
  assert.match(audit[0].at, TIME);
  assert.deepEqual((await json(['audit', '--limit', '1'])).lines, audit.slice(0, 1));
  assert.deepEqual((await json(['audit', '--to', audit[1].at])).lines, audit.slice(2), 'the end is not included');
  assert.deepEqual((await json(['audit', '--from', audit[1].at])).lines, audit.slice(0, 2));
  assert.deepEqual((await json(['audit', '--from', '2020-01-01', '--to', '2020-01-02'])).lines, []);
  assert.ok((await json(['audit', '--project', 'default'])).lines.every((line) => line.project === 1));
  const end = await good(['audit', '--limit', '2']);
  assert.match(end.stdout, new RegExp(`^time \\(UTC\\) .*\n-.*\n\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d  cli, uid ${process.getuid()} +role\\.set +1 {2}account 2 ann@example\\.com +role owner\n`));
  for (const [words, pattern] of [[['--from', 'yesterday'], /--from: must be a time/], [['--from', '2026-01-02', '--to', '2026-01-02'], /--to: must be after --from/],
    [['--limit', '0'], /--limit: must be a number from 1 to 100000/], [['--limit', '100001'], /--limit/], [['x'], /takes no word/]])
    await bad(2, pattern, ['audit', ...words]);
  await good(['audit', '--limit', '100000']);
  fs.rmSync(dataDir, { recursive: true });
});

test('delete: asks for an erasure only if that is meant; says what would go', { skip }, async () => {
  const dataDir = await usedFolder();
  const { run, good, json, bad } = on(dataDir);
  const project = ['delete', '--project', 'default'];
  let end = await run([...project, '--user', 'ann']);
  assert.equal(end.code, 2);
  assert.match(end.stderr, /^this would erase for ever the events of project default \(number 1\): user "ann"; their ids stay refused [^\n]*\npotik delete: nothing was erased; --yes/);
  assert.deepEqual((await json(['erasures', 'list'])).erasures, []);
  const person = await json([...project, '--user', 'ann', '--yes', '--no-wait']);
  assert.equal(person.erasures.length, 1);
  const { requested_at: requested, ...rest } = person.erasures[0];
  assert.match(requested, TIME);
  assert.deepEqual(rest, { id: 1, project: 1, reason: 'person', kind: 'person', state: 'waiting', dry_run: false, free_ids: false, events: 0,
    progress: { done: 0, total: 0 }, user_id: 'ann', person_hash: null, error: null, finished_at: null });
  const range = (await json([...project, '--received-from', '2026-01-01', '--received-to', '2026-01-01T00:00:00.000001Z', '--dry-run', '--free-ids', '--no-wait'])).erasures[0];
  assert.deepEqual([range.kind, range.from, range.to, range.dry_run, range.free_ids], ['received', '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000001Z', true, true]);
  const occurred = (await json([...project, '--occurred-from', '1970-01-01', '--occurred-to', '2026-01-01', '--yes', '--no-wait'])).erasures[0];
  assert.deepEqual([occurred.kind, occurred.reason], ['occurred', 'undo']);
  for (const user of ['u'.repeat(199), 'u'.repeat(200)]) await good([...project, '--user', user, '--dry-run', '--no-wait']);
  for (const [words, pattern] of [
    [['--user', 'u'.repeat(201)], /--user: must be 1 to 200 bytes/], [['--user', ''], /--user: must be 1 to 200 bytes/],
    [[], /say one of --user/], [['--user', 'a', '--received-from', '2026-01-01', '--received-to', '2026-01-02'], /say one of --user/],
    [['--received-from', '2026-01-01'], /go together/], [['--occurred-to', '2026-01-01'], /go together/],
    [['--received-from', '2026-01-02', '--received-to', '2026-01-02'], /--received-to: must be after --received-from/],
    [['--occurred-from', '2026-01-02', '--occurred-to', '2026-01-01'], /--occurred-to: must be after/],
    [['--received-from', '1969-12-31', '--received-to', '2026-01-01'], /--received-from: must be a time/],
    [['--user', 'a', '--text', 'zip'], /go with --import/], [['--import', '/dev/null'], /must be a plain file/], [['--import', '-'], /must be a plain file/],
    [['--user', 'a', 'b'], /takes no word "b"/], [['--user', 'a', '--dry-run', '--yes'], /--dry-run erases nothing/]])
    await bad(2, pattern, [...project, ...words]);
  await bad(2, /--project: say whose events/, ['delete', '--user', 'a', '--yes']);
  await bad(1, /there is no project "shop"/, ['delete', '--project', 'shop', '--user', 'a', '--yes']);
  end = await good(['erasures', 'list']);
  assert.match(end.stdout, /^ 2 {8}1 {2}waiting {7}0 {2}counts only {2}undo +received from 2026-01-01 00:00:00 up to before 2026-01-01 00:00:00 +\d{4}/m);
  end = await good(['erasures', 'show', '1']);
  assert.match(end.stdout, /^id +1\nproject +1\nwhat +user "ann"\nreason +person\nstate +waiting\nevents +0\nrequested +\d{4}-/);
  assert.deepEqual((await json(['erasures', 'list', '--limit', '2'])).erasures.map((each) => each.id), [5, 4]);
  assert.deepEqual((await json(['erasures', 'list', '--project', '7'])).erasures, []);
  await bad(1, /there is no erasure 99/, ['erasures', 'show', '99']);
  for (const words of [['erasures'], ['erasures', 'show'], ['erasures', 'show', 'x'], ['erasures', 'list', '--limit', '10001'], ['erasures', 'show', '1', '--limit', '1']])
    await bad(2, /potik erasures --help tells more/, words);
  assert.deepEqual((await json(['audit', '--limit', '1'])).lines.map((line) => [line.action, line.actor.kind]), [['erasure.requested', 'cli']]);
  fs.rmSync(dataDir, { recursive: true });
});

test('delete: where no server runs it says so, and that the next start takes it up', { skip: skip || OF_THE_LEDGER }, async (t) => {
  const dataDir = await usedFolder();
  const { good, json } = on(dataDir);
  let end = await good(['delete', '--project', '1', '--user', 'ann', '--yes']);
  assert.equal(end.stdout, `erasure 1: asked for; no server runs on ${dataDir}, the next start takes it up\n`);
  const server = await serve(t, { dataDir, ownsFolder: true });
  end = await good(['delete', '--project', '1', '--user', 'bob', '--yes', '--no-wait']);
  assert.equal(end.stdout, 'erasure 2: asked for; `potik erasures show 2` tells how far it is\n');
  end = await good(['project', 'new', 'shop']);
  assert.match((await good(['project', 'delete', 'shop', '--yes'])).stderr, /a running server erases its events/);
  assert.equal((await json(['erasures', 'list'])).erasures.length, 3);
  await server.close();
});

test('delete --import: the ids are those the import made, of CSV and NDJSON', { skip }, async () => {
  const folder = temporaryFolder('undo');
  const dataDir = await usedFolder();
  const { run, good, json, bad } = on(dataDir);
  const csv = path.join(folder, 'a.csv');
  fs.writeFileSync(csv, 'event_type;user_id\na;u\na;u\nb\n');
  const words = ['delete', '--project', '1', '--import', csv, '--delimiter', ';'];
  const end = await run(words);
  assert.equal(end.code, 2);
  assert.match(end.stderr, /: the 2 ids of the rows of \S+a\.csv; their ids stay refused/);
  const [job] = (await json([...words, '--yes', '--no-wait'])).erasures;
  assert.deepEqual([job.kind, job.reason, job.state], ['ids', 'undo', 'waiting']);
  if (STORE === 'postgres') {
    const hex = query(storeUrl(dataDir), `SELECT encode(ids, 'hex') FROM erasure_ids WHERE erasure_id = ${job.id};`);
    assert.match(Buffer.from(hex, 'hex').toString('latin1'), /^\x24\0imp-[0-9a-f]{32}\x24\0imp-[0-9a-f]{32}$/);
  }
  const ndjson = path.join(folder, 'a.ndjson');
  fs.writeFileSync(ndjson, '{"event_id":"own","event_type":"a","user_id":"u"}\n');
  await good(['delete', '--project', '1', '--import', ndjson, '--dry-run', '--no-wait']);
  const broken = path.join(folder, 'broken.csv');
  fs.writeFileSync(broken, 'event_type,user_id\na,u\na,"u\n');
  await bad(1, /broken\.csv: row 3 \(line 3\)/, ['delete', '--project', '1', '--import', broken, '--dry-run']);
  fs.writeFileSync(csv, '');
  await bad(1, /a\.csv: the file is empty/, [...words, '--yes']);
  await bad(2, /--delimiter: must be one byte/, ['delete', '--project', '1', '--import', csv, '--delimiter', ';;']);
  await bad(2, /there is no such file/, ['delete', '--project', '1', '--import', path.join(folder, 'none.csv')]);
  assert.equal((await json(['erasures', 'list'])).erasures.length, 2, 'a file that cannot be read makes no job');
  fs.rmSync(folder, { recursive: true });
  fs.rmSync(dataDir, { recursive: true });
});

/* The test is the server here: it moves the row on. */
test('delete: waits for the end, shows how far it is, and tells the counts', { skip: skip || (STORE === 'postgres' ? false : 'needs a database another program can write') }, async () => {
  const dataDir = await usedFolder();
  const url = storeUrl(dataDir);
  const { json } = on(dataDir);
  for (const [flags, sentence] of [[['--yes'], /^1,234 events of project default erased \(erasure \d+\)\n$/], [['--dry-run'], /^1,234 events of project default would be erased \(erasure \d+\)\n$/]]) {
    const run = start(['delete', '--project', '1', '--user', 'ann', ...flags, '--data-dir', dataDir]);
    const id = await until('the job', async () => (await json(['erasures', 'list', '--limit', '1'])).erasures.find((each) => each.state === 'waiting')?.id);
    query(url, `UPDATE erasures SET state = 'in_store', done = 1, total = 2, error = 'the disk is full' WHERE id = ${id};`);
    await until('the error is told', () => run.stderr.includes(`erasure ${id}: the disk is full; the server tries again\n`));
    query(url, `UPDATE erasures SET state = 'in_warehouse', events = 1234, error = '' WHERE id = ${id};`);
    query(url, `UPDATE erasures SET state = 'done', person = NULL, finished_at = now() WHERE id = ${id};`);
    const end = await run.ended;
    assert.equal(end.code, 0, end.stderr);
    assert.match(end.stdout, sentence);
    assert.match(end.stderr, flags[0] === '--dry-run' ? /count +100 % +1,234 events / : /delete +100 % +1,234 events /);
  }
  /* ^C ends the waiting, not the job. */
  const run = start(['delete', '--project', '1', '--user', 'bob', '--yes', '--data-dir', dataDir]);
  await until('the job', async () => (await json(['erasures', 'list', '--limit', '1'])).erasures.some((each) => each.state === 'waiting'));
  const catches = () => BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(fs.readFileSync(`/proc/${run.child.pid}/status`, 'utf8'))[1]}`);
  await until('it to wait for ^C, too', () => (catches() & 2n) !== 0n);
  await new Promise((resolve) => { run.child.once('exit', resolve); run.child.kill('SIGINT'); });
  const end = await run.ended;
  assert.equal(end.code, 1);
  assert.match(end.stdout, /: interrupted here, but it goes on; `potik erasures show \d+`/);
  assert.equal((await json(['erasures', 'list', '--limit', '1'])).erasures[0].state, 'waiting');
  fs.rmSync(dataDir, { recursive: true });
});

test('the commands of access control explain themselves, and never take a password as a word', { skip: skip || OF_NO_STORE }, async () => {
  const { good, bad } = on(null);
  for (const name of ['account', 'project', 'key', 'audit', 'delete', 'erasures']) {
    const { stdout } = await good([name, '--help']);
    assert.match(stdout, /^usage: potik /, name);
    assert.match(stdout, /\nexamples?:\n\n {2}potik /, name);
    assert.match(stdout, /--json/, name);
    assert.match(stdout, /--data-dir DIR/, name);
    assert.ok(stdout.split('\n').every((line) => line.length <= 100), name);
    assert.match((await good(['--help'])).stdout, new RegExp(`^ {2}${name} `, 'm'));
  }
  await bad(2, /unknown flag --password=x/, ['account', 'add', 'a@b', '--password=x']);
  const empty = temporaryFolder('empty');
  for (const words of [['account', 'list'], ['project', 'list'], ['audit'], ['erasures', 'list'], ['delete', '--project', '1', '--user', 'u', '--yes']])
    await bad(1, /start `potik serve`/, [...words, '--data-dir', empty]);
  fs.rmSync(empty, { recursive: true });
});
