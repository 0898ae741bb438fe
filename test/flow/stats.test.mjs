/*
 * GET /v1/stats/…, /v1/events and /v1/users/{id}/events over HTTP: parameters on both sides of their limits, forms, read your
 * writes, cursors. What the numbers must be is asked elsewhere (oracle, cdnow).
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, MISSING, OF_THE_LEDGER, SLOWNESS, STORE, farAhead, query, startServer, until } from './server.mjs';

const skip = MISSING;
let server;
let client;
test.before(async () => {
  if (MISSING) return;
  server = await startServer();
  client = new Client(server);
  await client.send([
    { event_id: 's1', event_type: 'view', user_id: 'ann', occurred_at: '2026-01-01T10:00:00Z' },
    { event_id: 's2', event_type: 'buy', user_id: 'ann', occurred_at: '2026-01-02T10:00:00Z', properties: { n: 1.50 } },
    { event_id: 's3', event_type: 'view', user_id: 'bob', occurred_at: '2026-01-02T23:30:00Z' },
    { event_id: 's4', event_type: 'view, "odd"', anonymous_id: 'x/y z', occurred_at: '2026-01-03T00:00:00Z' },
  ]);
});
test.after(async () => {
  client?.close();
  await server?.close();
});

const RANGE = { from: '2026-01-01', to: '2026-01-03' };

test('a server without an event is caught up', { skip }, async (t) => {
  const server = await startServer();
  t.after(() => server.close());
  const client = new Client(server);
  t.after(() => client.close());
  await new Promise((resolve) => { setTimeout(resolve, 400); }); /* a lag would have grown */
  assert.equal((await client.stats('dau', {})).watermark.lag_ms, 0);
  await until('the gauge says so', async () => /^potik_load_lag_seconds 0$/m.test((await server.request({ path: '/metrics' })).text));
});

test('the three metrics answer', { skip }, async () => {
  const dau = await client.stats('dau', RANGE);
  assert.deepEqual(dau.rows, [['2026-01-01', 1], ['2026-01-02', 2], ['2026-01-03', 1]]);
  assert.deepEqual(dau.columns, [{ name: 'day', type: 'date' }, { name: 'users', type: 'integer' }]);
  assert.deepEqual(dau.partial, []);
  assert.equal(dau.params.tz, 'UTC');
  assert.ok(dau.watermark.position.length > 0);
  assert.equal(dau.watermark.lag_ms, 0);
  const kyiv = await client.stats('dau', { ...RANGE, tz: 'Europe/Kyiv' });
  assert.deepEqual(kyiv.rows.map((row) => row[1]), [1, 1, 2]); /* 23:30 UTC is the next day there */
  const top = await client.stats('top-events', RANGE);
  assert.deepEqual(top.rows, [['view', 2, 2], ['buy', 1, 1], ['view, "odd"', 1, 1]]);
  const retention = await client.stats('retention', { start_date: '2026-01-01', windows: 3 });
  assert.deepEqual(retention.rows, [['2026-01-01', 1, 1, 1, 0], ['2026-01-02', 1, 1, 0, 0], ['2026-01-03', 1, 1, 0, 0]]);
  const one = await client.stats('dau', { ...RANGE, event_type: 'buy' });
  assert.deepEqual(one.rows.map((row) => row[1]), [0, 1, 0]);
});

test('parameters out of range are named', { skip }, async (t) => {
  const BAD = [
    ['dau', { from: '2026-01-02', to: '2026-01-01' }, ['from', 'to']],
    ['dau', { from: '2026-02-30' }, ['from']],
    ['dau', { from: 'yesterday' }, ['from']],
    ['dau', { from: '2016-01-01', to: '2026-01-09' }, ['from', 'to']], /* 3,662 days */
    ['dau', { tz: 'Mars/Olympus' }, ['tz']],
    ['dau', { tz: '../../etc/passwd' }, ['tz']],
    ['dau', { form: '2026-01-01' }, ['form']],
    ['dau', { limit: 5 }, ['limit']],
    ['dau', { filter: '[]' }, ['filter']],
    ['dau', { format: 'xml' }, ['format']],
    ['dau', { wait_ms: 10001 }, ['wait_ms']],
    ['dau', { wait_ms: -1 }, ['wait_ms']],
    ['dau', { min_position: 'what' }, ['min_position']],
    ['top-events', { limit: 0 }, ['limit']],
    ['top-events', { limit: 1001 }, ['limit']],
    ['top-events', { limit: '1.5' }, ['limit']],
    ['retention', { windows: 0 }, ['windows']],
    ['retention', { windows: 371 }, ['windows']],
    ['retention', { unit: 'year' }, ['unit']],
    ['retention', { from: '2026-01-01' }, ['from']],
  ];
  for (const [metric, params, fields] of BAD) {
    await t.test(`${metric}?${query(params)}`, async () => {
      const reply = await client.get(`/v1/stats/${metric}?${query(params)}`);
      assert.equal(reply.status, 400, reply.text);
      assert.equal(reply.json.error.code, 'invalid_parameter');
      assert.ok(fields.includes(reply.json.error.field), reply.text);
    });
  }
  await t.test('twice', async () => {
    const reply = await client.get('/v1/stats/dau?from=2026-01-01&from=2026-01-02');
    assert.deepEqual([reply.status, reply.json.error.field], [400, 'from']);
  });
  await t.test('a broken escape', async () => {
    const reply = await client.get('/v1/stats/dau?from=%zz');
    assert.deepEqual([reply.status, reply.json.error.code], [400, 'bad_request'], reply.text);
  });
  await t.test('not UTF-8, and U+0000', async () => {
    for (const value of ['%ff', '%00']) {
      const reply = await client.get(`/v1/stats/dau?event_type=${value}`);
      assert.deepEqual([reply.status, reply.json.error.code, reply.json.error.field], [400, 'invalid_parameter', 'event_type'], reply.text);
    }
  });
});

