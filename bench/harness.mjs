/*
 * harness - what benches share: facts of the machine, programs started and ended by process id, the load generator, CPU time by
 * thread and by process, the loader's lag, the check that a run has lost and doubled nothing, and figures with their goals.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

export const top = path.resolve(path.dirname(new URL(import.meta.url).pathname), '..');
/** Of the build folder: `./dev build`'s, or another's. */
export const program = (name) => path.join(process.env.POTIK_TEST_TOOLS ?? path.join(top, 'build'), name);
export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

const children = new Set();
process.on('exit', () => { for (const child of children) endNow(child); });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** A child that leads a process group of its own takes its children along. */
function endNow(child) {
  try {
    if (child.isLeader) process.kill(-child.pid, 'SIGKILL');
    else child.kill('SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function run(file, words) {
  const done = spawnSync(file, words, { encoding: 'utf8' });
  return done.status === 0 ? done.stdout.trim() : '';
}

/** What a figure means nothing without. */
export function machineFacts(folder) {
  const model = /model name\s*:\s*(.*)/.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'));
  const [device, kind, options] = run('findmnt', ['-no', 'SOURCE,FSTYPE,OPTIONS', '-T', folder]).split(/\s+/);
  return {
    when: new Date().toISOString(),
    commit: run('git', ['-C', top, 'rev-parse', '--short', 'HEAD']),
    cpu: model ? model[1] : os.arch(),
    cores: os.cpus().length,
    memory_gib: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    disk: `${device} ${kind} ${options ?? ''}`.trim(),
    load_before: os.loadavg()[0],
    node: process.version,
  };
}

/** Ticks of USER_HZ of the fields utime, stime (and, of children that were waited for, cutime, cstime) of /proc/…/stat, as seconds. */
export function cpuSeconds(statFile, withEnded = false) {
  const stat = fs.readFileSync(statFile, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, withEnded ? 15 : 13).reduce((sum, each) => sum + Number(each), 0) / 100;
}

/** CPU seconds so far of a process (children that have ended included) and of each of its children, by process id. */
export function cpuByProcess(pid) {
  const found = new Map([[pid, cpuSeconds(`/proc/${pid}/stat`, true)]]);
  for (const id of fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter((each) => each !== '')) {
    try {
      found.set(Number(id), cpuSeconds(`/proc/${id}/stat`, true));
    } catch {
      // it has just ended
    }
  }
  return found;
}

/** A program that prints "listening on http://…" on its stdout. */
export class Program {
  constructor(file, words, { env = process.env, isLeader = false } = {}) {
    this.began = process.hrtime.bigint();
    this.stderr = '';
    this.child = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'], env, detached: isLeader });
    this.child.isLeader = isLeader;
    children.add(this.child);
    this.child.stderr.on('data', (part) => { this.stderr = (this.stderr + part).slice(-20000); });
    this.exited = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => { children.delete(this.child); resolve({ code, signal }); });
    });
  }

  async listening() {
    let out = '';
    this.address = await new Promise((resolve, reject) => {
      this.child.stdout.on('data', (part) => {
        out += part;
        const found = /listening on http:\/\/(127\.0\.0\.1:\d+)\n/.exec(out);
        if (found) resolve(found[1]);
      });
      this.exited.then(() => reject(new Error(`${this.child.spawnfile} ended: ${this.stderr}`)));
    });
    return this;
  }

  get pid() { return this.child.pid; }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return this.exited;
  }

  /** Resident memory; of `VmHWM` the most so far. */
  memoryBytes(which = 'VmRSS') {
    return Number(new RegExp(`${which}:\\s+(\\d+) kB`).exec(fs.readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]) * 1024;
  }

  /** CPU seconds so far by kind of thread: its name without the number behind it. */
  cpuByThread() {
    const sums = {};
    for (const id of fs.readdirSync(`/proc/${this.pid}/task`)) {
      const thread = `/proc/${this.pid}/task/${id}`;
      try {
        const name = fs.readFileSync(`${thread}/comm`, 'utf8').trim().replace(/[-_ ]?\d+$/, '');
        sums[name] = (sums[name] ?? 0) + cpuSeconds(`${thread}/stat`);
      } catch {
        // the thread has just ended
      }
    }
    return sums;
  }
}

export class Potik extends Program {
  constructor(dataDir, extra = []) {
    super(program('potik'), ['serve', '--data-dir', dataDir, '--listen', '127.0.0.1:0', ...extra]);
    this.dataDir = dataDir;
  }

  async listening() {
    await super.listening();
    const text = fs.readFileSync(path.join(this.dataDir, 'first-run.txt'), 'utf8');
    this.writeKey = /^write_key=(.*)$/m.exec(text)[1];
    this.readKey = /^read_key=(.*)$/m.exec(text)[1];
    return this;
  }

