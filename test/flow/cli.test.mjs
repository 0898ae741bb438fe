/*
 * The client commands against a real server: what they print, what they store, how they end.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import zlib from 'node:zlib';
import { BARE_ENV, BIN, MISSING, OF_NO_STORE, SLOWNESS, Client, startServer, storeEnv, temporaryFolder, until } from './server.mjs';

const skip = MISSING;

/** Starts a command; resolves to { code, stdout, stderr }. `input` goes to stdin. A command named with its data folder is told the store, too. */
function start(words, { input = '', env = {}, cwd = undefined } = {}) {
  const folder = words.indexOf('--data-dir') + 1;
  const child = spawn(BIN, words, {
    stdio: ['pipe', 'pipe', 'pipe'], cwd, env: { ...BARE_ENV, ...(folder > 0 && words[0] === 'key' ? storeEnv(words[folder]) : {}), ...env },
  });
  const run = { child, stdout: '', stderr: '' };
  child.stdout.on('data', (part) => { run.stdout += part; });
  child.stderr.on('data', (part) => { run.stderr += part; });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  run.ended = new Promise((resolve, reject) => {
    const timer = setTimeout(() => { child.kill('SIGKILL'); }, 90000 * SLOWNESS);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signal, stdout: run.stdout, stderr: run.stderr });
    });
  });
  return run;
}
const potik = (words, options) => start(words, options).ended;
const at = (server) => ['--data-dir', server.dataDir];

test('import: CSV by its rules; a second import stores nothing; refused rows stand in a file', { skip }, async () => {
  const folder = temporaryFolder('import');
  const file = path.join(folder, 'shop.csv');
  fs.writeFileSync(file, '\ufeffevent_type;user_id;occurred_at;amount;zip;gift;note;properties\r\n'
    + 'buy;123;1767225600000;11.50;10115;true;"a;""b""";"{""nested"":{""x"":[1]}}"\r\n'
    + 'buy;123;1767225600000;11.50;10115;true;"a;""b""";"{""nested"":{""x"":[1]}}"\r\n'
    + 'buy;ann;yesterday;1;2;3;4;\r\n'
    + 'buy;;2026-01-01T00:00:00Z;007;;;;\r\n'
    + 'buy;bob;2026-01-01T00:00:00Z;007;;;;\r\n'
    + 'buy;bob;;;;;;[1]\r\n'
    + 'buy;bob\r\n');
  const server = await startServer();
  const client = new Client(server);
  const rejected = path.join(folder, 'rejected.csv');
  const words = ['import', '--delimiter', ';', '--text', 'zip', '--rejected', rejected, ...at(server), file];
  for (const [stored, known] of [[3, 0], [0, 3]]) {
    const run = await potik(words);
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stdout, new RegExp(`^7 events: ${stored} stored, ${known} were there already, 4 refused\n`));
    assert.match(run.stderr, /line 4: occurred_at: .*\(invalid_timestamp\)/);
    assert.match(run.stderr, /line 8: the row has 2 cells, the header 8/);
    const lines = fs.readFileSync(rejected, 'utf8').split('\n');
    assert.equal(lines[0], 'event_type;user_id;occurred_at;amount;zip;gift;note;properties');
    assert.deepEqual(lines.slice(1).sort(), ['', 'buy;;2026-01-01T00:00:00Z;007;;;;', 'buy;ann;yesterday;1;2;3;4;',
      'buy;bob', 'buy;bob;;;;;;[1]'].sort());
  }
  const events = await until('three events', async () => {
    const reply = await client.get('/v1/events?limit=10');
    return reply.json.events.length === 3 ? reply.json.events : false;
  });
  const [first] = events.filter((event) => event.user_id === '123');
  assert.match(first.event_id, /^imp-[0-9a-f]{32}$/);
  assert.equal(first.occurred_at, '2026-01-01T00:00:00.000000Z');
  assert.deepEqual(first.properties, { amount: 11.5, zip: '10115', gift: true, note: 'a;"b"', nested: { x: [1] } });
  assert.deepEqual(events.find((event) => event.user_id === 'bob').properties, { amount: '007' });
  client.close();
  await server.close();
  fs.rmSync(folder, { recursive: true });
});

