/*
 * TLS as clients meet it: both versions, resumption, large bodies both ways, pipelines, what is no TLS, handshakes that do not end,
 * certificates loaded anew while requests come, and the command line against a private authority. Certificates are made here.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { BARE_ENV, BIN, Client, MISSING, OF_NO_STORE, SLOWNESS, Server, readKeys, startServer, temporaryFolder, until } from './server.mjs';

const skip = MISSING || OF_NO_STORE;
const folder = skip ? null : temporaryFolder('tls');
const at = (name) => path.join(folder, name);
const read = (name) => fs.readFileSync(at(name), 'utf8');

/** A certificate signed by itself, and its key: NAME.crt, NAME.key. */
function certify(name, { days = 90, key = 'ec', names = 'DNS:localhost,DNS:stats.example.com,IP:127.0.0.1,IP:0.0.0.0' } = {}) {
  const kind = key === 'ec' ? ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] : ['rsa:2048'];
  execFileSync('openssl', ['req', '-x509', '-newkey', ...kind, '-nodes', '-keyout', at(`${name}.key`), '-out', at(`${name}.crt`), '-days', String(days),
    '-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`], { stdio: 'ignore' });
  fs.chmodSync(at(`${name}.key`), 0o600);
}
/** The same, three days after its end: `openssl ca` alone takes both dates. */
function expire(name) {
  certify(name);
  const ca = { new_certs_dir: folder, database: at('index'), serial: at('serial'), default_md: 'sha256', policy: 'any', x509_extensions: 'none' };
  const text = ['[ca]', 'default_ca=own', '[own]', ...Object.entries(ca).map(([key, value]) => `${key}=${value}`), '[any]', 'commonName=supplied', '[none]', 'basicConstraints=CA:false'];
  fs.writeFileSync(at('ca.conf'), text.join('\n'));
  fs.writeFileSync(at('index'), '');
  fs.writeFileSync(at('serial'), '01');
  const date = (days) => new Date(Date.now() + days * 86400000).toISOString().replace(/[-:T]|\.\d+/g, '').slice(2);
  execFileSync('openssl', ['req', '-new', '-key', at(`${name}.key`), '-subj', `/CN=${name}`, '-out', at(`${name}.csr`)]);
  execFileSync('openssl', ['ca', '-batch', '-selfsign', '-config', at('ca.conf'), '-keyfile', at(`${name}.key`), '-in', at(`${name}.csr`), '-out', at(`${name}.crt`), '-notext',
    '-startdate', date(-30), '-enddate', date(-3)], { stdio: 'ignore' });
}
const flagsOf = (name) => ['--tls-cert', at(`${name}.crt`), '--tls-key', at(`${name}.key`)];

let server;
let client;
test.before(async () => {
  if (skip) return;
  certify('one');
  certify('two', { key: 'rsa' });
  server = await startServer({ flags: [...flagsOf('one'), '--head-timeout', '2s', '--write-timeout', '2s'], ca: read('one.crt') });
  client = new Client(server);
});
test.after(async () => {
  client?.close();
  await server?.close();
  if (folder !== null) fs.rmSync(folder, { recursive: true });
});

const place = (of = server) => ({ host: new URL(of.address).hostname, port: Number(new URL(of.address).port) });

/** A TLS connection, its handshake done. */
function connect(options = {}, of = server) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ ...place(of), ca: of.ca, ...options }, () => resolve(socket));
    socket.on('error', reject);
  });
}

/** All that comes on a socket until it ends, or until `enough(text)`. */
function answer(socket, enough = () => false) {
  return new Promise((resolve, reject) => {
    const parts = [];
    const timer = setTimeout(() => reject(new Error(`no end; got ${Buffer.concat(parts).subarray(0, 300)}`)), 15000 * SLOWNESS);
    const end = () => {
      clearTimeout(timer);
      resolve(Buffer.concat(parts).toString('latin1'));
    };
    socket.on('data', (part) => {
      parts.push(part);
      if (enough(Buffer.concat(parts).toString('latin1'))) end();
    });
    socket.on('error', (error) => { parts.push(Buffer.from(`[${error.code}]`)); });
    socket.on('close', end);
  });
}

