/*
 * The access log: one line a request, whoever answered it; nothing of a client's own text in it; never in ingest's way; opened anew
 * by SIGHUP.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { adminLogin } from './access.mjs';
import { BARE_ENV, BIN, Client, MISSING, OF_NO_STORE, SLOWNESS, Server, startServer, storeEnv, temporaryFolder, until } from './server.mjs';

const skip = MISSING || OF_NO_STORE;
const MEMBERS = ['time', 'request_id', 'method', 'route', 'status', 'error', 'bytes_in', 'bytes_out', 'duration_us', 'peer', 'credential'];
const folder = skip ? null : temporaryFolder('access-log');
test.after(() => folder !== null && fs.rmSync(folder, { recursive: true }));

const one = (id) => ({ event_id: id, event_type: 'view', user_id: 'u' });
const linesOf = (file) => fs.readFileSync(file, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
const findLine = (file, id) => until(`the line of ${id}`, () => linesOf(file).find((line) => line.request_id === id));

async function logged(t, { flags = [], name = 'access' } = {}) {
  const file = path.join(folder, `${name}-${Math.random().toString(36).slice(2)}.log`);
  const server = await startServer({ flags: ['--access-log', file, ...flags] });
  const client = new Client(server);
  t.after(async () => {
    client.close();
    await server.close();
  });
  let number = 0;
  /** Asks, and gives the line that tells of it. */
  const told = async (method, target, { key = null, body = null, headers = {} } = {}) => {
    const id = `t-${++number}`;
    const reply = await server.request({ method, path: target, body, headers: { 'x-request-id': id, ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers } });
    const line = await findLine(file, id);
    assert.deepEqual(Object.keys(line), MEMBERS);
    assert.equal(line.status, reply.status);
    return { reply, line };
  };
  return { file, server, client, told };
}

/** Raw bytes, until the server closes. */
function raw(server, bytes) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port: Number(new URL(server.address).port) });
    let text = '';
    socket.on('data', (part) => { text += part; });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
    socket.write(bytes);
  });
}

test('a client that resets is told by its own address, whichever loop took it over', { skip }, async (t) => {
  const { file, server } = await logged(t, { flags: ['--loop-threads', '2'] });
  const reset = (id) => new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port: Number(new URL(server.address).port) }, () => {
      socket.write(`POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${id}\r\nContent-Length: 2\r\n\r\n{}`, () => { socket.resetAndDestroy(); resolve(); });
    });
    socket.on('error', resolve);
  });
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 10 }, (_, i) => reset(`reset-${round}-${i}`)));
  await server.request({ path: '/healthz', headers: { 'x-request-id': 'last' } });
  await findLine(file, 'last');
  const peers = new Set(linesOf(file).map((line) => line.peer));
  assert.deepEqual([...peers], ['127.0.0.1']);
});