test('import: NDJSON from stdin, compressed or not; lines without an id get one that lasts', { skip }, async () => {
  const server = await startServer();
  const lines = '{"event_type":"a","user_id":"u"}\n\n{"event_type":"a","user_id":"u"}\n{"event_id":"own","event_type":"a","user_id":"u"}\n';
  let run = await potik(['import', ...at(server), '-'], { input: lines });
  assert.equal(run.code, 0, run.stderr);
  assert.match(run.stdout, /^3 events: 3 stored, 0 were there/);
  run = await potik(['import', ...at(server), '-'], { input: zlib.gzipSync(lines) });
  assert.match(run.stdout, /^3 events: 0 stored, 3 were there/);
  run = await potik(['import', ...at(server), '-'], { input: zlib.gzipSync(lines).subarray(0, 40) });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /potik import: -: /);
  run = await potik(['import', ...at(server), '-'], { input: '[{"event_type":"a"}]' });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /one event a line/);
  run = await potik(['import', ...at(server), '-'], { input: '{"event_type":"a","userId":"u"}' });
  assert.match(run.stderr, /userId: no such field; did you mean "user_id"\?/);
  await server.close();
});

test('import: equal rows of one file are different events, the same row of another file is the same', { skip }, async () => {
  const cwd = temporaryFolder('equal');
  const row = 'a,u,2026-01-01T00:00:00Z\n';
  fs.writeFileSync(path.join(cwd, 'two.csv'), `event_type,user_id,occurred_at\n${row}${row}`);
  fs.writeFileSync(path.join(cwd, 'three.csv'), `event_type,user_id,occurred_at\n${row}${row}${row}`);
  const server = await startServer();
  let run = await potik(['import', ...at(server), 'two.csv'], { cwd });
  assert.match(run.stdout, /^2 events: 2 stored, 0 were there already/);
  run = await potik(['import', ...at(server), 'three.csv'], { cwd });
  assert.match(run.stdout, /^3 events: 1 stored, 2 were there already/);
  run = await potik(['import', '--rejected', 'refused.csv', ...at(server), 'two.csv', 'three.csv'], { cwd });
  assert.equal(run.code, 2);
  assert.match(run.stderr, /--rejected goes with one file at a time/);
  run = await potik(['import', '--help']);
  assert.match(run.stdout, /equal\nrows of one file are different events; and the same row in another file/);
  assert.match(run.stdout, /--rejected FILE .*one input file at a\n +time/);
  await server.close();
  fs.rmSync(cwd, { recursive: true });
});

test('import: a file that breaks off is told by row and line, what came before is stored', { skip }, async () => {
  const server = await startServer();
  const run = await potik(['import', '--format', 'csv', ...at(server), '-'], { input: 'event_type,user_id\na,u\na,"v\n' });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /row 3 \(line 3\)/);
  assert.match(run.stdout, /^1 event: 1 stored/);
  await server.close();
});

