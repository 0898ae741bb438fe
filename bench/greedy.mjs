/*
 * greedy - slow and greedy clients beside good ones: slowhttptest's slow heads (-H), slow bodies (-B), slow reading (-X) and range
 * headers (-R), and thousands of connections that say nothing. The good ones must not notice, and memory must not grow.
 *
 *     ./dev bench greedy [--quick] [--only heads,bodies,reads,ranges,idle] [--dir FOLDER]
 *
 * The good ones send single events at a steady rate far below what the server can do, first alone, then beside each kind. Their
 * p99 counts from the time a request was due. A run in which an event was lost or doubled has no result.
 *
 * An attacker has a machine of his own; here he shares the cores. slowhttptest asks its sockets without rest and so takes a whole
 * core, whomever it attacks. The goals are for an attacker that gets what the others leave (SCHED_IDLE), and a second run beside
 * him at their own priority is shown, too, with what he took of the cores; the segments counted meanwhile tell that both sent the
 * same. Watching must not be felt either: memory is the kernel's own high-water mark, files are counted once.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Ledger, Potik, atLeast, atMost, cpuSeconds, machineFacts, median, openFigures, openFolder, sleep } from './harness.mjs';

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
function slowhttptest(server, isYielding, kind, route) {
  const child = spawn('chrt', [...(isYielding ? ['--idle', '0'] : ['--other', '0']), 'slowhttptest', ...kind, '-c', String(greedy), '-r', String(Math.ceil(greedy / 2)), '-i', '1', '-l', '600', '-v', '1', '-u', `http://${server.address}${route}`], {
    cwd: folder, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  child.stdout.on('data', (part) => { out = (out + part).slice(-20000); });
  child.stderr.resume();
  const exited = new Promise((resolve) => { child.on('exit', resolve); });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  return {
    cpu: () => (child.exitCode === null ? cpuSeconds(`/proc/${child.pid}/stat`) : undefined),
    stop: async () => {
      child.kill('SIGINT');
      await exited;
      process.off('exit', kill);
      return out.replace(/\x1b\[[0-9;]*m/g, '');
    },
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
  return {
    cpu: () => undefined,
    stop: async () => {
      isOver = true;
      for (const socket of sockets) socket.destroy();
      return `${made} connections made`;
    },
  };
}

const kinds = {
  heads: ['slow heads (-H)', (server, isYielding) => slowhttptest(server, isYielding, ['-H'], '/v1/events')],
  /* With a key, since without one the head alone is answered, 401, and the connection ends (slowhttptest writes what -m holds as it
   * stands); and not so long that it is read piece by piece, since its first piece is no JSON: 400, and the same. */
  bodies: ['slow bodies (-B)', (server, isYielding) => slowhttptest(server, isYielding, ['-B', '-s', '100000', '-t', 'POST', '-f', 'application/json',
    '-m', `*/*\r\nAuthorization: Bearer ${server.writeKey}`], '/v1/events')],
  reads: ['slow reading (-X)', (server, isYielding) => slowhttptest(server, isYielding, ['-X', '-k', '8', '-w', '1', '-y', '8', '-n', '1', '-z', '1'], '/metrics')],
  ranges: ['range headers (-R)', (server, isYielding) => slowhttptest(server, isYielding, ['-R', '-t', 'GET', '-a', '5', '-b', '3000'], '/metrics')],
  idle: [`${idle} idle connections`, idlers],
};

const segmentsSent = () => Number(/^Tcp: (?:-?\d+ ){10}(\d+)/m.exec(fs.readFileSync('/proc/net/snmp', 'utf8'))[1]);

/** A run of the good ones beside `attack`, or alone: its report and the most memory; open files and the attacker's cores until the middle. */
async function seen(server, ledger, attack) {
  const found = {};
  const half = (good.warm + seconds) / 2;
  const sent = segmentsSent();
  const cpu = attack?.cpu();
  fs.writeFileSync(`/proc/${server.pid}/clear_refs`, '5'); // VmHWM begins anew
  const middle = sleep(half * 1000).then(() => {
    found.files = fs.readdirSync(`/proc/${server.pid}/fd`).length;
    if (cpu !== undefined) found.cores = (attack.cpu() - cpu) / half;
  });
  found.report = await ledger.load(server, good);
  await middle;
  found.memory = server.memoryBytes('VmHWM');
  found.segments = segmentsSent() - sent;
  return found;
}

const p99 = (runs) => median(runs.map((each) => each.report.p99_us)) / 1000;
const medianOf = (runs, what) => median(runs.map((each) => each[what]).filter(Number.isFinite));

async function beside(server, ledger, name) {
  const [what, begin] = kinds[name];
  const alone = [];
  const yielding = [];
  const equal = [];
  let said;
  const underAttack = async (isYielding, runs) => {
    const attack = await begin(server, isYielding);
    runs.push(await seen(server, ledger, attack));
    said = await attack.stop();
  };
  for (let round = 0; round < rounds; round++) {
    alone.push(await seen(server, ledger));
    await underAttack(true, yielding);
    if (name !== 'idle') await underAttack(false, equal);
  }
  const most = Math.max(...yielding.map((each) => each.files)) - Math.min(...alone.map((each) => each.files));
  const grown = Math.max(...yielding.map((each, round) => each.memory - alone[round].memory));
  const refused = [...yielding, ...equal].reduce((sum, each) => sum + each.report.refused + each.report.lost_connections, 0);
  /* Range headers are answered at once, and their connections end. A short run on a busy machine does not come to open them all. */
  figure(`${what}: connections open in the middle`, most, 'connections', name === 'ranges' ? undefined : atLeast(quick ? greedy / 8 : greedy / 2), { said: said.slice(-2000) });
  figure('  good clients alone: p99', p99(alone), 'ms', undefined, alone);
  figure('  beside them: p99', p99(yielding), 'ms', undefined, yielding);
  figure('  ratio', p99(yielding) / p99(alone), '×', atMost(2, ' ×'));
  if (name !== 'idle') {
    figure('  segments sent meanwhile', medianOf(yielding, 'segments'), '');
    figure('  at the same priority: p99', p99(equal), 'ms', undefined, equal);
    figure('    ratio', p99(equal) / p99(alone), '×');
    if (medianOf(equal, 'cores') !== undefined) figure('    cores the attacker took', medianOf(equal, 'cores'), 'cores');
    figure('    segments sent meanwhile', medianOf(equal, 'segments'), '');
  }
  figure('  good clients refused or cut off', refused, 'requests', atMost(0));
  figure('  memory grown', grown / MIB, 'MiB', atMost(200, ' MiB'));
}

write({ facts: machineFacts(folder) });
const server = await new Potik(path.join(folder, 'data')).listening();
await server.readyMs();
const ledger = new Ledger(50);
await ledger.load(server, { ...good, rate: 4000, seconds: 4 }); // what a first load takes once: a table of young ids is made at 4,000
for (const name of only) await beside(server, ledger, name);
figure('verified: stored once each', await ledger.verify(server), 'events', atLeast(1));
const { code, signal } = await server.stop();
if (code !== 0) throw new Error(`the server ended with ${code ?? signal}: ${server.stderr}`);
process.exit(finish());
