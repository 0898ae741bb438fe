/*
 * access - what access control costs: logins beside ingest, whether a login's time tells which accounts exist, erasing beside
 * ingest, and the instructions of checking a key, a token, limits, and a quota.
 *
 *     ./dev bench access [--quick] [--only logins,timing,erasing,instructions] [--dir FOLDER]
 *
 * As in the other benches: figures of one run on one machine, goals beside them, bench/results has them as JSON lines. A run
 * that lost, doubled or kept an event it should not has no result.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
  Ledger, Potik, Program, atLeast, atMost, inclusive, load, machineFacts, median, openFigures, openFolder, program, request, sleep, total,
} from './harness.mjs';
import { NO_REDIS, Redis } from '../test/flow/redis.mjs';

const words = process.argv.slice(2);
const option = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
const quick = words.includes('--quick');
const only = option('--only')?.split(',') ?? ['logins', 'timing', 'erasing', 'instructions'];
const seconds = quick ? 4 : 12;
const rounds = quick ? 1 : 3;
const stored = quick ? 500_000 : 5_000_000;
const tries = quick ? 100 : 1000;
const HASH_MIB = 19;
const REQUESTS_PER_SECOND = 60000; /* of single events: docs/PERFORMANCE.md */
const TELLINGS_PER_SECOND = 100; /* at the most: limit/redis_inside.h */

const { folder, newFolder } = openFolder(option('--dir'));
const { figure, write, finish } = openFigures('access', quick);

async function potik(flags = [], dataDir = newFolder()) {
  const server = await new Potik(dataDir, flags).listening();
  await server.readyMs();
  const text = fs.readFileSync(path.join(dataDir, 'first-run.txt'), 'utf8');
  server.admin = { email: /^admin_email=(.*)$/m.exec(text)[1], password: /^admin_password=(.*)$/m.exec(text)[1] };
  return server;
}

async function logIn(server, account = server.admin) {
  const reply = await request(server, 'POST', '/v1/auth/login', { body: account });
  if (reply.status !== 200) throw new Error(`login: ${reply.status} ${JSON.stringify(reply.json)}`);
  return reply.json.access_token;
}

/** 100 logins at once, over and over, while single events arrive as fast as they can. */
async function logins() {
  const singles = { connections: 64, batch: 1, warm: 1, seconds };
  const without = [];
  const beside = [];
  let answered = 0;
  let refused = 0;
  let growth = 0;
  for (let round = 0; round < rounds; round++) {
    const server = await potik(['--login-throttle', 'off']);
    const ledger = new Ledger(700 + round);
    without.push(await ledger.load(server, singles));
    const before = server.memoryBytes();
    let isOver = false;
    let highest = 0;
    const storm = (async () => {
      while (!isOver) {
        const replies = await Promise.all(Array.from({ length: 100 }, () => request(server, 'POST', '/v1/auth/login', { body: server.admin })));
        answered += replies.filter((each) => each.status === 200).length;
        refused += replies.filter((each) => each.status !== 200).length;
      }
    })();
    const watch = (async () => {
      while (!isOver) {
        highest = Math.max(highest, server.memoryBytes());
        await sleep(20);
      }
    })();
    beside.push(await ledger.load(server, singles));
    isOver = true;
    await Promise.all([storm, watch]);
    growth = Math.max(growth, (highest - before) / 2 ** 20);
    await ledger.verify(server);
    await server.stop();
  }
  const p99 = (reports) => median(reports.map((each) => each.p99_us)) / 1000;
  figure('single events, 64 connections, without logins: rate', median(without.map((each) => each.requests_per_s)), 'events/s', undefined, without);
  figure('  p99', p99(without), 'ms');
  figure('beside 100 logins at once, over and over: rate', median(beside.map((each) => each.requests_per_s)), 'events/s', undefined, beside);
  figure('  p99', p99(beside), 'ms');
  figure('  p99 ÷ p99 without logins', p99(beside) / p99(without), '×', atMost(2, ' ×'));
  figure('  memory grown meanwhile, the events\' own included', growth, 'MiB');
  figure('  logins answered 200', answered, 'logins', atLeast(100));
  figure('  logins answered otherwise', refused, 'logins', atMost(0));

  /* Memory by itself: without events, since their index and tails grow, too. */
  const server = await potik(['--login-throttle', 'off']);
  const before = server.memoryBytes();
  let highest = 0;
  let isOver = false;
  const watch = (async () => {
    while (!isOver) {
      highest = Math.max(highest, server.memoryBytes());
      await sleep(5);
    }
  })();
  await Promise.all(Array.from({ length: 100 }, () => request(server, 'POST', '/v1/auth/login', { body: server.admin })));
  isOver = true;
  await watch;
  await server.stop();
  figure('100 logins at once: memory grown', (highest - before) / 2 ** 20, 'MiB', atMost(HASH_MIB + 5, ' MiB: one hash, and their connections'));
}