test('import: the file of refused rows is never an input, and changes only when a run ends with refused rows', { skip }, async () => {
  const folder = temporaryFolder('rejected');
  const [file, rejected, temporary] = ['in.csv', 'refused.csv', 'refused.csv.tmp'].map((name) => path.join(folder, name));
  const header = 'event_id,event_type,user_id,occurred_at\n';
  const good = `${header}1,a,u,2026-01-01T00:00:00Z\n`;
  const bad = `${good}2,a,u,yesterday\n`;
  const server = await startServer();
  const into = (name, ...more) => ['import', '--rejected', name, ...at(server), ...more];
  const names = () => fs.readdirSync(folder).sort();
  const text = (name) => fs.readFileSync(name, 'utf8');
  fs.writeFileSync(file, bad);
  fs.symlinkSync('in.csv', path.join(folder, 'soft'));
  fs.linkSync(file, path.join(folder, 'hard'));
  for (const name of ['in.csv', './in.csv', 'soft', 'hard']) {
    const run = await potik(into(name, 'in.csv'), { cwd: folder });
    assert.equal(run.code, 2, name);
    assert.match(run.stderr, /^potik import: --rejected .+: that is the input itself; name another file/);
    assert.equal(text(file), bad, name);
  }
  let run = await potik(['import', '--rejected', '/dev/null', ...at(server), file]);
  assert.equal(run.code, 2);
  assert.match(run.stderr, /no plain file/);
  fs.unlinkSync(path.join(folder, 'soft'));
  fs.unlinkSync(path.join(folder, 'hard'));

  fs.writeFileSync(rejected, 'of an earlier run\n');
  fs.writeFileSync(file, good);
  run = await potik(into(rejected, file));
  assert.equal(run.code, 0, run.stderr);
  assert.equal(text(rejected), 'of an earlier run\n', 'nothing refused: as it was');
  fs.writeFileSync(file, bad);
  run = await potik(['import', '--rejected', rejected, '--server', server.address, '--key', 'wk_unknown', file]);
  assert.equal(run.code, 1);
  assert.match(run.stderr, /401 unauthorized/);
  assert.equal(text(rejected), 'of an earlier run\n', 'a wrong key: as it was');
  assert.deepEqual(names(), ['in.csv', 'refused.csv']);

  fs.writeFileSync(file, `${bad}3,a,"u\n`);
  run = await potik(into(rejected, file));
  assert.equal(run.code, 1);
  assert.ok(run.stderr.endsWith(`; the rows refused so far stand in ${temporary}\n`), run.stderr);
  assert.equal(text(temporary), `${header}2,a,u,yesterday\n`);
  assert.equal(text(rejected), 'of an earlier run\n', 'a run that broke off: as it was');

  fs.writeFileSync(file, bad);
  run = await potik(into(rejected, file));
  assert.equal(run.code, 1);
  assert.ok(run.stdout.endsWith(`refused rows stand in ${rejected}\n`), run.stdout);
  assert.equal(text(rejected), `${header}2,a,u,yesterday\n`);
  assert.equal(fs.statSync(rejected).mode & 0o777, 0o600);
  assert.deepEqual(names(), ['in.csv', 'refused.csv', 'refused.csv.tmp'], 'what an earlier run left is not written over');
  run = await potik(into(rejected, temporary));
  assert.equal(run.code, 1);
  assert.equal(text(temporary), `${header}2,a,u,yesterday\n`, 'it may be an input itself');
  await server.close();
  fs.rmSync(folder, { recursive: true });
});

test('import: what fails before anything was sent is told in one line, the file named once', { skip }, async () => {
  const cwd = temporaryFolder('one-line');
  fs.mkdirSync(path.join(cwd, 'folder'));
  fs.writeFileSync(path.join(cwd, 'empty.csv'), '');
  fs.writeFileSync(path.join(cwd, 'cut.csv'), zlib.gzipSync('event_type,user_id\n').subarray(0, 20));
  fs.writeFileSync(path.join(cwd, 'one.csv'), 'event_type,user_id\na,u\n');
  const server = await startServer();
  const words = (...more) => ['import', ...at(server), ...more];
  for (const [name, line] of [
    ['nope.csv', /^potik import: open nope\.csv: No such file or directory\n$/],
    ['folder', /^potik import: read folder: Is a directory\n$/],
    ['empty.csv', /^potik import: empty\.csv: the file is empty\n$/],
    ['cut.csv', /^potik import: cut\.csv: .+\n$/],
  ]) {
    const run = await potik(words(name), { cwd });
    assert.deepEqual([run.code, run.stdout], [1, ''], name);
    assert.match(run.stderr, line);
  }
  let run = await potik(['import', '--server', server.address, '--key', 'wk_unknown', 'one.csv'], { cwd });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /^potik import: [^\n]*\(401 unauthorized\)\n$/);
  assert.ok(!run.stderr.includes('one.csv'), 'the key is not the file\'s fault');
  run = await potik(words('one.csv'), { cwd });
  assert.equal(run.code, 0, run.stderr);
  assert.match(run.stderr, /^import +100 % +1 event  \d+\/s  in 0 s\n$/);
  assert.match(run.stdout, /^1 event: 1 stored/);
  await server.close();
  fs.rmSync(cwd, { recursive: true });
});

