/*
 * ingest - every figure of docs/PERFORMANCE.md about taking events in, with the alternatives, in one run on one machine.
 *
 *     ./dev bench ingest [--quick] [--only singles,batches,stored,queries,idle] [--dir FOLDER]
 *
 * Times on shared machines drift, ratios hold: ours, our bare loop and libmicrohttpd's take turns, and the median of the
 * rounds is told. After each run of Potik all its ids are sent again and must all be duplicates, and the warehouse must count
 * what was acknowledged; else the run has no result. Figures also go to bench/results as JSON lines.
 */
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import {
  LagWatch, Ledger, Potik, Program, atLeast, atMost, cpuBetween, load, machineFacts, median, number, openFigures, openFolder, program, sleep, top,
} from './harness.mjs';

const words = process.argv.slice(2);
const option = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
const quick = words.includes('--quick');
const only = option('--only')?.split(',');
const seconds = quick ? 3 : 10;
const rounds = quick ? 1 : 3;
const stored = quick ? 1_000_000 : 10_000_000;
const loops = Math.max(1, Math.floor(os.cpus().length / 2)); // as Potik's own default
const singles = { connections: 64, batch: 1, warm: 1, seconds };
const batches = { connections: 8, batch: 1000, warm: 1, seconds };

const { folder, newFolder } = openFolder(option('--dir'));

const { figure, write, finish } = openFigures('ingest', quick);
const latencies = (report) => ({ p50_us: report.p50_us, p99_us: report.p99_us, p999_us: report.p999_us, max_us: report.max_us, ...report });

async function potik(dataDir) {
  const server = await new Potik(dataDir).listening();
  await server.readyMs();
  return server;
}

async function bareRun(name) {
  const server = await new Program(program(`bench/${name}`), [newFolder(), String(loops)]).listening();
  const report = await load(server, singles);
  await server.stop();
  return report;
}

/** Single events on 64 connections: ours, the bare loop on our HTTP core, the same on libmicrohttpd, in turn; then half the load. */
async function singleEvents() {
  const reports = { potik: [], bare: [], mhd: [] };
  for (let round = 0; round < rounds; round++) {
    for (const name of ['bare', 'mhd']) reports[name].push(await bareRun(name));
    const ledger = new Ledger(100 + round);
    const server = await potik(newFolder());
    reports.potik.push(await ledger.load(server, singles));
    await ledger.verify(server);
    await server.stop();
  }
  const rate = (name) => median(reports[name].map((each) => each.requests_per_s));
  const p99 = (name) => median(reports[name].map((each) => each.p99_us)) / 1000;
  figure('single events, 64 connections', rate('potik'), 'events/s', atLeast(60000, '/s'), reports.potik);
  figure('  p99 at that load', p99('potik'), 'ms');
  figure('  bare loop on our HTTP core', rate('bare'), 'requests/s', undefined, reports.bare);
  figure('  bare loop on libmicrohttpd', rate('mhd'), 'requests/s', undefined, reports.mhd);
  figure('  Potik ÷ our bare loop', rate('potik') / rate('bare'), '×', atLeast(0.6));
  figure('  our bare loop ÷ libmicrohttpd', rate('bare') / rate('mhd'), '×', atLeast(1));

  const ledger = new Ledger(200);
  const server = await potik(newFolder());
  const report = await ledger.load(server, { ...singles, rate: Math.round(rate('potik') / 2) });
  await ledger.verify(server);
  await server.stop();
  figure('ack p99 at half that load, from the time due', report.p99_us / 1000, 'ms', atMost(5, ' ms'), latencies(report));
  figure('  p99.9', report.p999_us / 1000, 'ms');
  figure('  rate offered and reached', report.requests_per_s, 'events/s');
}

/** Which threads take events in, and which load them, by their names: DuckDB's workers have the name of the thread that opened it. */
const isIngest = (name) => /^loop/.test(name);
const isLoading = (name) => /^(loader|engine)/.test(name);

