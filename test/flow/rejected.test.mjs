/*
 * Refused events that are kept: each code is found with its reason and the bytes that were sent, by its own project alone; they outlive
 * restarts and kills, and go with what is erased; sent again they leave the list; and whatever befalls them, ingest does not notice.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import zlib from 'node:zlib';
import { adminLogin, api, logIn } from './access.mjs';
import { BARE_ENV, BIN, Client, MISSING, SLOWNESS, startServer, temporaryFolder, until } from './server.mjs';

const options = { skip: MISSING, timeout: 300000 * SLOWNESS };
const KEEP = ['--keep-rejected', '16MiB'];

async function serve(t, settings = {}) {
  const server = await startServer({ flags: KEEP, ...settings });
  t.after(() => server.kill());
  return server;
}

/** Raw bytes to POST /v1/events. */
async function post(server, body, { headers = {}, key = server.keys.write, target = '/v1/events' } = {}) {
  const bytes = Buffer.from(body);
  const reply = await server.request({
    method: 'POST', path: target, body: bytes,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': bytes.length, ...headers },
  });
  return reply;
}

async function ask(server, target, { key = server.keys.read, expect = 200 } = {}) {
  const reply = await server.request({ path: target, headers: { authorization: `Bearer ${key}` } });
  assert.equal(reply.status, expect, `${target}: ${reply.text}`);
  return reply.json;
}

/** All that is kept, newest first, by pages of `limit`. */
async function list(server, { limit = 100, filter = '', key = server.keys.read } = {}) {
  const rows = [];
  for (let next = ''; next !== null;) {
    const page = await ask(server, `/v1/rejected?limit=${limit}${filter}${next === '' ? '' : `&before=${next}`}`, { key });
    assert.equal(page.kept, true);
    rows.push(...page.rejected);
    next = page.next;
  }
  return rows;
}

async function originalOf(server, id, settings = {}) {
  const { rejected } = await ask(server, `/v1/rejected/${id}`, settings);
  assert.equal(rejected.id, id);
  assert.equal(rejected.original === null, rejected.original_base64 !== null);
  return rejected.original !== null ? Buffer.from(rejected.original) : Buffer.from(rejected.original_base64, 'base64');
}

function potik(server, words, env = {}) {
  const child = spawn(BIN, ['rejected', ...words, '--data-dir', server.dataDir], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...BARE_ENV, ...env } });
  const parts = [];
  let stderr = '';
  child.stdout.on('data', (part) => parts.push(part));
  child.stderr.on('data', (part) => { stderr += part; });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, bytes: Buffer.concat(parts), stdout: Buffer.concat(parts).toString(), stderr }));
  });
}