test('import: a server that is not there is told once, at once; progress waits for an answer', { skip: skip || OF_NO_STORE }, async () => {
  const run = start(['import', '--server', 'http://127.0.0.1:1', '--key', 'wk_x', '-'], { input: '{"event_type":"a","user_id":"u"}\n'.repeat(5000) });
  await until('the word of silence', () => run.stderr.includes('trying again'));
  await new Promise((resolve) => { run.child.once('exit', resolve); run.child.kill('SIGINT'); });
  const end = await run.ended;
  assert.equal(end.code, 1);
  assert.equal(end.stdout, '');
  assert.equal(end.stderr, "no reply from http://127.0.0.1:1 (Couldn't connect to server); trying again\n"
    + 'potik import: interrupted; the same command again sends the rest and stores nothing twice\n');
});

test('import: waits for a server that is restarted meanwhile; nothing is lost or doubled', { skip }, async () => {
  const folder = temporaryFolder('restart');
  const file = path.join(folder, 'many.ndjson');
  fs.writeFileSync(file, Array.from({ length: 60000 }, (_, i) => `{"event_id":"m-${i}","event_type":"a","user_id":"u${i % 100}","occurred_at":"2026-01-01T00:00:00Z"}\n`).join(''));
  const dataDir = path.join(folder, 'data');
  const socket = path.join(folder, 's');
  fs.mkdirSync(dataDir);
  const first = await startServer({ dataDir, flags: ['--listen', `unix:${socket}`] });
  const run = start(['import', '--server', `unix:${socket}`, '--key', first.keys.write, file]);
  await first.kill();
  const second = await startServer({ dataDir, flags: ['--listen', `unix:${socket}`] });
  const end = await run.ended;
  assert.equal(end.code, 0, end.stderr);
  const client = new Client(second);
  const reply = await until('all events counted', async () => {
    const got = await client.tryStats('top-events', { from: '2026-01-01', to: '2026-01-01' });
    return got.json?.rows?.[0]?.[1] >= 60000 ? got.json : false;
  });
  assert.deepEqual(reply.rows, [['a', 60000, 100]]);
  client.close();
  assert.deepEqual(await second.stop(), { code: 0, signal: null });
  fs.rmSync(folder, { recursive: true });
});

test('stats: tables, and the server\'s own forms; wrong flags are exit 2', { skip }, async () => {
  const server = await startServer();
  const client = new Client(server);
  await client.send([
    { event_id: '1', event_type: 'a', user_id: 'u', occurred_at: '2026-01-01T10:00:00Z' },
    { event_id: '2', event_type: 'a', user_id: 'v', occurred_at: '2026-01-02T10:00:00Z' },
    { event_id: '3', event_type: 'b\u001b[31m', user_id: 'u', occurred_at: '2026-01-02T10:00:00Z' },
  ]);
  const fresh = ['--min-position', client.position, '--wait-ms', '10000', ...at(server)];
  let run = await potik(['stats', 'dau', '--from', '2026-01-01', '--to=2026-01-02', ...fresh]);
  assert.equal(run.code, 0, run.stderr);
  assert.match(run.stdout, /^dau, 2026-01-01 to 2026-01-02, UTC\n\nday +users\n-+ {2}-+ {2}-+\n2026-01-01 Thu +1 +█+\n2026-01-02 Fri +2 +█+\n\nmean of whole days: 1\.5\n$/);
  run = await potik(['stats', 'top-events', '--from', '2026-01-01', '--to', '2026-01-02', ...fresh]);
  assert.ok(run.stdout.includes('b\\u001b[31m') && !run.stdout.includes('\u001b'), 'stored text does not reach the terminal as it is');
  run = await potik(['stats', 'retention', '--start-date', '2026-01-01', '--windows', '2', ...fresh]);
  assert.match(run.stdout, /2026-01-01 Thu +1 +100\.0 % +100\.0 %\n/);
  run = await potik(['stats', 'retention', '--start-date', '2026-01-01', '--windows', '2', '--format', 'json', ...fresh]);
  assert.deepEqual(JSON.parse(run.stdout).rows, [['2026-01-01', 1, 1, 1], ['2026-01-02', 1, 1, 0]], 'programs get people, as from the API');
  run = await potik(['stats', 'dau', '--from', '2026-01-01', '--to', '2026-01-02', '--event-type', 'a', '--event-type', 'b', '--format', 'csv', ...fresh]);
  assert.equal(run.stdout, 'day,users,partial\n2026-01-01,1,false\n2026-01-02,1,false\n');
  for (const words of [['stats'], ['stats', 'nothing'], ['stats', 'dau', '--windows', '3'], ['stats', 'dau', '--from', 'x'],
    ['stats', 'dau', '--format', 'xml'], ['stats', 'dau', '--from', '2026-01-01', '--from', '2026-01-01'], ['stats', 'dau', 'top-events']]) {
    const wrong = await potik(words.length > 1 ? [...words, ...at(server)] : words);
    assert.equal(wrong.code, 2, words.join(' '));
    assert.match(wrong.stderr, /^potik stats: .+\n$/, words.join(' '));
    assert.equal(wrong.stdout, '');
  }
  run = await potik(['stats', 'dau', '--server', server.address, '--key', 'rk_unknown']);
  assert.equal(run.code, 1);
  assert.match(run.stderr, /401 unauthorized/);
  client.close();
  await server.close();
});

