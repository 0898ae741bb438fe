/*
 * T2 - kill at every system call that changes a file; T3 - the same calls failing with EIO and ENOSPC, once and for good.
 *
 * strace injects the fault at the K-th call of one kind, K = 1, 2, … until the scenario runs through without a hit; it counts a
 * kind by itself and each thread by itself. Scenario "batch": attach to a running server, send a few batches, stop it (which
 * seals, writes footers, renames). Scenario "recovery": start on what such a life left, under strace from the first instruction.
 * After each hit a plain start settles what is unknown, and the client ledger judges. A kind that was never hit fails the test.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ClientLedger, post, settle } from './client.mjs';
import { IS_LONG, SLOWNESS, Server, TRACED_ENV, assertCounts, assertExact, sleep, temporaryFolder } from './harness.mjs';

const SMALL = ['--segment-size', '1MiB', '--young-ids-seal', '1024', '--seal-rows', '1500'];
const hasStrace = spawnSync('strace', ['-V']).status === 0;
const canTrace = hasStrace && spawnSync('strace', ['-e', 'trace=none', 'true']).status === 0;
const skip = canTrace ? false : 'strace is absent or may not trace here';

/* In the short form every K up to 3, then with growing steps. */
const nextK = (k) => (IS_LONG ? k + 1 : k < 3 ? k + 1 : Math.ceil(k * 1.7));

/* One line a step on stderr, for whoever watches a long run. */
const say = (text) => (process.env.FAULT_VERBOSE || IS_LONG) && process.stderr.write(`${new Date().toISOString()} ${text}\n`);

