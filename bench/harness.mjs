/*
 * harness - what benches share: facts of the machine, programs started and ended by process id, the load generator, CPU time by
 * thread, and the check that a run has lost and doubled nothing.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const top = path.resolve(path.dirname(new URL(import.meta.url).pathname), '..');
export const program = (name) => path.join(top, 'build', name);
export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

const children = new Set();
process.on('exit', () => { for (const child of children) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

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

/** A program that prints "listening on http://…" on its stdout. */
export class Program {
  constructor(file, words) {
    this.began = process.hrtime.bigint();
    this.stderr = '';
    this.child = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'] });
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

  memoryBytes() {
    return Number(/VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]) * 1024;
  }

  /** CPU seconds so far by kind of thread: its name without the number behind it. */
  cpuByThread() {
    const sums = {};
    const ticks = 100; // USER_HZ
    for (const id of fs.readdirSync(`/proc/${this.pid}/task`)) {
      let stat;
      try {
        stat = fs.readFileSync(`/proc/${this.pid}/task/${id}/stat`, 'utf8');
      } catch {
        continue; // the thread has just ended
      }
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')).replace(/[-_ ]?\d+$/, '');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      sums[name] = (sums[name] ?? 0) + (Number(fields[11]) + Number(fields[12])) / ticks;
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

  /** Until everything stored is loaded; the seconds it took. Asked of the counts, not of the lag. */
  async caughtUp(limitSeconds = 600) {
    const began = Date.now();
    for (;;) {
      const metrics = await this.metrics();
      if (metrics.potik_warehouse_rows === metrics.potik_ledger_events) return (Date.now() - began) / 1000;
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

  /** Lost: an acknowledged id that is not answered `duplicate`. Doubled or invented: the warehouse counts more than was sent. */
  async verify(server) {
    await server.caughtUp();
    const counted = await server.storedEvents();
    if (counted !== this.acked) throw new Error(`acknowledged ${this.acked}, the warehouse counts ${counted}: no result`);
    for (const part of this.parts) {
      await load(server, {
        seed: this.seed, first: part.first, events: part.events - part.events % 1000 || part.events, batch: part.events < 1000 ? 1 : 1000,
        connections: 4, resend: true, ...(part.date ? { date: part.date } : {}),
      });
    }
    await server.caughtUp();
    const after = await server.storedEvents();
    if (after !== this.acked) throw new Error(`after sending all again the warehouse counts ${after}, not ${this.acked}: no result`);
    return counted;
  }
}

export const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
