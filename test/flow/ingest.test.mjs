/*
 * POST /v1/events over HTTP: every rule of an event on both sides of its limit, every form of a body, verdicts by index,
 * and that nothing is stored which was refused. One server for the file; every test uses ids of its own.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { Client, MISSING, startServer, until } from './server.mjs';

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

let made = 0;
const freshId = () => `i-${++made}`;
const event = (fields = {}) => ({ event_id: freshId(), event_type: 'view', user_id: 'u', ...fields });

async function post(body, { headers = {}, target = '/v1/events' } = {}) {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return server.request({
    method: 'POST', path: target, body: bytes, agent: client.agent,
    headers: { authorization: `Bearer ${server.keys.write}`, 'content-length': bytes.length, ...headers },
  });
}

/** Ids of everything stored so far, once `position` is loaded. */
async function storedAfter(position, cursor) {
  const found = [];
  let after = cursor;
  await client.stats('top-events', { min_position: position, wait_ms: 10000 });
  for (;;) {
    const reply = await client.get(`/v1/events?limit=1000&after=${after}`);
    assert.equal(reply.status, 200, reply.text);
    found.push(...reply.json.events);
    if (reply.json.events.length < 1000) return found;
    after = reply.json.next;
  }
}

async function cursorNow() {
  const reply = await post('[]');
  assert.equal(reply.status, 200, reply.text);
  return reply.json.position;
}

const text = (length) => 'x'.repeat(length);
const deep = (levels) => JSON.parse('{"a":'.repeat(levels - 1) + '{}' + '}'.repeat(levels - 1));
const sized = (bytes) => ({ a: text(bytes - '{"a":""}'.length) });

