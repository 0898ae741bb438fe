/*
 * `potik backup` beside a server under load and under erasures, and `potik restore`: what was acked before the backup began is
 * there, once; what was erased stays erased, or is erased again; and no damaged backup makes a data folder.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { BARE_ENV, BIN, Client, MISSING, OF_THE_LEDGER, SLOWNESS, startServer, temporaryFolder, until } from './server.mjs';
import { adminLogin, api, firstAdmin, logIn } from './access.mjs';

const skip = MISSING || OF_THE_LEDGER;
let root;
test.before(() => { root = temporaryFolder('backup'); });
test.after(() => fs.rmSync(root, { recursive: true, force: true }));

let places = 0;
const place = () => path.join(root, String(++places));

/** One command; { code, stdout, stderr }. */
function potik(words, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(BIN, words, { env: { ...BARE_ENV, ...env }, stdio: ['ignore', 'pipe', 'pipe'], cwd: root });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (part) => { stdout += part; });
    child.stderr.on('data', (part) => { stderr += part; });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

async function done(words) {
  const how = await potik(words);
  assert.equal(how.code, 0, how.stderr);
  return how;
}

function crc32c(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

let made = 0;
const event = (user) => ({ event_id: `b-${++made}`, event_type: 'view', user_id: user, occurred_at: '2026-01-05T10:00:00Z', properties: { text: 'x'.repeat(200) } });
const counted = async (client) => (await client.stats('top-events', { from: '2026-01-01', to: '2026-01-31' })).rows.reduce((sum, row) => sum + row[1], 0);

test('a backup under load holds all that was acked before it began, once; keys and logins go on', { skip }, async () => {
  const server = await startServer({ flags: ['--segment-size', '1MiB'] });
  const client = new Client(server);
  let isOver = false;
  const sending = Promise.all([1, 2, 3, 4].map(async (n) => {
    while (!isOver) await client.post(Array.from({ length: 20 }, () => event(`user-${n}`)));
  }));
  for (let round = 0; round < 3; round++) {
    await until('some megabytes', () => client.acked.size > 8000 * (round + 1), { limitMs: 60000 });
    const ackedBefore = new Set(client.acked);
    const to = place();
    const backup = await done(['backup', to, '--data-dir', server.dataDir]);
    assert.match(backup.stdout, /files, \d+ bytes, copied and read back; as of 20/);
    const ackedAfter = client.acked.size;
    assert.ok(!fs.existsSync(`${to}.partial`));
    assert.equal(fs.statSync(to).mode & 0o077, 0, 'the copy is private');

    const dataDir = place();
    const restored = await done(['restore', to, '--data-dir', dataDir]);
    assert.match(restored.stdout, /restored and compared with the backup's checksums/);
    assert.equal((await potik(['doctor', '--data-dir', dataDir])).code, 0);
    const second = await startServer({ dataDir });
    second.keys = server.keys; /* first-run.txt is not part of a backup */
    const reader = new Client(second);
    await until('the events loaded', async () => (await counted(reader)) >= ackedBefore.size, { limitMs: 30000 });
    const there = await counted(reader);
    assert.ok(there >= ackedBefore.size && there <= client.intended.size, `${ackedBefore.size} ≤ ${there} ≤ ${client.intended.size}, acked afterwards ${ackedAfter}`);
    /* Each of them is known: sent again, it is a duplicate. */
    const ids = [...ackedBefore];
    for (let i = 0; i < ids.length; i += 5000) {
      const again = await reader.post(ids.slice(i, i + 5000).map((id) => ({ ...event('again'), event_id: id })));
      assert.equal(again.json.accepted, 0, again.text.slice(0, 300));
      assert.equal(again.json.duplicates, Math.min(5000, ids.length - i));
    }
    reader.close();
    await second.close();
  }
  isOver = true;
  await sending;
  client.close();
  await server.close();
});

test('erased before: not in it; under way meanwhile: erased in the restored one, too', { skip }, async () => {
  const server = await startServer({ flags: ['--segment-size', '1MiB'] });
  const client = new Client(server);
  const events = Array.from({ length: 12000 }, (_, i) => event(`person-${i % 10}`));
  await client.send(events);
  const token = await adminLogin(server);
  const forget = async (person) => (await api(server, 'DELETE', `/v1/users/${person}?project=1`, { token, expect: 202 })).erasure.id;
  const isDone = async (on, login, id) => (await api(on, 'GET', `/v1/erasures/${id}`, { token: login, expect: 200 })).erasure.state === 'done';
  const first = await forget('person-1');
  await until('the first erasure', () => isDone(server, token, first), { limitMs: 60000 });
  const ids = [];
  const copies = [];
  for (const person of ['person-2', 'person-3', 'person-4', 'person-5']) {
    ids.push(await forget(person));
    const to = place();
    await done(['backup', to, '--data-dir', server.dataDir]);
    copies.push({ to, asked: ids.length + 1 });
  }
  for (const { to, asked } of copies) {
    const dataDir = place();
    await done(['restore', to, '--data-dir', dataDir]);
    const second = await startServer({ dataDir });
    second.keys = server.keys;
    const own = await logIn(second, firstAdmin(server));
    for (const id of ids.slice(0, asked - 1)) await until(`erasure ${id}`, () => isDone(second, own, id), { limitMs: 60000 });
    const reader = new Client(second);
    await until('the rest loaded', async () => (await counted(reader)) === 12000 - 1200 * asked, { limitMs: 30000 });
    const again = await reader.post(events.filter((each) => each.user_id === 'person-1').slice(0, 500));
    assert.deepEqual([again.json.accepted, again.json.duplicates], [0, 500], 'erased ids stay refused');
    reader.close();
    await second.close();
  }
  client.close();
  await server.close();
});

/* strace cannot look at a program that LeakSanitizer looks at. */
const withoutStrace = SLOWNESS > 1 ? 'the sanitizers bear no tracer' : spawnSync('strace', ['-V']).status !== 0 && 'there is no strace';
test('an erasure that ends while a slow backup is made is not taken for done in it', { skip: skip || withoutStrace }, async () => {
  const server = await startServer({ flags: ['--segment-size', '1MiB'] });
  const client = new Client(server);
  await client.send(Array.from({ length: 12000 }, (_, i) => event(`slow-${i % 10}`)));
  const token = await adminLogin(server);
  const to = place();
  const began = Date.now();
  const making = new Promise((resolve, reject) => {
    const child = spawn('strace', ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync', '-e', 'inject=fsync:delay_exit=1000000', BIN, 'backup', to, '--data-dir', server.dataDir], { stdio: 'ignore' });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ms: Date.now() - began }));
  });
  await until('two segments to be copied', () => fs.existsSync(`${to}.partial/ledger`) && fs.readdirSync(`${to}.partial/ledger`).length >= 2, { limitMs: 60000 });
  const id = (await api(server, 'DELETE', '/v1/users/slow-1?project=1', { token, expect: 202 })).erasure.id;
  await until('the erasure', async () => (await api(server, 'GET', `/v1/erasures/${id}`, { token, expect: 200 })).erasure.state === 'done', { limitMs: 60000 });
  const erasedMs = Date.now() - began;
  const made = await making;
  assert.equal(made.code, 0);
  assert.ok(erasedMs < made.ms, `erased after ${erasedMs} ms, the backup took ${made.ms}`);

  const dataDir = place();
  await done(['restore', to, '--data-dir', dataDir]);
  const second = await startServer({ dataDir });
  second.keys = server.keys;
  const own = await logIn(second, firstAdmin(server));
  const known = (await api(second, 'GET', '/v1/erasures?project=1', { token: own, expect: 200 })).erasures;
  const reader = new Client(second);
  /* Segments copied before have its events, later ones have not. It was asked for behind the accounts' moment, so the copy
   * does not know of it; one that it knew as done would have to have left none. */
  const stored = Number(/^potik_ledger_events (\d+)$/m.exec((await second.request({ path: '/metrics' })).text)[1]);
  assert.ok(stored > 10800 && stored < 12000, `${stored} events: the erasure did not come in between`);
  await until('the events loaded', async () => (await counted(reader)) === stored, { limitMs: 30000 });
  assert.deepEqual(known.filter((each) => each.state === 'done'), []);
  for (const each of [client, reader]) each.close();
  await second.close();
  await server.close();
});

test('a backup without a server, and what is refused: a place in use, no ledger, no word, PostgreSQL', { skip }, async () => {
  const server = await startServer();
  const client = new Client(server);
  await client.send(Array.from({ length: 100 }, () => event('u')));
  client.close();
  await server.stop();
  const to = place();
  assert.match((await done(['backup', to, `--data-dir=${server.dataDir}`])).stderr, /backup +100 % /);
  for (const [words, code, what] of [
    [['backup', to, '--data-dir', server.dataDir], 1, /is not empty; name a folder that is not there yet/],
    [['restore', to, '--data-dir', server.dataDir], 1, /is not empty/],
    [['backup', place(), '--data-dir', place()], 1, /holds no ledger/],
    [['restore', place(), '--data-dir', place()], 1, /holds no backup: there is no MANIFEST in it/],
    [['backup'], 2, /name the folder to be made/],
    [['restore', '--data-dir', place()], 2, /name the folder of a backup/],
    [['backup', place(), place(), '--data-dir', server.dataDir], 2, /./],
    [['backup', place(), '--store', 'postgres://u@localhost:1/x'], 2, /pg_dump/],
  ]) {
    const how = await potik(words);
    assert.equal(how.code, code, `${words.join(' ')}: ${how.stderr}`);
    assert.match(how.stderr, what);
  }
  /* What no backup has left stays, and is told. */
  for (const make of [(at) => { fs.mkdirSync(at); fs.writeFileSync(path.join(at, 'thesis.tex'), 'mine'); }, (at) => fs.writeFileSync(at, 'mine'), (at) => fs.symlinkSync('/', at)]) {
    const other = place();
    make(`${other}.partial`);
    const how = await potik(['backup', other, '--data-dir', server.dataDir]);
    assert.equal(how.code, 1, how.stderr);
    assert.match(how.stderr, /\.partial is in the way, and holds what no backup has left/);
    assert.ok(fs.lstatSync(`${other}.partial`) && !fs.existsSync(other));
  }
  /* One that was cut short is in nobody's way; an empty folder is a free place. */
  const third = place();
  fs.mkdirSync(third);
  fs.mkdirSync(`${third}.partial`);
  fs.writeFileSync(path.join(`${third}.partial`, 'secret'), 'half');
  await done(['backup', third, '--data-dir', server.dataDir]);
  assert.deepEqual(fs.readdirSync(third).sort(), ['MANIFEST', 'accounts.db', 'ledger', 'secret', 'token-keys']);
  server.remove();
});

test('damage in the last segment is told, not left out with what lies behind it', { skip }, async () => {
  const server = await startServer();
  const client = new Client(server);
  for (let i = 0; i < 20; i++) await client.post(Array.from({ length: 50 }, () => event('u')));
  const [segment] = fs.readdirSync(path.join(server.dataDir, 'ledger'));
  const file = path.join(server.dataDir, 'ledger', segment);
  const fd = fs.openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, 60000);
  byte[0] ^= 1;
  fs.writeSync(fd, byte, 0, 1, 60000);
  fs.closeSync(fd);
  const to = place();
  const how = await potik(['backup', to, '--data-dir', server.dataDir]);
  assert.equal(how.code, 1, how.stdout);
  assert.match(how.stderr, /\.seg: .*offset \d+\); run `potik doctor`/);
  assert.ok(!fs.existsSync(to) && !fs.existsSync(`${to}.partial`));
  client.close();
  await server.kill();
  server.remove();
});

test('backups while segments roll and the server stops and is killed', { skip }, async () => {
  let server = await startServer({ flags: ['--segment-size', '1MiB'] });
  const dataDir = server.dataDir;
  const client = new Client(server);
  let isOver = false;
  const sending = Promise.all([1, 2, 3, 4].map(async () => {
    while (!isOver) await client.post(Array.from({ length: 100 }, () => event('u'))).catch(() => new Promise((resolve) => { setTimeout(resolve, 20); }));
  }));
  const acked = [];
  for (let round = 0; round < 24; round++) {
    const before = client.acked.size;
    const to = place();
    const making = done(['backup', to, '--data-dir', dataDir]);
    if (round % 6 === 5) {
      await (round % 12 === 5 ? server.stop() : server.kill());
      server = await startServer({ dataDir, flags: ['--segment-size', '1MiB'] });
      client.server = server;
    }
    await making;
    acked.push({ to, before });
    if (round % 6 !== 5) continue;
    const other = place();
    await done(['restore', to, '--data-dir', other]);
    assert.equal((await potik(['doctor', '--data-dir', other])).code, 0);
    const rebuilt = await done(['rebuild', '--data-dir', other]);
    const events = Number(/(\d+) events loaded/.exec(rebuilt.stdout)[1]);
    assert.ok(events >= before, `${events} in the backup, ${before} acked before`);
    fs.rmSync(other, { recursive: true });
  }
  isOver = true;
  await sending;
  client.close();
  await server.stop();
  fs.rmSync(dataDir, { recursive: true });
});

test('projects made meanwhile: no event is in the copy whose project is not', { skip }, async (t) => {
  const server = await startServer();
  const client = new Client(server);
  const token = await adminLogin(server);
  let isOver = false;
  t.after(async () => {
    isOver = true;
    client.close();
    await server.kill();
    server.remove();
  });
  const making = (async () => {
    for (let n = 1; !isOver && n < 120; n++) {
      const { project } = await api(server, 'POST', '/v1/projects', { token, body: { name: `p-${n}` }, expect: 201 });
      const { key } = await api(server, 'POST', `/v1/projects/${project.id}/keys`, { token, body: { kind: 'write', name: 'w' }, expect: 201 });
      const sent = await client.post([event('u')], { headers: { authorization: `Bearer ${key.text}` } });
      assert.equal(sent.status, 200, sent.text);
    }
  })();
  for (let round = 0; round < 6; round++) {
    const to = place();
    const dataDir = place();
    await done(['backup', to, '--data-dir', server.dataDir]);
    await done(['restore', to, '--data-dir', dataDir]);
    await done(['rebuild', '--data-dir', dataDir]);
    const listed = JSON.parse((await done(['project', 'list', '--json', '--data-dir', dataDir])).stdout).projects.map((project) => project.id);
    const withEvents = fs.readdirSync(path.join(dataDir, 'warehouse')).filter((name) => /^\d+$/.test(name)).map(Number);
    assert.deepEqual(withEvents.filter((id) => !listed.includes(id)), [], `projects ${listed}, events of ${withEvents}`);
  }
  isOver = true;
  await making;
});

test('two at once, a link, a mount point, the folder itself: told before anything is copied', { skip }, async () => {
  const server = await startServer();
  const client = new Client(server);
  await client.send(Array.from({ length: 100 }, () => event('u')));
  const to = place();
  const both = await Promise.all([1, 2, 3].map(() => potik(['backup', to, '--data-dir', server.dataDir])));
  assert.equal(both.filter((how) => how.code === 0).length, 1, JSON.stringify(both));
  for (const how of both.filter((each) => each.code !== 0)) assert.match(how.stderr, /another potik is making it|File exists|is not empty/);
  const link = place();
  fs.mkdirSync(`${link}-real`);
  fs.symlinkSync(`${link}-real`, link);
  for (const where of [link, '/proc', '.']) {
    const how = await potik(['backup', where, '--data-dir', server.dataDir]);
    assert.equal(how.code, 1, where);
    assert.match(how.stderr, /is no folder, a link, or a mount point/);
  }
  const slashed = place();
  await done(['backup', `${slashed}//`, '--data-dir', server.dataDir]);
  assert.ok(fs.existsSync(path.join(slashed, 'MANIFEST')));
  client.close();
  await server.close();
});

test('a damaged backup makes no data folder: each file, each byte of the list', { skip }, async () => {
  const server = await startServer();
  const client = new Client(server);
  await client.send(Array.from({ length: 100 }, () => event('u')));
  client.close();
  await server.stop();
  const to = place();
  await done(['backup', to, '--data-dir', server.dataDir]);
  server.remove();
  const list = path.join(to, 'MANIFEST');
  const text = fs.readFileSync(list, 'utf8');
  const dataDir = place();
  const refused = async (what) => {
    const how = await potik(['restore', to, '--data-dir', dataDir]);
    assert.equal(how.code, 1, `${what}: ${how.stdout}${how.stderr}`);
    assert.match(how.stderr, /^potik: /);
    assert.ok(!fs.existsSync(dataDir) && !fs.existsSync(`${dataDir}.partial`), what);
    return how.stderr;
  };
  for (const name of text.split('\n').filter((line) => line.startsWith('file ')).map((line) => line.split(' ')[3])) {
    const file = path.join(to, name);
    const bytes = fs.readFileSync(file);
    const other = Buffer.from(bytes);
    other[other.length >> 1] ^= 1;
    fs.writeFileSync(file, other);
    assert.match(await refused(`${name} changed`), /is not what the backup wrote/);
    fs.writeFileSync(file, bytes.subarray(0, bytes.length - 1));
    assert.match(await refused(`${name} shorter`), /is not what the backup wrote/);
    fs.rmSync(file);
    assert.match(await refused(`${name} gone`), /No such file/);
    fs.writeFileSync(file, bytes);
  }
  for (let i = 0; i < text.length; i += 3) {
    fs.writeFileSync(list, text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) ^ 1) + text.slice(i + 1));
    await refused(`byte ${i} of the list`);
  }
  for (const cut of [0, 1, 20, text.length - 1]) {
    fs.writeFileSync(list, text.slice(0, cut));
    await refused(`the list cut at ${cut}`);
  }
  fs.writeFileSync(list, text.replace('potik-backup 1', 'potik-backup 2'));
  assert.match(await refused('a list of a newer kind'), /restore it with a newer one/);
  /* Made by hand, its check right: a name that leads elsewhere. */
  const body = `${text.slice(0, text.indexOf('file '))}file 4 00000000 ../escaped\n`;
  fs.writeFileSync(list, `${body}end 1 ${crc32c(Buffer.from(body)).toString(16).padStart(8, '0')}\n`);
  assert.match(await refused('a name that leads elsewhere'), /a line that is not one/);
  fs.writeFileSync(list, text);
  await done(['restore', to, '--data-dir', dataDir]);
});
