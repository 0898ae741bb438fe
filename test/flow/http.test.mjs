/*
 * The edge of the server as a client meets it: who is let in, which paths and methods there are, CORS, HEAD, request ids, and
 * raw bytes that are no HTTP. Every answer with a body is JSON with a code; nothing that was refused is stored; the server goes on.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkRaw } from './contract.mjs';
import { Client, MISSING, SLOWNESS, startServer, until } from './server.mjs';

const skip = MISSING;
let server;
let client;
test.before(async () => {
  if (MISSING) return;
  server = await startServer();
  client = new Client(server);
});
test.after(async () => {
  client?.close();
  await server?.close();
});

const one = (id) => JSON.stringify({ event_id: id, event_type: 'view', user_id: 'u' });

/** Bytes in, everything that comes until the connection closes (or `enough` is seen) out. */
function raw(pieces, { enough = null, keepOpen = false, onContinue = null } = {}) {
  const { hostname, port } = new URL(server.address);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    let text = '';
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no close after ${JSON.stringify(pieces).slice(0, 200)}; got ${text}`));
    }, 8000 * SLOWNESS);
    const end = () => {
      clearTimeout(timer);
      socket.destroy();
      try {
        checkRaw(text);
      } catch (error) {
        reject(error);
        return;
      }
      resolve(text);
    };
    socket.on('data', (part) => {
      text += part.toString('latin1');
      if (onContinue !== null && text === 'HTTP/1.1 100 Continue\r\n\r\n') socket.write(onContinue);
      if (enough !== null && enough.test(text)) end();
    });
    socket.on('end', end);
    socket.on('error', (error) => (error.code === 'ECONNRESET' || error.code === 'EPIPE' ? end() : reject(error)));
    socket.on('connect', () => {
      for (const piece of pieces) socket.write(piece);
      if (!keepOpen && enough === null) socket.end();
    });
  });
}
const statusOf = (text) => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
const bodyOf = (text) => text.slice(text.indexOf('\r\n\r\n') + 4);
const auth = () => `Authorization: Bearer ${server.keys.write}\r\n`;

test('who is let in', { skip }, async (t) => {
  const { write, read } = server.keys;
  const ASKED = [
    ['no key', {}, 401, 401],
    ['Bearer', { authorization: `Bearer ${write}` }, 200, 403],
    ['bearer in lower case', { authorization: `bearer ${write}` }, 200, 403],
    ['X-Potik-Key', { 'x-potik-key': write }, 200, 403],
    ['both and equal', { authorization: `Bearer ${write}`, 'x-potik-key': write }, 200, 403],
    ['both and different', { authorization: `Bearer ${write}`, 'x-potik-key': read }, 401, 401],
    ['read key', { authorization: `Bearer ${read}` }, 403, 200],
    ['unknown key', { authorization: `Bearer wk_${'a'.repeat(32)}` }, 401, 401],
    ['one letter off', { authorization: `Bearer ${write.slice(0, -1)}${write.endsWith('a') ? 'b' : 'a'}` }, 401, 401],
    ['a key cut short', { authorization: `Bearer ${write.slice(0, -1)}` }, 401, 401],
    ['Basic', { authorization: `Basic ${Buffer.from(`${write}:`).toString('base64')}` }, 401, 401],
    ['nothing behind Bearer', { authorization: 'Bearer ' }, 401, 401],
  ];
  for (const [what, headers, onWrite, onRead] of ASKED) {
    await t.test(what, async () => {
      const posted = await server.request({ method: 'POST', path: '/v1/events', headers, body: '[]' });
      assert.equal(posted.status, onWrite, posted.text);
      const got = await server.request({ path: '/v1/stats/dau', headers });
      assert.equal(got.status, onRead, got.text);
      for (const reply of [posted, got]) {
        if (reply.status === 401) {
          assert.match(reply.headers['www-authenticate'], /^Bearer/);
          assert.equal(reply.json.error.code, 'unauthorized');
        }
        if (what === 'Basic') assert.match(reply.json.error.message, /must be: Bearer KEY or Bearer TOKEN$/);
        if (reply.status === 403) assert.equal(reply.json.error.code, 'wrong_key_kind');
        assert.ok(!reply.text.includes(write) && !reply.text.includes(read), 'a key is never told');
      }
    });
  }
  await t.test('Authorization twice', async () => {
    const text = await raw([`GET /v1/stats/dau HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${read}\r\nAuthorization: Bearer ${read}\r\n\r\n`]);
    assert.equal(statusOf(text), 401, text);
  });
});

test('paths and methods', { skip }, async (t) => {
  const ASKED = [
    ['GET', '/', 200], ['GET', '/healthz', 200], ['GET', '/readyz', 200], ['GET', '/metrics', 200],
    ['HEAD', '/', 200], ['HEAD', '/healthz', 200], ['HEAD', '/metrics', 200],
    ['GET', '/nowhere', 404, 'not_found'], ['GET', '/v1', 404, 'not_found'], ['GET', '/v1/events/', 404, 'not_found'],
    ['GET', '/v1/stats/nothing', 404, 'not_found'], ['POST', '/v1/stats/nothing', 404, 'not_found'],
    ['GET', '/openapi.json', 200], ['GET', '/docs', 200], ['GET', '/docs/', 404, 'not_found'], ['GET', '/docs/start.js', 200], ['GET', '/docs/%73tart.js', 404, 'not_found'],
    ['GET', '/v1/users//events', 404, 'not_found'], ['GET', '/v1/%65vents', 404, 'not_found'],
    ['POST', '/healthz', 405, 'method_not_allowed', 'GET, HEAD'], ['DELETE', '/v1/events', 405, 'method_not_allowed', 'POST, GET, HEAD, OPTIONS'],
    ['POST', '/v1/stats/dau', 405, 'method_not_allowed', 'GET, HEAD'], ['PUT', '/', 405, 'method_not_allowed', 'GET, HEAD'],
    ['OPTIONS', '/v1/stats/dau', 405, 'method_not_allowed', 'GET, HEAD'],
    ['GET', '/v1/users/%00/events', 400, 'bad_request'], ['GET', '/v1/users/%ff/events', 400, 'bad_request'],
    ['GET', '/v1/events%00', 400, 'bad_request'], ['GET', '/%zz', 400, 'bad_request'],
    ['GET', `/${'a'.repeat(8191)}`, 404, 'not_found'], ['GET', `/${'a'.repeat(8192)}`, 414, 'uri_too_long'],
    ['PROPFIND', '/v1/events', 501, 'not_implemented'],
  ];
  for (const [method, target, status, code, allow] of ASKED) {
    await t.test(`${method} ${target.slice(0, 40)}`, async () => {
      const reply = await server.request({ method, path: target });
      assert.equal(reply.status, status, reply.text);
      if (code !== undefined) assert.equal(reply.json.error.code, code, reply.text);
      if (allow !== undefined) assert.equal(reply.headers.allow, allow);
      if (method === 'HEAD') {
        assert.equal(reply.text, '');
        assert.ok(Number(reply.headers['content-length']) > 0);
      }
    });
  }
});

test('the order of asking: 404, 405, 401, 403, 415, 413, body', { skip }, async () => {
  const post = async (path, headers, body) => (await server.request({ method: 'POST', path, headers, body })).status;
  const key = { authorization: `Bearer ${server.keys.write}` };
  assert.equal(await post('/nowhere', { 'content-type': 'image/png' }, 'x'), 404);
  assert.equal(await post('/healthz', { 'content-type': 'image/png' }, 'x'), 405);
  assert.equal(await post('/v1/events', { 'content-type': 'image/png' }, 'x'), 401);
  assert.equal(await post('/v1/events', { 'content-type': 'image/png', authorization: `Bearer ${server.keys.read}` }, 'x'), 403);
  assert.equal(await post('/v1/events', { 'content-type': 'image/png', ...key }, 'x'), 415);
  assert.equal(await post('/v1/events', key, 'x'), 400);
  const large = (type) => raw([`POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth()}Content-Type: ${type}\r\nContent-Length: 16777217\r\n\r\n`], { enough: /}}/ });
  assert.equal(statusOf(await large('image/png')), 415);
  const text = await large('text/plain');
  assert.equal(statusOf(text), 413);
  assert.equal(JSON.parse(bodyOf(text)).error.code, 'body_too_large');
});

test('16 MiB are taken as sent, one byte more is not', { skip }, async () => {
  const body = Buffer.alloc(16 * 1024 * 1024, ' ');
  body.write(`[${one('sixteen')}`, 0);
  body.write(']', body.length - 1);
  const headers = { authorization: `Bearer ${server.keys.write}` };
  const reply = await server.request({ method: 'POST', path: '/v1/events', headers, body });
  assert.equal(reply.status, 200, reply.text);
  const chunked = await raw([
    `POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth()}Transfer-Encoding: chunked\r\n\r\n1000001\r\n`, body, 'x\r\n0\r\n\r\n',
  ], { enough: /}}/ });
  assert.equal(statusOf(chunked), 413, chunked);
});

test('CORS: any origin on ingest, without credentials, errors too', { skip }, async () => {
  const origin = { origin: 'https://shop.example' };
  const preflight = await server.request({
    method: 'OPTIONS', path: '/v1/events',
    headers: { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.text, '');
  assert.equal(preflight.headers['access-control-allow-origin'], '*');
  assert.match(preflight.headers['access-control-allow-methods'], /POST/);
  for (const name of ['authorization', 'content-type', 'content-encoding', 'x-potik-key']) {
    assert.ok(preflight.headers['access-control-allow-headers'].toLowerCase().includes(name), name);
  }
  assert.equal(preflight.headers['access-control-allow-credentials'], undefined);
  const posted = await server.request({ method: 'POST', path: '/v1/events', body: '[]', headers: { ...origin, authorization: `Bearer ${server.keys.write}` } });
  assert.deepEqual([posted.status, posted.headers['access-control-allow-origin']], [200, '*']);
  const refused = await server.request({ method: 'POST', path: '/v1/events', body: '[]', headers: origin });
  assert.deepEqual([refused.status, refused.headers['access-control-allow-origin']], [401, '*']);
  const stats = await client.get('/v1/stats/dau', { headers: origin });
  assert.deepEqual([stats.status, stats.headers['access-control-allow-origin']], [200, undefined]);
});

test('X-Request-Id is echoed, or made', { skip }, async () => {
  const ask = async (id) => (await server.request({ path: '/nowhere', headers: id === null ? {} : { 'x-request-id': id } }));
  for (const id of ['a', 'x'.repeat(128), 'A.b_c-9']) {
    const reply = await ask(id);
    assert.equal(reply.headers['x-request-id'], id);
    assert.equal(reply.json.error.request_id, id);
  }
  for (const id of ['x'.repeat(129), 'a b', 'ü', 'a/b', null]) {
    const reply = await ask(id === 'ü' ? '\u00fc' : id);
    assert.notEqual(reply.headers['x-request-id'], id);
    assert.match(reply.headers['x-request-id'], /^[A-Za-z0-9._-]{1,128}$/);
    assert.equal(reply.json.error.request_id, reply.headers['x-request-id']);
  }
});

test('bytes that are no request', { skip }, async (t) => {
  const head = `POST /v1/events HTTP/1.1\r\nHost: x\r\n`;
  const body = `[${one('noise')}]`;
  const NOISE = [
    ['noise', ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n'], 400],
    ['an empty line and noise', ['\r\n\x00\x01\x02\r\n\r\n'], 400],
    ['HTTP/2', ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], [400, 505]],
    ['bare LF', ['GET /healthz HTTP/1.1\nHost: x\n\n'], 400],
    ['a space before the colon', ['GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n'], 400],
    ['no Host', ['GET /healthz HTTP/1.1\r\n\r\n'], 400],
    ['Content-Length twice', [`${head}Content-Length: ${body.length}\r\nContent-Length: ${body.length}\r\n\r\n${body}`], 400],
    ['Content-Length twice, different', [`${head}Content-Length: 1\r\nContent-Length: ${body.length}\r\n\r\n${body}`], 400],
    ['Content-Length with Transfer-Encoding', [`${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`], 400],
    ['a negative Content-Length', [`${head}Content-Length: -1\r\n\r\n`], 400],
    ['a Content-Length of words', [`${head}Content-Length: five\r\n\r\n`], 400],
    ['a head over 16 KiB', [`GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(17000)}\r\n\r\n`], 431],
    ['a broken chunk', [`${head}${'AUTH'}Transfer-Encoding: chunked\r\n\r\nzz\r\n`], 400],
    ['an unknown expectation', [`${head}Expect: magic\r\nContent-Length: 2\r\n\r\n[]`], 417],
  ];
  for (const [what, pieces, status] of NOISE) {
    await t.test(what, async () => {
      const text = await raw(pieces.map((piece) => Buffer.from(piece.replace('AUTH', auth()), 'latin1')));
      assert.ok([status].flat().includes(statusOf(text)), text);
      assert.match(text, /content-type: application\/json/i);
      assert.equal(typeof JSON.parse(bodyOf(text)).error.code, 'string');
    });
  }
  const stored = await client.get('/v1/events?limit=1000');
  assert.ok(!stored.json.events.some((event) => event.event_id === 'noise'));
});

test('a Content-Length that lies', { skip }, async (t) => {
  const send = (length, body) => raw([`POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth()}Content-Length: ${length}\r\n\r\n${body}`]);
  await t.test('longer than what comes: nothing stored', async () => {
    const body = `[${one('cut')}]`;
    await send(body.length + 1, body);
    const again = await client.post([{ event_id: 'cut', event_type: 'view', user_id: 'u' }]);
    assert.equal(again.json.accepted, 1);
  });
  await t.test('shorter than what comes: the rest is the next request', async () => {
    const body = `[${one('short')}]`;
    const text = await send(body.length - 1, body);
    assert.equal(statusOf(text), 400);
    assert.equal(JSON.parse(bodyOf(text).split('HTTP/1.1')[0]).error.code, 'invalid_json');
  });
});

test('connections cut in the middle of a body: nothing stored, the server goes on', { skip }, async () => {
  const body = `[${Array.from({ length: 50 }, (_, i) => one(`half-${i}`)).join(',')}]`;
  const { hostname, port } = new URL(server.address);
  const cut = (length) => new Promise((resolve) => {
    const socket = net.connect({ host: hostname, port: Number(port) }, () => {
      socket.write(`POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth()}Content-Length: ${body.length}\r\n\r\n${body.slice(0, length)}`, () => {
        socket.resetAndDestroy();
        resolve();
      });
    });
    socket.on('error', () => resolve());
  });
  await Promise.all(Array.from({ length: 40 }, (_, i) => cut(Math.floor((body.length * i) / 40))));
  const reply = await client.post(Array.from({ length: 50 }, (_, i) => ({ event_id: `half-${i}`, event_type: 'view', user_id: 'u' })));
  assert.equal(reply.json.accepted, 50, reply.text);
});

test('clients that reset right behind the last byte: stored or not, never half, and the server goes on', { skip }, async () => {
  const ids = Array.from({ length: 300 }, (_, i) => [`reset-${i}-a`, `reset-${i}-b`]);
  const { hostname, port } = new URL(server.address);
  const send = (pair) => new Promise((resolve) => {
    const body = `[${pair.map(one).join(',')}]`;
    const socket = net.connect({ host: hostname, port: Number(port) }, () => {
      socket.write(`POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth()}Content-Length: ${body.length}\r\n\r\n${body}`, () => {
        socket.resetAndDestroy();
        resolve();
      });
    });
    socket.on('error', () => resolve());
  });
  for (let i = 0; i < ids.length; i += 50) await Promise.all(ids.slice(i, i + 50).map(send));
  for (const pair of ids) {
    const reply = await client.post(pair.map((id) => ({ event_id: id, event_type: 'view', user_id: 'u' })));
    assert.ok([0, 2].includes(reply.json.accepted), reply.text);
    assert.equal(reply.json.accepted + reply.json.duplicates, 2);
  }
});

test('100-continue, chunked bodies, pipelining', { skip }, async () => {
  const body = `[${one('chunked')}]`;
  const chunks = `${(5).toString(16)}\r\n${body.slice(0, 5)}\r\n${(body.length - 5).toString(16)}\r\n${body.slice(5)}\r\n0\r\n\r\n`;
  const text = await raw([
    `POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth()}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n`,
  ], { enough: /errors/, onContinue: chunks });
  assert.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  const posts = Array.from({ length: 30 }, (_, i) => {
    const each = `[${one(`pipe-${i}`)}]`;
    return `POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth()}X-Request-Id: p-${i}\r\nContent-Length: ${each.length}\r\n\r\n${each}`;
  });
  const replies = await raw([posts.join('') + 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'], { keepOpen: true, enough: /alive/ });
  assert.deepEqual([...replies.matchAll(/x-request-id: (p-\d+)/gi)].map((found) => found[1]), Array.from({ length: 30 }, (_, i) => `p-${i}`));
  assert.equal([...replies.matchAll(/"accepted":1/g)].length, 30);
});

test('replies that a client does not take hold no memory, however many it asked for; taken at last, all are whole', { skip }, async (t) => {
  const { hostname, port } = new URL(server.address);
  const memory = () => Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) / 1024;
  const large = 'GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n';
  const whole = await server.request({ path: '/docs/swagger-ui-bundle.js' }); /* and made once */
  assert.ok(whole.text.length > 1e6);
  const before = memory();
  const sockets = [];
  t.after(() => { for (const socket of sockets) socket.destroy(); });
  for (let i = 0; i < 50; i++) {
    const socket = net.connect({ host: hostname, port: Number(port) });
    sockets.push(socket);
    await once(socket, 'connect');
    socket.pause();
    socket.write((i % 2 === 0 ? large : 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n').repeat(16) + 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  }
  await server.request({ path: '/healthz' }); /* a turn later */
  await sleep(500);
  const grown = memory() - before;
  assert.ok(grown < 40 * SLOWNESS, `${grown} MiB more`); // 25 × 16 × 1.7 MB before; what /metrics makes is bounded by 256 KiB
  let bytes = 0;
  let end = '';
  sockets[0].on('data', (part) => { bytes += part.length; end = (end + part.toString('latin1')).slice(-400); });
  sockets[0].resume();
  await once(sockets[0], 'end');
  assert.match(end, /"alive"/);
  assert.ok(bytes > 16 * whole.text.length, `${bytes}`);
});

test('the page and the metrics', { skip }, async () => {
  const page = await server.request({ path: '/' });
  assert.match(page.headers['content-type'], /^text\/html/);
  assert.match(page.text, /href="\/metrics"/);
  const metrics = await until('the disk looked at', async () => {
    const reply = await server.request({ path: '/metrics' });
    return /^potik_disk_free_bytes [1-9]/m.test(reply.text) ? reply : false;
  });
  assert.match(metrics.headers['content-type'], /^text\/plain; version=0\.0\.4/);
  for (const name of ['potik_events_accepted_total', 'potik_events_duplicate_total', 'potik_events_rejected_total{code="too_long"}',
    'potik_commit_events_count', 'potik_commit_seconds_sum', 'potik_ledger_bytes', 'potik_load_lag_seconds',
    'potik_query_seconds_count{metric="dau"}', 'potik_disk_free_bytes', 'potik_disk_days_left']) {
    assert.ok(metrics.text.split('\n').some((line) => line.startsWith(`${name} `)), name);
  }
  const typed = [...metrics.text.matchAll(/^# TYPE (\S+)/gm)].map((found) => found[1]);
  assert.equal(new Set(typed).size, typed.length, 'a metric is described once');
});