/* [what, the event's JSON text or fields, code or null, field] */
const good = null;
const RULES = [
  ['whole', {}, good],
  ['event_id of 1', { event_id: 'Q' }, good],
  ['event_id of 128', { event_id: text(128) }, good],
  ['event_id of 129', { event_id: text(129) }, 'too_long', 'event_id'],
  ['event_id empty', { event_id: '' }, 'empty_field', 'event_id'],
  ['event_id a number', { event_id: 7 }, 'invalid_type', 'event_id'],
  ['event_id null is absent', { event_id: null }, good],
  ['event_id counts bytes of UTF-8, 128', { event_id: 'ї'.repeat(64) }, good],
  ['event_id counts bytes of UTF-8, 130', { event_id: 'ї'.repeat(65) }, 'too_long', 'event_id'],
  ['event_type of 200', { event_type: text(200) }, good],
  ['event_type of 201', { event_type: text(201) }, 'too_long', 'event_type'],
  ['event_type absent', { event_type: undefined }, 'missing_field', 'event_type'],
  ['event_type null', { event_type: null }, 'missing_field', 'event_type'],
  ['event_type empty', { event_type: '' }, 'empty_field', 'event_type'],
  ['event_type a list', { event_type: ['view'] }, 'invalid_type', 'event_type'],
  ['user_id of 200', { user_id: text(200) }, good],
  ['user_id of 201', { user_id: text(201) }, 'too_long', 'user_id'],
  ['user_id a number', { user_id: 123 }, 'invalid_type', 'user_id'],
  ['user_id empty', { user_id: '' }, 'empty_field', 'user_id'],
  ['user_id empty beside anonymous_id', { user_id: '', anonymous_id: 'a' }, 'empty_field', 'user_id'],
  ['no person', { user_id: undefined }, 'missing_field', 'user_id'],
  ['no person but null', { user_id: null, anonymous_id: null }, 'missing_field', 'user_id'],
  ['anonymous_id alone', { user_id: undefined, anonymous_id: 'a' }, good],
  ['anonymous_id of 200', { anonymous_id: text(200) }, good],
  ['anonymous_id of 201', { anonymous_id: text(201) }, 'too_long', 'anonymous_id'],
  ['session_id of 128', { session_id: text(128) }, good],
  ['session_id of 129', { session_id: text(129) }, 'too_long', 'session_id'],
  ['session_id true', { session_id: true }, 'invalid_type', 'session_id'],
  ['white space is kept', { user_id: ' u ' }, good],
  ['U+0000 in text', { user_id: 'a\u0000b' }, 'nul_character', 'user_id'],
  ['U+0000 in properties', { properties: { a: '\u0000' } }, 'nul_character', 'properties.a'],
  ['a typo', { userid: 'u' }, 'unknown_field', 'userid'],
  ['occurred_at Z', { occurred_at: '2026-01-31T12:00:00Z' }, good],
  ['occurred_at lower case', { occurred_at: '2026-01-31t12:00:00.5z' }, good],
  ['occurred_at offset', { occurred_at: '2026-01-31T12:00:00+05:45' }, good],
  ['occurred_at with many digits', { occurred_at: '2026-01-31T12:00:00.123456789012Z' }, good],
  ['occurred_at with a space', { occurred_at: '2026-01-31 12:00:00Z' }, 'invalid_timestamp', 'occurred_at'],
  ['occurred_at :60', { occurred_at: '2026-01-31T12:00:60Z' }, 'invalid_timestamp', 'occurred_at'],
  ['occurred_at without a zone', { occurred_at: '2026-01-31T12:00:00' }, 'invalid_timestamp', 'occurred_at'],
  ['occurred_at 30 February', { occurred_at: '2026-02-30T12:00:00Z' }, 'invalid_timestamp', 'occurred_at'],
  ['occurred_at a date', { occurred_at: '2026-01-31' }, 'invalid_timestamp', 'occurred_at'],
  ['occurred_at digits in text', { occurred_at: '1769860800000' }, 'invalid_timestamp', 'occurred_at'],
  ['occurred_at empty', { occurred_at: '' }, 'empty_field', 'occurred_at'],
  ['occurred_at in ms', { occurred_at: 1769860800000 }, good],
  ['occurred_at 0', { occurred_at: 0 }, good],
  ['occurred_at −1', { occurred_at: -1 }, 'timestamp_too_early', 'occurred_at'],
  ['occurred_at 1969', { occurred_at: '1969-12-31T23:59:59.999999Z' }, 'timestamp_too_early', 'occurred_at'],
  ['occurred_at 1970', { occurred_at: '1970-01-01T00:00:00Z' }, good],
  ['occurred_at a float', '1769860800000.5', 'invalid_timestamp', 'occurred_at'],
  ['occurred_at true', { occurred_at: true }, 'invalid_type', 'occurred_at'],
  ['occurred_at null is now', { occurred_at: null }, good],
  ['occurred_at 23 h ahead', () => ({ occurred_at: Date.now() + 23 * 3600000 }), good],
  ['occurred_at 25 h ahead', () => ({ occurred_at: Date.now() + 25 * 3600000 }), 'timestamp_too_late', 'occurred_at'],
  ['properties absent by null', { properties: null }, good],
  ['properties empty', { properties: {} }, good],
  ['properties a list', { properties: [] }, 'invalid_type', 'properties'],
  ['properties text', { properties: 'a' }, 'invalid_type', 'properties'],
  ['properties of 64 KiB', { properties: sized(65536) }, good],
  ['properties of 64 KiB + 1', { properties: sized(65537) }, 'properties_too_large', 'properties'],
  ['properties 16 deep', { properties: deep(16) }, good],
  ['properties 17 deep', { properties: deep(17) }, 'too_deep', null],
];
const RAW = [
  ['a repeated key', '{"event_type":"v","user_id":"u","user_id":"u"}', 'duplicate_key', 'user_id'],
  ['a repeated key deep down', '{"event_type":"v","user_id":"u","properties":{"a":{"b":1,"b":2}}}', 'duplicate_key', 'properties.a.b'],
  ['a lone surrogate', '{"event_type":"v","user_id":"\\ud800"}', 'invalid_utf8', undefined],
  ['2^64 − 1', '{"event_type":"v","user_id":"u","properties":{"n":18446744073709551615}}', good],
  ['2^64', '{"event_type":"v","user_id":"u","properties":{"n":18446744073709551616}}', 'invalid_number', 'properties.n'],
  ['−2^63', '{"event_type":"v","user_id":"u","properties":{"n":-9223372036854775808}}', good],
  ['−2^63 − 1', '{"event_type":"v","user_id":"u","properties":{"n":-9223372036854775809}}', 'invalid_number', 'properties.n'],
  ['1e308', '{"event_type":"v","user_id":"u","properties":{"n":1e308}}', good],
  ['1e309', '{"event_type":"v","user_id":"u","properties":{"n":1e309}}', 'invalid_number', 'properties.n'],
  ['1e-400', '{"event_type":"v","user_id":"u","properties":{"n":1e-400}}', good],
  ['1e-401', '{"event_type":"v","user_id":"u","properties":{"n":1e-401}}', 'invalid_number', 'properties.n'],
  ['400 digits', `{"event_type":"v","user_id":"u","properties":{"n":0.${'1'.repeat(399)}}}`, good],
  ['401 digits', `{"event_type":"v","user_id":"u","properties":{"n":0.${'1'.repeat(400)}}}`, 'invalid_number', 'properties.n'],
  ['NaN', '{"event_type":"v","user_id":"u","properties":{"n":NaN}}', 'invalid_json', undefined],
  ['a number', '7', 'invalid_type', undefined],
  ['text', '"x"', 'invalid_type', undefined],
  ['null', 'null', 'invalid_type', undefined],
];