test('a line tells what was asked, by whom, and how it went', { skip }, async (t) => {
  const { server, told } = await logged(t);
  const began = Date.now();
  const body = JSON.stringify([one('a'), one('b')]);
  const { reply, line } = await told('POST', '/v1/events?detail=all', { key: server.keys.write, body });
  assert.equal(reply.status, 200, reply.text);
  assert.deepEqual({ ...line, time: 0, bytes_in: 0, bytes_out: 0, duration_us: 0, request_id: 0 },
    { time: 0, request_id: 0, method: 'POST', route: '/v1/events', status: 200, error: null, bytes_in: 0, bytes_out: 0, duration_us: 0, peer: '127.0.0.1', credential: 'write' });
  assert.ok(Math.abs(Date.parse(line.time) - began) < 10000, line.time);
  assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.ok(line.bytes_in > body.length + 100 && line.bytes_in < body.length + 1000);
  assert.ok(line.bytes_out > reply.text.length + 100 && line.bytes_out < reply.text.length + 1000);
  assert.ok(line.duration_us > 0 && line.duration_us < (Date.now() - began + 1) * 1000, `${line.duration_us} us`);
  const token = await adminLogin(server);
  for (const [method, target, options, expected] of [
    ['GET', '/v1/stats/dau?from=2026-01-01', { key: server.keys.read }, { route: '/v1/stats/{}', credential: 'read', status: 200, error: null }],
    ['GET', '/v1/users/ann%40example.com/events', { key: server.keys.read }, { route: '/v1/users/{}/events', credential: 'read', status: 200, error: null }],
    ['HEAD', '/healthz', {}, { method: 'HEAD', route: '/healthz', credential: 'none', status: 200, error: null }],
    ['GET', '/v1/auth/me', { key: token }, { route: '/v1/auth/me', credential: 'token', status: 200, error: null }],
    ['GET', '/v1/projects/1/keys', { key: token }, { route: '/v1/projects/{}/keys', credential: 'token', status: 200, error: null }],
    ['POST', '/v1/events', { key: 'wk_wrong', body: '{}' }, { route: '/v1/events', credential: 'none', status: 401, error: 'unauthorized' }],
    ['POST', '/v1/events', { key: server.keys.read, body: '{}' }, { route: '/v1/events', credential: 'none', status: 403, error: 'wrong_key_kind' }],
    ['POST', '/v1/events', { key: server.keys.write, body: '{}' }, { route: '/v1/events', credential: 'write', status: 400, error: 'all_rejected' }],
    ['POST', '/v1/events', { key: server.keys.write, body: '{' }, { route: '/v1/events', credential: 'write', status: 400, error: 'invalid_json' }],
    ['GET', '/v1/stats/dau?nonsense=1', { key: server.keys.read }, { route: '/v1/stats/{}', status: 400, error: 'invalid_parameter' }],
    ['GET', '/no/such/place', {}, { route: null, credential: 'none', status: 404, error: 'not_found' }],
    ['DELETE', '/v1/events', {}, { route: null, method: 'DELETE', status: 405, error: 'method_not_allowed' }],
    ['PROPFIND', '/', {}, { method: 'OTHER', error: 'not_implemented' }],
    ['OPTIONS', '/v1/events', { headers: { origin: 'https://x.example', 'access-control-request-method': 'POST' } }, { method: 'OPTIONS', status: 204, error: null }],
  ]) {
    const found = await told(method, target, options);
    for (const [name, value] of Object.entries(expected)) assert.equal(found.line[name], value, `${method} ${target}: ${name} in ${JSON.stringify(found.line)}`);
  }
});

