/*
 * proxy - a TCP proxy between a server and its PostgreSQL that knows the wire protocol well enough to find the Sync at which a
 * batch is committed, and fails just there.
 *
 *     const proxy = await Proxy.start(cluster.port);
 *     const server = …  --store proxy.url(url)
 *     await proxy.strike('reset-before');   // at the next batch; resolves when it has happened
 *
 * Strikes, at the Sync of the next batch (a batch: a Bind of a statement that inserts into events):
 *     reset-before   the Sync is not forwarded, both sides are reset: nothing is stored
 *     reset-after    the Sync is forwarded, its answer waited for and kept back, then the client is reset: it is stored, and not told
 *     reset-race     the Sync is forwarded and the client is reset in the same moment: either
 *     half-close     the Sync is forwarded, and the client sees the end of the stream; what it sends is still taken
 * Weather, for all connections until clear():
 *     hole           swallows what is sent, both ways, for ever on the connections it meets, new ones too; they stay open
 *     trickle        one byte a second each way
 *     refuse         the port is closed, connections are reset
 *
 * Frames (PostgreSQL 13–17, chapter 55 of its manual): a typed message is a byte, then a length that counts itself, then the rest;
 * a connection opens with untyped messages (a length, a code): SSLRequest and GSSENCRequest, each answered by one byte, then the
 * StartupMessage.
 */
import net from 'node:net';
import { changedUrl } from '../flow/postgres.mjs';

const SSL_REQUEST = 80877103;
const GSS_REQUEST = 80877104;

/** Cuts one direction into messages. */
class Framer {
  constructor(isTyped) {
    this.isTyped = isTyped;
    this.held = [];
    this.size = 0;
  }

  push(part) {
    this.held.push(part);
    this.size += part.length;
  }

  /** The next whole message, or null. */
  next() {
    const head = this.isTyped ? 5 : 4;
    if (this.size < head) return null;
    if (this.held[0].length < head) this.held = [Buffer.concat(this.held)];
    const length = this.held[0].readUInt32BE(head - 4) + head - 4;
    if (this.size < length) return null;
    return this.take(length);
  }

  take(length) {
    if (this.held[0].length < length) this.held = [Buffer.concat(this.held)];
    const message = this.held[0].subarray(0, length);
    if (this.held[0].length === length) this.held.shift();
    else this.held[0] = this.held[0].subarray(length);
    this.size -= length;
    return message;
  }
}

const text = (buffer, at) => buffer.toString('utf8', at, buffer.indexOf(0, at));