/** Known and unknown accounts in turn, both with a wrong password, on one connection. */
async function timing() {
  const server = await potik(['--login-throttle', 'off']);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const took = { known: [], unknown: [] };
  for (let i = -20; i < tries; i++) {
    for (const name of i % 2 === 0 ? ['known', 'unknown'] : ['unknown', 'known']) {
      const email = name === 'known' ? server.admin.email : `nobody-${i + 20}@example.com`;
      const began = process.hrtime.bigint();
      const reply = await request(server, 'POST', '/v1/auth/login', { body: { email, password: 'wrong-password' }, agent });
      if (reply.status !== 401) throw new Error(`a wrong password was answered ${reply.status}`);
      if (i >= 0) took[name].push(Number(process.hrtime.bigint() - began) / 1e6);
    }
  }
  agent.destroy();
  await server.stop();
  figure(`login with a wrong password, ${tries} tries each: known account, median`, median(took.known), 'ms');
  figure('  unknown account, median', median(took.unknown), 'ms');
  figure('  difference', Math.abs(median(took.known) / median(took.unknown) - 1) * 100, '%', atMost(5, ' %'), {
    p90: [took.known, took.unknown].map((each) => each.sort((a, b) => a - b)[Math.floor(each.length * 0.9)]),
  });
}

const folderBytes = (dir) => fs.readdirSync(dir, { withFileTypes: true, recursive: true })
  .filter((each) => each.isFile()).reduce((sum, each) => sum + fs.statSync(path.join(each.parentPath ?? each.path, each.name)).size, 0);

async function finished(server, token, id, limitSeconds = 600) {
  const began = Date.now();
  for (;;) {
    const reply = await request(server, 'GET', `/v1/erasures/${id}`, { token });
    if (reply.status !== 200) throw new Error(`erasure ${id}: ${reply.status}`);
    if (reply.json.erasure.state === 'done') return reply.json.erasure;
    if (Date.now() - began > limitSeconds * 1000) throw new Error(`erasure ${id} is still ${reply.json.erasure.state} after ${limitSeconds} s`);
    await sleep(50);
  }
}

