/*
 * oracle - the three metrics counted the slow and plain way, from their definitions alone.
 *
 * Shares nothing with the program: time zones are Intl.DateTimeFormat's (ICU's own data), dates are texts, persons are sets.
 * An event here is { type, user, anonymous, at } with `at` in milliseconds; `now` is the server's clock.
 */

/* --- dates as texts -----------------------------------------------------------------------------*/

const DAY_MS = 86400000;

export function dayNumber(date) {
  return Date.parse(`${date}T00:00:00Z`) / DAY_MS;
}

export function dateOf(number) {
  return new Date(number * DAY_MS).toISOString().slice(0, 10);
}

export function addDays(date, days) {
  return dateOf(dayNumber(date) + days);
}

/** First day of the bucket that holds a date. Weeks begin on Monday. */
export function bucketOf(unit, date) {
  if (unit === 'day') return date;
  if (unit === 'month') return `${date.slice(0, 8)}01`;
  const weekday = new Date(`${date}T00:00:00Z`).getUTCDay();
  return addDays(date, -((weekday + 6) % 7));
}

/** The bucket `count` further on, by its first day. */
export function addBuckets(unit, first, count) {
  if (unit === 'day') return addDays(first, count);
  if (unit === 'week') return addDays(first, 7 * count);
  const months = Number(first.slice(0, 4)) * 12 + Number(first.slice(5, 7)) - 1 + count;
  return `${String(Math.floor(months / 12)).padStart(4, '0')}-${String((months % 12) + 1).padStart(2, '0')}-01`;
}

/* --- zones --------------------------------------------------------------------------------------*/

const formats = new Map();

/** The local date of an instant, as Intl says. (en-US, put in order here: what en-CA looks like depends on the ICU in node.) */
export function localDate(zone, ms) {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' });
    formats.set(zone, format);
  }
  const text = format.format(ms); // MM/DD/YYYY
  return `${text.slice(6)}-${text.slice(0, 2)}-${text.slice(3, 5)}`;
}

/** The first millisecond whose local date is `date` or later: found by halving, since local dates never fall back here. */
export function startOf(zone, date) {
  let before = dayNumber(date) * DAY_MS - 30 * 3600000;
  let after = before + 60 * 3600000;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (localDate(zone, middle) >= date) after = middle;
    else before = middle;
  }
  return after;
}

/* --- shared words -------------------------------------------------------------------------------*/

const personOf = (event) => event.user ?? event.anonymous;
const passes = (event, types) => types.length === 0 || types.includes(event.type);

/** n / d with two decimals, half up; null where d is 0. */
export function ratio(numerator, denominator) {
  if (denominator === 0n) return null;
  return Number((numerator * 200n + denominator) / (denominator * 2n)) / 100;
}

function byteOrder(a, b) {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/* --- the metrics: { rows, partial, summary } -----------------------------------------------------*/

export function activeUsers(events, { from, to, zone, types = [], now }) {
  const days = new Map();
  for (let date = from; date <= to; date = addDays(date, 1)) days.set(date, new Set());
  for (const event of events) if (passes(event, types)) days.get(localDate(zone, event.at))?.add(personOf(event));
  const rows = [...days].map(([date, persons]) => [date, persons.size]);
  const isWhole = rows.map(([date]) => startOf(zone, addDays(date, 1)) <= now);
  const whole = rows.filter((_, i) => isWhole[i]);
  const total = whole.reduce((sum, [, users]) => sum + users, 0);
  return {
    rows,
    partial: rows.flatMap((_, i) => (isWhole[i] ? [] : [[i, -1]])),
    summary: { mean_users: ratio(BigInt(total), BigInt(whole.length)) },
  };
}

export function topEvents(events, { from, to, zone, types = [], limit = 10, by = 'events', now }) {
  const counts = new Map();
  const persons = new Set();
  let total = 0;
  for (const event of events) {
    const date = localDate(zone, event.at);
    if (date < from || date > to || !passes(event, types)) continue;
    if (!counts.has(event.type)) counts.set(event.type, { events: 0, users: new Set() });
    counts.get(event.type).events++;
    counts.get(event.type).users.add(personOf(event));
    persons.add(personOf(event));
    total++;
  }
  const column = by === 'events' ? 1 : 2;
  const rows = [...counts].map(([type, count]) => [type, count.events, count.users.size])
    .sort((a, b) => b[column] - a[column] || byteOrder(a[0], b[0])).slice(0, limit);
  const isWhole = startOf(zone, addDays(to, 1)) <= now;
  return {
    rows,
    partial: isWhole ? [] : rows.map((_, i) => [i, -1]),
    summary: { events: total, users: persons.size, event_types: counts.size },
  };
}

export function retention(events, { start, unit, windows, cohorts, zone, types = [], backTypes = types, measure = 'users', now }) {
  const firsts = Array.from({ length: cohorts + windows }, (_, i) => addBuckets(unit, bucketOf(unit, start), i));
  const starts = firsts.map((first) => startOf(zone, first));
  const bucketAt = (ms) => bucketOf(unit, localDate(zone, ms));
  const firstOf = new Map();
  for (const event of events)
    if (passes(event, types)) firstOf.set(personOf(event), Math.min(firstOf.get(personOf(event)) ?? Infinity, event.at));
  const cohortOf = new Map([...firstOf].map(([person, at]) => [person, bucketAt(at)]));
  const active = new Map(firsts.map((first) => [first, new Set()]));
  for (const event of events) if (passes(event, backTypes)) active.get(bucketAt(event.at))?.add(personOf(event));

  const members = firsts.slice(0, cohorts).map((first) => [...cohortOf].filter(([, bucket]) => bucket === first).map(([person]) => person));
  const back = members.map((persons, c) =>
    Array.from({ length: windows }, (_, k) => persons.filter((person) => active.get(firsts[c + k]).has(person)).length));
  const hasBegun = (bucket) => starts[bucket] <= now;
  const hasEnded = (bucket) => starts[bucket + 1] <= now;
  const value = (users, size) => (measure === 'users' ? users : ratio(BigInt(users) * 100n, BigInt(size)));

  const rows = [];
  const partial = [];
  for (let c = 0; c < cohorts; c++) {
    rows.push([firsts[c], hasBegun(c) ? members[c].length : null,
      ...back[c].map((users, k) => (hasBegun(c + k) ? value(users, members[c].length) : null))]);
    if (hasBegun(c) && !hasEnded(c)) partial.push([c, 1]);
    for (let k = 0; k < windows; k++) if (hasBegun(c + k) && !hasEnded(c + k)) partial.push([c, 2 + k]);
  }
  const mean = Array.from({ length: windows }, (_, k) => {
    let above = 0n;
    let below = 0n;
    for (let c = 0; c < cohorts; c++) {
      if (!hasEnded(c + k)) continue;
      const size = BigInt(members[c].length);
      below += size;
      above += measure === 'users' ? BigInt(back[c][k]) * size : BigInt(back[c][k]) * 100n;
    }
    return ratio(above, below);
  });
  return { rows, partial, summary: { mean } };
}
