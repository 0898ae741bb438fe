/*
 * Overload without limits set: more senders of batches than the store can keep up with. They are refused early (503, Retry-After,
 * before the body is read), told whole, and may go on; single events are served meanwhile; nothing acknowledged is lost. And
 * who cannot bring that about: senders who promise large bodies, or send most of one and stall.
 *
 * The load is bench/load's, with its ledger (bench/harness.mjs); the probes are raw sockets.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { Ledger, Potik } from '../../bench/harness.mjs';
import { query } from '../flow/postgres.mjs';
import { MISSING, STORE, storeUrl, until } from '../flow/server.mjs';
import { SLOWNESS, temporaryFolder } from './harness.mjs';

const SENDERS = 512;
const SECONDS = 4;
const one = (id) => JSON.stringify({ event_id: id, event_type: 'probe', user_id: 'prober', occurred_at: '2025-12-01T00:00:00Z' });
const many = (id) => `[${Array.from({ length: 3000 }, (_, i) => one(`${id}-${i}`)).join(',')}]`; // some 330 kB

async function start(t) {
  const folder = temporaryFolder('crowd');
  const url = STORE === 'postgres' ? storeUrl(folder) : undefined;
  const server = await new Potik(folder, url ? ['--store', url] : []).listening();
  if (url) server.storedRows = () => Number(query(url, 'SELECT count(*) FROM events;'));
  t.after(() => server.stop('SIGKILL'));
  await server.readyMs();
  return server;
}

/** A connection on which requests follow each other; a reply is { status, head, body }. */
class Line {
  constructor(server) {
    const [host, port] = server.address.split(':');
    this.key = server.writeKey;
    this.text = '';
    this.failure = null;
    this.wake = () => {};
    this.socket = net.connect({ host, port: Number(port) });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (part) => { this.text += part; this.wake(); });
    for (const event of ['error', 'close']) this.socket.on(event, (error) => { this.failure ??= error || new Error('closed'); this.wake(); });
  }

  head(bytes, more = '') {
    this.socket.write(`POST /v1/events HTTP/1.1\r\nHost: potik\r\nAuthorization: Bearer ${this.key}\r\nContent-Type: application/json\r\n${more}Content-Length: ${bytes}\r\n\r\n`);
  }

  async reply() {
    for (;;) {
      const end = this.text.indexOf('\r\n\r\n');
      const head = this.text.slice(0, end + 4);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (end >= 0 && this.text.length >= head.length + length) {
        const body = this.text.slice(head.length, head.length + length);
        this.text = this.text.slice(head.length + length);
        return { status: Number(head.slice(9, 12)), head, body };
      }
      if (this.failure) throw this.failure;
      await new Promise((resolve) => { this.wake = resolve; });
    }
  }

  post(body) {
    this.head(body.length);
    this.socket.write(body);
    return this.reply();
  }

  close() {
    this.socket.destroy();
  }
}

function assertRefusal(reply) {
  assert.equal(reply.status, 503);
  assert.match(reply.head, /\r\nretry-after: [1-9]/i);
  assert.equal(JSON.parse(reply.body).error.code, 'overloaded');
}

async function overloaded(server) {
  const metrics = await server.get('/metrics');
  return Object.fromEntries([...metrics.matchAll(/^potik_overloaded_total\{where="(\w+)"\} (\d+)$/gm)].map((found) => [found[1], Number(found[2])]));
}

