/*
 * T5 - power loss: at a random moment the process is killed and what was not synced is dropped, kept, or kept in part,
 * names of files too. The next start works on what is left. Negative control: with syncs made no-ops the same test must
 * see loss, or it proves nothing.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { ClientLedger, load, post, settle } from './client.mjs';
import { IS_LONG, PRELOAD, SEED, SLOWNESS, Server, assertCounts, assertExact, dump, random, sleep, temporaryFolder } from './harness.mjs';
import { replay } from './power_replay.mjs';

const SMALL = ['--segment-size', '1MiB', '--young-ids-seal', '1024', '--seal-rows', '1500'];

/** One life: start under the shim, load, cut the power; the folder is then what the disk would hold. */
async function life(folder, ledger, cycle, counter, env) {
  const dataDir = path.join(folder, 'data');
  const base = path.join(folder, 'base');
  const journal = path.join(folder, 'journal');
  fs.rmSync(base, { recursive: true, force: true });
  fs.rmSync(journal, { force: true });
  fs.cpSync(dataDir, base, { recursive: true });
  const server = new Server(dataDir, {
    extra: SMALL, env: { LD_PRELOAD: PRELOAD, POWER_ROOT: dataDir, POWER_JOURNAL: journal, ...env },
  });
  const port = await server.start();
  if (port === null) return { server, isStarted: false };
  /* A key that was told must outlive every cut, as events do: the first one is used to the end. */
  counter.key ??= server.keys.write;
  await settle(ledger, { port, key: counter.key });
  let isOver = false;
  const sending = load(ledger, {
    port, key: counter.key, workers: 4, random,
    batch: () => 1 + Math.floor(random() * (random() < 0.3 ? 300 : 10)),
    nextId: () => `t5-${cycle}-${counter.value++}`, stopped: () => isOver,
  });
  await sleep((20 + random() * 500) * SLOWNESS);
  server.kill('SIGKILL');
  await server.exited;
  isOver = true;
  await sending;
  const cut = path.join(folder, 'cut');
  const counts = replay({ base, journal, out: cut, seed: Math.floor(random() * 4294967296) });
  fs.rmSync(dataDir, { recursive: true });
  fs.renameSync(cut, dataDir);
  return { server, isStarted: true, counts };
}

test(`T5: power loss, ${IS_LONG ? 100 : 8} cuts`, { timeout: 1800000 }, async (t) => {
  t.diagnostic(`seed ${SEED}`);
  const folder = temporaryFolder('power');
  const dataDir = path.join(folder, 'data');
  fs.mkdirSync(dataDir);
  const ledger = new ClientLedger(path.join(folder, 'client'));
  const counter = { value: 0 };
  const cuts = IS_LONG ? 100 : 8;
  let unsynced = 0;
  for (let cycle = 0; cycle < cuts; cycle++) {
    const { server, isStarted, counts } = await life(folder, ledger, cycle, counter, {});
    assert.ok(isStarted, `cycle ${cycle} did not start after a power cut:\n${server.stderr}`);
    unsynced += counts.unsyncedWrites + counts.droppedEntries;
    if (cycle % 10 === 9 || cycle === cuts - 1 || !IS_LONG) {
      const copy = path.join(folder, 'look');
      fs.cpSync(dataDir, copy, { recursive: true });
      assertExact(ledger, copy, `cycle ${cycle} ${JSON.stringify(counts)}`);
      fs.rmSync(copy, { recursive: true });
    }
  }
  const server = new Server(dataDir, { extra: SMALL });
  assert.notEqual(await server.start(), null, server.stderr);
  await settle(ledger, { port: server.port, key: counter.key });
  ledger.intend(['t5-last']);
  const last = await post(server.port, server.keys.write, ['t5-last']);
  assert.equal(last.status, 200);
  ledger.ack(['t5-last']);
  await assertCounts(server, last.body.position, ledger.intent.size);
  await server.stop();
  const verdict = assertExact(ledger, dataDir);
  t.diagnostic(`${cuts} cuts, ${unsynced} unsynced changes played with, ${verdict.stored} events`);
  assert.ok(unsynced > 0, 'no change was ever unsynced: the shim sees nothing');
  fs.rmSync(folder, { recursive: true });
});

test('T5: negative control: without syncs the test sees loss', { timeout: 600000 }, async (t) => {
  let isLossSeen = false;
  for (let attempt = 0; attempt < 10 && !isLossSeen; attempt++) {
    const folder = temporaryFolder('power-control');
    const dataDir = path.join(folder, 'data');
    fs.mkdirSync(dataDir);
    const ledger = new ClientLedger(path.join(folder, 'client'));
    const { isStarted } = await life(folder, ledger, attempt, { value: 0 }, { POWER_NO_SYNC: '1' });
    assert.ok(isStarted);
    try {
      isLossSeen = ledger.judge(dump(dataDir)).lost.length > 0;
    } catch {
      isLossSeen = true; /* what is left cannot even be opened */
    }
    fs.rmSync(folder, { recursive: true });
    t.diagnostic(`attempt ${attempt}: acked ${ledger.acked.size}, loss ${isLossSeen ? 'seen' : 'not seen'}`);
  }
  assert.ok(isLossSeen, 'syncs were no-ops and nothing was missed: this test cannot fail');
});