/** Batches of 1,000 for some seconds: rate, lag behind the burst, CPU of both sides; the rate again as a median of rounds. */
async function thousands() {
  const rates = [];
  for (let round = 0; round < rounds; round++) {
    const ledger = new Ledger(300 + round);
    const server = await potik(newFolder());
    const before = server.cpuByThread();
    const lag = await new LagWatch(server).start();
    const report = await ledger.load(server, { ...batches, seconds: seconds - batches.warm, duplicates: 0.01 }); // a burst of `seconds`, warm-up and all
    await lag.stop();
    const caughtUp = await server.caughtUp();
    const cpu = cpuBetween(before, server.cpuByThread());
    rates.push(report.events_per_s);
    if (round === rounds - 1) {
      const millions = ledger.acked / 1e6;
      const sum = (is) => Object.entries(cpu).filter(([name]) => is(name)).reduce((total, [, value]) => total + value, 0);
      figure('batches of 1,000, 8 connections, 1 % duplicates', median(rates), 'events/s', atLeast(300000, '/s'), { rates, ...report });
      figure('  p99 of a batch at that load', report.p99_us / 1000, 'ms');
      figure(`load lag at the end of a burst of ${seconds} s`, lag.last, 's', atMost(5, ' s'));
      figure('  highest lag during the burst', lag.highest, 's');
      figure('  until all is loaded, after the burst', caughtUp, 's', atMost(5, ' s'));
      figure('core-seconds a million events: ingest (loops)', sum(isIngest) / millions, 's', undefined, cpu);
      figure('core-seconds a million events: loading', sum(isLoading) / millions, 's', undefined, cpu);
      figure('core-seconds a million events: all other threads', sum((name) => !isIngest(name) && !isLoading(name)) / millions, 's', undefined, cpu);
    }
    await ledger.verify(server);
    await server.stop();
  }
  return median(rates);
}

async function keeperQuiet(server) {
  let quiet = 0;
  for (let waited = 0; waited < 600 && quiet < 3; waited++) {
    const before = server.cpuByThread();
    await sleep(1000);
    const all = Object.values(cpuBetween(before, server.cpuByThread())).reduce((a, b) => a + b, 0);
    quiet = all < 0.1 ? quiet + 1 : 0;
  }
}

async function fill(server, ledger, events) {
  const parts = 10;
  for (let part = 0; part < parts; part++) {
    await ledger.load(server, {
      connections: 4, batch: 1000, events: Math.ceil(events / parts / 1000) * 1000, date: `2026-01-${String(part + 1).padStart(2, '0')}`,
    });
  }
  await server.caughtUp();
  await keeperQuiet(server);
}

/** With many ids stored: memory an id, the rate against an empty store's, restart after kill -9, queries beside ingest. */
async function withManyStored(what) {
  const dataDir = newFolder();
  const ledger = new Ledger(400);
  let server = await potik(dataDir);
  const millions = stored / 1e6;

  await fill(server, ledger, stored);
  if (what.includes('stored')) {
    const metrics = await server.metrics();
    const young = metrics.potik_index_young_ids;
    figure(`${millions} M ids stored: index memory a sealed id`, (metrics.potik_index_memory_bytes - 16 * young) / (metrics.potik_index_ids - young),
      'bytes', atMost(3), metrics);
    figure('  young ids, 16 bytes each, not in that', young, 'ids');
    figure('  resident memory of the server', server.memoryBytes() / 2 ** 20, 'MiB');
    figure('  ledger bytes an event', metrics.potik_ledger_bytes / ledger.acked, 'bytes');
    const full = [];
    const empty = [];
    for (let round = 0; round < rounds; round++) {
      const other = new Ledger(500 + round);
      const fresh = await potik(newFolder());
      empty.push((await other.load(fresh, batches)).events_per_s);
      await other.verify(fresh);
      await fresh.stop();
      full.push((await ledger.load(server, { ...batches, date: '2026-01-20' })).events_per_s);
      await server.caughtUp();
      await keeperQuiet(server);
    }
    figure(`rate with ${millions} M stored ÷ rate of an empty store`, median(full) / median(empty), '×', atLeast(0.8), { full, empty });

    const times = [];
    for (let round = 0; round < 3; round++) {
      await server.stop('SIGKILL');
      server = await new Potik(dataDir).listening();
      times.push(await server.readyMs());
    }
    figure(`start to /readyz after kill -9, ${number(ledger.acked / 1e6)} M events`, median(times) / 1000, 's', atMost(3, ' s'), times);
    await server.caughtUp();
    await keeperQuiet(server);
  }
  if (what.includes('queries')) await besideQueries(server, ledger);
  await ledger.verify(server);
  figure('  events verified: acknowledged = counted = duplicates when sent again', ledger.acked, 'events');
  await server.stop();
}