test('stats: csv and ndjson tell on stderr that not all is counted yet', { skip: skip || OF_NO_STORE }, async (t) => {
  let lag = 12;
  const server = http.createServer((request, reply) => {
    reply.setHeader('X-Potik-Watermark', JSON.stringify({ position: 'p', received_at: null, lag_ms: lag }));
    reply.end('date,users\n2026-01-01,1\n');
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const words = (format) => ['stats', 'dau', '--format', format, '--server', `http://127.0.0.1:${server.address().port}`, '--key', 'rk_x'];
  for (const format of ['csv', 'ndjson']) {
    const run = await potik(words(format));
    assert.deepEqual([run.code, run.stdout, run.stderr], [0, 'date,users\n2026-01-01,1\n', 'not all is counted yet: 12 ms behind\n']);
  }
  lag = 0;
  assert.equal((await potik(words('csv'))).stderr, '');
});

test('stats and tail: no server, no key', { skip: skip || OF_NO_STORE }, async () => {
  const cwd = temporaryFolder('nothing');
  for (const words of [['stats', 'dau'], ['tail'], ['import', 'x.csv']]) {
    const run = await potik(words, { cwd });
    assert.equal(run.code, 1, words.join(' '));
    assert.match(run.stderr, /no server: give --server/);
  }
  const run = await potik(['stats', 'dau', '--server', 'http://127.0.0.1:1', '--key', 'rk_x'], { cwd });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /is `potik serve` running\?/);
  fs.rmSync(cwd, { recursive: true });
});

test('stats and import: each takes the key of its kind, and tells where there is only the other', { skip }, async () => {
  const cwd = temporaryFolder('kinds');
  const server = await startServer();
  const { write, read } = server.keys;
  const env = (keys) => ({ cwd, env: { POTIK_SERVER: server.address, ...keys }, input: '{"event_type":"a","user_id":"u"}\n' });
  for (const keys of [{ POTIK_KEY: write, POTIK_READ_KEY: read }, { POTIK_KEY: read }, { POTIK_KEY: write, POTIK_DATA_DIR: server.dataDir }]) {
    const run = await potik(['stats', 'dau'], env(keys));
    assert.equal(run.code, 0, run.stderr);
  }
  for (const keys of [{ POTIK_KEY: write, POTIK_READ_KEY: read }, { POTIK_KEY: read, POTIK_DATA_DIR: server.dataDir }]) {
    const run = await potik(['import', '-'], env(keys));
    assert.equal(run.code, 0, run.stderr);
  }
  let run = await potik(['stats', 'dau'], env({ POTIK_KEY: write }));
  assert.deepEqual([run.code, run.stderr], [1, 'potik stats: POTIK_KEY holds a write key (wk_…); reading needs a read key: set POTIK_READ_KEY, or give --key\n']);
  run = await potik(['import', '-'], env({ POTIK_KEY: read }));
  assert.deepEqual([run.code, run.stderr], [1, 'potik import: POTIK_KEY holds a read key (rk_…); sending needs a write key: set POTIK_KEY, or give --key\n']);
  fs.mkdirSync(path.join(cwd, 'potik-data'));
  fs.writeFileSync(path.join(cwd, 'potik-data', 'first-run.txt'), `server=http://127.0.0.1:1\nread_key=${read}\n`);
  run = await potik(['stats', 'dau'], env({}));
  assert.equal(run.code, 1);
  assert.ok(run.stderr.includes(`potik-data/first-run.txt is of http://127.0.0.1:1, not of ${server.address}: give --key`), run.stderr);
  await server.close();
  fs.rmSync(cwd, { recursive: true });
});

test('tail: the last ones, then each as it is stored, in order, until ^C', { skip }, async () => {
  const server = await startServer();
  const client = new Client(server);
  await client.send(Array.from({ length: 5 }, (_, i) => ({ event_id: `old-${i}`, event_type: 'a', user_id: 'u', properties: { big: 1 } })));
  await client.stats('dau');
  const run = start(['tail', '--last', '2'], { env: { POTIK_SERVER: server.address, POTIK_KEY: server.keys.read } });
  const lines = () => run.stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line).event_id);
  await until('the last two', () => lines().length === 2);
  for (let i = 0; i < 3; i++) await client.send([{ event_id: `new-${i}`, event_type: 'a', user_id: 'u' }]);
  await until('three more', () => lines().length === 5);
  assert.deepEqual(lines(), ['old-3', 'old-4', 'new-0', 'new-1', 'new-2']);
  run.child.kill('SIGINT');
  assert.equal((await run.ended).code, 0);
  const read = start(['tail', '--last', '1'], { env: { POTIK_SERVER: server.address, POTIK_KEY: server.keys.read } });
  await until('the last one', () => read.stdout.includes('new-2'));
  read.child.stdout.destroy(); // as `| head -1` does; no event comes any more
  assert.equal((await read.ended).code, 0);
  client.close();
  await server.close();
});

