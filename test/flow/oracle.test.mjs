/*
 * Each of the three metrics equals the oracle on seeded random data sets: late events, duplicates of every kind, refused
 * events, nine time zones, days of 23 and 25 hours, days without midnight, a day that never was, weeks, months, running buckets.
 *
 * One fresh server a data set, two at a time, with tails sealed after a few rows, so that answers come from files and tails
 * together. ORACLE_SEEDS=7 or 1-1000 asks for others than 1-100; a failure names its seed.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, MISSING, SLOWNESS, STORE, query, seeded, startServer } from './server.mjs';
import * as oracle from './oracle.mjs';

const HOUR = 3600000;

/* Local dates where something happens to the clock, or to the calendar. Rules that have stood for years: node brings time zones
 * of its own, and an older node knows nothing of, say, Egypt's summer time of 2023. */
const places = {
  UTC: ['2024-02-29', '2025-12-31'],
  'Europe/Kyiv': ['2025-03-30', '2025-10-26'],
  'America/New_York': ['2025-03-09', '2025-11-02'],
  'America/Sao_Paulo': ['2018-11-04', '2018-02-18'],
  'Asia/Kathmandu': ['2025-12-31', '1997-01-01'],
  'Atlantic/Azores': ['2025-03-30', '2025-10-26'],
  'Asia/Beirut': ['2022-03-27', '2021-10-31'],
  'Pacific/Apia': ['2011-12-30', '2011-12-30'],
  'Australia/Lord_Howe': ['2025-04-06', '2025-10-05'],
};
const zones = Object.keys(places);
const names = ['view', 'buy', 'add to "cart"', 'a,b', 'купівля', 'sign_up', '\u{1F600}', 'zz\\'];

/** A moment on or beside a local midnight, or anywhere in the day. */
function momentOn(random, zone, date) {
  const start = oracle.startOf(zone, date);
  if (random.below(2) === 0) return start + random.below(24 * HOUR);
  return start + random.pick([-HOUR, -HOUR / 2, -1, 0, 0, 1, HOUR / 2, HOUR, HOUR * 2]);
}

/** The same instant in one of the forms an event may carry. Digits below the millisecond never change a bucket. */
function written(random, at) {
  const iso = new Date(at).toISOString();
  const form = random.below(4);
  if (form === 0) return at;
  if (form === 1) return iso;
  if (form === 2) return iso.replace('Z', '999Z');
  return new Date(at + 5.5 * HOUR).toISOString().replace('Z', '+05:30').toLowerCase();
}

function makeData(seed) {
  const random = seeded(seed * 7919);
  const zone = zones[seed % zones.length];
  const isRunning = seed % 4 === 0; /* around now: buckets that have not ended */
  const point = isRunning ? oracle.localDate(zone, Date.now()) : random.pick(places[zone]);
  const spread = random.pick([3, 10, 45, 120]);
  const persons = Array.from({ length: 3 + random.below(50) }, (_, i) => `p${i}-${random.below(1000)}`);
  const types = random.shuffle([...names]).slice(0, 1 + random.below(names.length));
  const latest = Date.now() + 23 * HOUR;
  const events = [];
  const count = 50 + random.below(700);
  for (let i = 0; i < count; i++) {
    const date = oracle.addDays(point, Math.round((random.unit() + random.unit() - 1) * spread));
    const at = Math.min(momentOn(random, zone, date), latest);
    const person = persons[Math.floor(random.unit() ** 2 * persons.length)];
    const kind = random.below(5); /* the same text from either field is the same person */
    events.push({
      id: `e-${seed}-${i}`, type: random.pick(types), at,
      user: kind === 0 ? undefined : person,
      anonymous: kind === 0 ? person : kind === 1 ? 'somebody' : undefined,
    });
  }
  return { random, zone, point, spread, types, events, isRunning };
}

function sent(random, event) {
  return {
    event_id: event.id, event_type: event.type, user_id: event.user, anonymous_id: event.anonymous,
    occurred_at: written(random, event.at), properties: random.below(3) === 0 ? { n: random.below(100) } : undefined,
  };
}