/** strace on a running process; resolves once it is attached. */
async function attach(pid, call, inject) {
  const child = spawn('strace', ['-f', '-qq', '-p', String(pid), '-e', `trace=${call}`, '-e', `inject=${call}:${inject}`, '-o', '/dev/null', '-e', 'signal=none'],
    { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  for (let i = 0; i < 500 * SLOWNESS; i++) {
    try {
      if (!/TracerPid:\t0\n/.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))) {
        const tasks = fs.readdirSync(`/proc/${pid}/task`);
        if (tasks.every((task) => !/TracerPid:\t0\n/.test(fs.readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8'))))
          return { exited };
      }
    } catch {
      return { exited };
    }
    await sleep(5);
  }
  throw new Error('strace did not attach');
}

class Life {
  constructor(name) {
    this.folder = temporaryFolder(name);
    this.dataDir = path.join(this.folder, 'data');
    this.ledger = new ClientLedger(path.join(this.folder, 'client'));
    this.counter = 0;
    this.name = name;
  }

  ids(n) {
    return Array.from({ length: n }, () => `${this.name}-${this.counter++}`);
  }

  /** Sends; a 200 acks, anything but 503 and a cut is a failure. */
  async send(server, n) {
    const ids = this.ids(n);
    this.ledger.intend(ids);
    const reply = await post(server.port, server.keys.write, ids, { timeoutMs: 8000 });
    if (reply.status === 200) this.ledger.ack(ids);
    else assert.ok(reply.status === 0 || reply.status === 503, `status ${reply.status}: ${reply.text}`);
    return reply;
  }

  async settleAndJudge(context) {
    const server = new Server(this.dataDir, { extra: SMALL });
    assert.notEqual(await server.start(), null, `${context}: did not start:\n${server.stderr}`);
    await settle(this.ledger, { port: server.port, key: server.keys.write });
    const ids = this.ids(1);
    this.ledger.intend(ids);
    const reply = await post(server.port, server.keys.write, ids);
    assert.equal(reply.status, 200, context);
    this.ledger.ack(ids);
    await assertCounts(server, reply.body.position, this.ledger.intent.size, context);
    server.kill('SIGKILL'); /* so that the next start recovers */
    await server.exited;
    assertExact(this.ledger, this.dataDir, context);
  }

  end() {
    this.ledger.close();
    fs.rmSync(this.folder, { recursive: true });
  }
}

/** One life with the fault at the K-th call. Returns whether the process was hit (ended otherwise than clean). */
async function batchLife(life, call, inject) {
  const server = new Server(life.dataDir, { extra: SMALL, env: TRACED_ENV });
  assert.notEqual(await server.start(), null, `did not start:\n${server.stderr}`);
  await life.send(server, 5);
  const traced = await attach(server.pid, call, inject);
  for (let i = 0; i < 6; i++) await life.send(server, 1000); /* more than a segment: it rolls */
  const how = await server.stop({ limitMs: 12000 });
  await traced.exited;
  return { isClean: how.code === 0, how, stderr: server.stderr };
}

const KILL_CALLS = ['pwrite64', 'write', 'fdatasync', 'fsync', 'rename', 'unlink', 'ftruncate', 'fallocate', 'openat', 'pwritev'];
const RECOVERY_CALLS = ['pwrite64', 'fdatasync', 'fsync', 'rename', 'openat', 'fallocate', 'write', 'ftruncate'];

test('T2: kill at every system call of a batch and a stop', { skip, timeout: 1800000 }, async (t) => {
  const hits = {};
  for (const call of KILL_CALLS) {
    const life = new Life(`t2-${call}`);
    hits[call] = 0;
    for (let k = 1; k < 2000; k = nextK(k)) {
      const { isClean } = await batchLife(life, call, `signal=KILL:when=${k}`);
      say(`T2 batch ${call} K=${k} ${isClean ? 'clean' : 'hit'}`);
      if (isClean) break;
      hits[call]++;
      await life.settleAndJudge(`${call} K=${k}`);
    }
    life.end();
  }
  t.diagnostic(`hits: ${JSON.stringify(hits)}`);
  for (const call of ['fdatasync', 'fsync', 'rename', 'openat', 'unlink', 'fallocate'])
    assert.ok(hits[call] > 0, `${call} was never hit`);
  assert.ok(hits.pwrite64 + hits.pwritev > 0, 'no write was hit');
});

test('T2: kill at every system call of a recovery', { skip, timeout: 1800000 }, async (t) => {
  const hits = {};
  for (const call of RECOVERY_CALLS) {
    const life = new Life(`t2r-${call}`);
    hits[call] = 0;
    for (let k = 1; k < 2000; k = nextK(k)) {
      /* A life that ends with kill -9 leaves something to recover. */
      const before = new Server(life.dataDir, { extra: SMALL });
      assert.notEqual(await before.start(), null, before.stderr);
      await life.send(before, 700);
      before.kill('SIGKILL');
      await before.exited;
      const server = new Server(life.dataDir, {
        extra: SMALL, env: TRACED_ENV, wrapper: ['strace', '-f', '-qq', '-e', `trace=${call}`, '-e', 'signal=none', '-e', `inject=${call}:signal=KILL:when=${k}`, '-o', '/dev/null'],
      });
      const port = await server.start();
      say(`T2 recovery ${call} K=${k} ${port !== null ? 'clean' : 'hit'}`);
      if (port !== null) {
        await life.send(server, 3);
        server.kill('SIGKILL');
        await server.exited;
        break;
      }
      hits[call]++;
      await life.settleAndJudge(`recovery ${call} K=${k}`);
    }
    life.end();
  }
  t.diagnostic(`hits: ${JSON.stringify(hits)}`);
  assert.ok(hits.openat > 0, 'openat was never hit');
  assert.ok(hits.fdatasync + hits.fsync > 0, 'no sync was hit');
  assert.ok(hits.pwrite64 > 0, 'no write was hit');
});

for (const errno of ['EIO', 'ENOSPC']) {
  for (const [form, suffix] of [['once', ''], ['for good', '+']]) {
    test(`T3: ${errno} ${form}`, { skip, timeout: 1800000 }, async (t) => {
      const hits = {};
      for (const call of ['pwrite64', 'pwritev', 'fdatasync', 'fsync', 'sync_file_range', 'rename', 'ftruncate', 'fallocate', 'openat', 'unlink']) {
        const life = new Life(`t3-${errno}-${call}`);
        hits[call] = 0;
        const steps = IS_LONG ? 40 : 3;
        for (let k = 1, i = 0; i < steps; k = nextK(k), i++) {
          const before = life.ledger.acked.size;
          const { how, stderr } = await batchLife(life, call, `error=${errno}:when=${k}${suffix}`);
          say(`T3 ${errno} ${form} ${call} K=${k} ${JSON.stringify(how)}`);
          /* It may serve on, refuse with 503, or end by itself with 1; never by a signal. */
          assert.ok(how.signal === null && (how.code === 0 || how.code === 1),
            `${call} K=${k}: ended with ${JSON.stringify(how)}:\n${stderr}`);
          if (how.code !== 0 || life.ledger.acked.size - before < 6005) hits[call]++;
          await life.settleAndJudge(`${errno} ${form} ${call} K=${k}`);
        }
        life.end();
      }
      t.diagnostic(`felt by the client: ${JSON.stringify(hits)}`);
      assert.ok(hits.fdatasync > 0, 'a failing fdatasync was never felt');
      assert.ok(hits.pwrite64 + hits.pwritev > 0, 'a failing write was never felt');
    });
  }
}

test('T3: after a failed fdatasync those waiting get 503, and the process ends with 1 within a second', { skip, timeout: 120000 }, async (t) => {
  const life = new Life('t3-exit');
  const server = new Server(life.dataDir, { extra: SMALL, env: TRACED_ENV });
  assert.notEqual(await server.start(), null, server.stderr);
  await life.send(server, 5);
  const traced = await attach(server.pid, 'fdatasync', 'error=EIO:when=1');
  /* Twenty at once: one batch fails, and with it all that wait. */
  const failed = [];
  await Promise.all(Array.from({ length: 20 }, async () => {
    const reply = await life.send(server, 10);
    failed.push({ status: reply.status, at: performance.now() });
  }));
  const how = await server.exited;
  const tookMs = performance.now() - Math.min(...failed.map((each) => each.at));
  await traced.exited;
  t.diagnostic(`${failed.filter((each) => each.status === 503).length} of 20 got 503; the process ended ${Math.round(tookMs)} ms after the first of them`);
  assert.equal(how.code, 1, JSON.stringify(how));
  assert.ok(failed.some((each) => each.status === 503), JSON.stringify(failed));
  assert.ok(failed.every((each) => each.status === 503 || each.status === 0), JSON.stringify(failed));
  assert.ok(tookMs <= 1000 * SLOWNESS, `${tookMs} ms`);
  await life.settleAndJudge('after a failed sync');
  life.end();
});