/** A reset, or, where our end was given up already, a plain close: libuv refuses to reset such a socket, and node then keeps it for ever. */
function drop(socket) {
  if (socket.destroyed) return;
  if (socket.writableEnded || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

class Link {
  constructor(proxy, client) {
    this.proxy = proxy;
    this.client = client;
    this.upstream = net.connect({ host: '127.0.0.1', port: proxy.target });
    this.fromClient = new Framer(false);
    this.fromServer = new Framer(true);
    this.bytesExpected = 0;       /* answers of one byte, to SSLRequest and GSSENCRequest */
    this.statements = new Map();  /* name → whether it inserts events */
    this.isBatch = false;         /* since the last Sync */
    this.syncs = 0;               /* sent and not answered */
    this.strikeAt = null;         /* its answer is to be kept back: how many ReadyForQuery are before it */
    this.isHole = false;
    this.isTrickling = false;
    this.queues = new Map([[this.client, []], [this.upstream, []]]); /* of what trickles */
    for (const [one, other, framer] of [[this.client, this.upstream, this.fromClient], [this.upstream, this.client, this.fromServer]]) {
      one.setNoDelay(true);
      one.on('error', () => {}); /* close tells it */
      one.on('data', (part) => this.#take(one, other, framer, part));
      one.on('end', () => {
        if (!this.isHole) other.end();
      });
      one.on('close', () => {
        if (this.isHole && one === this.upstream) return; /* a hole does not tell */
        this.end();
      });
      one.on('drain', () => other.resume());
    }
  }

  #take(from, to, framer, part) {
    if (this.isHole) return;
    framer.push(part);
    for (;;) {
      const message = from === this.client ? this.#fromClient() : this.#fromServer();
      if (message === null) return;
      if (message.length > 0) this.#forward(from, to, message);
    }
  }

  #forward(from, to, message) {
    const queue = this.queues.get(to);
    if (this.isTrickling || queue.length > 0) queue.push(message);
    else if (!to.destroyed && !to.writableEnded && !to.write(message)) from.pause();
  }

  /** One byte to each side; called once a second. */
  trickle() {
    for (const [to, queue] of this.queues) {
      if (queue.length === 0 || to.destroyed || to.writableEnded) continue;
      to.write(queue[0].subarray(0, 1));
      queue[0] = queue[0].subarray(1);
      if (queue[0].length === 0) queue.shift();
    }
  }

  /** Everything that trickled goes through now. */
  clear() {
    this.isTrickling = false;
    for (const [to, queue] of this.queues) {
      for (const message of queue.splice(0)) if (!to.destroyed && !to.writableEnded) to.write(message);
    }
  }

  /** The next message to forward, an empty one where it is kept back, null where none is whole. */
  #fromClient() {
    const message = this.fromClient.next();
    if (message === null) return null;
    if (!this.fromClient.isTyped) {
      const code = message.length >= 8 ? message.readUInt32BE(4) : 0;
      if (code === SSL_REQUEST || code === GSS_REQUEST) this.bytesExpected++;
      else this.fromClient.isTyped = true;
      return message;
    }
    const type = String.fromCharCode(message[0]);
    if (type === 'P') {
      const name = text(message, 5);
      const sql = text(message, 5 + Buffer.byteLength(name) + 1);
      this.statements.set(name, /INSERT\s+INTO\s+events\b/i.test(sql));
    } else if (type === 'B') {
      const portal = text(message, 5);
      this.isBatch ||= this.statements.get(text(message, 5 + Buffer.byteLength(portal) + 1)) === true;
    } else if (type === 'S') {
      return this.#sync(message);
    } else if (type === 'Q') {
      this.syncs++;
    }
    return message;
  }

  #sync(message) {
    const { isBatch } = this;
    this.isBatch = false;
    this.syncs++;
    if (!isBatch) return message;
    this.proxy.batches++;
    const strike = this.strikeAt === null ? this.proxy.takeStrike() : null;
    if (strike === null) return message;
    if (strike.kind === 'reset-before') {
      this.reset();
      strike.done();
      return Buffer.alloc(0);
    }
    if (strike.kind === 'reset-after') {
      this.strikeAt = this.syncs - 1;
      this.strike = strike;
      return message;
    }
    this.upstream.write(message);
    if (strike.kind === 'half-close') {
      this.client.end();
      this.upstream.end();
    } else {
      drop(this.client);
      this.upstream.end();
    }
    strike.done();
    return Buffer.alloc(0);
  }

  #fromServer() {
    if (this.bytesExpected > 0 && this.fromServer.size > 0) {
      this.bytesExpected--;
      return this.fromServer.take(1);
    }
    const message = this.fromServer.next();
    if (message === null) return null;
    const isReady = message[0] === 0x5a; /* ReadyForQuery; the first one ends the start, and answers no Sync */
    if (isReady && this.isStarted !== true) {
      this.isStarted = true;
      return message;
    }
    if (isReady) this.syncs--;
    if (this.strikeAt === null) return message;
    if (this.strikeAt > 0) { /* answers before it */
      if (isReady) this.strikeAt--;
      return message;
    }
    if (isReady) {
      this.reset();
      this.strike.done();
    }
    return Buffer.alloc(0);
  }

  reset() {
    drop(this.client);
    drop(this.upstream);
    this.proxy.links.delete(this);
  }

  end() {
    this.client.destroy();
    this.upstream.destroy();
    this.proxy.links.delete(this);
  }
}

export class Proxy {
  static async start(target) {
    const proxy = new Proxy(target);
    await proxy.#listen(0);
    return proxy;
  }

  constructor(target) {
    this.target = target;
    this.links = new Set();
    this.batches = 0;   /* whose Sync was seen */
    this.connections = 0;
    this.strikes = [];
    this.weather = null;
    this.timer = null;
  }

  async #listen(port) {
    this.listener = net.createServer({ allowHalfOpen: true }, (client) => {
      this.connections++;
      const link = new Link(this, client);
      link.isHole = this.weather === 'hole';
      link.isTrickling = this.weather === 'trickle';
      this.links.add(link);
    });
    await new Promise((resolve, reject) => {
      this.listener.on('error', reject);
      this.listener.listen(port, '127.0.0.1', resolve);
    });
    this.port = this.listener.address().port;
  }

  /** `url`, through here. */
  url(url) {
    return changedUrl(url, { port: this.port });
  }

  /** At the next batch; resolves when it has happened. */
  strike(kind) {
    return new Promise((resolve) => {
      this.strikes.push({ kind, done: resolve });
    });
  }

  takeStrike() {
    return this.strikes.shift() ?? null;
  }

  hole() {
    this.weather = 'hole';
    for (const link of this.links) link.isHole = true;
  }

  trickle() {
    this.weather = 'trickle';
    for (const link of this.links) link.isTrickling = true;
    this.timer = setInterval(() => {
      for (const link of this.links) link.trickle();
    }, 1000);
  }

  async refuse() {
    this.weather = 'refuse';
    for (const link of [...this.links]) link.reset();
    await new Promise((resolve) => this.listener.close(resolve));
  }

  /** Fair weather again. What a hole swallowed is gone: its connections stay dead till somebody closes them. */
  async clear() {
    const was = this.weather;
    this.weather = null;
    clearInterval(this.timer);
    if (was === 'refuse') await this.#listen(this.port);
    if (was === 'trickle') for (const link of this.links) link.clear();
  }

  async close() {
    clearInterval(this.timer);
    for (const link of [...this.links]) link.reset();
    if (this.listener.listening) await new Promise((resolve) => this.listener.close(resolve));
  }
}
