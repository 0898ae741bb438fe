/*
 * postgres - Potik on PostgreSQL beside what PostgreSQL itself gives and what people would write first, in one run on one
 * machine; the section "PostgreSQL" of docs/PERFORMANCE.md.
 *
 *     ./dev bench postgres [--quick] [--only ceiling,potik,fastapi] [--dir FOLDER]
 *
 *     (a) the ceiling: bench/pg_ceiling.c, a bare libpq program with the same rows; the best of its forms, 1-4 connections
 *     (b) Potik over HTTP, batches of 1,000 on 8 connections
 *     (c) Potik, single events on 64 connections
 *     (d) bench/fastapi_app.py under uvicorn, two workers, with what the packages python3-fastapi, uvicorn and python3-asyncpg
 *         bring along (asyncio, h11): the same batches, the same single events
 *     (e) the same with uvloop and httptools, which one has to know of
 *
 * One cluster, made for this run; each run has a database of its own, made new, with a checkpoint before it and dropped after it.
 * They take turns, and the median of the rounds is told. After each run the rows in the database must be as many as were
 * acknowledged, and still be as many when all ids have been sent again (the ceiling's own: rows stored = rows told); else
 * the run has no result and the bench ends. Figures also go to bench/results as JSON lines.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Postgres, freePort } from '../test/flow/postgres.mjs';
import {
  LagWatch, Ledger, Potik, Program, atLeast, cpuBetween, cpuByProcess, machineFacts, median, number, openFigures, openFolder, program, top,
} from './harness.mjs';

const words = process.argv.slice(2);
const option = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
const quick = words.includes('--quick');
const only = option('--only')?.split(',');
const wants = (name) => only === undefined || only.includes(name);
const seconds = quick ? 2 : 10;
const rounds = quick ? 1 : 3;
const singles = { connections: 64, batch: 1, warm: 1, seconds };
const batches = { connections: 8, batch: 1000, warm: 1, seconds };
/** What the tests' cluster sets for itself, back at what initdb gives. */
const settings = { shared_buffers: '128MB', max_connections: 100, autovacuum_naptime: '1min' };
const shown = [
  'server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'wal_level', 'wal_sync_method', 'wal_compression', 'shared_buffers', 'wal_buffers',
  'max_wal_size', 'checkpoint_timeout', 'checkpoint_completion_target', 'max_connections', 'autovacuum', 'autovacuum_naptime', 'commit_delay', 'data_checksums', 'jit',
];

const { folder, newFolder } = openFolder(option('--dir'));
const { figure, write, finish } = openFigures('postgres', quick);
let cluster;

// --- a run, whoever's ---------------------------------------------------------------------------

const countRows = (url, table = 'events') => Number(cluster.query(`SELECT count(*) FROM ${table};`, { url }));

/** A fresh database for one run, behind a checkpoint, so that no run writes what another one left. */
async function onFreshDatabase(run) {
  const url = cluster.newDatabase();
  cluster.query('CHECKPOINT;');
  try {
    return await run(url);
  } finally {
    cluster.query(`DROP DATABASE ${new URL(url).pathname.slice(1)} WITH (FORCE);`);
  }
}

function mustBe(found, acknowledged, when) {
  if (found !== acknowledged) throw new Error(`${when}: ${acknowledged} acknowledged, ${found} rows in the database: no result`);
}

/** CPU seconds of PostgreSQL so far, by who it is: what a session calls itself, or which helper. */
function postgresCpu() {
  const names = new Map(cluster.query("SELECT pid, CASE backend_type WHEN 'client backend' THEN 'backend ' || application_name ELSE backend_type END FROM pg_stat_activity;")
    .split('\n').map((line) => line.split('|')).map(([pid, name]) => [Number(pid), name.trim()]));
  const sums = {};
  for (const [pid, each] of cpuByProcess(cluster.pid)) {
    const name = pid === cluster.pid ? 'postmaster and ended' : names.get(pid) ?? 'other';
    sums[name] = (sums[name] ?? 0) + each;
  }
  return sums;
}
const walBytes = () => Number(cluster.query("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn;"));
const total = (sums) => Object.values(sums).reduce((sum, each) => sum + each, 0);