test('key: made, listed and revoked beside a running server, within a second', { skip }, async () => {
  const server = await startServer();
  const client = new Client(server);
  let run = await potik(['key', 'new', '--kind', 'read', '--name', 'dashboard', ...at(server)]);
  assert.equal(run.code, 0, run.stderr);
  const key = run.stdout.trim();
  assert.match(key, /^rk_[a-z2-7]{32}$/);
  const status = async () => (await client.get('/v1/stats/dau', { key })).status;
  await until('the new key works', async () => await status() === 200, { limitMs: 1000 * SLOWNESS });
  run = await potik(['key', 'list', ...at(server)]);
  assert.match(run.stdout, new RegExp(` 3 {2}default {2}read +dashboard +rk_…${key.slice(-4)} +\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\n`));
  assert.ok(!run.stdout.includes(key));
  const id = /^ *(\d+) /m.exec((await potik(['key', 'list', ...at(server)])).stdout.split('\n').find((line) => line.includes(key.slice(-4))))[1];
  const revoked = await potik(['key', 'revoke', key, ...at(server)]);
  assert.deepEqual([revoked.code, revoked.stderr], [0, 'revoked; a running server refuses it within 1 s\n']);
  for (const word of [key, id]) {
    const again = await potik(['key', 'revoke', word, ...at(server)]);
    assert.equal(again.code, 0);
    assert.match(again.stderr, /^was revoked already, at 20\d\d-\d\d-\d\dT[\d:.]+Z\n$/);
  }
  await until('the old key is refused', async () => await status() === 401, { limitMs: 1000 * SLOWNESS });
  /* The first request after a revocation, on a loop that has slept since: refused, too. */
  run = await potik(['key', 'new', '--kind', 'read', ...at(server)]);
  const late = run.stdout.trim();
  await until('the late key works', async () => (await client.get('/v1/stats/dau', { key: late })).status === 200, { limitMs: 1000 * SLOWNESS });
  assert.equal((await potik(['key', 'revoke', late, ...at(server)])).code, 0);
  await new Promise((resolve) => setTimeout(resolve, 1000 * SLOWNESS)); /* what is promised */
  assert.equal((await client.get('/v1/stats/dau', { key: late })).status, 401);
  run = await potik(['key', 'new', ...at(server)]);
  assert.match(run.stdout, /^wk_[a-z2-7]{32}\nrk_[a-z2-7]{32}\n$/, 'lost keys: one of each');
  run = await potik(['key', 'new', '--kind', 'both', ...at(server)]);
  assert.equal(run.code, 2);
  for (const words of [['key'], ['key', 'make'], ['key', 'revoke'], ['key', 'list', '--kind', 'read']])
    assert.equal((await potik([...words, ...at(server)])).code, 2, words.join(' '));
  assert.equal((await potik(['key', 'revoke', '99', ...at(server)])).code, 1);
  const empty = temporaryFolder('empty');
  run = await potik(['key', 'list', '--data-dir', empty]);
  assert.equal(run.code, 1);
  assert.match(run.stderr, /start `potik serve`/);
  fs.rmSync(empty, { recursive: true });
  client.close();
  await server.close();
});