/** What goes over the wire: the events in any order, with copies, copies of other content, and refused ones between. */
function makeStream({ random, events, types }) {
  const stream = random.shuffle([...events]).map((event) => sent(random, event));
  for (let i = stream.length / 5; i > 0; i--) {
    const k = random.below(stream.length);
    const copy = { ...stream[k] };
    if (random.below(2) === 0) {
      /* first write wins: what a later one says must not count */
      copy.event_type = random.pick(types);
      copy.user_id = 'impostor';
      copy.occurred_at = 1000;
    }
    stream.splice(k + 1 + random.below(stream.length - k), 0, copy);
  }
  for (let i = 0; i < 10; i++)
    stream.splice(random.below(stream.length), 0, random.pick([
      { event_id: `bad-${i}`, event_type: types[0] },
      { event_id: `bad-${i}`, event_type: types[0], user_id: 'bad', occurred_at: 'yesterday' },
      { event_id: `bad-${i}`, event_type: types[0], user_id: 'bad', occurred_at: Date.now() + 48 * HOUR },
      { event_id: `bad-${i}`, event_type: types[0], user_id: 'bad', colour: 'red' },
    ]));
  return stream;
}

/** What a stream up to some place stores: first write wins. */
function storedOf(stream, events) {
  const byId = new Map(events.map((event) => [event.id, event]));
  const seen = new Set(stream.map((event) => event.event_id));
  return [...byId.values()].filter((event) => seen.has(event.id));
}

function someTypes(random, types) {
  const kind = random.below(4);
  if (kind === 0) return [random.pick(types)];
  if (kind === 1) return [random.pick(types), 'nobody ever did this'];
  return [];
}

/** Questions about a data set: [metric, parameters, the oracle's answer at a given time]. */
function questions({ random, zone, point, spread, types }) {
  const list = [];
  for (const tz of [zone, random.pick(zones)]) {
    const from = oracle.addDays(point, -random.below(spread + 2));
    const to = oracle.addDays(point, random.below(spread + 2));
    const some = someTypes(random, types);
    list.push(['dau', { from, to, tz, event_type: some },
      (events, now) => oracle.activeUsers(events, { from, to, zone: tz, types: some, now })]);
    const limit = random.pick([1, 2, 10, 1000]);
    const by = random.pick(['events', 'users']);
    list.push(['top-events', { from, to, tz, event_type: some, limit, by },
      (events, now) => oracle.topEvents(events, { from, to, zone: tz, types: some, limit, by, now })]);
    for (const unit of ['day', 'week', 'month']) {
      const windows = 1 + random.below(unit === 'month' ? 6 : 14);
      const cohorts = 1 + random.below(unit === 'month' ? 6 : 14);
      const measure = random.pick(['users', 'percent']);
      const start = oracle.addDays(point, -random.below(spread + 2));
      const back = random.below(2) === 0 ? undefined : [random.pick(types)];
      list.push(['retention', { start_date: start, unit, windows, cohorts, measure, tz, event_type: some, return_event_type: back },
        (events, now) => oracle.retention(events, { start, unit, windows, cohorts, measure, zone: tz, types: some, backTypes: back, now })]);
    }
  }
  return list;
}

/** The answer must be the oracle's at the time the request left, or at the time its answer came. */
async function check(client, events, [metric, params, answer], since) {
  const before = Date.now();
  const reply = await client.stats(metric, params);
  const expected = [answer(events, before), answer(events, Date.now())];
  const got = { rows: reply.rows, partial: reply.partial, summary: { ...reply.summary } };
  if (metric === 'retention') {
    const history = Date.parse(got.summary.history_from);
    assert.ok(history >= since - 1000 && history <= Date.now() + 1000, `history_from ${got.summary.history_from}`);
    delete got.summary.history_from;
  }
  const last = JSON.stringify(got) === JSON.stringify(expected[1]) ? 1 : 0;
  assert.deepEqual(got, expected[last], `${metric}?${query(params)}`);
  assert.equal(reply.columns.length, metric === 'dau' ? 2 : metric === 'top-events' ? 3 : 2 + params.windows);
  assert.equal(reply.params.tz, params.tz);
}