/** Persons erased one after another, then a stretch of time, while events arrive at half the rate: one round on its own server. */
async function erasingRound() {
  const server = await potik();
  const token = await logIn(server);
  const ledger = new Ledger(800);
  const users = 1000;
  const stretchFrom = new Date().toISOString();
  await ledger.load(server, { connections: 4, batch: 1000, events: stored, date: '2026-01-02', users });
  await server.caughtUp();
  const stretchTo = new Date(Date.now() + 1).toISOString();
  const probe = await new Ledger(801).load(server, { connections: 64, batch: 1, warm: 1, seconds: 4, date: '2026-01-20', users: 10 });
  const half = { connections: 64, batch: 1, warm: 1, seconds, rate: Math.round(probe.requests_per_s / 2), date: '2026-01-21', users: 10 };
  const kept = new Ledger(802);
  const without = await kept.load(server, half);
  const before = folderBytes(path.join(server.dataDir, 'ledger')) + folderBytes(path.join(server.dataDir, 'warehouse'));
  let isOver = false;
  let persons = 0;
  let erased = 0;
  const jobs = (async () => {
    for (let user = 100; !isOver; user++) {
      const reply = await request(server, 'DELETE', `/v1/users/user-${String(user).padStart(8, '0')}?project=1`, { token });
      if (reply.status !== 202) throw new Error(`erase: ${reply.status} ${JSON.stringify(reply.json)}`);
      erased += (await finished(server, token, reply.json.erasure.id)).events;
      persons++;
    }
  })();
  const besidePersons = await kept.load(server, half);
  isOver = true;
  await jobs;

  let isUndone = false;
  const undo = (async () => {
    const reply = await request(server, 'POST', '/v1/deletions?project=1', { token, body: { received_from: stretchFrom, received_to: stretchTo } });
    if (reply.status !== 202) throw new Error(`delete: ${reply.status} ${JSON.stringify(reply.json)}`);
    const began = Date.now();
    erased += (await finished(server, token, reply.json.erasure.id)).events;
    isUndone = true;
    return (Date.now() - began) / 1000;
  })();
  const besideRange = await kept.load(server, half);
  const rangeTook = await undo;
  if (!isUndone) throw new Error('the range was not erased');
  await server.caughtUp().catch(() => {});
  const after = folderBytes(path.join(server.dataDir, 'ledger')) + folderBytes(path.join(server.dataDir, 'warehouse'));
  if (erased !== ledger.acked) throw new Error(`erased ${erased}, stored there were ${ledger.acked}: no result`);
  const counted = await server.storedEvents();
  const expected = kept.acked + probe.acked;
  if (counted !== expected) throw new Error(`the warehouse counts ${counted}, ${expected} should be left: no result`);
  await ledger.sendAgain(server); // ids stay refused: each is a duplicate
  await kept.sendAgain(server);
  if (await server.storedEvents() !== expected) throw new Error('something came back: no result');
  await server.stop();
  fs.rmSync(server.dataDir, { recursive: true, force: true });
  return { without, besidePersons, besideRange, persons, rangeTook, bytes: after / before, verified: expected + erased };
}

/** Rounds, and of each figure the median: a p99 at half rate is made by a few stalls, and a machine has some of its own. */
async function erasing() {
  const done = [];
  for (let round = 0; round < rounds; round++) {
    done.push(await erasingRound());
  }
  const p99 = (name) => done.map((each) => each[name].p99_us / 1000);
  const ratios = (name) => done.map((each) => each[name].p99_us / each.without.p99_us);
  const each = (values) => ({ rounds: values });
  figure(`${stored / 1e6} M events stored, half rate, p99 without erasing`, median(p99('without')), 'ms', undefined, each(done.map((one) => one.without)));
  for (const [name, what] of [['besidePersons', 'while persons are erased one after another'], ['besideRange', 'while a range of time is erased']]) {
    figure(`  p99 ${what}`, median(p99(name)), 'ms', undefined, each(done.map((one) => one[name])));
    figure('  ratio of the medians', median(p99(name)) / median(p99('without')), '×', atMost(2, ' ×'));
    figure('  ratios of the rounds, median', median(ratios(name)), '×', undefined, each(ratios(name)));
  }
  figure('  persons erased meanwhile', median(done.map((one) => one.persons)), 'persons', atLeast(1));
  figure('  the range took', median(done.map((one) => one.rangeTook)), 's');
  figure('  bytes of ledger and warehouse, after ÷ before', median(done.map((one) => one.bytes)), '×', atMost(0.9, ' ×'));
  figure('  events verified: the others counted, all ids refused when sent again', done.reduce((sum, one) => sum + one.verified, 0), 'events');
}