/** One load on a server: its report, and what PostgreSQL and the server took of CPU and wrote of WAL until `settled`. */
async function measured(ledger, server, how, serverCpu, settled = async () => ({})) {
  const before = { postgres: postgresCpu(), server: serverCpu(), wal: walBytes() };
  const report = await ledger.load(server, how);
  return {
    ...report,
    ...await settled(),
    wal_bytes_an_event: (walBytes() - before.wal) / ledger.acked,
    cpu_postgres: cpuBetween(before.postgres, postgresCpu()),
    cpu_server: cpuBetween(before.server, serverCpu()),
    millions: ledger.acked / 1e6,
  };
}

// --- (a) the ceiling ----------------------------------------------------------------------------

/** bench/pg_ceiling on a fresh database. It counts its rows itself; so do we. */
function ceilingRun({ method, connections, batch }, runSeconds) {
  return onFreshDatabase((url) => {
    const before = walBytes();
    const flags = { method, connections, batch, seconds: runSeconds };
    const ran = spawnSync(program('bench/pg_ceiling'), [url, ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)])], { encoding: 'utf8' });
    if (ran.status !== 0) throw new Error(`pg_ceiling ${JSON.stringify(flags)}: ${ran.stderr}`);
    const report = JSON.parse(ran.stdout);
    mustBe(countRows(url, 'ceiling.events'), report.stored, 'the ceiling');
    return { ...report, wal_bytes_an_event: (walBytes() - before) / report.stored };
  });
}

/** The best two forms by short runs: each method at 1 to 4 connections with batches of 1,000, then the best ones with larger batches. */
async function ceilingForms() {
  const tried = [];
  const tryForm = async (form) => {
    tried.push({ form, ...await ceilingRun(form, quick ? 1 : 3) });
  };
  for (const method of ['unnest', 'record', 'copy']) {
    for (const connections of quick ? [1, 2, 4] : [1, 2, 3, 4]) await tryForm({ method, connections, batch: 1000 });
  }
  const best = () => tried.sort((a, b) => b.rows_per_s - a.rows_per_s);
  for (const { form } of best().slice(0, quick ? 1 : 3)) await tryForm({ ...form, batch: 4000 });
  for (const each of best()) {
    console.log(`  ${each.form.method} ${each.form.connections} connections, batches of ${each.form.batch}: ${number(each.rows_per_s)} rows/s, p99 ${each.p99_ms} ms`);
  }
  write({ name: 'forms of the ceiling', details: tried });
  return tried.slice(0, 2).map((each) => each.form);
}

// --- (b) and (c): Potik -------------------------------------------------------------------------

function potikRun(how, seed) {
  return onFreshDatabase(async (url) => {
    const server = await new Potik(newFolder(), ['--store', url]).listening();
    await server.readyMs();
    const ledger = new Ledger(seed);
    const lag = await new LagWatch(server).start();
    server.storedRows = () => ledger.acked;
    const report = await measured(ledger, server, how, () => server.cpuByThread(), async () => {
      await lag.stop();
      return { lag_at_end_s: lag.last, lag_highest_s: lag.highest, caught_up_s: await server.caughtUp() };
    });
    mustBe(countRows(url), ledger.acked, 'Potik');
    await ledger.verify(server);
    mustBe(countRows(url), ledger.acked, 'Potik, all ids sent again');
    await server.stop();
    return report;
  });
}

// --- (d) FastAPI --------------------------------------------------------------------------------

class FastApi extends Program {
  constructor(url, port, isTuned) {
    super('/usr/bin/python3', [
      '-m', 'uvicorn', 'fastapi_app:app', '--app-dir', path.join(top, 'bench'), '--host', '127.0.0.1', '--port', String(port), '--workers', '2',
      '--loop', isTuned ? 'uvloop' : 'asyncio', '--http', isTuned ? 'httptools' : 'h11', '--no-access-log',
    ], { env: { PATH: process.env.PATH, DATABASE_URL: url, WRITE_KEY: 'wk_bench', POOL_SIZE: process.env.POOL_SIZE ?? '10', PYTHONDONTWRITEBYTECODE: '1' }, isLeader: true });
    this.writeKey = 'wk_bench';
    this.port = port;
  }