async function besideQueries(server, ledger) {
  const heavy = [
    '/v1/stats/retention?start_date=2026-01-01&windows=20&cohorts=20&unit=day', '/v1/stats/dau?from=2026-01-01&to=2026-02-28',
    '/v1/stats/top-events?from=2026-01-01&to=2026-02-28&limit=100',
  ];
  const during = async (options) => {
    let isOver = false;
    let answered = 0;
    const began = Date.now();
    const loop = (async () => {
      while (!isOver) {
        await server.get(heavy[answered % heavy.length]);
        answered++;
      }
    })();
    const report = await ledger.load(server, options);
    isOver = true;
    await loop;
    return { ...report, queries: answered, mean_query_ms: (Date.now() - began) / answered };
  };
  const alone = [];
  const beside = [];
  for (let round = 0; round < rounds; round++) {
    alone.push(await ledger.load(server, { ...singles, date: '2026-01-21' }));
    await server.caughtUp();
    beside.push(await during({ ...singles, date: '2026-01-22' }));
    await server.caughtUp();
  }
  const rate = (reports) => median(reports.map((each) => each.requests_per_s));
  figure('single events while heavy queries loop ÷ without', rate(beside) / rate(alone), '×', atLeast(0.6), { alone, beside });
  figure('  queries answered meanwhile, mean time', median(beside.map((each) => each.mean_query_ms)), 'ms');
  const half = { ...singles, rate: Math.round(rate(alone) / 2), date: '2026-01-23' };
  const calm = [];
  const busy = [];
  for (let round = 0; round < rounds; round++) {
    calm.push(await ledger.load(server, half));
    await server.caughtUp();
    busy.push(await during(half));
    await server.caughtUp();
  }
  const p99 = (reports) => median(reports.map((each) => each.p99_us)) / 1000;
  figure('ack p99 at half load, without queries', p99(calm), 'ms', undefined, calm);
  figure('ack p99 at half load, heavy queries looping', p99(busy), 'ms', atMost(Math.max(3 * p99(calm), 10), ' ms'), busy);
  figure('  the worst run without queries', Math.max(...calm.map((each) => each.p99_us)) / 1000, 'ms');
  figure('  the worst run with queries', Math.max(...busy.map((each) => each.p99_us)) / 1000, 'ms');
}

async function idle() {
  const server = await potik(newFolder());
  const wait = quick ? 10 : 60;
  await sleep(wait * 1000);
  figure(`idle memory, ${wait} s after start on an empty folder`, server.memoryBytes() / 2 ** 20, 'MiB', atMost(100, ' MiB'), server.cpuByThread());
  await server.stop();
}

const wants = (name) => only === undefined || only.includes(name);
const facts = machineFacts(folder);
console.log(Object.entries(facts).map(([name, value]) => `${name}: ${value}`).join('\n'));
write({ facts });
console.log(`\nevents of about 335 bytes, random UUIDs; durability: fdatasync before each reply; ${loops} loops; ${seconds} s a run after 1 s of warm-up, median of ${rounds}\n`);
const sync = JSON.parse(spawnSync(program('bench/fsync'), [newFolder()], { encoding: 'utf8' }).stdout);
figure('bare write of 4 KiB + fdatasync: p50', sync.p50_us / 1000, 'ms', undefined, sync);
figure('bare write of 4 KiB + fdatasync: p99', sync.p99_us / 1000, 'ms');
if (wants('idle')) await idle();
if (wants('singles')) await singleEvents();
if (wants('batches')) await thousands();
if (wants('stored') || wants('queries')) await withManyStored(only ?? ['stored', 'queries']);
process.exit(finish());