test('what the server refuses by itself has its line, too', { skip }, async (t) => {
  const { file, server } = await logged(t, { flags: ['--head-timeout', '300ms', '--body-timeout', '300ms'] });
  const errors = () => linesOf(file).filter((line) => line.error !== null).map((line) => `${line.method} ${line.route} ${line.status} ${line.error}`);
  await raw(server, 'GET / HTTP/1.1\nHost: x\n\n');
  await raw(server, 'GET / HTTP/3.0\r\nHost: x\r\n\r\n');
  await raw(server, `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await raw(server, `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20000)}\r\n\r\n`);
  await raw(server, 'GET / HTTP/1.1\r\nHo');
  await raw(server, `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys.write}\r\nContent-Length: 10\r\n\r\n[`);
  await raw(server, `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys.write}\r\nContent-Length: 99999999\r\n\r\n`);
  await until('seven lines', () => errors().length === 7);
  /* Two may end in one turn, in either order. */
  assert.deepEqual(errors().sort(), [
    'null null 400 bad_request', 'null null 505 http_version_not_supported', 'null null 414 uri_too_long', 'null null 431 header_too_large',
    'null null 408 request_timeout', 'POST /v1/events 408 request_timeout', 'POST /v1/events 413 body_too_large',
  ].sort());
  assert.ok(linesOf(file).every((line) => line.peer === '127.0.0.1' && line.request_id.length > 8));
});

test('a client that leaves before its reply: no status', { skip }, async (t) => {
  const { file, server } = await logged(t);
  const socket = net.connect({ host: '127.0.0.1', port: Number(new URL(server.address).port) });
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.write(`POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Request-Id: gone\r\nExpect: 100-continue\r\nAuthorization: Bearer ${server.keys.write}\r\nContent-Length: 1000\r\n\r\n`);
  const [said] = await once(socket, 'data');
  assert.match(said.toString(), /^HTTP\/1\.1 100 /); /* the head was read, and let in */
  socket.resetAndDestroy();
  const line = await findLine(file, 'gone');
  assert.deepEqual([line.route, line.status, line.error, line.credential], ['/v1/events', null, 'client_gone', 'write']);
  assert.equal(line.bytes_out, said.length);
});

test('nothing a client sends can break a line or stand in it', { skip }, async (t) => {
  const { file, server } = await logged(t, { flags: ['--trusted-proxy', '127.0.0.1'] });
  const secret = 'sEcReT';
  const evil = [
    `GET /v1/users/${secret}%0a%22/events?key=${secret}%0d%0a HTTP/1.1\r\nHost: ${secret}\r\nX-Request-Id: ${secret}"\t\r\nAuthorization: Bearer ${secret}\r\nConnection: close\r\n\r\n`,
    `${secret}!#$%&'*+ / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    `GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4", "${secret}\r\nConnection: close\r\n\r\n`,
    `GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: \t"}\x1b[31m\r\nConnection: close\r\n\r\n`,
    `GET /\x01${secret} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `\x16\x03\x01${secret}\r\n\r\n`,
    `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys.write}\r\nConnection: close\r\nContent-Length: ${secret.length + 2}\r\n\r\n"${secret}"`,
  ];
  for (const bytes of evil) await raw(server, Buffer.from(bytes, 'latin1'));
  await until('the lines', () => linesOf(file).length >= evil.length + 1);
  const text = fs.readFileSync(file, 'latin1');
  assert.ok(!text.includes(secret) && !text.includes(server.keys.write), text);
  for (const line of text.trimEnd().split('\n')) assert.match(line, /^\{[ -~]*\}$/);
  assert.ok(linesOf(file).every((line) => line.peer === '127.0.0.1'));
});

test('the peer is the client behind a trusted proxy', { skip }, async (t) => {
  const { told } = await logged(t, { flags: ['--trusted-proxy', '127.0.0.1,10.0.0.0/8'] });
  const { line } = await told('GET', '/healthz', { headers: { 'x-forwarded-for': '6.6.6.6, 2001:DB8::7, 10.1.1.1' } });
  assert.equal(line.peer, '2001:db8::7');
});

test('under load each request has one line, and SIGHUP opens the file anew without losing one', { skip }, async (t) => {
  const { file, server, client } = await logged(t, { name: 'renamed' });
  const files = [file];
  let isOver = false;
  const sent = new Set();
  const load = Array.from({ length: 8 }, async (_, worker) => {
    for (let i = 0; !isOver; i++) {
      const id = `load-${worker}-${i}`;
      sent.add(id);
      assert.equal((await client.post([one(id)], { headers: { 'x-request-id': id } })).status, 200);
    }
  });
  for (let round = 1; round <= 5; round++) {
    const old = `${file}.${round}`;
    const before = sent.size;
    await until('some requests', () => sent.size > before + 50);
    fs.renameSync(file, old);
    files.unshift(old);
    server.child.kill('SIGHUP');
    await until('the new file', () => server.stderr.split('access_log.reopened').length - 1 === round);
    assert.ok(fs.existsSync(file));
  }
  isOver = true;
  await Promise.all(load);
  await until('all lines', () => files.reduce((sum, each) => sum + linesOf(each).filter((line) => sent.has(line.request_id)).length, 0) === sent.size);
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  const all = files.flatMap((each) => linesOf(each)).map((line) => line.request_id);
  assert.equal(new Set(all).size, all.length);
  assert.match((await server.request({ path: '/metrics' })).text, /^potik_access_log_dropped_total 0$/m);
});

test('a pipe that nobody reads: lines are dropped and counted, ingest goes on; no line is cut', { skip }, async (t) => {
  const pipe = path.join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const nobody = spawnSync(BIN, ['serve', '--data-dir', path.join(folder, 'never'), '--listen', '127.0.0.1:0', '--access-log', pipe], { encoding: 'utf8', env: BARE_ENV, timeout: 20000 * SLOWNESS });
  assert.equal(nobody.status, 1, nobody.stderr);
  assert.match(nobody.stderr, /pipe: nobody reads that pipe/);
  const reader = fs.openSync(pipe, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  t.after(() => fs.closeSync(reader));
  const server = await startServer({ flags: ['--access-log', pipe] });
  const client = new Client(server);
  const dropped = async () => Number(/^potik_access_log_dropped_total (\d+)$/m.exec((await server.request({ path: '/metrics' })).text)[1]);
  for (let i = 0; await dropped() < 100; i++) assert.equal((await client.post([one(`p-${i}`)])).status, 200);
  const got = Buffer.alloc(1 << 20);
  const len = fs.readSync(reader, got, 0, got.length, null);
  assert.ok(len > 30000);
  for (const line of got.subarray(0, len).toString().trimEnd().split('\n')) assert.deepEqual(Object.keys(JSON.parse(line)), MEMBERS);
  client.close();
  await server.close();
});

test('"-" is stderr: a pipe, a file, a socket', { skip }, async () => {
  const piped = await startServer({ flags: ['--access-log', '-'] });
  await piped.request({ path: '/healthz', headers: { 'x-request-id': 'piped' } });
  await until('the line', () => /^\{"time":"[^"]+","request_id":"piped",.*\}$/m.test(piped.stderr));
  piped.child.kill('SIGHUP'); /* nothing to open anew: it means that the terminal went */
  assert.deepEqual(await piped.exited, { code: 0, signal: null });
  piped.remove();
  for (const kind of ['file', 'socket']) {
    const data = path.join(folder, `data-${kind}`);
    const words = ['serve', '--data-dir', data, '--listen', '127.0.0.1:0', '--access-log', '-'];
    let text = () => fs.readFileSync(path.join(folder, 'stderr'), 'utf8');
    let child;
    if (kind === 'file') {
      child = spawn(BIN, words, { stdio: ['ignore', 'pipe', fs.openSync(path.join(folder, 'stderr'), 'w')], env: { ...BARE_ENV, ...storeEnv(data) } });
    } else {
      let all = '';
      text = () => all;
      /* node gives its children socket pairs where the type is overlapped or ipc; 'pipe' on Linux is one, too */
      child = spawn(BIN, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...BARE_ENV, ...storeEnv(data) } });
      assert.match(fs.readlinkSync(`/proc/${child.pid}/fd/2`), /^(socket|pipe):/);
      child.stderr.on('data', (part) => { all += part; });
    }
    const address = await new Promise((resolve) => child.stdout.once('data', (part) => resolve(String(part).trim().replace('listening on ', ''))));
    await (await fetch(`${address}/healthz`, { headers: { 'x-request-id': `to-${kind}` } })).text();
    await until('the line', () => new RegExp(`^\\{"time":"[^"]+","request_id":"to-${kind}",.*\\}$`, 'm').test(text()));
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('close', resolve));
  }
});