test('every rule of an event, beside a good neighbour', { skip }, async (t) => {
  const cursor = await cursorNow();
  const kept = new Set();
  for (const [what, fields, code, field] of RULES) {
    await t.test(what, async () => {
      const neighbour = event();
      const value = typeof fields === 'function' ? event(fields()) : typeof fields === 'string' ? event() : event(fields);
      let one = JSON.stringify(value);
      if (typeof fields === 'string') one = one.replace('{', `{"occurred_at":${fields},`);
      const reply = await post(`[${JSON.stringify(neighbour)},${one}]`);
      assert.equal(reply.status, 200, reply.text);
      kept.add(neighbour.event_id);
      if (code === null) {
        assert.deepEqual([reply.json.accepted, reply.json.rejected, reply.json.errors], [2, 0, []], reply.text);
        kept.add(value.event_id ?? reply.json.assigned[0].event_id);
        return;
      }
      assert.deepEqual([reply.json.accepted, reply.json.rejected], [1, 1], reply.text);
      const [error] = reply.json.errors;
      assert.equal(error.index, 1);
      assert.equal(error.code, code, reply.text);
      if (field !== undefined && field !== null) assert.equal(error.field, field, reply.text);
      assert.ok(error.message.length > 0);
      const isUsable = typeof value.event_id === 'string' && Buffer.byteLength(value.event_id) >= 1 && Buffer.byteLength(value.event_id) <= 128;
      if (isUsable && code !== 'invalid_json') assert.equal(error.event_id, value.event_id);
      else assert.equal(error.event_id, null);
    });
  }
  const reply = await post('[]');
  const stored = await storedAfter(reply.json.position, cursor);
  assert.deepEqual(new Set(stored.map((one) => one.event_id)), kept, 'stored is what was accepted, no more, no less');
});

test('every rule of raw JSON', { skip }, async (t) => {
  for (const [what, raw, code, field] of RAW) {
    await t.test(what, async () => {
      const reply = await post(`[${JSON.stringify(event())},${raw},${JSON.stringify(event())}]`);
      assert.equal(reply.status, 200, reply.text);
      assert.equal(reply.json.accepted, code === null ? 3 : 2, reply.text);
      if (code === null) return;
      assert.equal(reply.json.errors[0].index, 1);
      assert.equal(reply.json.errors[0].code, code, reply.text);
      if (field !== undefined) assert.equal(reply.json.errors[0].field, field);
    });
  }
});

test('one element: 1 MiB as sent is taken, one byte more is not', { skip }, async () => {
  const pad = (bytes) => {
    const one = JSON.stringify(event());
    return one.slice(0, -1) + ' '.repeat(bytes - one.length) + '}';
  };
  const exact = await post(`[${pad(1024 * 1024)}]`);
  assert.equal(exact.status, 200, exact.text.slice(0, 300));
  assert.equal(exact.json.accepted, 1);
  const over = await post(`[${JSON.stringify(event())},${pad(1024 * 1024 + 1)}]`);
  assert.equal(over.json.accepted, 1, over.text.slice(0, 300));
  assert.equal(over.json.errors[0].code, 'event_too_large');
});

test('10,000 events a request, not one more', { skip }, async () => {
  const many = (count) => Array.from({ length: count }, () => event());
  const exact = await post(many(10000));
  assert.equal(exact.status, 200, exact.text.slice(0, 300));
  assert.equal(exact.json.accepted, 10000);
  const over = many(10001);
  const refused = await post(over);
  assert.equal(refused.status, 413);
  assert.equal(refused.json.error.code, 'too_many_events');
  const again = await post(over.slice(0, 10)); /* nothing of it was stored */
  assert.equal(again.json.accepted, 10);
});

