/*
 * T10 - slow and greedy clients, and three times as many events as can be stored: bench/greedy.mjs and bench/overload.mjs, which
 * drive the server and judge it, in their short form. What holds on any machine must hold here: nothing lost, doubled, cut off or
 * refused without a time to wait; good clients served; memory bounded. How long those wait that are accepted is asked of batches,
 * which it was made for (docs/adr/0022), where nobody else takes the cores: the load before says so.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, TOP } from '../flow/server.mjs';
import { IS_LONG, SLOWNESS } from './harness.mjs';

const lacks = (command) => spawnSync(command, ['-h']).error !== undefined && `there is no ${command}`;
const SANITIZED = SLOWNESS > 1;

/** Figures of a bench by name, and the machine's facts; what no machine excuses is asserted. */
async function bench(t, name, words) {
  const child = spawn(process.execPath, [path.join(TOP, `bench/${name}.mjs`), ...(IS_LONG ? [] : ['--quick']), ...words], {
    cwd: TOP, env: { POTIK_TEST_TOOLS: path.dirname(BIN), ...process.env }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (part) => { out += part; });
  child.stderr.on('data', (part) => { err += part; });
  const code = await new Promise((resolve) => { child.on('close', resolve); });
  t.diagnostic(out);
  assert.equal(code, 0, `${out}${err}`);
  const file = path.join(TOP, /all figures: (\S+)/.exec(out)[1]);
  const lines = fs.readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  if (!IS_LONG) fs.rmSync(file);
  return { figures: lines.filter((each) => each.name !== undefined), facts: lines.find((each) => each.facts !== undefined).facts };
}

function mustHold(figures, pattern, count) {
  const found = figures.filter((each) => pattern.test(each.name));
  assert.equal(found.length, count, `${pattern}: ${found.length} figures`);
  for (const each of found) assert.equal(each.met, true, `${each.name} ${each.value} ${each.unit}, ${each.goal}`);
}

for (const store of ['embedded', 'postgres']) {
  test(`T10: three times what can be stored, ${store}`, { timeout: 1200000 * SLOWNESS }, async (t) => {
    const { figures, facts } = await bench(t, 'overload', ['--store', store, ...(IS_LONG ? [] : ['--only', 'batches,crowd'])]);
    const forms = IS_LONG ? 3 : 2;
    mustHold(figures, /without Retry-After/, forms);
    mustHold(figures, /connections lost/, forms);
    mustHold(figures, /verified/, forms);
    const isQuiet = !SANITIZED && facts.load_before < facts.cores;
    t.diagnostic(`p99 is ${isQuiet ? '' : 'not '}asked: load ${facts.load_before}, ${facts.cores} cores`);
    if (isQuiet) mustHold(figures, /accepted: p99/, forms);
  });
}

test('T10: slow and greedy clients beside good ones', { skip: lacks('slowhttptest'), timeout: 1200000 * SLOWNESS }, async (t) => {
  const kinds = ['heads', 'bodies', 'reads', 'ranges', 'idle'];
  const { figures } = await bench(t, 'greedy', ['--only', kinds.join(',')]);
  mustHold(figures, /refused or cut off/, kinds.length);
  mustHold(figures, /^(?!range).*connections open in the middle/, kinds.length - 1);
  mustHold(figures, /verified/, 1);
  if (!SANITIZED) mustHold(figures, /memory grown/, kinds.length); // a sanitizer keeps what was freed
});
