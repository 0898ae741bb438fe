/*
 * client - the client ledger: one oracle for every fault test.
 *
 * A client writes each event id to a synced file before it sends (intent) and after a 2xx (ack). What an event
 * holds is a function of its id, so content needs no file. Afterwards, against the rows that a fresh process
 * reads from the store:
 *   lost     = acked − stored                 must be empty
 *   doubled  = ids stored more than once      must be empty
 *   invented = stored − intent                must be empty
 *   altered  = stored with other content      must be empty
 * Outcomes not known (no answer, or 5xx) are sent again with the same ids until 2xx.
 */
import fs from 'node:fs';
import http from 'node:http';
import { SLOWNESS } from '../flow/server.mjs';

/** The content of the event named `id`, the same in every process. */
export function eventOf(id) {
  let h = 2166136261;
  for (let i = 0; i < id.length; i++) h = Math.imul(h ^ id.charCodeAt(i), 16777619) >>> 0;
  return {
    event_id: id,
    event_type: ['view', 'cart', 'purchase', 'sign_up'][h % 4],
    user_id: `user-${h % 997}`,
    occurred_at: 1767225600000 + (h % 2592000) * 1000,
    properties: { n: h, plan: h % 2 === 0 ? 'free' : 'paid', text: 'x'.repeat(h % 200) },
  };
}

/** What the dump of the store must say of it (see dump_ledger.c). */
export function dumpLineOf(id) {
  const e = eventOf(id);
  return JSON.stringify([e.event_id, e.event_type, e.user_id, e.occurred_at * 1000, JSON.stringify(e.properties)]);
}

export class ClientLedger {
  constructor(file) {
    this.fd = fs.openSync(file, 'a');
    this.intent = new Set();
    this.acked = new Set();
  }

  /** Durable before the first byte is sent. */
  intend(ids) {
    const fresh = ids.filter((id) => !this.intent.has(id));
    if (fresh.length === 0) return;
    fs.writeSync(this.fd, fresh.map((id) => `i ${id}\n`).join(''));
    fs.fdatasyncSync(this.fd);
    for (const id of fresh) this.intent.add(id);
  }

  ack(ids) {
    fs.writeSync(this.fd, ids.map((id) => `a ${id}\n`).join(''));
    for (const id of ids) this.acked.add(id);
  }

  unknown() {
    return [...this.intent].filter((id) => !this.acked.has(id));
  }

  /** `lines`: what dump_ledger printed (anything that can be gone through). Returns the four lists. */
  judge(lines) {
    const seen = new Map();
    const altered = [];
    const invented = [];
    for (const line of lines) {
      const id = JSON.parse(line)[0];
      seen.set(id, (seen.get(id) ?? 0) + 1);
      if (!this.intent.has(id)) invented.push(id);
      else if (line !== dumpLineOf(id)) altered.push(id);
    }
    return {
      stored: seen.size,
      lost: [...this.acked].filter((id) => !seen.has(id)),
      doubled: [...seen].filter(([, n]) => n > 1).map(([id]) => id),
      invented,
      altered,
    };
  }

  close() {
    fs.closeSync(this.fd);
  }
}

/** POST a batch; resolves to { status, body } or { status: 0, error } where no whole answer came. */
export function post(port, key, ids, { agent, timeoutMs = 20000 } = {}) {
  const body = Buffer.from(JSON.stringify(ids.map(eventOf)));
  return postBody(port, key, body, { agent, timeoutMs });
}

export function postBody(port, key, body, { agent, timeoutMs = 20000 } = {}) {
  return new Promise((resolve) => {
    const request = http.request({
      host: '127.0.0.1', port, path: '/v1/events', method: 'POST', agent,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': body.length },
    }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', (error) => resolve({ status: 0, error }));
      response.on('aborted', () => resolve({ status: 0, error: new Error('aborted') }));
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        let parsed = null;
        try {
          parsed = JSON.parse(text);
        } catch {
          parsed = null;
        }
        resolve({ status: response.statusCode, body: parsed, text, headers: response.headers });
      });
    });
    request.setTimeout(timeoutMs * SLOWNESS, () => request.destroy(new Error('timeout')));
    request.on('error', (error) => resolve({ status: 0, error }));
    request.end(body);
  });
}

/**
 * `workers` clients send batches till `stopped()` says so; a fraction of ids is sent twice or more. Returns when all have stopped.
 * A 2xx acks the whole batch (every id is accepted or a duplicate); anything else leaves it unknown.
 */
export async function load(ledger, { port, key, workers = 4, batch = () => 20, nextId, stopped, random = Math.random }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: workers });
  const statuses = new Map();
  const recent = [];
  await Promise.all(Array.from({ length: workers }, async () => {
    while (!stopped()) {
      const ids = Array.from({ length: batch() }, () =>
        (recent.length > 0 && random() < 0.1 ? recent[Math.floor(random() * recent.length)] : nextId()));
      recent.push(...ids.slice(0, 3));
      if (recent.length > 1000) recent.splice(0, 500);
      ledger.intend(ids);
      const reply = await post(port, key, ids, { agent });
      statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
      if (reply.status === 200) {
        if (reply.body.accepted + reply.body.duplicates !== ids.length)
          throw new Error(`a 200 that does not add up: ${reply.text}`);
        ledger.ack(ids);
      } else if (reply.status === 0) {
        break; /* the server is gone */
      } else if (reply.status !== 503) {
        throw new Error(`status ${reply.status}: ${reply.text}`);
      } else {
        if (!(Number(reply.headers['retry-after']) >= 1)) throw new Error(`a 503 without Retry-After: ${reply.text}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }));
  agent.destroy();
  return statuses;
}

/** Sends everything unknown again, same ids, until 2xx. */
export async function settle(ledger, { port, key, attempts = 100 }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
  let waiting = ledger.unknown();
  for (let i = 0; i < attempts && waiting.length > 0; i++) {
    for (let at = 0; at < waiting.length; at += 500) {
      const ids = waiting.slice(at, at + 500);
      const reply = await post(port, key, ids, { agent });
      if (reply.status === 200) ledger.ack(ids);
      else await new Promise((resolve) => setTimeout(resolve, 20 * SLOWNESS));
    }
    waiting = ledger.unknown();
  }
  agent.destroy();
  if (waiting.length > 0) throw new Error(`${waiting.length} events could not be settled`);
}