test('parameters at their limits', { skip }, async (t) => {
  const GOOD = [
    ['dau', { from: '2016-01-01', to: '2026-01-07' }], /* 3,660 days */
    ['dau', { wait_ms: 10000 }], ['dau', { wait_ms: 0 }],
    ['top-events', { limit: 1 }], ['top-events', { limit: 1000 }],
    ['retention', { windows: 1 }], ['retention', { windows: 370, unit: 'day' }], ['retention', { unit: 'week', week_start: 'sunday' }], ['retention', { cohorts: 370, windows: 1 }],
  ];
  for (const [metric, params] of GOOD) {
    await t.test(`${metric}?${query(params)}`, async () => {
      const reply = await client.get(`/v1/stats/${metric}?${query(params)}`);
      assert.equal(reply.status, 200, reply.text);
      for (const [name, value] of Object.entries(params)) assert.equal(reply.json.params[name], value, name);
    });
  }
});

test('csv and ndjson', { skip }, async () => {
  const csv = await client.get(`/v1/stats/top-events?${query({ ...RANGE, format: 'csv' })}`);
  assert.match(csv.headers['content-type'], /^text\/csv/);
  assert.deepEqual(csv.text.split(/\r?\n/), ['event_type,events,users,partial', 'view,2,2,false', 'buy,1,1,false', '"view, ""odd""",1,1,false', '']);
  assert.ok(JSON.parse(csv.headers['x-potik-watermark']).position.length > 0);
  const lines = await client.get(`/v1/stats/dau?${query({ ...RANGE, format: 'ndjson' })}`);
  assert.match(lines.headers['content-type'], /ndjson/);
  assert.deepEqual(lines.text.trim().split('\n').map((line) => JSON.parse(line))[1], { day: '2026-01-02', users: 2, partial: false });
  const head = await server.request({ method: 'HEAD', path: `/v1/stats/dau?${query(RANGE)}`, headers: { authorization: `Bearer ${server.keys.read}` } });
  assert.deepEqual([head.status, head.text], [200, '']);
  assert.ok(Number(head.headers['content-length']) > 100);
});

test('read your writes', { skip }, async () => {
  for (let i = 0; i < 30; i++) {
    const posted = await client.post([{ event_id: `w${i}`, event_type: 'write', user_id: `w${i}` }]);
    const top = await client.get(`/v1/stats/top-events?${query({ event_type: 'write', min_position: posted.json.position, wait_ms: 10000 })}`);
    assert.equal(top.status, 200, top.text);
    assert.deepEqual(top.json.rows, [['write', i + 1, i + 1]]);
  }
  const ahead = await client.get(`/v1/stats/dau?${query({ min_position: farAhead(client.position), wait_ms: 50 })}`);
  assert.deepEqual([ahead.status, ahead.json.error.code], [503, 'behind'], ahead.text);
  assert.ok(Number(ahead.headers['retry-after']) >= 1);
  assert.equal(ahead.json.error.message, 'min_position: not loaded within 50 ms; raise wait_ms, up to 10000');
  const now = await client.get(`/v1/stats/dau?${query({ min_position: farAhead(client.position) })}`);
  assert.deepEqual([now.status, now.json.error.code], [503, 'behind']);
  assert.match(now.json.error.message, /within 0 ms; raise wait_ms/);
});

test('a position of another ledger is refused at once', { skip: skip || OF_THE_LEDGER }, async () => {
  const other = client.position.replace(/^./, (digit) => (digit === '1' ? '2' : '1'));
  for (const wait_ms of [0, 10000]) {
    const foreign = await client.get(`/v1/stats/dau?${query({ min_position: other, wait_ms })}`);
    assert.deepEqual([foreign.status, foreign.json.error.code, foreign.json.error.field], [400, 'invalid_parameter', 'min_position'], foreign.text);
    assert.equal(foreign.json.error.message, 'min_position: a position of another ledger; ask without min_position');
  }
});

test('waiting clients do not keep others from being answered', { skip }, async () => {
  const waiting = Array.from({ length: 12 }, () =>
    server.request({ path: `/v1/stats/dau?${query({ min_position: farAhead(client.position), wait_ms: 1500 * SLOWNESS })}`, headers: { authorization: `Bearer ${server.keys.read}` } }));
  const began = Date.now();
  const reply = await client.get(`/v1/stats/dau?${query(RANGE)}`);
  assert.equal(reply.status, 200);
  assert.ok(Date.now() - began < 1400 * SLOWNESS, `answered after ${Date.now() - began} ms`);
  for (const late of await Promise.all(waiting)) assert.ok([503].includes(late.status), late.text);
});