  /** Once both workers have said so. */
  async listening() {
    await new Promise((resolve, reject) => {
      this.child.stderr.on('data', () => {
        if (this.stderr.split('Application startup complete').length > 2) resolve();
      });
      this.exited.then(() => reject(new Error(`uvicorn ended: ${this.stderr}`)));
    });
    this.address = `127.0.0.1:${this.port}`;
    return this;
  }
}

/** The tables as Potik makes them: the same columns, keys and indexes. */
const tables = fs.readFileSync(path.join(top, 'sql/postgres/0001_events.sql'), 'utf8');
const batchPath = '/v1/events/batch';

function fastApiRun(how, seed, isTuned) {
  return onFreshDatabase(async (url) => {
    cluster.query(tables, { url });
    const server = await new FastApi(url, await freePort(), isTuned).listening();
    const ledger = new Ledger(seed);
    const cpu = () => Object.fromEntries([...cpuByProcess(server.pid)].map(([pid, each]) => [String(pid), each]));
    const report = await measured(ledger, server, how.batch > 1 ? { ...how, path: batchPath } : how, cpu);
    mustBe(countRows(url), ledger.acked, 'FastAPI');
    await ledger.sendAgain(server, { path: batchPath }); // its batches cannot tell what was a duplicate; the rows do
    mustBe(countRows(url), ledger.acked, 'FastAPI, all ids sent again');
    await server.stop();
    return report;
  });
}

// --- the whole ----------------------------------------------------------------------------------

const runs = { batches: [], singles: [], fastApiBatches: [], fastApiSingles: [], tunedBatches: [], tunedSingles: [] };
const middle = (list, of) => median(list.map(of));
const rate = (list) => middle(list, (each) => each.events_per_s);

/** The better of the forms that took turns with the others; its rate, or undefined where it was not asked for. */
function tellCeiling(ceilings) {
  if (ceilings.length === 0) return undefined;
  const rows = ({ reports }) => middle(reports, (each) => each.rows_per_s);
  const best = ceilings.reduce((one, other) => (rows(other) > rows(one) ? other : one));
  const { method, connections, batch } = best.form;
  figure(`(a) ceiling: ${method}, ${connections} connections, batches of ${batch}`, rows(best), 'rows/s', undefined, ceilings);
  figure('  p99 of a batch', middle(best.reports, (each) => each.p99_ms), 'ms');
  figure('  WAL bytes an event', middle(best.reports, (each) => each.wal_bytes_an_event), 'bytes');
  return rows(best);
}

function tellServer(name, who, list) {
  if (list.length === 0) return;
  const { cpu_server: ofServer, cpu_postgres: ofPostgres } = list[list.length - 1];
  figure(name, rate(list), 'events/s', undefined, list);
  figure('  p99 of a request', middle(list, (each) => each.p99_us) / 1000, 'ms');
  figure(`  CPU seconds a million events: ${who}`, middle(list, (each) => total(each.cpu_server) / each.millions), 's', undefined, ofServer);
  figure('  CPU seconds a million events: PostgreSQL', middle(list, (each) => total(each.cpu_postgres) / each.millions), 's', undefined, ofPostgres);
  figure('  WAL bytes an event', middle(list, (each) => each.wal_bytes_an_event), 'bytes');
  if (list[0].lag_at_end_s === undefined) return;
  figure(`  load lag at the end of a burst of ${seconds + 1} s`, middle(list, (each) => each.lag_at_end_s), 's');
  figure('  highest lag during the burst', middle(list, (each) => each.lag_highest_s), 's');
  figure('  until all is loaded, after it', middle(list, (each) => each.caught_up_s), 's');
}