const metric = async (server, name) => Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\S+)$`, 'm').exec((await server.request({ path: '/metrics' })).text)[1]);

const good = (id, more = '') => `{"event_id":"${id}","event_type":"view","user_id":"u"${more}}`;
const far = () => new Date(Date.now() + 48 * 3600 * 1000).toISOString();

/** One wrong event for each code of an event. */
function wrongEvents() {
  return {
    missing_field: '{"event_id":"w-missing","user_id":"u"}',
    empty_field: good('w-empty', ',"session_id":""'),
    too_long: good('w-long', `,"session_id":"${'x'.repeat(129)}"`),
    invalid_type: good('w-type', ',"session_id":  5 '),
    unknown_field: good('w-unknown', ',"userId" :\t"u"'),
    duplicate_key: good('w-key', ',"event_type":"view"'),
    invalid_json: '{"event_id":"w-json",,}',
    invalid_utf8: Buffer.concat([Buffer.from('{"event_id":"w-utf8","event_type":"view","user_id":"a'), Buffer.from([0xff]), Buffer.from('"}')]),
    nul_character: good('w-nul', ',"session_id":"a\\u0000b"'),
    invalid_number: good('w-number', ',"properties":{"a":1e999}'),
    invalid_timestamp: good('w-time', ',"occurred_at":"yesterday"'),
    timestamp_too_early: good('w-early', ',"occurred_at":"1969-12-31T23:59:59Z"'),
    timestamp_too_late: good('w-late', `,"occurred_at":"${far()}"`),
    too_deep: good('w-deep', `,"properties":{"a":${'['.repeat(16)}${']'.repeat(16)}}`),
    properties_too_large: good('w-props', `,"properties":{"a":"${'y'.repeat(64 * 1024)}"}`),
    event_too_large: good('w-large', `,"properties":{"a":"${'z'.repeat(1024 * 1024)}"}`),
  };
}

const join = (parts, between) => Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [Buffer.from(part)] : [Buffer.from(between), Buffer.from(part)])));

test('every code is found with its reason and the bytes as sent, whichever way they came', options, async (t) => {
  const server = await serve(t);
  const wrong = wrongEvents();
  const codes = Object.keys(wrong);
  const small = codes.filter((code) => wrong[code].length < 1000);
  const array = (names) => Buffer.concat([Buffer.from('['), join([good('ok-0'), ...names.map((code) => wrong[code])], ' , '), Buffer.from(']')]);
  const bodies = [
    ['an array, in pieces', array(codes), codes, {}],
    ['a small array, at once', array(small), small, {}],
    ['"events"', Buffer.concat([Buffer.from('{"events":'), array(small), Buffer.from('}')]), small, {}],
    ['lines', join([good('ok-0'), ...small.map((code) => wrong[code])], '\n'), small, { 'content-type': 'application/x-ndjson' }],
    ['gzip', zlib.gzipSync(array(small)), small, { 'content-encoding': 'gzip' }],
  ];
  let newest = 0;
  for (const [name, body, names, headers] of bodies) {
    const reply = await post(server, body, { headers: { ...headers, 'x-request-id': `req-${name.length}` } });
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.rejected, names.length, `${name}: ${reply.text}`);
    const rows = (await list(server)).filter((row) => row.id > newest).reverse();
    assert.equal(rows.length, names.length, name);
    newest = rows.at(-1).id;
    for (const [i, row] of rows.entries()) {
      const error = reply.json.errors[i];
      assert.equal(row.code, names[i], name);
      assert.deepEqual([row.code, row.message, row.field, row.event_id, row.index], [error.code, error.message, error.field, error.event_id, error.index]);
      assert.equal(row.request_id, `req-${name.length}`);
      assert.deepEqual(row.sender, { kind: 'key', id: 1 });
      assert.ok(Math.abs(Date.parse(row.received_at) - Date.now()) < 60000 * SLOWNESS);
      const expected = Buffer.from(wrong[names[i]]);
      const original = await originalOf(server, row.id);
      assert.equal(row.is_cut, names[i] === 'event_too_large', names[i]);
      assert.equal(row.bytes, original.length);
      if (row.is_cut) assert.ok(original.length === 128 * 1024 && expected.subarray(0, original.length).equals(original));
      else assert.ok(original.equals(expected), `${name}, ${names[i]}: ${original.subarray(0, 200)}`);
    }
  }
  // Nothing between two commas; a lone event; what is stored already is no refusal; a whole request that is refused is not kept.
  const before = (await list(server)).length;
  assert.equal((await post(server, `[${good('ok-1')},,]`)).json.rejected, 2);
  assert.equal((await post(server, '{"event_id":"lone"}')).status, 400);
  assert.equal((await post(server, good('ok-1', ',"session_id":""'))).json.duplicates, 1);
  assert.equal((await post(server, '[{"a":')).status, 400);
  assert.equal((await post(server, '[1]', { key: 'wk_none' })).status, 401);
  const rows = await list(server);
  assert.equal(rows.length, before + 3);
  assert.equal((await originalOf(server, rows[0].id)).toString(), '{"event_id":"lone"}');
  assert.equal((await originalOf(server, rows[1].id)).length, 0);
  assert.equal(await metric(server, 'potik_rejected_kept_total'), rows.length);
  assert.ok(await metric(server, 'potik_rejected_bytes') > 0);
});

test('pages, filters, and parameters that will not do', options, async (t) => {
  const server = await serve(t);
  await post(server, `[${Array.from({ length: 25 }, (_, i) => (i % 5 === 0 ? good(`e-${i}`, ',"session_id":""') : `{"event_id":"e-${i}"}`)).join(',')}]`);
  const all = await list(server);
  assert.deepEqual(all.map((row) => row.event_id), Array.from({ length: 25 }, (_, i) => `e-${24 - i}`));
  for (const limit of [1, 7, 24, 25, 26]) assert.deepEqual(await list(server, { limit }), all, `pages of ${limit}`);
  assert.deepEqual((await list(server, { filter: '&code=empty_field' })).map((row) => row.event_id), ['e-20', 'e-15', 'e-10', 'e-5', 'e-0']);
  assert.deepEqual((await list(server, { filter: '&event_id=e-7' })).map((row) => row.event_id), ['e-7']);
  assert.deepEqual(await list(server, { filter: '&event_id=e-7&code=empty_field' }), []);
  assert.deepEqual((await ask(server, '/v1/rejected')).rejected.length, 25, 'the default is 50');
  for (const [query, field] of [['limit=0', 'limit'], ['limit=1001', 'limit'], ['limit=x', 'limit'], ['before=x', 'before'], ['before=0', 'before'], ['limit=1&limit=2', 'limit'], ['color=red', null]]) {
    const { error } = await ask(server, `/v1/rejected?${query}`, { expect: 400 });
    assert.deepEqual([error.code, error.field], ['invalid_parameter', field], query);
  }
  await ask(server, '/v1/rejected?limit=1000');
  for (const id of ['0', 'x', '5', '1234567890123456789', `${all[0].id + 1}`]) await ask(server, `/v1/rejected/${id}`, { expect: 404 });
  await ask(server, '/v1/rejected', { key: server.keys.write, expect: 403 });
});

test('off: an empty list that says so; what was kept before is removed; retry_of is taken all the same', options, async (t) => {
  const server = await serve(t);
  await post(server, '[1]');
  assert.equal((await list(server)).length, 1);
  await server.stop();
  const off = await serve(t, { dataDir: server.dataDir, ownsFolder: true, flags: [] });
  assert.ok(!fs.existsSync(path.join(off.dataDir, 'rejected')));
  assert.equal((await post(off, '[1]')).status, 400);
  assert.deepEqual(await ask(off, '/v1/rejected'), { rejected: [], next: null, kept: false });
  assert.match((await ask(off, '/v1/rejected/5', { expect: 404 })).error.message, /keep-rejected/);
  assert.equal((await post(off, good('x'), { target: '/v1/events?retry_of=5' })).json.accepted, 1);
  const run = await potik(off, ['list']);
  assert.equal(run.code, 1);
  assert.match(run.stderr, /--keep-rejected/);
  for (const flags of [['--keep-rejected', '1048575'], ['--keep-rejected', '-1'], ['--keep-rejected-age', '59s']])
    await assert.rejects(startServer({ flags }), new RegExp(flags[0]));
  await off.close();
});

test('they outlive a restart and kill -9; ids go on', options, async (t) => {
  let server = await serve(t);
  await post(server, '[{"event_id":"first"}]');
  const before = await list(server);
  await server.stop();
  server = await serve(t, { dataDir: server.dataDir, flags: KEEP });
  assert.deepEqual(await list(server), before);
  await post(server, '[{"event_id":"second"}]');
  const both = await list(server); /* who has seen it has it on the disk */
  await server.kill();
  server = await serve(t, { dataDir: server.dataDir, flags: KEEP });
  assert.deepEqual(await list(server), both);
  // Kills while they come: what is found afterwards was sent, whole.
  for (let round = 0; round < 3; round++) {
    const known = (await list(server)).length;
    const sending = [...Array(20)].map((_, i) => post(server, `[${'{"event_id":"k"},'.repeat(200)}{"event_id":"k-${i}"}]`).catch(() => null));
    await Promise.race(sending);
    await server.kill();
    await Promise.all(sending);
    server = await serve(t, { dataDir: server.dataDir, flags: KEEP });
    const rows = await list(server, { limit: 1000 });
    assert.ok(rows.length >= known);
    assert.ok(rows.every((row, i) => row.code === 'missing_field' && (i === 0 || row.id < rows[i - 1].id)));
    assert.equal(await metric(server, 'potik_rejected_damage_total'), 0);
  }
  server.ownsFolder = true;
  await server.close();
});

test('projects see their own alone; roles; a deleted project takes them along', options, async (t) => {
  const server = await serve(t);
  const admin = await adminLogin(server);
  const { project } = await api(server, 'POST', '/v1/projects', { token: admin, body: { name: 'other' }, expect: 201 });
  const keys = {};
  for (const kind of ['write', 'read']) keys[kind] = (await api(server, 'POST', `/v1/projects/${project.id}/keys`, { token: admin, body: { kind, name: kind }, expect: 201 })).key.text;
  await post(server, '[{"event_id":"mine"}]');
  await post(server, '[{"event_id":"theirs"}]', { key: keys.write });
  const [mine] = await list(server);
  const [theirs] = await list(server, { key: keys.read });
  assert.deepEqual([mine.event_id, theirs.event_id], ['mine', 'theirs']);
  assert.equal((await list(server)).length + (await list(server, { key: keys.read })).length, 2);
  await ask(server, `/v1/rejected/${theirs.id}`, { expect: 404 });
  await ask(server, `/v1/rejected/${mine.id}`, { key: keys.read, expect: 404 });
  // A sender of one project takes nothing from another's list.
  assert.equal((await post(server, good('m'), { target: `/v1/events?retry_of=${theirs.id}` })).json.accepted, 1);
  assert.equal((await list(server, { key: keys.read })).length, 1);
  // An analyst reads, who only sends does not.
  for (const [role, expect] of [['analyst', 200], ['ingest', 403], ['owner', 200]]) {
    const account = { email: `${role}@example.com`, password: 'a long password it is' };
    await api(server, 'POST', '/v1/accounts', { token: admin, body: account, expect: 201 });
    await api(server, 'POST', '/v1/projects/1/members', { token: admin, body: { email: account.email, role }, expect: 200 });
    await ask(server, `/v1/rejected/${mine.id}?project=1`, { key: await logIn(server, account), expect });
  }
  await ask(server, `/v1/rejected?project=${project.id}`, { key: await logIn(server, { email: 'owner@example.com', password: 'a long password it is' }), expect: 404 });

  const folder = path.join(server.dataDir, 'rejected', String(project.id));
  assert.ok(fs.existsSync(folder));
  await api(server, 'DELETE', `/v1/projects/${project.id}`, { token: admin, expect: 202 });
  await until('its files to go', () => fs.readdirSync(folder).length === 0, { limitMs: 60000 });
  assert.equal((await list(server)).length, 1);
  await server.close();
});

test('a person that is erased stands in none of them any more; ranges and ids likewise', options, async (t) => {
  const server = await serve(t, { flags: [...KEEP, '--seal-idle', '1s'] });
  const admin = await adminLogin(server);
  const erase = async (method, target, body) => {
    const { erasure } = await api(server, method, target, { token: admin, body, expect: 202 });
    await until('the erasure to end', async () => (await api(server, 'GET', `/v1/erasures/${erasure.id}`, { token: admin, expect: 200 })).erasure.state === 'done', { limitMs: 120000 });
  };
  await post(server, `[${[good('bob'), '{"event_id":"e1","user_id":"anna-lena"}', '{"event_id":"e2","userId":"anna-lena"}', '{"event_id":"e3","anonymous_id":"\\u0061nna-lena"}',
    '{"event_id":"e4","user_id":"carl"}', '{"event_id":"of-nobody","user_id":"carl",}'].join(',')}]`);
  await post(server, '[{"event_id":"e6"}]');
  assert.equal((await list(server)).length, 6);
  await erase('DELETE', '/v1/users/anna-lena');
  assert.deepEqual((await list(server)).map((row) => row.event_id), ['e6', 'e4']); /* the other is no JSON: it may be anybody's */
  const bytes = Buffer.concat(fs.readdirSync(path.join(server.dataDir, 'rejected/1')).map((name) => fs.readFileSync(path.join(server.dataDir, 'rejected/1', name))));
  assert.ok(bytes.includes('carl') && !bytes.includes('nna-lena') && !bytes.includes('of-nobody'));
  await erase('POST', '/v1/deletions', { event_ids: ['e4', 'nobody'], dry_run: true });
  assert.equal((await list(server)).length, 2);
  await erase('POST', '/v1/deletions', { event_ids: ['e4', 'nobody'] });
  assert.deepEqual((await list(server)).map((row) => row.event_id), ['e6']);
  await erase('POST', '/v1/deletions', { received_from: '2020-01-01T00:00:00Z', received_to: new Date(Date.now() + 60000).toISOString() });
  assert.deepEqual(await list(server), []);
  await post(server, '[{"event_id":"e7"}]');
  assert.deepEqual((await list(server)).map((row) => row.event_id), ['e7']);
  await server.close();
});

test('potik rejected: list, show, retry; what is stored at last leaves the list', options, async (t) => {
  const server = await serve(t);
  const soon = () => new Date(Date.now() + 24 * 3600 * 1000 + 2500 * SLOWNESS).toISOString();
  const late = good('late', `,"occurred_at":"${soon()}"`);
  const spaced = '{"event_id":"\\u0434",\n  "event_type" : "", "user_id":"д"}';
  const bad = Buffer.concat([Buffer.from('{"event_id":"b'), Buffer.from([0xfe]), Buffer.from('"}')]);
  assert.equal((await post(server, Buffer.concat([Buffer.from(`[${late},${spaced},,{"event_id":1},{"a":1,},`), bad, Buffer.from(']')]))).json.rejected, 6);
  assert.equal((await post(server, '{"event_id":"cut","properties":{"a":"'.padEnd(1100000, 'x') + '"}}')).status, 400);
  const rows = await list(server);
  const idOf = (code) => String(rows.find((row) => row.code === code).id);

  let run = await potik(server, ['list']);
  assert.equal(run.code, 0, run.stderr);
  for (const row of rows) assert.ok(run.stdout.includes(String(row.id)) && run.stdout.includes(row.code) && run.stdout.includes(`${row.sender.kind} ${row.sender.id}`));
  assert.match(run.stdout, /^id +received \(UTC\) +from +code/);
  run = await potik(server, ['list', '--format', 'ndjson', '--limit', '3']);
  assert.deepEqual(run.stdout.trim().split('\n').map((line) => JSON.parse(line)), rows.slice(0, 3));
  run = await potik(server, ['list', '--format', 'json', '--code', 'empty_field']);
  assert.deepEqual(JSON.parse(run.stdout).rejected.map((row) => row.event_id), ['д']);
  run = await potik(server, ['list', '--format', 'json', '--event-id', 'д']);
  assert.equal(JSON.parse(run.stdout).rejected.length, 1);

  run = await potik(server, ['show', idOf('empty_field')]);
  assert.equal(run.stdout, spaced);
  assert.match(run.stderr, /^message +event_type: is empty/m);
  run = await potik(server, ['show', idOf('invalid_utf8')]);
  assert.ok(run.bytes.equals(bad));
  run = await potik(server, ['show', idOf('event_too_large')]);
  assert.match(run.stderr, /it was longer/);
  run = await potik(server, ['show', idOf('invalid_type'), '--format', 'json']);
  assert.equal(JSON.parse(run.stdout).rejected.original, '{"event_id":1}');

  // All but the one whose time has come stay refused, once each.
  run = await until('the late one to be early enough', async () => {
    const one = await potik(server, ['retry', idOf('timestamp_too_late')]);
    return one.code === 0 ? one : null;
  }, { everyMs: 300, limitMs: 30000 });
  assert.match(run.stdout, /^\d+ +accepted/);
  run = await potik(server, ['retry', '--all', '--format', 'ndjson']);
  assert.equal(run.code, 1);
  const outcomes = run.stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(outcomes.filter((outcome) => outcome.verdict === 'refused').length, 4, run.stdout);
  assert.equal(outcomes.filter((outcome) => outcome.verdict === 'unsent').length, 2, run.stdout);
  assert.ok(outcomes.every((outcome) => outcome.message.length > 0));
  assert.deepEqual(outcomes.map((outcome) => outcome.id), outcomes.map((outcome) => outcome.id).sort((a, b) => a - b));
  assert.match(run.stderr, /0 accepted, 0 duplicate, 4 refused again, 2 not sent/);
  assert.deepEqual(await list(server), rows.filter((row) => row.code !== 'timestamp_too_late'));

  // Corrected by hand.
  const fixed = (await potik(server, ['show', idOf('empty_field')])).stdout.replace('""', '"view"');
  assert.equal((await post(server, fixed, { target: `/v1/events?retry_of=${idOf('empty_field')}` })).json.accepted, 1);
  assert.deepEqual(await list(server, { filter: '&code=empty_field' }), []);

  run = await potik(server, ['retry', '--code', 'invalid_utf8', '--format', 'json']);
  assert.equal(JSON.parse(run.stdout).retried[0].verdict, 'refused');
  for (const words of [[], ['retry'], ['retry', '--all', '5'], ['show'], ['show', 'x'], ['list', '5'], ['list', '--format', 'csv'], ['list', '--limit', '0'], ['nothing']])
    assert.equal((await potik(server, words)).code, 2, words.join(' '));
  assert.equal((await potik(server, ['show', '5'])).code, 1);
  assert.equal((await potik(server, ['retry', '5'])).code, 1);
  await server.close();
});

test('retry_of: one id an event; a duplicate is done, a refusal is kept no second time', options, async (t) => {
  const server = await serve(t);
  await post(server, '[{"event_id":"a"},{"event_id":"b"},{"event_id":"c"}]');
  const [c, b, a] = (await list(server)).map((row) => row.id);
  const retry = (ids, body) => post(server, body, { target: `/v1/events?retry_of=${ids}` });
  for (const [ids, body] of [[`${a}`, '[]'], [`${a},${b}`, good('x')], [`${a}`, `[${good('x')},${good('y')}]`], ['', good('x')], ['x', good('x')], [`${a},`, good('x')], ['0', good('x')], [`${a}&retry_of=${b}`, good('x')]]) {
    const reply = await retry(ids, body);
    assert.deepEqual([reply.status, reply.json.error?.code, reply.json.error?.field], [400, 'invalid_parameter', 'retry_of'], `${ids} ${reply.text}`);
  }
  assert.equal((await list(server)).length, 3);
  await post(server, good('a'));
  const reply = await retry(`${a},${b},${c}`, `[${good('a')},{"event_id":"b"},${good('c')}]`);
  assert.deepEqual([reply.json.accepted, reply.json.duplicates, reply.json.rejected], [1, 1, 1]);
  assert.deepEqual((await list(server)).map((row) => row.id), [b]);
  assert.equal((await retry(`${a}`, '[{"event_id":"again"}]')).status, 400); /* it is not there any more: still no second copy */
  assert.deepEqual((await list(server)).map((row) => row.id), [b]);
  await server.close();
});

test('what is refused of clients that went away is kept as well', options, async (t) => {
  const server = await serve(t);
  const url = new URL(server.address);
  const send = (i) => new Promise((resolve) => {
    const body = `[{"event_id":"gone-${i}"},${good(`gone-good-${i}`)}]`;
    const socket = net.connect({ host: url.hostname, port: url.port }, () => {
      socket.write(`POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Request-Id: gone-${i}\r\nAuthorization: Bearer ${server.keys.write}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        () => { socket.destroy(); resolve(); });
    });
    socket.on('error', () => {});
  });
  for (let i = 0; i < 200; i += 20) await Promise.all(Array.from({ length: 20 }, (_, k) => send(i + k)));
  await until('all to be kept that was refused', async () => {
    const refused = await metric(server, 'potik_events_rejected_total{code="missing_field"}');
    return refused > 100 && (await list(server, { limit: 1000 })).length === refused;
  });
  for (const row of await list(server)) {
    assert.equal(row.request_id, row.event_id);
    assert.equal((await originalOf(server, row.id)).toString(), `{"event_id":"${row.event_id}"}`);
  }
  await server.close();
});

