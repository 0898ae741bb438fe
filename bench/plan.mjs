/*
 * plan - what a tracking plan costs ingest: events a second as fast as they come, and instructions of a loop's thread an event, without a plan and with one in mode enforce
 * that knows every event sent (seven properties: a pattern, two enums, bounds of a decimal and an integer, a length, a boolean).
 *
 *     ./dev bench plan [--quick] [--dir FOLDER]
 *
 * As in the other benches: figures of one run on one machine, goals beside them, bench/results has them as JSON lines.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Potik, Program, atLeast, inclusive, load, machineFacts, median, openFigures, openFolder, program, request, sleep, total } from './harness.mjs';

const words = process.argv.slice(2);
const option = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
const quick = words.includes('--quick');
const { folder } = openFolder(option('--dir'));
const { figure, write, finish } = openFigures('plan', quick);

/* Of the events that bench/load sends. */
const properties = {
  type: 'object',
  properties: {
    path: { type: 'string', pattern: '^/catalog/item-[0-9]+$' },
    referrer: { type: 'string', minLength: 1, maxLength: 200 },
    country: { type: 'string', enum: ['UA', 'DE', 'FR', 'US', 'PL', 'GB', 'IN', 'BR'] },
    device: { type: 'string', enum: ['desktop', 'mobile', 'tablet'] },
    price: { type: 'number', minimum: 0, maximum: 100000 },
    quantity: { type: 'integer', minimum: 1, maximum: 1000 },
    is_member: { type: 'boolean' },
  },
  required: ['path', 'price', 'country'],
};
const types = ['page_view', 'product_view', 'search', 'add_to_cart', 'checkout', 'purchase', 'sign_up', 'share_click', 'refund'];
const plan = { unknown_events: 'enforce', events: Object.fromEntries(types.map((type) => [type, { mode: 'enforce', properties }])) };

async function potik(dataDir) {
  const server = await new Potik(dataDir, []).listening();
  await server.readyMs();
  const text = fs.readFileSync(path.join(dataDir, 'first-run.txt'), 'utf8');
  server.admin = { email: /^admin_email=(.*)$/m.exec(text)[1], password: /^admin_password=(.*)$/m.exec(text)[1] };
  return server;
}

async function setPlan(server) {
  const login = await request(server, 'POST', '/v1/auth/login', { body: server.admin });
  const set = await request(server, 'PUT', '/v1/tracking-plan?project=1', { token: login.json.access_token, body: plan });
  if (set.status !== 200) throw new Error(`PUT: ${set.status} ${JSON.stringify(set.json)}`);
}

/** Instructions an event of the loop's thread: { all, check }. */
async function counted(batch, events, hasPlan) {
  const dataDir = fs.mkdtempSync(path.join(folder, 'data-'));
  const first = await potik(dataDir);
  if (hasPlan) await setPlan(first);
  const { writeKey } = first;
  await first.stop();
  const traced = await new Program('valgrind', ['--tool=callgrind', '--separate-threads=yes', '--instr-atstart=no', `--callgrind-out-file=${path.join(dataDir, 'callgrind.out')}`,
    program('potik'), 'serve', '--data-dir', dataDir, '--listen', '127.0.0.1:0', '--loop-threads', '1']).listening();
  for (let waited = 0; (await request(traced, 'GET', '/readyz').catch(() => ({ status: 0 }))).status !== 200; waited++) {
    if (waited > 600) throw new Error('not ready under callgrind');
    await sleep(100);
  }
  traced.writeKey = writeKey;
  await load(traced, { connections: 4, batch, events: Math.max(200, batch), seed: 900 });
  spawnSync('callgrind_control', ['-i', 'on', String(traced.pid)]);
  await load(traced, { connections: 4, batch, events, seed: 901 });
  spawnSync('callgrind_control', ['-i', 'off', String(traced.pid)]);
  await traced.stop();
  const loops = fs.readdirSync(dataDir).filter((each) => each.startsWith('callgrind.out')).map((each) => path.join(dataDir, each))
    .filter((file) => inclusive([file], 'auth_check') > 0);
  return { all: total(loops) / events, check: inclusive(loops, 'plan_gate_check') / events };
}

/**
 * Events a second as fast as they come, without and with the plan, each on a server of its own: [without, with]. What one run
 * leaves behind (files that are still being written back) slows the next, so a first one is thrown away and the order turns.
 */
async function rates(options, rounds) {
  const found = [[], []];
  const run = async (hasPlan, seed) => {
    const dataDir = fs.mkdtempSync(path.join(folder, 'data-'));
    const server = await potik(dataDir);
    if (hasPlan) await setPlan(server);
    const report = await load(server, { ...options, seed });
    await server.stop();
    fs.rmSync(dataDir, { recursive: true, force: true });
    return report.events_per_s;
  };
  await run(false, 909);
  for (let round = 0; round < rounds; round++) {
    for (const hasPlan of round % 2 === 0 ? [0, 1] : [1, 0]) found[hasPlan].push(await run(hasPlan === 1, 910 + 2 * round + hasPlan));
  }
  return found;
}

write({ facts: machineFacts(folder) });
for (const [name, options] of [['single events, 64 connections', { connections: 64, batch: 1 }], ['batches of 1,000, 8 connections', { connections: 8, batch: 1000 }]]) {
  const [without, withPlan] = await rates({ ...options, warm: 1, seconds: quick ? 2 : 6 }, quick ? 2 : 8);
  figure(`${name}: events a second without a plan`, median(without), '/s', undefined, { rates: without });
  figure('  with a plan in mode enforce', median(withPlan), '/s', undefined, { rates: withPlan });
  figure('  with ÷ without, median of the pairs', median(withPlan.map((rate, i) => rate / without[i])), '×', atLeast(0.85, ' ×'));
}
for (const [name, batch, events] of [['single events', 1, quick ? 500 : 5000], ['batches of 1,000', 1000, quick ? 10000 : 50000]]) {
  const without = await counted(batch, events, false);
  const withPlan = await counted(batch, events, true);
  figure(`${name}: instructions an event, without a plan`, without.all, 'instr.');
  figure('  of them finding that there is none', without.check, 'instr.');
  figure('  with a plan in mode enforce', withPlan.all, 'instr.');
  figure('  of them asking it (plan_gate_check)', withPlan.check, 'instr.');
  figure('  with ÷ the same without the asking', withPlan.all / (withPlan.all - withPlan.check), '×');
  figure('  with ÷ without', withPlan.all / without.all, '×');
}
process.exit(finish());