  async get(route) {
    const reply = await fetch(`http://${this.address}${route}`, { headers: { authorization: `Bearer ${this.readKey}` } });
    const text = await reply.text();
    if (reply.status !== 200) throw new Error(`${route}: ${reply.status} ${text}`);
    return route.startsWith('/v1/') ? JSON.parse(text) : text;
  }

  /** Milliseconds from process start to the first 200 of /readyz. */
  async readyMs() {
    for (;;) {
      try {
        const reply = await fetch(`http://${this.address}/readyz`);
        await reply.text();
        if (reply.status === 200) return Number(process.hrtime.bigint() - this.began) / 1e6;
      } catch {
        // not yet
      }
      await sleep(2);
    }
  }

  /** Series without labels. */
  async metrics() {
    const found = {};
    for (const line of (await this.get('/metrics')).split('\n')) {
      const match = /^([a-z_]+) ([-+0-9.eE]+)$/.exec(line);
      if (match) found[match[1]] = Number(match[2]);
    }
    return found;
  }

  /** Events in the store. Another store than the ledger is asked by the bench, which then replaces this. */
  storedRows(metrics) { return metrics.potik_ledger_events; }

  /** Until everything stored is loaded; the seconds it took. Asked of the counts, not of the lag. */
  async caughtUp(limitSeconds = 600) {
    const began = Date.now();
    for (;;) {
      const metrics = await this.metrics();
      if (metrics.potik_warehouse_rows === this.storedRows(metrics)) return (Date.now() - began) / 1000;
      if (Date.now() - began > limitSeconds * 1000) throw new Error(`the loader did not catch up in ${limitSeconds} s`);
      await sleep(20);
    }
  }

  /** Events the warehouse counts over all dates the load generator uses. */
  async storedEvents() {
    const reply = await this.get('/v1/stats/top-events?from=2026-01-01&to=2026-02-28&limit=1000&tz=UTC');
    const column = reply.columns.findIndex((each) => each.name === 'events');
    return reply.rows.reduce((sum, row) => sum + row[column], 0);
  }
}

/** One run of the load generator; its report. A contradiction with its ledger ends the bench: such a run has no result. */
export function load(target, options) {
  const words = ['--connect', target.address, '--key', target.writeKey ?? 'none'];
  for (const [name, value] of Object.entries(options)) words.push(...(value === true ? [`--${name}`] : [`--${name}`, String(value)]));
  return new Promise((resolve, reject) => {
    const child = spawn(program('bench/load'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    children.add(child);
    child.stdout.on('data', (part) => { out += part; });
    child.stderr.on('data', (part) => { err += part; });
    child.on('exit', (code) => {
      children.delete(child);
      if (code !== 0) reject(new Error(`load ${words.join(' ')}: ${err || `exit ${code}`}${out}`));
      else resolve(JSON.parse(out));
    });
  });
}

/** Fills by parts: each of `events` ids, its own range of counters and its own date. */
export class Ledger {
  constructor(seed) {
    this.seed = seed;
    this.next = 0;
    this.acked = 0;
    this.parts = [];
  }

  /** A run whose ids go on from the last one's; adds what it got acknowledged. */
  async load(target, options) {
    const report = await load(target, { seed: this.seed, first: this.next, ...options });
    if (report.acked !== report.next - report.first) throw new Error(`${report.next - report.first} sent, ${report.acked} acknowledged`);
    if (report.next > report.first) this.parts.push({ first: report.first, events: report.next - report.first, date: options.date });
    this.next = report.next;
    this.acked += report.acked;
    return report;
  }

  /** All ids once more, in thousands and the rest one by one; what else the load generator is to be told, for each of the two. */
  async sendAgain(server, inThousands = { resend: true }, oneByOne = { resend: true }) {
    for (const part of this.parts) {
      const rest = part.events % 1000;
      const same = { seed: this.seed, connections: 4, ...(part.date ? { date: part.date } : {}) };
      if (part.events > rest) await load(server, { ...same, first: part.first, events: part.events - rest, batch: 1000, ...inThousands });
      if (rest > 0) await load(server, { ...same, first: part.first + part.events - rest, events: rest, batch: 1, ...oneByOne });
    }
  }

  /** Lost: an acknowledged id that is not answered `duplicate`. Doubled or invented: the warehouse counts more than was sent. */
  async verify(server) {
    await server.caughtUp();
    const counted = await server.storedEvents();
    if (counted !== this.acked) throw new Error(`acknowledged ${this.acked}, the warehouse counts ${counted}: no result`);
    await this.sendAgain(server);
    await server.caughtUp();
    const after = await server.storedEvents();
    if (after !== this.acked) throw new Error(`after sending all again the warehouse counts ${after}, not ${this.acked}: no result`);
    return counted;
  }
}

/** A folder of the bench's own, gone with it: { folder, newFolder }, and newFolder makes one within it each time. */
export function openFolder(where) {
  const folder = fs.mkdtempSync(path.join(where ?? program('.'), 'bench-'));
  let made = 0;
  fs.chmodSync(folder, 0o711); // the user of a PostgreSQL goes through it
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  return {
    folder,
    newFolder: () => {
      const within = path.join(folder, String(made++));
      fs.mkdirSync(within);
      return within;
    },
  };
}

export const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/**
 * The loader's lag, without asking the server's own figure of it: how long ago the count of stored events was what
 * the count of loaded ones is now.
 */
export class LagWatch {
  constructor(server) {
    Object.assign(this, { server, samples: [], highest: 0, last: 0, isOver: false });
  }

  async start() {
    this.before = await this.server.metrics();
    this.done = (async () => {
      while (!this.isOver) {
        await this.sample();
        await sleep(50);
      }
    })();
    return this;
  }

  async sample() {
    const now = Date.now();
    const metrics = await this.server.metrics();
    const grown = (name) => (metrics[name] ?? 0) - (this.before[name] ?? 0);
    this.samples.push({ now, stored: grown('potik_events_accepted_total') });
    const loaded = grown('potik_loaded_events_total');
    const then = this.samples.findLast((each) => each.stored <= loaded) ?? this.samples[0];
    this.last = (now - then.now) / 1000;
    this.highest = Math.max(this.highest, this.last);
  }

  /** `last` is the lag at this moment; it is known to the 50 ms between two samples. */
  async stop() {
    this.isOver = true;
    await this.sample();
    const { last } = this;
    await this.done;
    this.last = last;
  }
}

export const cpuBetween = (before, after) => Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - (before[name] ?? 0)]));