test('demo: its tables, and nothing left behind', { skip: skip || OF_NO_STORE, timeout: 300000 * SLOWNESS }, async () => {
  const folder = temporaryFolder('demo');
  const run = await potik(['demo'], { env: { TMPDIR: folder, POTIK_SERVER: 'http://127.0.0.1:1', POTIK_KEY: 'wk_elsewhere' }, cwd: folder });
  assert.equal(run.code, 0, run.stderr);
  const [, sent, stored, twice] = /^([\d,]+) events sent: ([\d,]+) stored, ([\d,]+) came twice/.exec(run.stdout).map((text) => Number(text.replaceAll(',', '')));
  assert.equal(stored + twice, sent);
  assert.ok(twice > sent / 200 && twice < sent / 50);
  assert.match(run.stdout, /\ndau, 2026-01-02 to 2026-01-31, UTC\n/);
  assert.match(run.stdout, /\npage_viewed +[\d,]+ +5,000\n/, 'everybody has come');
  assert.match(run.stdout, /\n2026-01-26 +[\d,]+ +100\.0 %\n/, 'the last cohort has one cell');
  assert.deepEqual(fs.readdirSync(folder), []);
  const again = await potik(['demo', '--end', '2026-02-30'], { cwd: folder });
  assert.equal(again.code, 2);
  fs.rmSync(folder, { recursive: true });
});

test('demo: ^C ends its server and leaves nothing', { skip: skip || OF_NO_STORE }, async () => {
  const folder = temporaryFolder('stopped');
  const run = start(['demo'], { env: { TMPDIR: folder }, cwd: folder });
  await until('its folder', () => fs.readdirSync(folder).length === 1);
  run.child.kill('SIGINT');
  const end = await run.ended;
  assert.equal(end.code, 1, end.stdout + end.stderr);
  assert.match(end.stderr, /interrupted/);
  assert.deepEqual(fs.readdirSync(folder), []);
  fs.rmSync(folder, { recursive: true });
});

test('key: with --store alone no folder is looked at', { skip: skip || OF_NO_STORE }, async () => {
  const cwd = temporaryFolder('elsewhere');
  fs.mkdirSync(path.join(cwd, 'potik-data', 'ledger'), { recursive: true });
  const store = ['--store', 'postgres://u:sesame@127.0.0.1:1/x'];
  for (const words of [['key', 'list'], ['key', 'new'], ['key', 'revoke', '1']]) {
    const run = await potik([...words, ...store], { cwd });
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stderr, /is PostgreSQL running/);
  }
  assert.match((await potik(['key', 'list', ...store, '--data-dir', 'potik-data'], { cwd })).stderr, /a ledger/);
  fs.rmSync(cwd, { recursive: true });
});

