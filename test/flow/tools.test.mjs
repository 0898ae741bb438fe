/*
 * The tools that guard the others, each shown a case it must notice: an include that points up, a runner that died without
 * a word, a changed archive, a verb that does not exist.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const top = path.resolve(path.dirname(new URL(import.meta.url).pathname), '../..');
const run = (file, words = [], options = {}) => spawnSync(path.join(top, file), words, { encoding: 'utf8', ...options });

function folder(t, files) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'potik-tools-'));
  t.after(() => fs.rmSync(made, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.join(made, path.dirname(name)), { recursive: true });
    fs.writeFileSync(path.join(made, name), text);
  }
  return made;
}

test('check_layers: an include that points up fails with file and line', (t) => {
  const place = folder(t, { 'src/codec/a.c': '#include "base/mem.h"\n\n#include "store/store.h"\n' });
  const ran = run('tools/check_layers', [place]);
  assert.equal(ran.status, 1);
  assert.match(ran.stdout, /^src\/codec\/a\.c:3: codec \(layer 1\) includes store\/store\.h \(layer 3\)/);
});

test('check_layers: rooms of one number do not see each other, doors are kept, unknown rooms fail', (t) => {
  const place = folder(t, {
    'src/account/a.c': '#include "store/store.h"\n', 'src/metric/b.c': '#include <duckdb.h>\n', 'src/attic/c.c': '\n',
    'src/store/d.c': '#include "base/mem.h"\n#include "store/embedded/embedded.h"\n#include <sodium.h>\n',
  });
  const lines = run('tools/check_layers', [place]).stdout.trim().split('\n');
  assert.deepEqual(lines.map((line) => line.split(': ')[0]), ['src/account/a.c:1', 'src/attic/c.c:1', 'src/metric/b.c:1']);
});

test('count_tests: adds runners up, names skips, and counts a runner that died', (t) => {
  const place = folder(t, {
    'check-a.tap': '1..1\nok 1 - a\n',
    'flow.tap': 'ok 1 - x\nnot ok 2 - y\nok 3 - z # SKIP no peer\n# tests 3\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0\n# exit 1\n',
    'fault.tap': 'ok 1 - x\n# exit 124\n',
    'meson.json': [
      { name: 'base/mem', result: 'OK', stdout: '1..2\nok 1 - a\nnot ok 2 # SKIP b\n' },
      { name: 'base/buf', result: 'FAIL', stdout: '1..2\nok 1 - a\nnot ok 2 - b\n' },
      { name: 'base/log', result: 'TIMEOUT', stdout: 'ok 1 - a\n' },
    ].map((each) => JSON.stringify(each)).join('\n'),
  });
  const ran = run('tools/count_tests', [place]);
  assert.equal(ran.status, 1);
  assert.equal(ran.stdout.trim().split('\n').at(-1), '6 passed, 4 failed, 2 skipped');
  assert.match(ran.stdout, /skipped: flow: z # SKIP no peer/);
  assert.match(ran.stdout, /failed: fault: ended without a summary \(exit 124/);
  assert.match(ran.stdout, /failed: base\/log: TIMEOUT/);
});

test('count_tests: nothing ran is a failure', (t) => {
  const ran = run('tools/count_tests', [folder(t, { 'meson.json': '' })]);
  assert.equal(ran.status, 1);
});

test('embed: any byte of a text file comes back', (t) => {
  const place = folder(t, { 'sql/seal-rows.sql': '-- "x" \\ ??/ é\nSELECT \'1\'; -- tab\t7\n' });
  assert.equal(run('tools/embed', ['sql', path.join(place, 'out.h'), path.join(place, 'sql/seal-rows.sql')]).status, 0);
  fs.writeFileSync(path.join(place, 'main.c'), '#include "out.h"\n#include <stdio.h>\nint main(void) { return fputs(sql_seal_rows, stdout) < 0; }\n');
  assert.equal(spawnSync('cc', ['-o', path.join(place, 'main'), path.join(place, 'main.c')]).status, 0);
  assert.equal(spawnSync(path.join(place, 'main'), { encoding: 'utf8' }).stdout, fs.readFileSync(path.join(place, 'sql/seal-rows.sql'), 'utf8'));
});

test('dev: help names every verb with examples, an unknown verb is a usage error', () => {
  const help = run('dev', ['help']);
  assert.equal(help.status, 0);
  for (const verb of ['setup', 'build', 'run', 'test', 'bench', 'fault', 'fuzz', 'lint', 'fmt', 'asan', 'tsan', 'dist', 'image']) {
    assert.match(help.stdout, new RegExp(`^  ${verb}\\b`, 'm'));
  }
  const unknown = run('dev', ['frobnicate']);
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /no verb frobnicate/);
});

test('the library has every DuckDB symbol the program uses', { skip: !fs.existsSync(path.join(top, 'deps/cache/duckdb/lib')) && 'a system libduckdb is used' }, () => {
  const names = (words) => new Set(spawnSync('nm', ['-D', ...words], { encoding: 'utf8', maxBuffer: 1 << 28 }).stdout
    .split('\n').map((line) => line.trim().split(/\s+/).at(-1).replace(/@.*/, '')).filter((name) => name.startsWith('duckdb_')));
  const used = names(['--undefined-only', process.env.POTIK_BIN ?? path.join(top, 'build/potik')]);
  const there = names(['--defined-only', path.join(top, 'deps/cache/duckdb/lib/libduckdb.so')]);
  assert.ok(used.size > 0);
  assert.deepEqual([...used].filter((name) => !there.has(name)), []);
});

test('docs/OPERATE.md explains every metric and every line of the log', () => {
  const text = fs.readFileSync(path.join(top, 'docs/OPERATE.md'), 'utf8');
  const sources = fs.readdirSync(path.join(top, 'src'), { recursive: true }).filter((name) => name.endsWith('.c') || name.endsWith('.h'))
    .map((name) => fs.readFileSync(path.join(top, 'src', name), 'utf8').replace(/^ \*.*$/gm, '')).join('\n');
  const metrics = new Set([...sources.matchAll(/(?:COUNTER|GAUGE|HISTOGRAM)(?:_LABEL)?_DEFINE\([^"]*"(potik_[a-z_]+)"/g)].map((found) => found[1]));
  const lines = new Set([...sources.matchAll(/(?:LOG_(?:DEBUG|INFO|WARN|ERROR)\(|LOG_LEVEL_[A-Z]+,\s*|\.event = |log_job\(\w+, )"([a-z_]+\.[a-z_]+)"/g)].map((found) => found[1]));
  assert.ok(metrics.size > 30 && lines.size > 40, `${metrics.size} metrics, ${lines.size} lines`);
  const missing = [...metrics, ...lines].filter((name) => !new RegExp(`\`${name.replace('.', '\\.')}[\`{]`).test(text));
  assert.deepEqual(missing, []);
});