/** A server under callgrind, counting only while `events` single events arrive with that credential. */
async function counted(name, credential, events, flags = []) {
  const dataDir = newFolder();
  const first = await potik([], dataDir);
  const shown = credential === 'token' ? await logIn(first) : first.writeKey;
  await first.stop();
  const traced = await new Program('valgrind', ['--tool=callgrind', '--separate-threads=yes', '--instr-atstart=no', `--callgrind-out-file=${path.join(dataDir, 'callgrind.out')}`,
    program('potik'), 'serve', '--data-dir', dataDir, '--listen', '127.0.0.1:0', '--loop-threads', '1', ...flags]).listening();
  for (let waited = 0; ; waited++) {
    const reply = await request(traced, 'GET', '/readyz').catch(() => ({ status: 0 }));
    if (reply.status === 200) break;
    if (waited > 600) throw new Error('not ready under callgrind');
    await sleep(100);
  }
  traced.writeKey = shown;
  const route = credential === 'token' ? { path: '/v1/events?project=1' } : {};
  await load(traced, { connections: 4, batch: 1, events: 200, seed: 900, ...route });
  spawnSync('callgrind_control', ['-i', 'on', String(traced.pid)]);
  await load(traced, { connections: 4, batch: 1, events, seed: 901, ...route });
  spawnSync('callgrind_control', ['-i', 'off', String(traced.pid)]);
  const tellings = Number(/^potik_redis_exchanges_total (\d+)$/m.exec((await request(traced, 'GET', '/metrics')).text)?.[1]);
  await traced.stop();
  const files = fs.readdirSync(dataDir).filter((each) => each.startsWith('callgrind.out')).map((each) => path.join(dataDir, each));
  const loops = files.filter((file) => inclusive([file], 'auth_check') > 0);
  const all = total(loops);
  const check = inclusive(loops, 'auth_check');
  figure(`${name}: instructions of a single-event request`, all / events, 'instr.');
  figure('  of them checking who asks (auth_check)', check / events, 'instr.');
  const limits = inclusive(loops, 'limits_take_head') + inclusive(loops, 'limits_take_events');
  const quota = inclusive(loops, 'quota_gate_check_any') + inclusive(loops, 'quota_gate_settle_any');
  const telling = inclusive(loops, 'limit_redis_ready');
  const without = all - limits - telling;
  /* Under callgrind time is slow: what a second costs is put beside what a second brings at full speed. */
  const tellingAtSpeed = tellings > 0 ? telling / tellings * TELLINGS_PER_SECOND / REQUESTS_PER_SECOND * events : 0;
  return { whole: all / events, share: check / all * 100, limits: limits / events, telling: telling / tellings, withLimits: (without + limits + tellingAtSpeed) / without, quota: quota / events, withQuota: all / (all - quota) };
}

async function instructions() {
  const events = quick ? 500 : 5000;
  const limits = ['key', 'project', 'address'].flatMap((who) => [`--limit-${who}-events`, '1000000', `--limit-${who}-requests`, '1000000', `--limit-${who}-bytes`, '1GiB']);
  const key = await counted('key', 'key', events);
  figure('  share', key.share, '%', atMost(2, ' %'));
  figure('  share', (await counted('token', 'token', events)).share, '%', atMost(10, ' %'));
  const limited = await counted('key, nine limits', 'key', events, limits);
  figure('  of them counting for limits', limited.limits, 'instr.');
  figure('  whole ÷ whole without that', limited.withLimits, '×', atMost(1.05, ' ×'));
  const told = await counted('key, access log', 'key', events, ['--access-log', path.join(folder, 'access.log')]);
  figure('  ÷ without an access log', told.whole / key.whole, '×', atMost(1.1, ' ×'));
  const kept = await counted('key, refused events kept (there are none)', 'key', events, ['--keep-rejected', '64MiB']);
  figure('  whole ÷ whole without', kept.whole / key.whole, '×', atMost(1.02, ' ×'));
  figure('key, no quota: instructions of asking for one', key.quota, 'instr.');
  const sold = await counted('key, a quota', 'key', events, ['--quota-events-month', '1000000000']);
  figure('  of them counting for the quota', sold.quota, 'instr.');
  figure('  whole ÷ whole without that', sold.withQuota, '×', atMost(1.01, ' ×'));
  if (NO_REDIS !== false) {
    console.error(`Redis is left out: ${NO_REDIS}`);
    return;
  }
  const redis = await Redis.start();
  const shared = await counted('key, nine limits in Redis', 'key', events, [...limits, '--redis', redis.url]).finally(() => redis.close());
  figure('  of them counting for limits', shared.limits, 'instr.');
  figure('  telling Redis, once', shared.telling, 'instr.');
  figure(`  whole ÷ whole without both, at ${REQUESTS_PER_SECOND} requests and ${TELLINGS_PER_SECOND} tellings a second`, shared.withLimits, '×', atMost(1.05, ' ×'));
}

write({ facts: machineFacts(folder) });
if (only.includes('logins')) await logins();
if (only.includes('timing')) await timing();
if (only.includes('erasing')) await erasing();
if (only.includes('instructions')) await instructions();
process.exit(finish());