const ask = (target, more = '') => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
const one = (id, more = {}) => ({ event_id: id, event_type: 'view', user_id: 'u', ...more });

async function metric(name, of = server) {
  const { text } = await of.request({ path: '/metrics' });
  return Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** The first bytes a client of TLS sends. */
function hello() {
  return new Promise((resolve) => {
    const capture = new Duplex({ read() {}, write(bytes, _, done) { resolve(Buffer.from(bytes)); done(); } });
    tls.connect({ socket: capture, servername: 'localhost' }).on('error', () => {});
  });
}

/** A TLS client whose bytes go out by `send`, and the socket below it. */
function overRaw(send) {
  const raw = net.connect({ ...place(), noDelay: true });
  const below = new Duplex({ read() {}, write(bytes, _, done) { send(raw, bytes); done(); } });
  raw.on('data', (part) => below.push(part));
  raw.on('error', () => {});
  const socket = tls.connect({ socket: below, ca: server.ca, servername: 'localhost' });
  socket.on('error', () => {});
  return { raw, socket };
}

test('the address is https, everywhere it is told; no warning of a clear text', { skip }, async () => {
  assert.match(server.stdout, /^listening on https:\/\/127\.0\.0\.1:\d+\n$/);
  assert.equal(readKeys(server.dataDir).server, server.address);
  assert.match(fs.readFileSync(path.join(server.dataDir, 'first-run.txt'), 'utf8'), new RegExp(`^ca=${at('one.crt')}$`, 'm'));
  const open = await startServer({ listen: '0.0.0.0:0', flags: flagsOf('one'), ca: read('one.crt') });
  assert.ok(!open.stderr.includes('listen.no_tls'), open.stderr);
  assert.ok(!/ (WARN|ERROR) .*tls\./.test(open.stderr), open.stderr);
  await open.close();
});

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`${version}: events, keep-alive, a pipeline in one record and in many`, { skip }, async () => {
    const socket = await connect({ minVersion: version, maxVersion: version, ALPNProtocols: ['h2', 'http/1.1'] });
    assert.equal(socket.getProtocol(), version);
    assert.equal(socket.alpnProtocol, 'http/1.1');
    assert.match(socket.getCipher().name, /GCM|CHACHA20/);
    const body = JSON.stringify(one(`alone-${version}`));
    const post = `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${server.keys.write}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    let got = answer(socket, (text) => text.includes('"accepted":1'));
    socket.write(post);
    await got;
    /* more than pipeline-max: reading pauses while bytes lie in OpenSSL */
    const count = 200;
    got = answer(socket, (text) => text.split('"duplicates":1').length - 1 === count);
    socket.write(post.repeat(count));
    await got;
    for (const byte of ask('/healthz', 'Connection: close\r\n')) socket.write(byte);
    assert.match(await answer(socket), /HTTP\/1\.1 200 OK[^]*Connection: close[^]*"alive"/);
    assert.ok(socket.readableEnded, 'close_notify before the end');
  });
}

/** Requests of exactly these sizes on each socket, in records that end elsewhere; all has come before the server, stopped meanwhile, reads a byte. */
async function atOnce(own, sockets, sizes, firstRecord) {
  const whole = sizes.map((size) => {
    const bare = ask('/healthz', 'X-Pad: \r\n').length;
    return ask('/healthz', `X-Pad: ${'p'.repeat(size - bare)}\r\n`);
  }).join('');
  const got = sockets.map((socket) => answer(socket, (text) => text.split('"alive"').length - 1 === sizes.length));
  for (const socket of sockets) socket.setNoDelay(true);
  own.child.kill('SIGSTOP');
  await until('every thread stopped', () => fs.readdirSync(`/proc/${own.pid}/task`).every((id) => /\) T /.test(fs.readFileSync(`/proc/${own.pid}/task/${id}/stat`, 'utf8'))));
  for (const piece of [whole.slice(0, firstRecord), whole.slice(firstRecord)])
    for (const socket of sockets) await new Promise((resolve) => socket.write(piece, resolve));
  own.child.kill('SIGCONT');
  for (const text of await Promise.all(got)) assert.equal(text.split('"alive"').length - 1, sizes.length);
}

test('what OpenSSL has taken from the socket is read, though epoll does not name it', { skip }, async () => {
  /* 16 requests fill a read and the pipeline; the 17th lies in the record that was begun */
  const paused = await connect();
  for (let i = 0; i < 3; i++) await atOnce(server, [paused], [...Array(16).fill(1024), 1000], 1000);
  paused.destroy();
  /* one read of each uses up the turn; the end of the last request lies in the record that was begun */
  const own = await startServer({ flags: [...flagsOf('one'), '--turn-bytes', '64KiB', '--loop-threads', '1', '--head-timeout', '2s'], ca: read('one.crt') });
  const busy = await Promise.all(Array.from({ length: 4 }, () => connect({}, own)));
  for (let i = 0; i < 3; i++) await atOnce(own, busy, Array(8).fill(2100), 1000);
  for (const each of busy) each.destroy();
  await own.close();
});

test('16 MiB both ways, and one byte more', { skip }, async () => {
  const text = crypto.randomBytes(12288).toString('base64').slice(0, 16000);
  for (let part = 0; part < 2; part++) {
    const reply = await client.post(Array.from({ length: 500 }, (_, i) => one(`big-${part}-${i}`, { properties: { text } })));
    assert.equal(reply.json.accepted, 500, reply.text);
  }
  const shown = await until('all loaded', async () => {
    const reply = await client.get('/v1/events?limit=1000');
    return reply.json?.events.filter((event) => event.event_id.startsWith('big-')).length >= 999 ? reply : false;
  });
  assert.ok(shown.text.length > 16_000_000);
  assert.ok(shown.json.events.filter((event) => event.event_id.startsWith('big-')).every((event) => event.properties.text === text));
  const send = (bytes) => server.request({ method: 'POST', path: '/v1/events', headers: { authorization: `Bearer ${server.keys.write}` }, body: bytes });
  const whole = Buffer.alloc(16 * 1024 * 1024, ' ');
  whole.write(JSON.stringify([one('padded')]));
  assert.equal((await send(whole)).json.accepted, 1);
  const chunked = await server.request({ method: 'POST', path: '/v1/events', body: whole, headers: { authorization: `Bearer ${server.keys.write}`, 'transfer-encoding': 'chunked' } });
  assert.equal(chunked.json.duplicates, 1);
  const over = await send(Buffer.concat([whole, Buffer.from(' ')])).catch((error) => ({ status: error.code }));
  assert.ok(over.status === 413 || over.status === 'EPIPE' || over.status === 'ECONNRESET', String(over.status));
});

test('a certificate for a name alone: commands beside the data folder ask for that name, and the first curl line works', { skip }, async (t) => {
  for (const [name, names, expected] of [['named', 'DNS:stats.example.com,DNS:other.example.com', 'stats.example.com'], ['wild', 'DNS:*.example.com', 'potik.example.com']]) {
    certify(name, { names });
    for (const listen of ['127.0.0.1:0', '0.0.0.0:0']) {
      const own = new Server({ listen, flags: flagsOf(name), ca: read(`${name}.crt`) });
      t.after(() => own.kill());
      await until('it listens', () => /listening on/.test(own.stdout));
      const dir = own.dataDir;
      assert.match(fs.readFileSync(path.join(dir, 'first-run.txt'), 'utf8'), new RegExp(`^tls_name=${expected}$`, 'm'));
      const run = (...words) => spawnSync(BIN, [...words, '--data-dir', dir], { encoding: 'utf8', env: BARE_ENV, timeout: 20000 * SLOWNESS });
      let end = run('health');
      assert.deepEqual([end.status, end.stdout], [0, 'ready\n'], end.stderr);
      end = run('stats', 'dau');
      assert.equal(end.status, 0, end.stderr);
      const curl = /^ {2}(curl .*\\\n.*)$/m.exec(own.stderr)[1];
      end = spawnSync('sh', ['-c', curl], { encoding: 'utf8' });
      assert.match(end.stdout, /"accepted":1/, `${curl}: ${end.stderr}`);
      /* It is that certificate and no other that is trusted. */
      end = run('health', '--ca', at('two.crt'));
      assert.equal(end.status, 1);
      await own.kill();
    }
  }
});

test('a body in many small records, more than are read at once', { skip }, async () => {
  for (const records of [63, 64, 65, 200]) {
    const body = JSON.stringify(one(`records-${records}`, { properties: { text: 'x'.repeat(2 * records) } }));
    const socket = await connect();
    socket.setNoDelay(true);
    const got = answer(socket, (text) => text.includes('"accepted"'));
    socket.write(`POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${server.keys.write}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`);
    const step = Math.ceil(body.length / records);
    const written = [];
    for (let at = 0; at < body.length; at += step) {
      written.push(new Promise((resolve) => socket.write(body.slice(at, at + step), resolve)));
      if (at % 8 === 0) await Promise.all(written);
    }
    assert.match(await got, /"accepted":1/);
    socket.destroy();
  }
});

test('sessions are resumed, whichever loop answers', { skip }, async (t) => {
  const own = await startServer({ flags: [...flagsOf('one'), '--loop-threads', '2'], ca: read('one.crt') });
  t.after(() => own.close());
  const resumed = () => metric('potik_tls_handshakes_total{result="resumed"}', own);
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const options = { minVersion: version, maxVersion: version };
    const first = await connect(options, own);
    const session = version === 'TLSv1.2' ? first.getSession() : await new Promise((resolve) => first.once('session', resolve));
    const before = await resumed();
    const others = [];
    for (let i = 0; i < 8; i++) others.push(await connect({ ...options, session }, own)); /* together: spread over both loops */
    const loops = new Set();
    for (const each of others) {
      assert.ok(each.isSessionReused(), version);
      const got = answer(each, (text) => text.includes('"alive"'));
      each.write(ask('/healthz'));
      loops.add(/^x-request-id: ([0-9a-f]{10})-/mi.exec(await got)[1]); /* each loop has its own beginning of ids */
    }
    assert.equal(loops.size, 2, version);
    for (const each of [first, ...others]) each.destroy();
    assert.ok(await resumed() >= before + 8);
  }
});

test('what is refused: TLS 1.1, weak suites, another protocol, renegotiation', { skip }, async () => {
  const refused = async (options, code) => assert.rejects(connect(options), (error) => {
    assert.match(`${error.code} ${error.message}`, code);
    return true;
  });
  await refused({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, /PROTOCOL_VERSION/i);
  await refused({ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:ECDHE-ECDSA-AES128-SHA' }, /HANDSHAKE_FAILURE/i);
  await refused({ ALPNProtocols: ['h2'] }, /NO_APPLICATION_PROTOCOL/i);
  const socket = await connect({ maxVersion: 'TLSv1.2' });
  const how = await new Promise((resolve) => {
    socket.on('error', resolve);
    socket.on('close', () => resolve(new Error('closed')));
    socket.renegotiate({}, (error) => resolve(error ?? new Error('renegotiated')));
  });
  assert.doesNotMatch(how.message, /^renegotiated$/);
  socket.destroy();
});

test('plain HTTP on this port is told so, in plain text', { skip }, async () => {
  for (const method of ['GET', 'POST', 'DELETE', 'BREW']) {
    const socket = net.connect(place());
    socket.write(`${method} /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100000)}`);
    const text = await answer(socket);
    assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*Connection: close\r\n/);
    const { error } = JSON.parse(text.slice(text.indexOf('{')));
    assert.equal(error.code, 'bad_request');
    assert.match(error.message, /speaks TLS: use https:\/\//);
  }
  assert.ok(await metric('potik_tls_handshakes_total{result="plain_http"}') >= 4);
});

test('garbage and cuts: closed, counted, and the server goes on', { skip }, async () => {
  const before = await metric('potik_tls_handshakes_total{result="failed"}');
  const whole = await hello();
  const broken = Buffer.from(whole);
  broken[5] = 99; /* no such handshake message */
  for (const bytes of [Buffer.alloc(8), Buffer.alloc(70000, 0xff), broken, Buffer.concat([Buffer.from([0x16, 3, 1, 0xff, 0xff]), Buffer.alloc(70000)])]) {
    const socket = net.connect(place());
    socket.write(bytes);
    await answer(socket);
  }
  assert.ok(await metric('potik_tls_handshakes_total{result="failed"}') >= before + 4);
  /* in the middle of a record of a connection that stands */
  const { raw, socket } = overRaw((below, bytes) => below.write(bytes));
  socket.write(ask('/healthz'));
  await answer(socket, (text) => text.includes('"alive"'));
  const closed = new Promise((resolve) => raw.once('close', resolve));
  raw.write('not a record of TLS at all');
  await closed;
  /* a body cut without close_notify is no whole request */
  const cut = await connect();
  cut.write(`POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys.write}\r\nContent-Length: 1000\r\n\r\n${JSON.stringify(one('cut'))}`);
  cut.destroy();
  assert.equal((await client.get('/healthz')).status, 200);
  assert.ok(!(await client.get('/v1/events?limit=1000')).text.includes('"cut"'));
});

test('half a handshake, and one byte by byte, end at the deadline', { skip }, async () => {
  const whole = await hello();
  const before = await metric('potik_tls_handshakes_total{result="timeout"}');
  const began = Date.now();
  const silent = net.connect(place());
  const half = net.connect(place());
  half.write(whole.subarray(0, 100));
  const slow = net.connect(place());
  slow.on('error', () => {});
  let sent = 0;
  const drip = setInterval(() => slow.write(whole.subarray(sent, ++sent)), 100);
  await Promise.all([answer(silent), answer(half), answer(slow)]);
  clearInterval(drip);
  const took = Date.now() - began;
  assert.ok(took >= 1900 && took < 6000 * SLOWNESS, `${took} ms`);
  assert.equal(await metric('potik_tls_handshakes_total{result="timeout"}'), before + 3);
  /* a handshake of single bytes that is done in time is a good one */
  const { raw, socket } = overRaw((below, bytes) => {
    for (const byte of bytes) below.write(Buffer.from([byte]));
  });
  socket.write(ask('/healthz'));
  assert.match(await answer(socket, (text) => text.includes('"alive"')), /200 OK/);
  raw.destroy();
  socket.destroy();
});

test('a client that never reads is let go, and holds nobody up', { skip }, async () => {
  const before = await metric('potik_http_timeouts');
  const socket = await connect();
  socket.pause();
  socket.write(`GET /v1/events?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.keys.read}\r\n\r\n`.repeat(8));
  const gone = until('the write deadline', async () => await metric('potik_http_timeouts') > before, { limitMs: 20000 });
  for (let i = 0; i < 20; i++) assert.equal((await client.post([one(`beside-${i}`)])).json.accepted, 1);
  await gone;
  socket.destroy();
});

test('Strict-Transport-Security goes to a name on the usual port alone', { skip }, async () => {
  const field = async (host) => {
    const socket = await connect();
    socket.write(`GET /healthz HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    return /^strict-transport-security: (.*)\r$/mi.exec(await answer(socket))?.[1];
  };
  assert.equal(await field('stats.example.com'), 'max-age=31536000');
  for (const host of ['stats.example.com:8700', 'localhost', 'a.localhost', '127.0.0.1', '[::1]', 'intranet']) assert.equal(await field(host), undefined, host);
});