test('a full disk loses lines, not requests, and no line is glued to another', { skip: skip || (process.getuid() !== 0 && 'needs root: a small disk of its own') }, async (t) => {
  const disk = path.join(folder, 'disk');
  fs.mkdirSync(disk);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', disk]).status !== 0) {
    t.skip('no tmpfs can be mounted here');
    return;
  }
  t.after(() => execFileSync('umount', [disk]));
  const file = path.join(disk, 'access.log');
  const server = await startServer({ flags: ['--access-log', file] });
  const client = new Client(server);
  const dropped = async () => Number(/^potik_access_log_dropped_total (\d+)$/m.exec((await server.request({ path: '/metrics' })).text)[1]);
  for (let i = 0; await dropped() < 20; i++) assert.equal((await client.post([one(`d-${i}`)])).status, 200);
  fs.truncateSync(file, 0);
  await client.post([one('after')], { headers: { 'x-request-id': 'after' } });
  await client.post([one('later')], { headers: { 'x-request-id': 'later' } });
  const texts = await until('lines again', () => {
    const lines = fs.readFileSync(file, 'utf8').split('\n');
    return lines.some((line) => line.includes('"later"')) ? lines : false;
  });
  const found = texts.filter((line) => line !== '').map((line) => JSON.parse(line).request_id);
  assert.ok(found.includes('later'), found);
  client.close();
  await server.close();
});

test('a file that cannot be opened: exit 1 and one sentence', { skip }, async () => {
  const how = spawnSync(BIN, ['serve', '--data-dir', path.join(folder, 'none'), '--listen', '127.0.0.1:0', '--access-log', path.join(folder, 'no/such/file')],
    { encoding: 'utf8', env: BARE_ENV, timeout: 20000 * SLOWNESS });
  assert.equal(how.status, 1, how.stderr);
  assert.match(how.stderr.trimEnd().split('\n').pop(), /^potik: --access-log: open .*no\/such\/file: No such file/);
});
