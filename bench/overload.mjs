/*
 * overload - three times as much as the server can store, offered without any limit set: what it answers, how long those wait
 * that it accepts, how soon it is itself again.
 *
 *     ./dev bench overload [--quick] [--only batches,crowd,singles] [--store embedded|postgres|both] [--dir FOLDER]
 *
 * Capacity is what as many connections get stored when each sends as soon as it is answered. Then requests are due at three
 * times that rate on many more connections, which is what senders are that do not wait for each other. An answer's time
 * counts from the sending of the try that was accepted: a try that is refused waits as Retry-After says, which is what the
 * refusal is for. Before and after, half the capacity is offered; the server is itself again when the p99 of a second of that is
 * at most twice what it was before. A run has no result if an event was lost or doubled, or a reply was neither 200, 429 nor 503.
 */
import path from 'node:path';
import { Postgres } from '../test/flow/postgres.mjs';
import { Ledger, Potik, atLeast, atMost, machineFacts, openFigures, openFolder } from './harness.mjs';

const words = process.argv.slice(2);
const option = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
const quick = words.includes('--quick');
const only = option('--only')?.split(',') ?? ['batches', 'crowd', 'singles'];
const wanted = option('--store') ?? 'both';
const stores = wanted === 'both' ? ['embedded', 'postgres'] : [wanted];
const seconds = quick ? 2 : 10;
const forms = {
  batches: { name: 'batches of 1,000', batch: 1000, connections: 16, over: 64 },
  crowd: { name: 'batches of 1,000 from a crowd', batch: 1000, connections: 16, over: 512 },
  singles: { name: 'single events', batch: 1, connections: 64, over: 1024 },
};
const TIMES = 3;
const MIB = 2 ** 20;

const { folder, newFolder } = openFolder(option('--dir'));
let ledgers = 0;
const { figure, write, finish } = openFigures('overload', quick);
let cluster;

/** Events of this run in the database, since a ledger's counter knows nothing of them. */
function onPostgres(server, url) {
  server.storedRows = () => Number(cluster.query('SELECT count(*) FROM events;', { url }));
  return server;
}

async function overload(store, form) {
  const { name, batch, connections, over: senders } = forms[form];
  const url = store === 'postgres' ? cluster.newDatabase() : undefined;
  let server = await new Potik(newFolder(), url ? ['--store', url] : []).listening();
  if (url) server = onPostgres(server, url);
  await server.readyMs();
  const ledger = new Ledger(41 + ledgers++);
  const probe = await ledger.load(server, { connections, batch, warm: 1, seconds: quick ? 2 : 5 });
  const capacity = probe.events_per_s;
  const half = { connections, batch, rate: Math.round(capacity / 2) };
  const before = await ledger.load(server, { ...half, warm: 1, seconds: quick ? 2 : 5 });
  const memory = server.memoryBytes();
  const over = await ledger.load(server, { connections: senders, batch, rate: Math.round(TIMES * capacity), seconds });
  const grown = server.memoryBytes() - memory;
  const began = Date.now();
  let isNormal = false;
  let recovery;
  let slice;
  while (!isNormal && Date.now() - began < 15000) {
    recovery = (Date.now() - began) / 1000;
    slice = await ledger.load(server, { ...half, seconds: 1 });
    isNormal = slice.p99_us <= 2 * before.p99_us && slice.refused === 0;
  }
  if (!isNormal) recovery = (Date.now() - began) / 1000;
  const verified = await ledger.verify(server);
  const { code, signal } = await server.stop();
  if (code !== 0) throw new Error(`the server ended with ${code ?? signal}: ${server.stderr}`);

  figure(`${store}, ${name}: capacity, ${connections} connections`, capacity, 'events/s', undefined, probe);
  figure(`  half of it: p99`, before.p99_us / 1000, 'ms', undefined, before);
  figure(`  ${TIMES} × it, ${senders} connections: stored meanwhile`, over.events_per_s, 'events/s', undefined, over);
  figure('  stored ÷ capacity', over.events_per_s / capacity, '×', atLeast(0.5, ' ×'));
  figure('  refused with 429 or 503', over.refused, 'requests');
  figure('  of them without Retry-After', over.refused_without_wait, 'requests', atMost(0));
  figure('  connections lost', over.lost_connections, 'connections', atMost(0));
  figure('  accepted: p99 of the answer', over.answer_p99_us / 1000, 'ms', atMost(1000, ' ms'));
  figure('  memory grown, what is stored included', grown / MIB, 'MiB');
  figure('  itself again after', recovery, 's', atMost(5, ' s'), slice);
  figure('  verified: stored once each', verified, 'events', atLeast(1));
}

write({ facts: machineFacts(folder) });
for (const store of stores) {
  if (store === 'postgres') cluster = await Postgres.start({ folder: path.join(folder, 'cluster') });
  for (const form of only) await overload(store, form);
  if (cluster) await cluster.stop();
  cluster = undefined;
}
process.exit(finish());