test('loaded anew under load: no request fails, who connects then sees the new certificate', { skip }, async () => {
  const cert = at('live.crt');
  const key = at('live.key');
  const put = (name) => {
    fs.copyFileSync(at(`${name}.crt`), cert);
    fs.copyFileSync(at(`${name}.key`), key);
    fs.chmodSync(key, 0o600);
  };
  put('one');
  const own = await startServer({ flags: ['--tls-cert', cert, '--tls-key', key], ca: read('one.crt') + read('two.crt') });
  const shown = async () => {
    const socket = await connect({}, own);
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return name;
  };
  try {
    assert.equal(await shown(), 'one');
    const kept = new Client(own);
    let isOver = false;
    let answered = 0;
    const load = Array.from({ length: 6 }, async (_, worker) => {
      for (let i = 0; !isOver; i++) {
        const reply = worker % 2 === 0 ? await kept.post([one(`live-${worker}-${i}`)])
          : await own.request({ path: '/healthz', agent: false });
        assert.equal(reply.status, 200, reply.text);
        answered++;
      }
    });
    load.forEach((each) => each.catch(() => {}));
    const told = (name) => own.stderr.split(`tls.${name}`).length - 1;
    for (let round = 1; round <= 10; round++) {
      const name = round % 2 === 1 ? 'two' : 'one';
      put(name);
      own.child.kill('SIGHUP');
      await until('a new load', () => told('reloaded') === round);
      assert.equal(await shown(), name);
    }
    /* what will not do: one line says why, the one in force stays */
    for (const [spoil, words] of [
      [() => fs.copyFileSync(at('two.key'), key), /live\.key: is not the key of the certificate in \S+live\.crt/],
      [() => fs.writeFileSync(key, 'no key'), /live\.key: holds no private key in PEM/],
      [() => fs.writeFileSync(cert, read('one.crt').slice(0, 300)), /live\.crt: holds no certificate in PEM/],
      [() => fs.rmSync(cert), /live\.crt/],
    ]) {
      const before = told('not_reloaded');
      spoil();
      own.child.kill('SIGHUP');
      await until('a refusal', () => told('not_reloaded') === before + 1);
      assert.match(own.stderr.trimEnd().split('\n').pop(), words);
      assert.equal(await shown(), 'one');
    }
    isOver = true;
    await Promise.all(load);
    assert.ok(answered > 50, `${answered} answered`);
    kept.close();
  } finally {
    await own.close();
  }
});