test('a folder that cannot be written, or a full one, does not hurt ingest', options, async (t) => {
  const dataDir = temporaryFolder('rejected');
  fs.writeFileSync(path.join(dataDir, 'rejected'), 'in the way');
  const server = await serve(t, { dataDir, ownsFolder: true, flags: KEEP });
  for (let i = 0; i < 5; i++) assert.deepEqual((await post(server, `[${good(`g-${i}`)},1]`)).json.accepted, 1);
  await until('the copies to be dropped', async () => await metric(server, 'potik_rejected_dropped_total{reason="disk"}') === 5);
  assert.equal((await ask(server, '/v1/rejected', { expect: 500 })).error.code, 'internal_error');
  assert.equal(server.stderr.match(/rejected\.not_kept/g).length, 1);
  fs.unlinkSync(path.join(dataDir, 'rejected'));
  await until('the folder to be used', async () => {
    await post(server, '[1]');
    return (await server.request({ path: '/v1/rejected', headers: { authorization: `Bearer ${server.keys.read}` } })).json.rejected?.length > 0;
  }, { everyMs: 200, limitMs: 30000 });
  assert.match(server.stderr, /rejected\.kept_again/);
  await server.close();
});

/** `rejected/` on a disk of its own that has 64 KiB, seen by the server alone. */
test('a full disk drops copies, and ingest goes on', { ...options, skip: MISSING || (process.getuid() !== 0 && 'mounting needs root') }, async (t) => {
  const dataDir = temporaryFolder('rejected');
  const folder = path.join(dataDir, 'rejected');
  fs.mkdirSync(folder, { mode: 0o700 });
  const wrapper = ['unshare', '--mount', 'sh', '-c', `mount -t tmpfs -o size=64k,mode=777 none ${folder} && exec "$@"`, 'sh'];
  const server = await serve(t, { dataDir, ownsFolder: true, flags: KEEP, wrapper });
  const wrong = `[${good('g')},{"event_id":"full","note":"${'x'.repeat(5000)}"}]`;
  await until('the disk to be full', async () => {
    const reply = await post(server, wrong);
    assert.equal(reply.status, 200, reply.text);
    await ask(server, '/v1/rejected?limit=1'); /* has each written by itself */
    return await metric(server, 'potik_rejected_dropped_total{reason="disk"}') > 3;
  }, { limitMs: 30000 });
  const rows = await list(server);
  assert.ok(rows.length > 3 && rows.length < 64 / 5, `${rows.length} are kept`);
  for (const row of rows) assert.ok((await originalOf(server, row.id)).equals(Buffer.from(wrong.slice(1 + good('g').length + 1, -1))));
  assert.equal(await metric(server, 'potik_rejected_kept_total'), rows.length);
  assert.match(server.stderr, /rejected\.not_kept error=STORAGE_FULL/);
  assert.equal((await post(server, good('h'))).json.accepted, 1);
  await server.close();
});