/** The default ranges, which end now. */
async function checkDefaults(client, events, zone) {
  for (let i = 0; ; i++) {
    const today = oracle.localDate(zone, Date.now());
    const reply = await client.stats('dau', { tz: zone });
    const cohorts = await client.stats('retention', { tz: zone });
    const now = Date.now();
    if (oracle.localDate(zone, now) !== today && i < 2) continue; /* midnight passed between */
    assert.deepEqual(reply.rows, oracle.activeUsers(events, { from: oracle.addDays(today, -29), to: today, zone, now }).rows);
    assert.deepEqual(cohorts.rows,
      oracle.retention(events, { start: oracle.addDays(today, -7), unit: 'day', windows: 8, cohorts: 8, zone, now }).rows);
    return;
  }
}

/** RFC 4180, as a reader of another make would do it. */
function csvRows(text) {
  const cells = [...text.matchAll(/("(?:[^"]|"")*"|[^,\n"]*)(,|\n)/g)];
  assert.equal(cells.reduce((sum, cell) => sum + cell[0].length, 0), text.length, 'the CSV is whole');
  const rows = [[]];
  for (const [, cell, end] of cells) {
    rows.at(-1).push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
    if (end === '\n') rows.push([]);
  }
  return rows.slice(0, -1);
}

/** CSV and NDJSON say what JSON says. */
async function checkForms(client, [metric, params]) {
  const json = await client.stats(metric, params);
  const names = json.columns.map((column) => column.name);
  const partial = json.rows.map((_, row) => {
    const columns = json.partial.filter(([at]) => at === row).map(([, column]) => column);
    if (metric !== 'retention') return columns.length > 0;
    return columns.some((column) => column >= 2) ? Math.min(...columns.filter((column) => column >= 2)) - 2 : null;
  });
  const csv = await client.tryStats(metric, { ...params, format: 'csv' });
  const text = (value) => (value === null ? '' : String(value));
  assert.equal(csv.status, 200, csv.text);
  assert.deepEqual(csvRows(csv.text), [[...names, 'partial'], ...json.rows.map((row, i) => [...row, partial[i]].map(text))]);
  const ndjson = await client.tryStats(metric, { ...params, format: 'ndjson' });
  assert.deepEqual(ndjson.text.split('\n').slice(0, -1).map((line) => JSON.parse(line)),
    json.rows.map((row, i) => ({ ...Object.fromEntries(names.map((name, k) => [name, row[k]])), partial: partial[i] })));
  for (const reply of [csv, ndjson]) {
    const watermark = JSON.parse(reply.headers['x-potik-watermark']);
    assert.deepEqual(Object.keys(watermark), Object.keys(json.watermark));
    /* PostgreSQL's rises by anything that happens in its cluster, events or not. */
    if (STORE === 'embedded') assert.equal(watermark.position, json.watermark.position);
  }
}

async function run(seed) {
  const since = Date.now();
  const data = makeData(seed);
  const stream = makeStream(data);
  const flags = ['--seal-rows', String(data.random.pick([20, 100, 300, 500000]))];
  let server = await startServer({ flags });
  const client = new Client(server);
  try {
    const list = questions(data);
    const half = Math.floor(stream.length / 2);
    await client.send(stream.slice(0, half), { batch: 1 + data.random.below(200) });
    /* some answers half way: a late event moves them afterwards */
    for (const question of data.random.shuffle([...list]).slice(0, 2))
      await check(client, storedOf(stream.slice(0, half), data.events), question, since);
    await client.send(stream.slice(half), { batch: 1 + data.random.below(200) });
    assert.equal(client.accepted, data.events.length, 'each event is accepted once');
    for (const question of list) await check(client, data.events, question, since);
    if (data.isRunning) await checkDefaults(client, data.events, data.zone);
    else await checkForms(client, data.random.pick(list));
    if (seed % 10 === 0) {
      await server.stop();
      server = client.server = await startServer({ flags, dataDir: server.dataDir, ownsFolder: true });
      for (const question of list) await check(client, data.events, question, since);
    }
  } finally {
    client.close();
    await server.close();
  }
}

function seeds() {
  const [first, last] = (process.env.ORACLE_SEEDS ?? '1-100').split('-').map(Number);
  return Array.from({ length: (last ?? first) - first + 1 }, (_, i) => first + i);
}

test('metrics equal the oracle', { concurrency: 2, skip: MISSING }, async (t) => {
  await Promise.all(seeds().map((seed) => t.test(`oracle seed ${seed}`, { timeout: 120000 * SLOWNESS }, () => run(seed))));
});
