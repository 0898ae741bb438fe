/*
 * Settings and the command line: where they come from, which stands over which, and what refuses to start, in one sentence.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { BARE_ENV, BIN, MISSING, OF_NO_STORE, SLOWNESS, startServer, temporaryFolder } from './server.mjs';

const skip = MISSING;
const folder = temporaryFolder('config');
test.after(() => fs.rmSync(folder, { recursive: true, force: true }));

const run = (words, { env = {}, cwd = folder } = {}) =>
  spawnSync(BIN, words, { encoding: 'utf8', cwd, env: { ...BARE_ENV, ...env }, timeout: 20000 * SLOWNESS, killSignal: 'SIGKILL' });

test('refused: exit 2 and one sentence that names setting, value and range', { skip: skip || OF_NO_STORE }, async (t) => {
  const dir = path.join(folder, 'unused');
  const BAD = [
    [['--seal-rows', '0'], /--seal-rows: "0".*1 … 10000000/],
    [['--query-timeout', '5'], /--query-timeout: "5".*10ms … 1h/],
    [['--segment-size', '1MB'], /--segment-size: "1MB".*1MiB … 4GiB/],
    [['--log-level', 'loud'], /--log-level: "loud".*debug\|info\|warn\|error/],
    [['--nonsense'], /--nonsense: there is no such flag/],
    [['extra'], /extra: there is no such argument/],
    [['--listen'], /--listen: needs a value/],
    [['--listen', 'nowhere'], /nowhere/],
    [['--listen', '127.0.0.1:99999'], /99999/],
    [['--listen', '127.0.0.1'], /127\.0\.0\.1/],
    [['--time-zone', 'Mars/Olympus'], /--time-zone: "Mars\/Olympus"/],
    [['--store', 'mysql'], /store: "mysql"/],
    [['--store', 'mysql://user:secret@host/db'], /store: "mysql…"/],
    [['--store', 'postgres://user:secret@host:port/db'], /port/],
    [['--store', 'postgres://user@host/db?passwrod=secret'], /passwrod/],
    [['--store-timeout', '99ms'], /--store-timeout: "99ms".*100ms … 10min/],
    [['--trusted-proxy', 'on'], /^potik: --trusted-proxy: "on" is no address, no network .* and not unix/],
    [['--trusted-proxy', '::1,10.0.0.1/8'], /--trusted-proxy: "10\.0\.0\.1\/8" is no network: bits/],
    [['--auth-cache-max', '31'], /--auth-cache-max: "31".*1s … 720h/],
  ];
  for (const [words, message] of BAD) {
    await t.test(words.join(' '), () => {
      const how = run(['serve', '--data-dir', dir, ...words]);
      assert.equal(how.status, 2, how.stderr);
      assert.equal(how.stdout, '');
      assert.match(how.stderr, /^potik: [^\n]+\n$/);
      assert.match(how.stderr, message);
      assert.ok(!how.stderr.includes('secret'), 'no password is printed');
      assert.ok(!fs.existsSync(dir), 'nothing is made');
    });
  }
});

test('refused before it is looked who uses the folder: a mistyped address, zone or store', { skip }, async (t) => {
  const server = await startServer();
  t.after(() => server.close());
  for (const [words, message] of [[['--listen', 'nowhere'], /nowhere/], [['--time-zone', 'Mars/Olympus'], /Mars/], [['--store', 'postgres://h:x/y'], /store/]]) {
    const how = run(['serve', '--data-dir', server.dataDir, ...words]);
    assert.equal(how.status, 2, how.stderr);
    assert.match(how.stderr, message);
  }
  const taken = run(['serve', '--data-dir', path.join(folder, 'other'), '--listen', new URL(server.address).host]);
  assert.equal(taken.status, 1, taken.stderr);
  assert.match(taken.stderr, /another program serves there.*--listen/);
});

test('the zone of a project that stands is kept, and that is said', { skip }, async () => {
  const dataDir = temporaryFolder('config');
  const first = await startServer({ dataDir, flags: ['--time-zone', 'Europe/Kyiv'] });
  assert.ok(!first.stderr.includes('time_zone.kept'), first.stderr);
  assert.equal((await first.stop()).code, 0);
  const same = await startServer({ dataDir });
  assert.ok(!same.stderr.includes('time_zone.kept'), same.stderr);
  assert.equal((await same.stop()).code, 0);
  const other = await startServer({ dataDir, flags: ['--time-zone', 'UTC'] });
  assert.match(other.stderr, /WARN +time_zone\.kept .*Europe\/Kyiv/);
  assert.equal((await other.stop()).code, 0);
  fs.rmSync(dataDir, { recursive: true });
});

test('a folder is of one kind of store', { skip: skip || OF_NO_STORE }, async () => {
  const dataDir = temporaryFolder('config');
  const server = await startServer({ dataDir });
  assert.equal((await server.stop()).code, 0);
  const url = 'postgres://user@127.0.0.1:1/db';
  for (const words of [['serve', '--listen', '127.0.0.1:0'], ['doctor'], ['rebuild'], ['key', 'list']]) {
    const how = run([...words, '--data-dir', dataDir, '--store', url]);
    assert.equal(how.status, 1, how.stderr);
    assert.match(how.stderr, /a ledger.*another --data-dir/);
  }
  fs.rmSync(path.join(dataDir, 'ledger'), { recursive: true });
  fs.writeFileSync(path.join(dataDir, 'postgres-node.json'), '{}');
  for (const words of [['serve', '--listen', '127.0.0.1:0'], ['doctor'], ['rebuild'], ['key', 'list']]) {
    const how = run([...words, '--data-dir', dataDir]);
    assert.equal(how.status, 1, how.stderr);
    assert.match(how.stderr, /in PostgreSQL.*--store/);
  }
  fs.rmSync(dataDir, { recursive: true });
});

test('migrate is for PostgreSQL, and says what it lacks', { skip }, () => {
  const embedded = run(['migrate']);
  assert.equal(embedded.status, 2, embedded.stderr);
  assert.match(embedded.stderr, /^potik: migrate: .*--store postgres:\/\//);
  const away = run(['migrate', '--dry-run', '--store', 'postgres://user:secret@127.0.0.1:1/db']);
  assert.equal(away.status, 1, away.stderr);
  assert.match(away.stderr, /^potik: [^\n]+\n$/);
  assert.ok(!away.stderr.includes('secret'));
});

test('the file: an unknown key or a bad value is exit 2 with its line', { skip: skip || OF_NO_STORE }, async (t) => {
  const file = path.join(folder, 'potik.conf');
  const BAD = [['seal-rows = 10\nsealrows = 5\n', /potik\.conf:2: .*sealrows/], ['# fine\n\nseal-rows = many\n', /potik\.conf:3: seal-rows: "many"/], ['seal-rows\n', /potik\.conf:1: /]];
  BAD.push(['time-zone = Kyiv\n', /potik\.conf:1: time-zone: "Kyiv"/], ['\nlisten = nonsense\n', /potik\.conf:2: listen: "nonsense" is not HOST:PORT/],
    ['store = nonsense\n', /potik\.conf:1: store: "nonsense"/], ['store = postgres://h:x/y\n', /potik\.conf:1: store: /],
    ['listen = "127.0.0.1:0"\n', /potik\.conf:1: listen: .*no quotes/], ['listen = 127.0.0.1:0 # here\n', /potik\.conf:1: listen: .*a line of its own/],
    ['log-level = info\nlog-level = info\n', /potik\.conf:2: log-level stands in line 1 already/]);
  for (const [text, message] of BAD) {
    await t.test(JSON.stringify(text), () => {
      fs.writeFileSync(file, text);
      for (const words of [[], ['--config', file]]) { /* found in the working folder, or named */
        const how = run(['serve', '--data-dir', path.join(folder, 'unused'), ...words]);
        assert.equal(how.status, 2, how.stderr);
        assert.match(how.stderr, message);
      }
    });
  }
  fs.rmSync(file);
  const how = run(['serve', '--config', file]);
  assert.equal(how.status, 2);
  assert.match(how.stderr, /potik\.conf/);
});