export const number = (value) => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Math.round(value * 1000) / 1000));
export const atLeast = (bound, unit = '') => ({ holds: (value) => value >= bound, words: `≥ ${number(bound)}${unit}` });
export const atMost = (bound, unit = '') => ({ holds: (value) => value <= bound, words: `≤ ${number(bound)}${unit}` });

/** Where a bench's figures go: the terminal, and a file of JSON lines in bench/results. */
export function openFigures(bench, quick) {
  const folder = path.join(top, 'bench/results');
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${bench}-${new Date().toISOString().replace(/[:.]/g, '-')}.jsonl`);
  const told = [];
  const write = (value) => fs.appendFileSync(file, `${JSON.stringify({ ...value, quick })}\n`);

  /** One line. goal: a test on the value, with its words. */
  function figure(name, value, unit, goal, details) {
    const met = goal ? goal.holds(value) : undefined;
    told.push(met);
    write({ name, value, unit, goal: goal?.words, met, details });
    console.log(`${name.padEnd(62)} ${`${number(value)} ${unit}`.padStart(20)}  ${goal ? `${met ? 'met' : 'NOT MET'} (${goal.words})` : ''}`);
  }

  /** The exit code: quick runs are no figures, so that no goal can be missed. */
  function finish() {
    const missed = told.filter((met) => met === false).length;
    console.log(`\n${told.filter((met) => met).length} goals met, ${missed} not met; all figures: ${path.relative(top, file)}`);
    return missed === 0 || quick ? 0 : 1;
  }
  return { figure, write, finish };
}

/** One request on its own connection or an agent's; { status, json }. */
export function request(server, method, route, { token, body, agent } = {}) {
  const [host, port] = server.address.split(':');
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(text ? { 'content-type': 'application/json' } : {}) };
    const sent = http.request({ host, port, method, path: route, headers, agent }, (reply) => {
      let out = '';
      reply.on('data', (part) => { out += part; });
      reply.on('end', () => resolve({ status: reply.statusCode, text: out, json: out.startsWith('{') ? JSON.parse(out) : null }));
    });
    sent.on('error', reject);
    sent.end(text);
  });
}

/* --- instructions, by callgrind --- */

/** Instructions of a function and of what it calls. */
export function inclusive(files, name) {
  let sum = 0;
  for (const file of files) {
    const done = spawnSync('callgrind_annotate', ['--inclusive=yes', '--threshold=100', file], { encoding: 'utf8', maxBuffer: 1 << 28 });
    const line = done.stdout.split('\n').find((each) => each.includes(`:${name} `) || each.includes(`:${name}'`) || each.endsWith(`:${name}`));
    if (line) sum += Number(line.trim().split(/\s+/)[0].replaceAll(',', ''));
  }
  return sum;
}

/** Of every line of every file: a file of a thread may hold several parts, and the head of one says nothing of the next. */
export const total = (files) => files.reduce((sum, file) => {
  const done = spawnSync('callgrind_annotate', [file], { encoding: 'utf8', maxBuffer: 1 << 28 });
  const found = /^\s*([\d,]+)\b.*PROGRAM TOTALS/m.exec(done.stdout);
  return sum + (found ? Number(found[1].replaceAll(',', '')) : 0);
}, 0);
