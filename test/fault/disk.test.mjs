/*
 * T4 - disk full: the data folder on a small tmpfs in a mount namespace of its own; filled and freed again and again. Ingest answers
 * 503 storage_full while there is no room, goes on by itself when there is, and nothing acked is lost.
 * Needs root for the mount: else it skips, and says so.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ClientLedger, post, settle } from './client.mjs';
import { IS_LONG, SLOWNESS, Server, assertCounts, assertExact, sleep, temporaryFolder } from './harness.mjs';

const SMALL = ['--segment-size', '4MiB', '--young-ids-seal', '4096', '--seal-rows', '5000', '--free-space-min', '4MiB'];

/* node:test runs this file in a process of its own: it moves into a namespace by running itself again. */
if (process.env.FAULT_DISK_INSIDE === undefined) {
  const canMount = process.getuid() === 0
    && spawnSync('unshare', ['-m', 'true']).status === 0;
  test('T4: disk full', { skip: canMount ? false : 'needs root and a mount namespace of its own (neither in a plain container nor in a chroot)', timeout: 1200000 }, (t) => {
    const folder = temporaryFolder('disk');
    const script = 'mount -t tmpfs -o size=96m tmpfs "$1" && exec "$2" --test-reporter=tap --test "$3"';
    const result = spawnSync('unshare', ['-m', '--propagation', 'private', 'sh', '-c', script, 'sh', folder, process.execPath,
      new URL(import.meta.url).pathname], {
      encoding: 'utf8', timeout: 1100000,
      env: { ...process.env, FAULT_DISK_INSIDE: folder, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: '' },
    });
    for (const line of result.stdout.split('\n')) if (/^#? *# (cycles|seed)/.test(line)) t.diagnostic(line);
    fs.rmSync(folder, { recursive: true, force: true });
    assert.equal(result.status, 0, `${result.stdout}\n${result.stderr}`);
    assert.match(result.stdout, /# pass 1\n/);
  });
} else {
  test('inside the namespace: fill and free', { timeout: 1000000 }, async (t) => {
    const folder = process.env.FAULT_DISK_INSIDE;
    const dataDir = path.join(folder, 'data');
    const filler = path.join(folder, 'filler');
    const clientFolder = temporaryFolder('disk-client');
    const ledger = new ClientLedger(path.join(clientFolder, 'client'));
    const server = new Server(dataDir, { extra: SMALL });
    assert.notEqual(await server.start(), null, server.stderr);
    let counter = 0;
    const send = async (n) => {
      const ids = Array.from({ length: n }, () => `t4-${counter++}`);
      ledger.intend(ids);
      const reply = await post(server.port, server.keys.write, ids);
      if (reply.status === 200) ledger.ack(ids);
      return reply;
    };
    const cycles = IS_LONG ? 20 : 20;
    for (let cycle = 0; cycle < cycles; cycle++) {
      assert.equal((await send(20)).status, 200);
      /* Fill to the last byte, in pieces, until the kernel refuses. */
      const fd = fs.openSync(filler, 'w');
      try {
        for (const size of [1 << 20, 4096, 1])
          for (;;) fs.writeSync(fd, Buffer.alloc(size));
      } catch (error) {
        assert.equal(error.code, 'ENOSPC');
      }
      let full = null;
      for (let i = 0; i < 100 * SLOWNESS && full === null; i++) {
        const reply = await send(50);
        if (reply.status === 503) full = reply;
        else await sleep(20);
      }
      assert.notEqual(full, null, `cycle ${cycle}: a full disk was never told`);
      assert.equal(full.body.error.code, 'storage_full');
      assert.ok(Number(full.headers['retry-after']) > 0);
      const ready = await fetch(`http://127.0.0.1:${server.port}/readyz`);
      assert.equal(ready.status, 503);
      fs.closeSync(fd);
      fs.unlinkSync(filler);
      let reply = null;
      for (let i = 0; i < 250 * SLOWNESS; i++) {
        reply = await send(5);
        if (reply.status === 200) break;
        await sleep(20);
      }
      assert.equal(reply.status, 200, `cycle ${cycle}: did not go on within ${5 * SLOWNESS} s of there being room: ${reply.text}`);
    }
    await settle(ledger, { port: server.port, key: server.keys.write });
    const last = await send(1);
    await assertCounts(server, last.body.position, ledger.intent.size);
    assert.equal((await server.stop()).code, 0);
    const verdict = assertExact(ledger, dataDir);
    t.diagnostic(`cycles ${cycles}, events ${verdict.stored}`);
    fs.rmSync(clientFolder, { recursive: true });
  });
}
