/*
 * cdnow - real purchases, imported by the program's own command, against counts made by another program.
 *
 * The data (Fader and Hardie, 2001) stands outside of the repository, in $POTIK_CDNOW or ../shared/data/cdnow; where it is absent
 * this test says that it skips, and the small shop below, whose counts are worked out by hand, stands in.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, Client, MISSING, SLOWNESS, TOP, startServer, temporaryFolder } from './server.mjs';

const CDNOW = process.env.POTIK_CDNOW ?? path.resolve(TOP, '../shared/data/cdnow');
const hasCdnow = fs.existsSync(path.join(CDNOW, 'events.csv'));

/** Runs a command of the program against the server; resolves to { code, stdout, stderr }. */
function potik(server, words) {
  return new Promise((resolve, reject) => {
    const child = spawn(BIN, [...words, '--server', server.address, '--key', server.keys.write], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (part) => {
      stdout += part;
    });
    child.stderr.on('data', (part) => {
      stderr += part;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** One probe event takes a position behind everything imported, so that the stats below count it all. */
async function settled(server) {
  const client = new Client(server);
  const reply = await client.post([{ event_id: 'probe', event_type: 'probe', user_id: 'probe', occurred_at: '2020-01-01T00:00:00Z' }]);
  assert.equal(reply.status, 200, reply.text);
  return client;
}

test('cdnow: an import equals the known counts; a second one changes nothing', {
  skip: MISSING || (hasCdnow ? false : `no data at ${CDNOW}`), timeout: 300000 * SLOWNESS,
}, async (t) => {
  const expected = JSON.parse(fs.readFileSync(path.join(CDNOW, 'expected.json'), 'utf8'));
  const server = await startServer();
  for (const round of ['first', 'second']) {
    const began = Date.now();
    const run = await potik(server, ['import', path.join(CDNOW, 'events.csv')]);
    assert.equal(run.code, 0, run.stderr);
    t.diagnostic(`${round} import: ${Date.now() - began} ms`);
    const client = await settled(server);
    const all = await client.stats('top-events', { from: '1997-01-01', to: '1998-06-30', event_type: undefined });
    assert.deepEqual(all.rows, [['purchase', expected.events, expected.users]], round);
    const dau = await client.stats('dau', { from: '1997-01-01', to: '1997-01-31' });
    assert.deepEqual(Object.fromEntries(dau.rows), expected.dau, round);
    const retention = await client.stats('retention', { start_date: '1997-01-01', unit: 'month', windows: 18, cohorts: 3, event_type: 'purchase' });
    assert.deepEqual(Object.fromEntries(retention.rows.map(([cohort, , ...counts]) => [cohort, counts])),
      expected.retention_month_first_time_on, round);
    for (const [cohort, size] of retention.rows) assert.equal(size, expected.retention_month_first_time_on[cohort][0]);
    client.close();
  }
  await server.close();
});

test('a small shop: an import of CSV equals counts made by hand; a second one changes nothing', { skip: MISSING, timeout: 120000 * SLOWNESS }, async () => {
  const folder = temporaryFolder('shop');
  const file = path.join(folder, 'shop.csv');
  /* No event_id column: rows are named by their content, so that a second import stores nothing; two equal rows are two events. */
  fs.writeFileSync(file, '\ufeffevent_type,user_id,occurred_at,amount,note\r\n'
    + 'buy,ann,2024-01-30T10:00:00Z,5,"a, quoted ""note"""\r\n'
    + 'buy,ann,2024-02-01T10:00:00Z,7,\r\n'
    + 'buy,bob,2024-02-02T10:00:00Z,9,"two\r\nlines"\r\n'
    + 'look,bob,2024-02-02T11:00:00Z,,\r\n'
    + 'look,cy,2024-01-31T23:59:59Z,,\r\n'
    + 'look,cy,2024-01-31T23:59:59Z,,\r\n');
  const server = await startServer();
  for (const round of ['first', 'second']) {
    const run = await potik(server, ['import', file]);
    assert.equal(run.code, 0, run.stderr);
    const client = await settled(server);
    const top = await client.stats('top-events', { from: '2024-01-01', to: '2024-03-31' });
    assert.deepEqual(top.rows, [['buy', 3, 2], ['look', 3, 2]], round);
    const dau = await client.stats('dau', { from: '2024-01-30', to: '2024-02-02' });
    assert.deepEqual(dau.rows, [['2024-01-30', 1], ['2024-01-31', 1], ['2024-02-01', 1], ['2024-02-02', 1]], round);
    const retention = await client.stats('retention', { start_date: '2024-01-01', unit: 'month', windows: 2, cohorts: 2, event_type: 'buy' });
    assert.deepEqual(retention.rows, [['2024-01-01', 1, 1, 1], ['2024-02-01', 1, 1, 0]], round);
    client.close();
  }
  await server.close();
  fs.rmSync(folder, { recursive: true });
});