test('every form of a body', { skip }, async (t) => {
  const json = (list) => JSON.stringify(list);
  const lines = (list) => list.map((one) => JSON.stringify(one)).join('\n');
  const FORMS = [
    ['one object', (list) => json(list[0]), {}, 1],
    ['a list', json, {}, 2],
    ['{"events":[…]}', (list) => json({ events: list }), {}, 2],
    ['white space around', (list) => ` \r\n\t${json(list)} \n`, {}, 2],
    ['application/json', json, { 'content-type': 'application/json; charset=utf-8' }, 2],
    ['text/plain', json, { 'content-type': 'text/plain;charset=UTF-8' }, 2],
    ['form-urlencoded, as curl sends', json, { 'content-type': 'application/x-www-form-urlencoded' }, 2],
    ['NDJSON', lines, { 'content-type': 'application/x-ndjson' }, 2],
    ['NDJSON with blank lines and CRLF', (list) => `\r\n\n${lines(list).replace('\n', '\r\n\r\n')}\r\n`, { 'content-type': 'application/x-ndjson' }, 2],
    ['gzip', (list) => zlib.gzipSync(json(list)), { 'content-encoding': 'gzip' }, 2],
    ['x-gzip', (list) => zlib.gzipSync(json(list)), { 'content-encoding': 'X-GZIP' }, 2],
    ['gzip by its magic', (list) => zlib.gzipSync(json(list)), {}, 2],
    ['gzip by its magic, NDJSON', (list) => zlib.gzipSync(lines(list)), { 'content-type': 'application/x-ndjson' }, 2],
    ['identity', json, { 'content-encoding': 'identity' }, 2],
  ];
  for (const [what, form, headers, count] of FORMS) {
    await t.test(what, async () => {
      const list = [event(), event()];
      const first = await post(form(list), { headers });
      assert.equal(first.status, 200, first.text);
      assert.equal(first.json.accepted, count);
      const second = await post(form(list), { headers });
      assert.deepEqual([second.json.accepted, second.json.duplicates], [0, count]);
    });
  }
});

test('large bodies give the verdicts of small ones', { skip }, async () => {
  const make = () => Array.from({ length: 3000 }, (_, i) =>
    event({ properties: { n: i, text: text(i % 300) }, ...(i % 10 === 3 ? { user_id: '' } : {}) }));
  for (const encode of [(b) => b, zlib.gzipSync]) {
    const list = make();
    const body = JSON.stringify(list);
    assert.ok(body.length > 256 * 1024 + 1000);
    const headers = encode === zlib.gzipSync ? { 'content-encoding': 'gzip' } : {};
    const reply = await post(encode(Buffer.from(body)), { headers, target: '/v1/events?detail=all' });
    assert.equal(reply.status, 200, reply.text.slice(0, 300));
    assert.deepEqual([reply.json.accepted, reply.json.rejected], [2700, 300]);
    assert.deepEqual(reply.json.errors.map((error) => error.index), list.map((_, i) => i).filter((i) => i % 10 === 3));
    assert.deepEqual(reply.json.results, list.map((_, i) => (i % 10 === 3 ? 'rejected' : 'accepted')));
    const small = await post(JSON.stringify(list.slice(0, 20)));
    assert.deepEqual([small.json.duplicates, small.json.rejected], [18, 2]);
  }
});

test('duplicates, first wins, refused events with a stored id', { skip }, async () => {
  const id = freshId();
  const reply = await post([
    event({ event_id: id, user_id: '' }),      /* refused: does not win */
    event({ event_id: id, event_type: 'first' }),
    event({ event_id: id, event_type: 'second' }),
    event({ event_id: id, user_id: '' }),      /* its id is stored by now */
  ], { target: '/v1/events?detail=all' });
  assert.deepEqual(reply.json.results, ['rejected', 'accepted', 'duplicate', 'duplicate'], reply.text);
  const again = await post(event({ event_id: id, event_type: '' }));
  assert.equal(again.status, 200, again.text);
  assert.deepEqual([again.json.duplicates, again.json.rejected], [1, 0]);
  const seen = await until('it in the list', async () => {
    const list = await client.get('/v1/events?limit=1000');
    const found = list.json.events.filter((one) => one.event_id === id);
    return found.length === 0 ? false : found;
  });
  assert.deepEqual(seen.map((one) => one.event_type), ['first']);
});