test('health: ready or not as an exit status, without a key, within its time', { skip }, async () => {
  const server = await startServer();
  let run = await potik(['health', ...at(server)]);
  assert.deepEqual(run, { code: 0, stdout: 'ready\n', stderr: '' });
  run = await potik(['health', '--server', server.address], { cwd: server.dataDir });
  assert.equal(run.code, 0, run.stderr);
  server.child.kill('SIGSTOP'); // takes connections, answers nothing
  const began = Date.now();
  run = await potik(['health', '--timeout', '1', ...at(server)]);
  server.child.kill('SIGCONT');
  assert.equal(run.code, 1);
  assert.match(run.stderr, /^potik health: no reply from http:.*[Tt]ime/);
  assert.ok(Date.now() - began < 4000 * SLOWNESS, `${Date.now() - began} ms`);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  run = await potik(['health', ...at(server)]);
  assert.equal(run.code, 1);
  assert.match(run.stderr, /is `potik serve` running/);
  server.remove();

  /* A server that is not ready, one with a warning, and one with words of its own for the terminal. */
  const answers = [
    [503, '{"error":{"code":"not_ready","message":"PostgreSQL is away","request_id":"x"}}', 1, '', /^potik health: PostgreSQL is away \(503 not_ready\)/],
    [200, '{"status":"ready","warning":"held back \\u001b[31m"}', 0, 'ready\n', /^potik health: warning: held back [^\u001b]*\n$/],
    [404, 'nothing', 1, '', /status 404/],
  ];
  for (const [status, body, code, stdout, words] of answers) {
    const other = http.createServer((request, reply) => {
      assert.equal(request.url, '/readyz');
      assert.equal(request.headers.authorization, undefined);
      reply.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
    await new Promise((resolve) => { other.listen(0, '127.0.0.1', resolve); });
    run = await potik(['health', '--server', `127.0.0.1:${other.address().port}`], { env: { POTIK_READ_KEY: 'rk_secret' } });
    other.close();
    assert.equal(run.code, code, run.stderr);
    assert.equal(run.stdout, stdout);
    assert.match(run.stderr, words);
  }
  for (const [words, wrong] of [[['--timeout', '0'], /1 to 60/], [['--timeout', '61'], /1 to 60/], [['x'], /no words/], [['--key', 'x'], /--key/], [['--server', 'ftp://x'], /HOST:PORT/]]) {
    run = await potik(['health', ...words]);
    assert.equal(run.code, 2, run.stderr);
    assert.match(run.stderr, wrong);
  }
  assert.equal((await potik(['health', '--server', '127.0.0.1:1', '--timeout', '60'])).code, 1);
});

test('stats --help names the values that may be given', { skip: skip || OF_NO_STORE }, async () => {
  const { stdout } = await potik(['stats', '--help']);
  for (const [name, values] of [['unit', 'day, week, month'], ['measure', 'users, percent'], ['cohort', 'first_time'], ['window', 'calendar'],
    ['mode', 'on'], ['by', 'events, users']])
    assert.match(stdout, new RegExp(`^ {2}--${name} .*: ${values}; default: `, 'm'));
  assert.match(stdout, /--format F +table \(the default\), json, csv or ndjson\n/);
  assert.match(stdout, /\(of a table: percent\)/);
});

test('every command has --help with an example', { skip: skip || OF_NO_STORE }, async () => {
  for (const name of ['serve', 'import', 'stats', 'tail', 'demo', 'account', 'project', 'key', 'audit', 'delete', 'erasures', 'migrate', 'doctor', 'health', 'rebuild', 'version']) {
    const run = await potik([name, '--help']);
    assert.equal(run.code, 0, name);
    assert.match(run.stdout, /^usage: potik /, name);
    assert.match(run.stdout, /\n[Ee]xamples?:\n\n {2}potik /, name);
  }
  assert.match((await potik(['version'])).stdout, /^potik \d+\.\d+\.\d+\n$/);
});
