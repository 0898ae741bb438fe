/*
 * greedy - slow and greedy clients beside good ones: slowhttptest's slow heads (-H), slow bodies (-B), slow reading (-X) and range
 * headers (-R), and thousands of connections that say nothing. The good ones must not notice, and memory must not grow.
 *
 *     ./dev bench greedy [--quick] [--only heads,bodies,reads,ranges,idle] [--dir FOLDER]
 *
 * The good ones send single events at a steady rate far below what the server can do, first alone, then beside each kind. Their
 * p99 counts from the time a request was due. A run in which an event was lost or doubled has no result.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Ledger, Potik, atLeast, atMost, machineFacts, median, openFigures, openFolder, sleep } from './harness.mjs';

const words = process.argv.slice(2);
const option = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
const quick = words.includes('--quick');
const only = option('--only')?.split(',') ?? ['heads', 'bodies', 'reads', 'ranges', 'idle'];
const seconds = quick ? 3 : 15;
const rounds = quick ? 1 : 3;
const greedy = quick ? 200 : 1000;
const idle = 2000;
const good = { connections: 16, batch: 1, rate: 1000, warm: 1, seconds };
const MIB = 2 ** 20;

if (spawnSync('slowhttptest', ['-h']).error) {
  console.error('greedy: there is no slowhttptest');
  process.exit(2);
}
const { folder } = openFolder(option('--dir'));
const { figure, write, finish } = openFigures('greedy', quick);

/** slowhttptest on the server until `stop()`; it connects at `greedy` ÷ 2 a second. What it saw last is in `stop()`'s words. */
function slowhttptest(server, kind, route) {
  const child = spawn('slowhttptest', [...kind, '-c', String(greedy), '-r', String(Math.ceil(greedy / 2)), '-i', '1', '-l', '600', '-v', '1', '-u', `http://${server.address}${route}`], {
    cwd: folder, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  child.stdout.on('data', (part) => { out = (out + part).slice(-20000); });
  child.stderr.resume();
  const exited = new Promise((resolve) => { child.on('exit', resolve); });
  process.on('exit', () => child.kill('SIGKILL')); // nothing where it has ended
  return async () => {
    child.kill('SIGINT');
    await exited;
    return out.replace(/\x1b\[[0-9;]*m/g, '');
  };
}

/** Connections that never say a word; the server ends them after `idle-timeout`, and they are made again. */
async function idlers(server) {
  const [host, port] = server.address.split(':');
  const sockets = new Set();
  let isOver = false;
  let made = 0;
  const connect = () => new Promise((resolve, reject) => {
    const socket = net.connect({ host, port: Number(port) }, resolve);
    sockets.add(socket);
    made++;
    socket.on('error', reject);
    socket.on('close', () => {
      sockets.delete(socket);
      if (!isOver) connect().catch(() => {}); // counted below, by the server
    });
    socket.resume();
  });
  for (let i = 0; i < idle; i += 100) await Promise.all(Array.from({ length: 100 }, connect));
  return async () => {
    isOver = true;
    for (const socket of sockets) socket.destroy();
    return `${made} connections made`;
  };
}

const kinds = {
  heads: ['slow heads (-H)', (server) => slowhttptest(server, ['-H'], '/v1/events')],
  /* With a key, since without one the head alone is answered, 401, and the connection ends (slowhttptest writes what -m holds as it
   * stands); and not so long that it is read piece by piece, since its first piece is no JSON: 400, and the same. */
  bodies: ['slow bodies (-B)', (server) => slowhttptest(server, ['-B', '-s', '100000', '-t', 'POST', '-f', 'application/json',
    '-m', `*/*\r\nAuthorization: Bearer ${server.writeKey}`], '/v1/events')],
  reads: ['slow reading (-X)', (server) => slowhttptest(server, ['-X', '-k', '8', '-w', '1', '-y', '8', '-n', '1', '-z', '1'], '/metrics')],
  ranges: ['range headers (-R)', (server) => slowhttptest(server, ['-R', '-t', 'GET', '-a', '5', '-b', '3000'], '/metrics')],
  idle: [`${idle} idle connections`, idlers],
};

/** What `run` gives, and the most that was seen meanwhile: memory, open files. Watching costs something, so both runs are watched. */
async function watched(server, run) {
  const seen = { memory: 0, files: 0 };
  let isOver = false;
  const watch = (async () => {
    while (!isOver) {
      seen.memory = Math.max(seen.memory, server.memoryBytes());
      seen.files = Math.max(seen.files, fs.readdirSync(`/proc/${server.pid}/fd`).length);
      await sleep(50);
    }
  })();
  seen.report = await run();
  isOver = true;
  await watch;
  return seen;
}

const p99 = (reports) => median(reports.map((each) => each.p99_us)) / 1000;

async function beside(server, elsewhere, ledger, name) {
  const [what, begin] = kinds[name];
  const alone = [];
  const near = [];
  const with_ = [];
  let grown = 0;
  let most = 0;
  let said;
  for (let round = 0; round < rounds; round++) {
    const before = await watched(server, () => ledger.load(server, good));
    alone.push(before.report);
    const stop = await begin(server);
    const seen = await watched(server, () => ledger.load(server, good));
    said = await stop();
    with_.push(seen.report);
    const stopNear = await begin(elsewhere);
    near.push((await watched(server, () => ledger.load(server, good))).report);
    await stopNear();
    grown = Math.max(grown, seen.memory - before.memory);
    most = Math.max(most, seen.files - before.files);
  }
  /* Range headers are answered at once, and their connections end. A short run on a busy machine does not come to open them all. */
  figure(`${what}: connections open at most`, most, 'connections', name === 'ranges' ? undefined : atLeast(quick ? greedy / 8 : greedy / 2), { said: said.slice(-2000) });
  figure('  good clients alone: p99', p99(alone), 'ms', undefined, alone);
  figure('  beside them: p99', p99(with_), 'ms', undefined, with_);
  figure('  ratio', p99(with_) / p99(alone), '×', atMost(2, ' ×'));
  /* Who attacks takes of the same cores, whomever he attacks: what is left of the ratio is the server's own. */
  figure('  beside the same against another server: p99', p99(near), 'ms', undefined, near);
  figure('  ÷ that', p99(with_) / p99(near), '×');
  figure('  good clients refused or cut off', with_.reduce((sum, each) => sum + each.refused + each.lost_connections, 0), 'requests', atMost(0));
  figure('  memory grown', grown / MIB, 'MiB', atMost(200, ' MiB'));
}

write({ facts: machineFacts(folder) });
const server = await new Potik(path.join(folder, 'data')).listening();
await server.readyMs();
const elsewhere = await new Potik(path.join(folder, 'elsewhere')).listening();
await elsewhere.readyMs();
const ledger = new Ledger(50);
await ledger.load(server, { ...good, seconds: 2 }); // what a first load takes once
for (const name of only) await beside(server, elsewhere, ledger, name);
figure('verified: stored once each', await ledger.verify(server), 'events', atLeast(1));
await elsewhere.stop();
const { code, signal } = await server.stop();
if (code !== 0) throw new Error(`the server ended with ${code ?? signal}: ${server.stderr}`);
process.exit(finish());