test('ids the server makes are told', { skip }, async () => {
  const reply = await post([event(), event({ event_id: undefined }), event({ event_id: null })]);
  assert.equal(reply.json.accepted, 3);
  assert.deepEqual(reply.json.assigned.map((one) => one.index), [1, 2]);
  for (const one of reply.json.assigned) assert.match(one.event_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const again = await post(event({ event_id: reply.json.assigned[0].event_id }));
  assert.equal(again.json.duplicates, 1);
});

test('an empty list is zeros; every event refused is 400 with the same body', { skip }, async () => {
  for (const body of ['[]', '{"events":[]}', ' [ ] ']) {
    const reply = await post(body);
    assert.equal(reply.status, 200, reply.text);
    assert.deepEqual([reply.json.accepted, reply.json.duplicates, reply.json.rejected, reply.json.errors], [0, 0, 0, []]);
    assert.ok(reply.json.position.length > 0);
  }
  const reply = await post([event({ event_type: '' }), 7]);
  assert.equal(reply.status, 400);
  assert.equal(reply.json.error.code, 'all_rejected');
  assert.equal(reply.json.rejected, 2);
  assert.deepEqual(reply.json.errors.map((error) => [error.index, error.code]), [[0, 'empty_field'], [1, 'invalid_type']]);
});

test('the whole is refused: nothing of it is stored', { skip }, async (t) => {
  const one = () => JSON.stringify(event());
  const gzipped = zlib.gzipSync(`[${one()}]`);
  const BAD = [
    ['no bytes', '', {}, 400, 'empty_body'],
    ['white space', ' \n\t', {}, 400, 'empty_body'],
    ['NDJSON of blank lines', '\n \r\n', { 'content-type': 'application/x-ndjson' }, 400, 'empty_body'],
    ['not JSON', 'hello', {}, 400, undefined],
    ['an unterminated string', `[${one()},{"event_id":"x]`, {}, 400, 'invalid_json'],
    ['unbalanced brackets', `[${one()},{"a":[}]`, {}, 400, 'invalid_json'],
    ['an open list', `[${one()}`, {}, 400, 'invalid_json'],
    ['text after the end', `[${one()}] x`, {}, 400, 'invalid_json'],
    ['two values', `${one()}${one()}`, {}, 400, 'invalid_json'],
    ['another key beside events', `{"events":[${one()}],"more":1}`, {}, 400, undefined],
    ['gzip cut short', gzipped.subarray(0, gzipped.length - 4), { 'content-encoding': 'gzip' }, 400, 'bad_compression'],
    ['gzip that is none', `[${one()}]`, { 'content-encoding': 'gzip' }, 400, 'bad_compression'],
    ['zstd that is none', `[${one()}]`, { 'content-encoding': 'zstd' }, 400, 'bad_compression'],
    ['text after gzip', Buffer.concat([gzipped, Buffer.from('x')]), { 'content-encoding': 'gzip' }, 400, 'bad_compression'],
    ['another encoding', `[${one()}]`, { 'content-encoding': 'br' }, 415, 'unsupported_encoding'],
    ['two encodings', gzipped, { 'content-encoding': 'gzip, gzip' }, 415, 'unsupported_encoding'],
    ['another type', `[${one()}]`, { 'content-type': 'application/xml' }, 415, 'unsupported_media_type'],
    ['a bomb', zlib.gzipSync(Buffer.alloc(64 * 1024 * 1024 + 1, ' ')), { 'content-encoding': 'gzip' }, 413, 'body_too_large'],
  ];
  const cursor = await cursorNow();
  for (const [what, body, headers, status, code] of BAD) {
    await t.test(what, async () => {
      const reply = await post(body, { headers });
      assert.equal(reply.status, status, reply.text);
      if (code !== undefined) assert.equal(reply.json.error.code, code, reply.text);
      assert.equal(typeof reply.json.error.request_id, 'string', reply.text);
    });
  }
  const end = await cursorNow();
  assert.deepEqual(await storedAfter(end, cursor), []);
});

test('64 MiB inflated is taken', { skip }, async () => {
  const body = Buffer.alloc(64 * 1024 * 1024, ' ');
  body.write(`[${JSON.stringify(event())}`, 0);
  body.write(']', body.length - 1);
  const reply = await post(zlib.gzipSync(body), { headers: { 'content-encoding': 'gzip' } });
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.json.accepted, 1);
});

