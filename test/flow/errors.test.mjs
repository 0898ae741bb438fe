/*
 * One shape for every error, and what the server says when it cannot: too many at once, too slow, too late. The codes of single
 * events stand in ingest.test.mjs, those of raw HTTP in http.test.mjs.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { gzipSync } from 'node:zlib';
import { Client, MISSING, SLOWNESS, farAhead, query, startServer, until } from './server.mjs';

const skip = MISSING;

test('every error body has the one shape', { skip }, async () => {
  const server = await startServer();
  const key = { authorization: `Bearer ${server.keys.write}` };
  const read = { authorization: `Bearer ${server.keys.read}` };
  const ASKED = [
    ['GET', '/nowhere', {}, null, 404, 'not_found', null],
    ['DELETE', '/healthz', {}, null, 405, 'method_not_allowed', null],
    ['GET', '/v1/stats/dau', {}, null, 401, 'unauthorized', null],
    ['GET', '/v1/stats/dau', key, null, 403, 'wrong_key_kind', null],
    ['GET', '/v1/stats/dau?limit=1', read, null, 400, 'invalid_parameter', 'limit'],
    ['POST', '/v1/events', key, '', 400, 'empty_body', null],
    ['POST', '/v1/events', key, '[', 400, 'invalid_json', null],
    ['POST', '/v1/events', { ...key, 'content-encoding': 'br' }, '[]', 415, 'unsupported_encoding', null],
    ['POST', '/v1/events', { ...key, 'content-type': 'a/b' }, '[]', 415, 'unsupported_media_type', null],
    ['POST', '/v1/events', { ...key, 'content-encoding': 'gzip' }, '[]', 400, 'bad_compression', null],
    ['POST', '/v1/events', key, '{"events":[],"x":1}', 400, undefined, undefined],
    ['POST', '/v1/events', key, '[1]', 400, 'all_rejected', null],
  ];
  for (const [method, path, headers, body, status, code, field] of ASKED) {
    const reply = await server.request({ method, path, headers: { ...headers, 'x-request-id': 'shape' }, body });
    const what = `${method} ${path}: ${reply.text}`;
    assert.equal(reply.status, status, what);
    assert.equal(reply.headers['content-type'], 'application/json', what);
    const { error } = reply.json;
    assert.deepEqual(Object.keys(error), ['code', 'message', 'field', 'request_id'], what);
    if (code !== undefined) assert.equal(error.code, code, what);
    if (field !== undefined) assert.equal(error.field, field, what);
    assert.ok(error.message.length > 5, what);
    assert.equal(error.request_id, 'shape', what);
    assert.equal(reply.headers['retry-after'], undefined, what);
  }
  await server.close();
});

test('sentences name what would do', { skip }, async (t) => {
  const server = await startServer();
  t.after(() => server.close());
  const key = { authorization: `Bearer ${server.keys.write}` };
  const ASKED = [
    ['POST', '/v1/events', { ...key, 'content-type': 'application/ndjson' }, '[]', 415, /application\/json or application\/x-ndjson/],
    ['POST', '/v1/events', key, '{"event_type":"v","user_id":"u"}\n{"event_type":"v","user_id":"u"}\n', 400, /lines\? send Content-Type: application\/x-ndjson$/],
    ['POST', '/v1/events', key, '{"event_type":"v","user_id":"u"} x', 400, /^text behind the end of the JSON value$/],
    ['POST', '/v1/events', key, Buffer.alloc(16 * 1024 * 1024 + 1, 32), 413, /over 16 MiB/],
    ['POST', '/v1/events', { ...key, 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(64 * 1024 * 1024 + 1, 32)), 413, /over 64 MiB once decompressed/],
    ['POST', '/v1/events', key, `[${'1,'.repeat(10000)}1]`, 413, /over 10,000 events/],
    ['GET', '/v1/stats/dua', {}, null, 404, /there are: dau, top-events, retention$/],
    ['GET', '/v1/stat', {}, null, 404, /^there is nothing at this address$/],
    ['DELETE', '/v1/events', {}, null, 405, /allowed: POST, GET, HEAD, OPTIONS$/],
    ['PUT', '/healthz', {}, null, 405, /allowed: GET, HEAD$/],
  ];
  for (const [method, path, headers, body, status, message] of ASKED) {
    const reply = await server.request({ method, path, headers, body });
    assert.equal(reply.status, status, reply.text);
    assert.match(reply.json.error.message, message);
  }
});

test('questions beyond the queue: 503 overloaded with Retry-After, ingest goes on', { skip }, async () => {
  const server = await startServer({ flags: ['--query-threads', '1', '--query-queue', '1'] });
  const client = new Client(server);
  await client.send([{ event_id: 'a', event_type: 'v', user_id: 'u' }]);
  const waits = Array.from({ length: 12 }, () => server.request({
    path: `/v1/stats/dau?${query({ min_position: farAhead(client.position), wait_ms: 2000 })}`,
    headers: { authorization: `Bearer ${server.keys.read}` },
  }));
  const first = await Promise.race(waits);
  assert.deepEqual([first.status, first.json.error.code], [503, 'overloaded'], first.text);
  assert.ok(Number(first.headers['retry-after']) >= 1);
  const posted = await client.post([{ event_id: 'b', event_type: 'v', user_id: 'u' }]);
  assert.equal(posted.json.accepted, 1);
  const codes = (await Promise.all(waits)).map((reply) => reply.json.error.code);
  assert.ok(codes.includes('behind') && codes.every((code) => ['behind', 'overloaded'].includes(code)), codes.join(' '));
  assert.equal((await client.get('/v1/stats/dau')).status, 200);
  client.close();
  await server.close();
});

test('a query over its deadline: 503 query_timeout', { skip }, async () => {
  const server = await startServer({ flags: ['--query-timeout', '10ms', '--seal-rows', '20000'] });
  const client = new Client(server);
  for (let k = 0; k < 10; k++) {
    await client.send(Array.from({ length: 10000 }, (_, i) => ({ event_id: `${k}-${i}`, event_type: `t${i % 50}`, user_id: `u${i}`, occurred_at: 1700000000000 + i * 100000 })), { batch: 10000 });
  }
  let seen = null;
  await until('loaded', async () => {
    const reply = await client.get(`/v1/stats/retention?${query({ start_date: '2023-11-14', windows: 30, min_position: client.position })}`);
    assert.ok([200, 503].includes(reply.status), reply.text);
    if (reply.status === 503 && reply.json.error.code === 'query_timeout') seen = reply;
    return reply.status === 200 || seen !== null;
  });
  if (seen !== null) assert.ok(Number(seen.headers['retry-after']) >= 1);
  client.close();
  await server.close();
});

test('a slow head and a slow body end with 408', { skip }, async () => {
  const server = await startServer({ flags: ['--head-timeout', '300ms', '--body-timeout', '300ms', '--request-timeout', '1s'] });
  const { hostname, port } = new URL(server.address);
  const slow = (text) => new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port: Number(port) }, () => socket.write(text));
    let got = '';
    socket.setTimeout(10000 * SLOWNESS, () => reject(new Error(`still open: ${got}`)));
    socket.on('data', (part) => {
      got += part;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
  });
  for (const text of [
    'GET /healthz HTTP/1.1\r\nHo',
    `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys.write}\r\nContent-Length: 100\r\n\r\n[{"event_id":"slow"`,
  ]) {
    const got = await slow(text);
    assert.match(got, /^HTTP\/1\.1 408 /);
    assert.equal(JSON.parse(got.slice(got.indexOf('\r\n\r\n'))).error.code, 'request_timeout');
  }
  await server.close();
});

test('clients that go away while their question is answered do no harm', { skip }, async () => {
  const server = await startServer();
  const client = new Client(server);
  await client.send(Array.from({ length: 2000 }, (_, i) => ({ event_id: `g${i}`, event_type: 'v', user_id: `u${i}` })));
  const { hostname, port } = new URL(server.address);
  await Promise.all(Array.from({ length: 40 }, (_, i) => new Promise((resolve) => {
    const wait = i % 2 === 0 ? `&min_position=${farAhead(client.position)}&wait_ms=300` : '';
    const socket = net.connect({ host: hostname, port: Number(port) }, () => {
      socket.write(`GET /v1/stats/retention?windows=30${wait} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys.read}\r\n\r\n`, () => {
        socket.resetAndDestroy();
        resolve();
      });
    });
    socket.on('error', () => resolve());
  })));
  const top = await until('answers again', async () => {
    const reply = await client.tryStats('top-events');
    return reply.status === 200 ? reply.json : false;
  });
  assert.deepEqual(top.rows, [['v', 2000, 2000]]);
  client.close();
  await server.close();
});
