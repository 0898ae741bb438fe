/*
 * T1 - kill -9 at random moments under load, SIGSTOP and SIGCONT too: nothing acked is lost, nothing is there twice.
 * T9 - the duplicate storm: 64 clients, the same 1,000 ids, over and over, with a kill in the middle.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import { ClientLedger, eventOf, load, post, postBody, settle } from './client.mjs';
import { IS_LONG, SEED, SLOWNESS, Server, assertCounts, assertExact, random, sleep, temporaryFolder } from './harness.mjs';

/* Small limits, so that segments roll, ids are sealed and tails become files within a few cycles. */
const SMALL = ['--segment-size', '1MiB', '--young-ids-seal', '2048', '--seal-rows', '3000'];

test(`T1: kill -9, ${IS_LONG ? 200 : 10} cycles`, { timeout: 1800000 }, async (t) => {
  t.diagnostic(`seed ${SEED}`);
  const folder = temporaryFolder('kill');
  const dataDir = path.join(folder, 'data');
  const ledger = new ClientLedger(path.join(folder, 'client'));
  let counter = 0;
  const cycles = IS_LONG ? 200 : 10;
  for (let cycle = 0; cycle < cycles; cycle++) {
    const server = new Server(dataDir, { extra: SMALL });
    assert.notEqual(await server.start(), null, `cycle ${cycle} did not start:\n${server.stderr}`);
    await settle(ledger, { port: server.port, key: server.keys.write });
    let isOver = false;
    const sending = load(ledger, {
      port: server.port, key: server.keys.write, workers: 6, random,
      batch: () => 1 + Math.floor(random() * (random() < 0.2 ? 400 : 20)),
      nextId: () => `t1-${cycle}-${counter++}`, stopped: () => isOver,
    });
    await sleep((30 + random() * (IS_LONG ? 300 : 500)) * SLOWNESS);
    if (random() < 0.3) {
      server.kill('SIGSTOP');
      await sleep(20 + random() * 100);
      server.kill('SIGCONT');
      await sleep(random() * 50);
    }
    server.kill('SIGKILL');
    await server.exited;
    isOver = true;
    await sending;
    if (cycle % 20 === 19 || cycle === cycles - 1) assertExact(ledger, dataDir, `cycle ${cycle}`);
  }
  const server = new Server(dataDir, { extra: SMALL });
  await server.start();
  await settle(ledger, { port: server.port, key: server.keys.write });
  const last = await post(server.port, server.keys.write, ['t1-last']);
  ledger.intend(['t1-last']);
  ledger.ack(['t1-last']);
  await assertCounts(server, last.body.position, ledger.intent.size);
  assert.equal((await server.stop()).code, 0);
  const verdict = assertExact(ledger, dataDir);
  t.diagnostic(`${cycles} kills, ${verdict.stored} events`);
  assert.ok(verdict.stored > cycles * 10, 'the load was too thin to say anything');
  fs.rmSync(folder, { recursive: true });
});

test('T9: duplicate storm with a kill', { timeout: 1800000 }, async (t) => {
  const folder = temporaryFolder('storm');
  const dataDir = path.join(folder, 'data');
  const ledger = new ClientLedger(path.join(folder, 'client'));
  const ids = Array.from({ length: 1000 }, (_, i) => `storm-${i}`);
  const rounds = IS_LONG ? 100 : 10;
  const clients = 64;
  ledger.intend(ids);
  const bodies = ids.map((id) => JSON.stringify(eventOf(id)));
  let server = new Server(dataDir, { extra: SMALL });
  await server.start();
  const totals = { accepted: 0, duplicates: 0, sent: 0 };
  let isKilled = false;
  const agent = new http.Agent({ keepAlive: true, maxSockets: clients });
  const restart = async () => {
    server.kill('SIGKILL');
    await server.exited;
    const next = new Server(dataDir, { extra: SMALL });
    await next.start();
    server = next;
  };
  let restarting = null;
  await Promise.all(Array.from({ length: clients }, async (_, client) => {
    for (let round = 0; round < rounds; round++) {
      /* Each client goes through all ids in an order and in batches of its own. */
      const order = ids.map((_, i) => (i * (2 * client + 1) + round * 37) % ids.length);
      for (let at = 0; at < order.length;) {
        const size = Math.min(order.length - at, 1 + Math.floor(random() * 500));
        const part = order.slice(at, at + size);
        const body = Buffer.from(`[${part.map((i) => bodies[i]).join(',')}]`);
        for (;;) {
          if (restarting !== null) await restarting;
          const reply = await postBody(server.port, server.keys.write, body, { agent });
          if (reply.status === 200) {
            assert.equal(reply.body.accepted + reply.body.duplicates, size);
            totals.accepted += reply.body.accepted;
            totals.duplicates += reply.body.duplicates;
            totals.sent += size;
            ledger.ack(part.map((i) => ids[i]));
            break;
          }
          assert.ok(reply.status === 0 || reply.status === 503, `status ${reply.status}: ${reply.text}`);
          await sleep(5);
        }
        at += size;
        if (!isKilled && totals.sent > ids.length / 2) { /* while first copies are still on their way */
          isKilled = true;
          restarting = restart().then(() => {
            restarting = null;
          });
        }
      }
    }
  }));
  agent.destroy();
  t.diagnostic(`${totals.sent} sent, ${totals.accepted} told accepted, ${totals.duplicates} told duplicate`);
  assert.ok(totals.accepted <= ids.length, 'more were told accepted than there are ids');

  /* Same id, other body: the first stays. */
  const other = { ...eventOf(ids[0]), event_type: 'other', properties: { changed: true } };
  const reply = await postBody(server.port, server.keys.write, Buffer.from(JSON.stringify(other)));
  assert.deepEqual([reply.status, reply.body.accepted, reply.body.duplicates], [200, 0, 1]);
  await assertCounts(server, reply.body.position, ids.length);
  await server.stop();
  const verdict = assertExact(ledger, dataDir);
  assert.equal(verdict.stored, ids.length);
  fs.rmSync(folder, { recursive: true });
});