test('SIGHUP with a log file and TLS does both', { skip }, async () => {
  const log = at('both.log');
  const own = await startServer({ flags: [...flagsOf('one'), '--log-file', log], ca: read('one.crt') });
  fs.renameSync(log, `${log}.1`);
  own.child.kill('SIGHUP');
  await until('both', () => fs.existsSync(log) && /log\.reopened[^]*tls\.reloaded/.test(fs.readFileSync(log, 'utf8')));
  await own.close();
});

test('files that others may read, and certificates that end, are told', { skip }, async () => {
  certify('soon', { days: 13 });
  certify('later', { days: 15 });
  expire('over');
  fs.chmodSync(at('soon.key'), 0o640);
  const told = (name) => startServer({ flags: flagsOf(name), ca: read(`${name}.crt`) });
  const soon = await told('soon');
  assert.match(soon.stderr, /tls\.key_not_private file=\S+soon\.key/);
  assert.match(soon.stderr, /tls\.certificate_expires_soon file=\S+soon\.crt in_days=1[23]$/m);
  const end = new Date(new crypto.X509Certificate(read('soon.crt')).validTo).getTime() / 1000;
  assert.equal(await metric('potik_tls_certificate_expires_seconds', soon), end);
  await soon.close();
  const later = await told('later');
  assert.doesNotMatch(later.stderr, / WARN .*tls\./);
  await later.close();
  const ended = new Server({ flags: flagsOf('over') });
  await ended.listening;
  assert.match(ended.stderr, /tls\.certificate_expired file=\S+over\.crt days_ago=[23] /);
  await ended.close();
});