test('a storm of a million refusals stays within its bounds, and good events go on', options, async (t) => {
  const server = await serve(t, { flags: ['--keep-rejected', '4MiB'] });
  await post(server, '[{"event_id":"quiet","event_type":""}]');
  const admin = await adminLogin(server);
  const { project } = await api(server, 'POST', '/v1/projects', { token: admin, body: { name: 'noisy' }, expect: 201 });
  const { text } = (await api(server, 'POST', `/v1/projects/${project.id}/keys`, { token: admin, body: { kind: 'write', name: 'w' }, expect: 201 })).key;
  const memory = () => Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) / 1024;
  const body = `[${Array.from({ length: 10000 }, (_, i) => `{"event_id":"noise-${i}","user_id":"u"}`).join(',')}]`;
  const client = new Client(server);
  const sizes = [];
  await post(server, body, { key: text }); /* what one such body takes is not what is judged */
  assert.equal((await list(server)).length, 1);
  const before = memory();
  const total = SLOWNESS === 1 ? 100 : 20;
  let sent = 0;
  const storm = async () => {
    while (sent < total) {
      sent++;
      const reply = await post(server, body, { key: text });
      assert.equal(reply.json.rejected, 10000);
    }
  };
  const held = () => {
    const folder = path.join(server.dataDir, 'rejected');
    let bytes = 0;
    for (const part of fs.readdirSync(folder)) {
      for (const name of fs.readdirSync(path.join(folder, part))) {
        try { bytes += fs.statSync(path.join(folder, part, name)).size; } catch { /* it made room meanwhile */ }
      }
    }
    return bytes;
  };
  const watch = async () => {
    while (sent < total) {
      sizes.push(held());
      const reply = await client.post([{ event_id: `g-${sizes.length}`, event_type: 'view', user_id: 'u' }]);
      assert.equal(reply.status, 200);
    }
  };
  await Promise.all([storm(), storm(), watch()]);
  // Files are looked at one after the other: one that goes meanwhile may be counted beside the one it made room for.
  assert.ok(Math.max(...sizes) <= 4 * 1024 * 1024 * (1 + 1 / 32), `${Math.max(...sizes)} bytes on the disk`);
  if (!process.env.POTIK_SANITIZED) assert.ok(memory() - before < 150, `${before} MiB before, ${memory()} after`); // a sanitizer keeps what is freed
  const kept = await metric(server, 'potik_rejected_kept_total');
  const dropped = await metric(server, 'potik_rejected_dropped_total{reason="queue_full"}');
  await ask(server, '/v1/rejected?limit=1');
  t.diagnostic(`${kept} kept, ${dropped} dropped, at most ${Math.max(...sizes)} bytes, ${Math.round(memory() - before)} MiB more memory, ${sizes.length} good ones meanwhile`);
  assert.deepEqual((await list(server)).map((row) => row.event_id), ['quiet'], 'who is quiet keeps his own');
  await until('all to be told', async () => await metric(server, 'potik_rejected_kept_total') + await metric(server, 'potik_rejected_dropped_total{reason="queue_full"}') === (total + 1) * 10000 + 1);
  assert.ok(held() <= 4 * 1024 * 1024, `${held()} bytes on the disk`);
  client.close();
  await server.close();
});