test('broken elements cost themselves', { skip }, async (t) => {
  const one = () => JSON.stringify(event());
  const BROKEN = [
    ['a bad literal', () => `[${one()},{"event_id":tru},${one()}]`, [1], 2],
    ['an empty element', () => `[${one()},,${one()}]`, [1], 2],
    ['a missing comma', () => `[${one()} ${one()},${one()}]`, [0], 1],
    ['too deep', () => `[${one()},${'['.repeat(70)}${']'.repeat(70)},${one()}]`, [1], 2],
    ['a raw control character', () => `[${one()},{"event_type":"a\u0001"},${one()}]`, [1], 2],
  ];
  for (const [what, make, indexes, accepted] of BROKEN) {
    await t.test(what, async () => {
      const reply = await post(make());
      assert.equal(reply.status, 200, reply.text);
      assert.deepEqual(reply.json.errors.map((error) => error.index), indexes, reply.text);
      assert.equal(reply.json.accepted, accepted, reply.text);
    });
  }
  await t.test('a broken line of NDJSON; index counts lines that are not blank', async () => {
    const reply = await post(`${one()}\n\n{"broken\n${one()}\n`, { headers: { 'content-type': 'application/x-ndjson' } });
    assert.deepEqual([reply.json.accepted, reply.json.errors.map((error) => error.index)], [2, [1]], reply.text);
  });
  await t.test('bad UTF-8 in one event', async () => {
    const bad = Buffer.concat([Buffer.from(`[${one()},{"event_id":"u8","event_type":"v","user_id":"`), Buffer.from([0xc3, 0x28]), Buffer.from(`"},${one()}]`)]);
    const reply = await post(bad);
    assert.equal(reply.json.accepted, 2, reply.text);
    assert.equal(reply.json.errors[0].code, 'invalid_utf8');
  });
  await t.test('a stray quote could turn a text into an event: the whole is refused', async () => {
    const reply = await post(`[{"event_id":"a"b"},"x",${one()}]`);
    assert.equal(reply.status, 400, reply.text);
    assert.equal(reply.json.error.code, 'invalid_json');
  });
});

test('detail=all, and no other parameter', { skip }, async () => {
  const plain = await post([event()]);
  assert.equal(plain.json.results, undefined);
  for (const [target, field] of [['/v1/events?detail=some', 'detail'], ['/v1/events?details=all', 'details'], ['/v1/events?detail=all&x=1', 'x']]) {
    const reply = await post([event()], { target });
    assert.equal(reply.status, 400, reply.text);
    assert.deepEqual([reply.json.error.code, reply.json.error.field], ['invalid_parameter', field]);
  }
});

test('what is stored comes back as it was sent', { skip }, async () => {
  const whole = event({
    user_id: 'ї"\\\u0001', anonymous_id: 'a', session_id: 's', occurred_at: '2026-01-31T12:00:00.123456+02:00',
    properties: { price: 1.5, list: [1, null, true, { deep: 'x' }], text: '\u2028"' },
  });
  const reply = await post(whole);
  const seen = await storedAfter(reply.json.position, reply.json.position);
  assert.deepEqual(seen, []); /* `after` its own position: nothing newer */
  const list = await client.get('/v1/events?limit=10');
  const found = list.json.events.find((one) => one.event_id === whole.event_id);
  assert.equal(found.occurred_at, '2026-01-31T10:00:00.123456Z');
  assert.match(found.received_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  for (const name of ['event_type', 'user_id', 'anonymous_id', 'session_id', 'properties']) assert.deepEqual(found[name], whole[name], name);
});

test('counters tell what happened', { skip }, async () => {
  const read = async () => {
    const reply = await server.request({ path: '/metrics' });
    return (name) => Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\S+)$`, 'm').exec(reply.text)?.[1]);
  };
  const before = await read();
  const one = event();
  await post([one, one, event({ user_id: '' })]);
  const after = await read();
  assert.equal(after('potik_events_accepted_total') - before('potik_events_accepted_total'), 1);
  assert.equal(after('potik_events_duplicate_total') - before('potik_events_duplicate_total'), 1);
  const code = 'potik_events_rejected_total{code="empty_field"}';
  assert.equal(after(code) - before(code), 1);
});