test('settings that will not do: exit 2, the setting and the file named, nothing made', { skip }, async () => {
  execFileSync('openssl', ['pkey', '-in', at('one.key'), '-aes128', '-passout', 'pass:secret', '-out', at('locked.key')]);
  fs.writeFileSync(at('junk'), 'junk');
  const crt = at('one.crt');
  const key = at('one.key');
  for (const [flags, words] of [
    [['--tls-cert', crt], /^potik: --tls-cert: needs tls-key, too/],
    [['--tls-key', key], /^potik: --tls-key: needs tls-cert, too/],
    [['--tls-cert', at('none'), '--tls-key', key], /^potik: --tls-cert: .*none/],
    [['--tls-cert', at('junk'), '--tls-key', key], /^potik: --tls-cert: \S+junk: holds no certificate/],
    [['--tls-cert', crt, '--tls-key', at('none')], /^potik: --tls-key: .*none/],
    [['--tls-cert', crt, '--tls-key', at('junk')], /^potik: --tls-key: \S+junk: holds no private key/],
    [['--tls-cert', crt, '--tls-key', at('two.key')], /^potik: --tls-key: \S+two\.key: is not the key of the certificate in \S+one\.crt/],
    [['--tls-cert', crt, '--tls-key', at('locked.key')], /^potik: --tls-key: \S+locked\.key: is locked by a passphrase/],
    [['--tls-cert', crt, '--tls-key', key, '--listen', `unix:${at('s')}`], /^potik: --tls-cert: a unix socket takes no TLS/],
  ]) {
    const how = spawnSync(BIN, ['serve', '--data-dir', at('never'), '--listen', '127.0.0.1:0', ...flags], { encoding: 'utf8', env: BARE_ENV, timeout: 20000 * SLOWNESS, input: '' });
    assert.equal(how.status, 2, `${flags}: ${how.stderr}`);
    assert.match(how.stderr, words);
    assert.equal(how.stderr.trimEnd().split('\n').length, 1, how.stderr);
  }
  assert.ok(!fs.existsSync(at('never')));
});