test('a crowd is refused at the head; what it was told is whole, and nothing acknowledged is lost', { skip: MISSING, timeout: 300000 * SLOWNESS }, async (t) => {
  const server = await start(t);
  const ledger = new Ledger(SENDERS);
  const acked = [];
  const seen = { early: 0, goneOn: 0 };
  let isOver = false;
  // As fast as answers come: all of them are under way or wait for what Retry-After told them.
  const crowd = ledger.load(server, { connections: SENDERS, batch: 1000, seconds: SECONDS * Math.min(SLOWNESS, 3) }).finally(() => { isOver = true; });
  await Promise.all([
    crowd,
    // Asks before it sends: a body that is not wanted never leaves.
    (async () => {
      for (let i = 0; !isOver; i++) {
        const line = new Line(server);
        const body = many(`asked-${i}`);
        line.head(body.length, 'Expect: 100-continue\r\n');
        let reply = await line.reply();
        if (reply.status === 100) {
          line.socket.write(body);
          reply = await line.reply();
          if (reply.status === 200) acked.push(body);
        } else {
          assertRefusal(reply);
          seen.early++;
        }
        line.close();
      }
    })(),
    // Sends, is refused, and goes on with the same connection.
    (async () => {
      const line = new Line(server);
      for (let i = 0; !isOver; i++) {
        const body = many(`sent-${i}`);
        const reply = await line.post(body);
        if (reply.status === 200) {
          acked.push(body);
          continue;
        }
        assertRefusal(reply);
        const next = one(`next-${i}`);
        const second = await line.post(next);
        if (second.status === 200) acked.push(next);
        else assertRefusal(second);
        seen.goneOn++;
      }
      line.close();
    })(),
    // A single event is served meanwhile: always where reading is what takes time.
    (async () => {
      const line = new Line(server);
      for (let i = 0; !isOver; i++) {
        const body = one(`single-${i}`);
        const reply = await line.post(body);
        if (reply.status === 200) acked.push(body);
        else if (STORE === 'postgres') assertRefusal(reply);
        else assert.fail(`a single event: ${reply.head}${reply.body}`);
      }
      line.close();
    })(),
  ]);
  const report = await crowd;
  const reasons = await overloaded(server);
  t.diagnostic(JSON.stringify({ ...seen, reasons, refused: report.refused, stored: report.acked, p99_ms: report.answer_p99_us / 1000 }));
  assert.ok(report.answer_p99_us < 1500000 * SLOWNESS, 'they come at one instant to a server that has served nobody');
  assert.equal(report.lost_connections, 0);
  assert.equal(report.refused_without_wait, 0);
  assert.ok(report.refused > 0 && seen.early > 0 && seen.goneOn > 0, 'some of each are refused');
  assert.ok(reasons[STORE === 'postgres' ? 'gather' : 'reading'] > 0);
  assert.equal(reasons.memory, 0);
  if (STORE === 'embedded') assert.equal(reasons.gather, 0); // what was read is stored
  const line = new Line(server);
  for (const body of acked) {
    const reply = await until('a calm server', async () => {
      const got = await line.post(body);
      return got.status === 200 ? got : false;
    });
    assert.equal(JSON.parse(reply.body).accepted, 0, 'what was acknowledged is a duplicate');
  }
  line.close();
  await ledger.verify(server);
  assert.equal((await server.stop()).code, 0);
});

test('who promises and who stalls keeps nobody out', { skip: MISSING, timeout: 120000 * SLOWNESS }, async (t) => {
  const server = await start(t);
  const body = 15 * 2 ** 20;
  const lines = Array.from({ length: 400 }, () => new Line(server));
  const stalled = Array.from({ length: 8 }, () => new Line(server));
  for (const line of lines) {
    line.head(body + 1);
    line.socket.write('[');
  }
  // All but its last bytes; the server has read most of it when the kernel has let it go.
  await Promise.all(stalled.map((line) => {
    line.head(body + 1);
    return new Promise((resolve) => { line.socket.write(Buffer.alloc(body, ' '), resolve); });
  }));
  const ledger = new Ledger(1);
  const report = await ledger.load(server, { connections: 8, batch: 1000, seconds: 3 });
  assert.ok(report.acked > 0);
  assert.equal(report.refused, 0);
  assert.deepEqual(await overloaded(server), { gather: 0, memory: 0, reading: 0 });
  for (const line of [...lines, ...stalled]) {
    assert.equal(line.text, '', 'none of them was refused, either');
    line.close();
  }
  await ledger.verify(server);
});