function tell(ceilings) {
  const ceiling = tellCeiling(ceilings);
  tellServer('(b) Potik, batches of 1,000, 8 connections', 'Potik', runs.batches);
  tellServer('(d) FastAPI and asyncpg, batches of 1,000, 8 connections', 'uvicorn', runs.fastApiBatches);
  tellServer('(e) the same with uvloop and httptools, batches of 1,000', 'uvicorn', runs.tunedBatches);
  tellServer('(c) Potik, single events, 64 connections', 'Potik', runs.singles);
  tellServer('(d) FastAPI and asyncpg, single events, 64 connections', 'uvicorn', runs.fastApiSingles);
  tellServer('(e) the same with uvloop and httptools, single events', 'uvicorn', runs.tunedSingles);
  if (wants('potik') && ceiling) figure('(b) ÷ (a)', rate(runs.batches) / ceiling, '×', atLeast(0.8));
  if (wants('fastapi') && ceiling) figure('(a) ÷ (d): more than that no server on this PostgreSQL can have', ceiling / rate(runs.fastApiBatches), '×');
  if (!wants('potik') || !wants('fastapi')) return;
  figure('(b) ÷ (d), batches', rate(runs.batches) / rate(runs.fastApiBatches), '×', atLeast(10));
  figure('(c) ÷ (d), single events', rate(runs.singles) / rate(runs.fastApiSingles), '×', atLeast(10));
  figure('(b) ÷ (e), batches', rate(runs.batches) / rate(runs.tunedBatches), '×');
  figure('(c) ÷ (e), single events', rate(runs.singles) / rate(runs.tunedSingles), '×');
}

cluster = await Postgres.start({ folder: path.join(folder, 'cluster'), settings });
const versions = spawnSync('/usr/bin/python3', ['-c', "import fastapi, pydantic, uvicorn, asyncpg, uvloop; print('FastAPI', fastapi.__version__, 'pydantic', pydantic.VERSION, "
  + "'(compiled)' if pydantic.compiled else '(plain Python)', 'uvicorn', uvicorn.__version__, 'asyncpg', asyncpg.__version__, 'uvloop', uvloop.__version__)"], { encoding: 'utf8' });
const facts = {
  ...machineFacts(folder), loops: Math.max(1, Math.floor(os.cpus().length / 2)), fastapi: versions.stdout.trim(),
  postgres: shown.map((name) => `${name}=${cluster.query(`SHOW ${name};`)}`).join(' '),
};
console.log(Object.entries(facts).map(([name, value]) => `${name}: ${value}`).join('\n'));
write({ facts });
console.log(`\nevents of about 335 bytes, random UUIDs, no duplicates; ${seconds} s a run after 1 s of warm-up, median of ${rounds}; PostgreSQL's settings: initdb's, listening on 127.0.0.1\n`);
const sync = JSON.parse(spawnSync(program('bench/fsync'), [newFolder()], { encoding: 'utf8' }).stdout);
figure('bare write of 4 KiB + fdatasync: p50', sync.p50_us / 1000, 'ms', undefined, sync);
figure('bare write of 4 KiB + fdatasync: p99', sync.p99_us / 1000, 'ms');

const ceilings = wants('ceiling') ? (await ceilingForms()).map((form) => ({ form, reports: [] })) : [];
for (let round = 0; round < rounds; round++) {
  for (const { form, reports } of ceilings) reports.push(await ceilingRun(form, seconds));
  if (wants('potik')) runs.batches.push(await potikRun(batches, 600 + round));
  if (wants('fastapi')) {
    runs.fastApiBatches.push(await fastApiRun(batches, 700 + round, false));
    runs.tunedBatches.push(await fastApiRun(batches, 1000 + round, true));
  }
  if (wants('potik')) runs.singles.push(await potikRun(singles, 800 + round));
  if (wants('fastapi')) {
    runs.fastApiSingles.push(await fastApiRun(singles, 900 + round, false));
    runs.tunedSingles.push(await fastApiRun(singles, 1100 + round, true));
  }
}
tell(ceilings);
await cluster.close();
process.exit(finish());