test('the command line: a private authority is named, or nothing is sent', { skip }, async () => {
  const run = (words, env = {}) => spawnSync(BIN, words, { encoding: 'utf8', cwd: folder, env: { ...BARE_ENV, ...env }, timeout: 30000 * SLOWNESS });
  fs.writeFileSync(at('rows.ndjson'), `${JSON.stringify(one('imported'))}\n`);
  const keys = { POTIK_KEY: server.keys.write, POTIK_READ_KEY: server.keys.read };
  const there = ['--server', server.address];
  for (const words of [['stats', 'dau'], ['import', 'rows.ndjson'], ['tail'], ['health']]) {
    const how = run([...words, ...there], keys);
    assert.equal(how.status, 1, `${words}: ${how.stdout} ${how.stderr}`);
    assert.match(how.stderr, /certificate is not trusted: .* pass --ca FILE/);
    assert.doesNotMatch(how.stderr, /gave up/);
    const wrong = run([...words, ...there, '--ca', at('two.crt')], keys);
    assert.match(wrong.stderr, /certificate is not trusted: it is not signed by those in the file of --ca/, words.join(' '));
    assert.match(run([...words, ...there, '--ca', at('none')], keys).stderr, /file of --ca .*cannot be read/);
  }
  assert.equal(run(['import', 'rows.ndjson', ...there, '--ca', at('one.crt')], keys).status, 0);
  assert.equal(run(['import', 'rows.ndjson', ...there], { ...keys, POTIK_CA: at('one.crt') }).status, 0);
  /* beside the data folder nothing needs to be said */
  const beside = run(['stats', 'dau', '--data-dir', server.dataDir]);
  assert.equal(beside.status, 0, beside.stderr);
  assert.equal(run(['import', 'rows.ndjson', '--data-dir', server.dataDir]).status, 0);
  assert.equal(run(['health', '--data-dir', server.dataDir]).stdout, 'ready\n');
  assert.equal(run(['health', ...there, '--ca', at('one.crt')]).stdout, 'ready\n');
  const plain = run(['stats', 'dau', '--server', server.address.replace('https://', '')], keys);
  assert.match(plain.stderr, /use https:\/\//);
  const curl = spawnSync('curl', ['-sS', '--cacert', at('one.crt'), `${server.address}/healthz`], { encoding: 'utf8' });
  assert.match(curl.stdout, /"alive"/);
});