test('flag over environment over file over default', { skip }, async () => {
  const dataDir = temporaryFolder('config');
  fs.writeFileSync(path.join(dataDir, 'potik.conf'), 'log-format = json\nlog-level = error\n');
  const quiet = await startServer({ dataDir }); /* cwd is its folder */
  assert.ok(!quiet.stderr.includes('start.done'), quiet.stderr);
  assert.equal((await quiet.stop()).code, 0);
  const json = await startServer({ dataDir, env: { POTIK_LOG_LEVEL: 'info' } });
  const line = json.stderr.split('\n').find((each) => each.includes('start.done'));
  assert.equal(JSON.parse(line).event, 'start.done', line);
  assert.equal((await json.stop()).code, 0);
  const text = await startServer({ dataDir, env: { POTIK_LOG_LEVEL: 'info' }, flags: ['--log-format', 'text'] });
  assert.match(text.stderr, /^\S+Z INFO +start\.done /m);
  assert.equal((await text.stop()).code, 0);
  fs.rmSync(dataDir, { recursive: true });
});

test('an unknown POTIK_ variable is a warning; those of the client commands are known', { skip }, async () => {
  const server = await startServer({ env: { POTIK_SEALROWS: '5', POTIK_SERVER: 'http://x', POTIK_KEY: 'k', POTIK_READ_KEY: 'r' } });
  assert.match(server.stderr, /WARN .*POTIK_SEALROWS/);
  assert.ok(!/WARN .*POTIK_(SERVER|KEY|READ_KEY)/.test(server.stderr), server.stderr);
  await server.close();
  const how = run(['serve', '--data-dir', path.join(folder, 'unused')], { env: { POTIK_SEAL_ROWS: 'many' } });
  assert.equal(how.status, 2);
  assert.match(how.stderr, /^potik: POTIK_SEAL_ROWS: "many"/);
  for (const [name, value] of [['LISTEN', 'nonsense'], ['TIME_ZONE', 'Kyiv'], ['STORE', 'postgres://h:x/y']]) {
    const bad = run(['serve', '--data-dir', path.join(folder, 'unused')], { env: { [`POTIK_${name}`]: value } });
    assert.equal(bad.status, 2, bad.stderr);
    assert.ok(bad.stderr.startsWith(`potik: POTIK_${name}: `), bad.stderr);
  }
});

test('every command explains itself, with an example', { skip: skip || OF_NO_STORE }, async (t) => {
  const overview = run(['--help']);
  assert.equal(overview.status, 0);
  const names = [...overview.stdout.matchAll(/^ {2}([a-z]+) +\S/gm)].map((found) => found[1]).filter((name) => name !== 'potik');
  for (const name of ['serve', 'doctor', 'rebuild', 'migrate']) assert.ok(names.includes(name), overview.stdout);
  for (const name of names) {
    await t.test(name, () => {
      const help = run([name, '--help']);
      assert.equal(help.status, 0, help.stderr);
      assert.match(help.stdout, new RegExp(`^usage: potik ${name}`));
      assert.match(help.stdout, /Examples?:/i);
      assert.equal(help.stderr, '');
    });
  }
  const serve = run(['serve', '--help']).stdout;
  for (const name of ['data-dir', 'listen', 'store', 'store-timeout', 'store-connect-timeout', 'auth-cache-max', 'time-zone', 'segment-size', 'query-timeout']) assert.ok(serve.includes(`--${name}`), name);
  const none = run([]);
  assert.equal(none.status, 2);
  const unknown = run(['fly']);
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /^potik: .*fly.*\n$/);
});