test('an acked event is in stats within a second, unasked', { skip }, async () => {
  await client.post([{ event_id: 'soon', event_type: 'soon', user_id: 'u' }]);
  const began = Date.now();
  await until('it counted', async () => {
    const top = await client.get(`/v1/stats/top-events?${query({ event_type: 'soon' })}`);
    return top.json.rows.length === 1;
  }, { everyMs: 10 });
  assert.ok(Date.now() - began < 1000 * SLOWNESS, `${Date.now() - began} ms`);
});

test('GET /v1/events: newest first, and on from a cursor', { skip }, async () => {
  /* Their ids rise as they are sent: PostgreSQL takes the events of one batch in the order of their ids. */
  const many = Array.from({ length: 120 }, (_, i) => ({ event_id: `l${i + 100}`, event_type: 'list', user_id: 'u' }));
  const before = (await client.post([])).json.position;
  await client.send(many);
  await client.stats('dau', {});
  const newest = await client.get('/v1/events?limit=3');
  assert.deepEqual(newest.json.events.map((event) => event.event_id), ['l219', 'l218', 'l217']);
  const usual = await client.get('/v1/events');
  assert.equal(usual.json.events.length, 50);
  let cursor = before;
  const seen = [];
  for (;;) {
    const page = await client.get(`/v1/events?${query({ after: cursor, limit: 50 })}`);
    assert.equal(page.status, 200, page.text);
    if (page.json.events.length === 0) break;
    seen.push(...page.json.events.map((event) => event.event_id));
    cursor = page.json.next;
  }
  assert.deepEqual(seen, many.map((event) => event.event_id));
  const posted = await client.post([{ event_id: 'tail', event_type: 'list', user_id: 'u' }]);
  await client.stats('dau', {});
  const tail = await client.get(`/v1/events?${query({ after: cursor })}`);
  assert.deepEqual(tail.json.events.map((event) => event.event_id), ['tail']);
  if (STORE === 'embedded') assert.equal(tail.json.next, posted.json.position);
  assert.deepEqual((await client.get(`/v1/events?${query({ after: tail.json.next })}`)).json.events, []);
  assert.deepEqual((await client.get(`/v1/events?${query({ after: posted.json.position })}`)).json.events, []);
  for (const [params, field] of [['limit=0', 'limit'], ['limit=1001', 'limit'], ['limit=x', 'limit'], ['after=x', 'after'], ['before=1', 'before'], ['limit=1&limit=2', 'limit']]) {
    const reply = await client.get(`/v1/events?${params}`);
    assert.deepEqual([reply.status, reply.json.error.field], [400, field], reply.text);
  }
});

test('a timeline: by time, newest first, page by page', { skip }, async () => {
  const at = (i) => new Date(Date.UTC(2026, 0, 10) + Math.floor(i / 3) * 1000).toISOString(); /* threes at one time */
  await client.send(Array.from({ length: 20 }, (_, i) => ({ event_id: `t${i}`, event_type: 'step', user_id: 'tim/ї', occurred_at: at(i) })));
  await client.stats('dau', {});
  const path = `/v1/users/${encodeURIComponent('tim/ї')}/events`;
  const all = (await client.get(path)).json;
  assert.equal(all.events.length, 20);
  assert.equal(all.next, null);
  const times = all.events.map((event) => event.occurred_at);
  assert.deepEqual(times, [...times].sort().reverse());
  const paged = [];
  let before = null;
  do {
    const page = await client.get(`${path}?${query({ limit: 4, before })}`);
    assert.equal(page.status, 200, page.text);
    paged.push(...page.json.events);
    before = page.json.next;
  } while (before !== null);
  assert.deepEqual(paged, all.events, 'pages make the whole, none twice, none missing');
  const early = await client.get(`${path}?${query({ before: at(6) })}`);
  assert.deepEqual(early.json.events.map((event) => event.event_id).sort(), ['t0', 't1', 't2', 't3', 't4', 't5'].sort());
  const asMs = await client.get(`${path}?${query({ before: Date.parse(at(6)) })}`);
  assert.deepEqual(asMs.json.events, early.json.events);
  const nobody = await client.get('/v1/users/nobody/events');
  assert.deepEqual([nobody.status, nobody.json.events, nobody.json.next], [200, [], null]);
  const anonymous = await client.get(`/v1/users/${encodeURIComponent('x/y z')}/events`);
  assert.deepEqual(anonymous.json.events.map((event) => event.event_id), ['s4']);
  for (const [params, field] of [['before=x', 'before'], ['before=t1', 'before'], ['before=-1', 'before'], ['limit=0', 'limit'], ['after=1', 'after']]) {
    const reply = await client.get(`${path}?${params}`);
    assert.deepEqual([reply.status, reply.json.error.field], [400, field], reply.text);
  }
});
