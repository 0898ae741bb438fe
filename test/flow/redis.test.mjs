/*
 * Limits kept together in Redis: two nodes let in what one would; and what holds while Redis is away, killed, silent or back,
 * by `limit-fallback`, without a request that waits for it.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { BARE_ENV, BIN, Client, MISSING, OF_NO_STORE, SLOWNESS, startServer, temporaryFolder, until } from './server.mjs';
import { NO_REDIS, Redis } from './redis.mjs';
import { freePort } from './postgres.mjs';

/* Projects have the same number in two ledgers that know nothing of each other: for limits they are one. */
const skip = MISSING || NO_REDIS || OF_NO_STORE;
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

let made = 0;
const event = () => ({ event_id: `redis-${++made}`, event_type: 'view', user_id: 'u' });

async function redisFor(t, options) {
  const redis = await Redis.start(options);
  t.after(() => redis.close());
  return redis;
}

/** A node with these limits, and a client. */
async function nodeFor(t, url, flags) {
  const server = await startServer({ flags: ['--redis', url, ...flags], env: { } });
  const client = new Client(server);
  t.after(async () => {
    client.close();
    await server.close();
  });
  return { server, client };
}

async function metric(server, name) {
  const { text } = await server.request({ path: '/metrics' });
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** How long the events of `key` need until nothing is owed, in seconds, as Redis has it. */
function owedSeconds(redis, key) {
  const [seconds, micros] = redis.ask('time').split('\n').map(Number);
  const [events, , , at] = redis.ask('get', key).split(' ').map(Number);
  return (events - ((seconds - 1767225600) * 1e6 + micros - at)) / 1e6;
}

/**
 * Each of `lanes` connections to each node sends ten events after ten others for `ms`, and on until nothing more comes in: what
 * has room must have been used before it is counted. The events that came in (200), were refused (429), could not be known
 * (503), and the longest that a reply took.
 */
async function storm(nodes, ms, { lanes = 4, isLimited = true } = {}) {
  const seen = { 200: 0, 429: 0, 503: 0, longestMs: 0, ms: 0 };
  const began = performance.now();
  await Promise.all(nodes.flatMap(({ client }) => Array.from({ length: lanes }, async () => {
    for (let last = 0; performance.now() - began < ms || (isLimited && last === 200);) {
      const asked = performance.now();
      const reply = await client.post(Array.from({ length: 10 }, event));
      last = reply.status;
      assert.ok(last in seen, reply.text);
      seen[last] += 10;
      seen.longestMs = Math.max(seen.longestMs, performance.now() - asked);
    }
  })));
  seen.ms = performance.now() - began;
  return seen;
}

test('two nodes together let in the rate, within one percent', { skip }, async (t) => {
  const rate = 2000;
  const redis = await redisFor(t);
  const flags = ['--limit-project-events', rate, '--limit-burst', '1s'].map(String);
  const nodes = [await nodeFor(t, redis.url, flags), await nodeFor(t, redis.url, flags)];
  const seen = await storm(nodes, 8000);
  const should = rate * (1 + seen.ms / 1000);
  const unused = rate * (1 - owedSeconds(redis, 'potik:limit:project:1')); /* a node was kept from running just then */
  t.diagnostic(`${seen[200]} came in, ${should.toFixed(0)} should, ${unused.toFixed(0)} unused; ${seen[429]} refused; longest reply ${seen.longestMs.toFixed(0)} ms`);
  assert.ok(seen[200] < 1.01 * should && seen[200] + unused > 0.99 * should && unused < 0.1 * should,
    `${seen[200]} came in, ${should.toFixed(0)} should, ${unused.toFixed(0)} unused`);
  assert.ok(seen[429] > seen[200], 'far more was sent');
  for (const { server, client } of nodes) {
    const asked = await metric(server, 'potik_redis_exchanges_total');
    assert.ok(asked > 50 && asked < 110 * (seen.ms / 1000), `asked ${asked} times in ${seen.ms.toFixed(0)} ms`);
    assert.equal(await metric(server, 'potik_limit_fallback_total'), 0);
    assert.equal((await client.stats('top-events', {})).rows[0][1], client.acked.size);
  }
  /* What is owed is forgotten by itself. */
  assert.match(redis.ask('keys', '*'), /^potik:limit:project:1$/);
  assert.ok(Number(redis.ask('pttl', 'potik:limit:project:1')) <= 2100);
});

test('a node that comes late, or slept, learns what the others have let in', { skip }, async (t) => {
  const redis = await redisFor(t);
  const flags = ['--limit-project-events', '1', '--limit-burst', '200s'];
  /* So many are owed there, at a second each, less those that the test has taken; an answer is on its way by then. */
  const told = (events) => until(`${events} are told`, () => owedSeconds(redis, 'potik:limit:project:1') > events - 10);
  const send = async ({ client }, count) => (await client.post(Array.from({ length: count }, event))).status;
  const first = await nodeFor(t, redis.url, flags);
  assert.equal(await send(first, 150), 200);
  await told(150);
  const second = await nodeFor(t, redis.url, flags);
  assert.equal(await send(second, 15), 200); /* it knows of none: this asks */
  await told(165);
  assert.equal(await send(second, 60), 429);
  assert.equal(await send(second, 25), 200);
  await told(190);
  const before = await metric(first.server, 'potik_redis_exchanges_total');
  assert.equal(await send(first, 1), 200); /* it knows of 150 */
  await until('it has asked', async () => (await metric(first.server, 'potik_redis_exchanges_total')) > before);
  assert.equal(await send(first, 30), 429);
});

for (const [mode, expects] of Object.entries({
  local: (seen, rate) => {
    /* Each node by itself: twice the rate, and a burst each at most. */
    const should = 2 * rate * (seen.ms / 1000);
    assert.ok(seen[200] > 0.9 * should && seen[200] < 1.1 * (should + 2 * rate), `${seen[200]} came in, ${should.toFixed(0)} should`);
    assert.equal(seen[503], 0);
  },
  open: (seen) => assert.ok(seen[429] === 0 && seen[503] === 0, 'everything is let in'),
  closed: (seen) => assert.ok(seen[200] === 0 && seen[429] === 0, 'nothing is'),
})) {
  test(`Redis killed and returned under load, limit-fallback ${mode}`, { skip }, async (t) => {
    const rate = 1000;
    const redis = await redisFor(t);
    const flags = ['--limit-project-events', rate, '--limit-burst', '1s', '--limit-fallback', mode].map(String);
    const nodes = [await nodeFor(t, redis.url, flags), await nodeFor(t, redis.url, flags)];
    const isUp = (wanted) => until(`Redis is ${wanted}`, async () => {
      for (const { server } of nodes) if (await metric(server, 'potik_redis_up') !== wanted) return false;
      return true;
    });
    const together = await storm(nodes, 3000);
    assert.ok(Math.abs(together[200] / (rate * (1 + together.ms / 1000)) - 1) < 0.02, `${together[200]} came in`);
    const killed = storm(nodes, 1500, { isLimited: false });
    await sleep(300);
    await redis.kill9();
    await isUp(0);
    const through = [await killed];
    const away = await storm(nodes, 2000, { isLimited: mode === 'local' });
    expects(away, rate);
    const returned = storm(nodes, 1500, { isLimited: false });
    await redis.restart();
    await isUp(1);
    through.push(await returned);
    await sleep(1100); /* what is owed is paid */
    const back = await storm(nodes, 3000);
    t.diagnostic(`together ${together[200]}, away ${JSON.stringify(away)}, back ${back[200]}`);
    assert.ok(Math.abs(back[200] / (rate * (1 + back.ms / 1000)) - 1) < 0.02, `${back[200]} came in`);
    for (const seen of [together, away, ...through, back])
      assert.ok(seen.longestMs < 400 * SLOWNESS, `a reply took ${seen.longestMs.toFixed(0)} ms`);
    for (const { server } of nodes) {
      assert.equal(server.stderr.match(/redis\.away/g)?.length, 1, 'one line a minute');
      assert.equal(server.stderr.match(/redis\.back/g)?.length, 1);
      assert.ok(await metric(server, 'potik_redis_failures_total') >= 1);
      assert.ok(await metric(server, 'potik_limit_fallback_total') >= 50);
    }
  });
}

test('Redis that says nothing any more: no request waits for it', { skip }, async (t) => {
  const redis = await redisFor(t);
  const node = await nodeFor(t, redis.url, ['--limit-key-requests', '100000', '--redis-timeout', '200ms']);
  redis.pause();
  const seen = await storm([node], 1500, { isLimited: false });
  assert.equal(seen[200] > 0 && seen[429] + seen[503], 0);
  assert.ok(seen.longestMs < 150 * SLOWNESS, `a reply took ${seen.longestMs.toFixed(0)} ms`);
  assert.equal(await metric(node.server, 'potik_redis_up'), 0);
  assert.match(node.server.stderr, /redis\.away.*(no answer|no connection) in time/);
  redis.resume();
  await until('it is back', async () => (await metric(node.server, 'potik_redis_up')) === 1);
});

test('a password, a database, a prefix, a unix socket; and what is wrong with them', { skip }, async (t) => {
  const redis = await redisFor(t, { password: 'to ken@/%:?' });
  const flags = ['--limit-key-requests', '10', '--redis-prefix', 'shop-1'];
  const { server, client } = await nodeFor(t, `${redis.url}/3`, flags);
  await client.post([event()]);
  await until('it is told', () => redis.ask('-n', '3', 'keys', '*').startsWith('shop-1:limit:key:'));
  assert.doesNotMatch(server.stderr, /to ken|to%20ken/);
  assert.doesNotMatch(spawnSync('ps', ['-o', 'args', '-p', String(server.child.pid)], { encoding: 'utf8' }).stdout, /to%20ken/);
  /* Without the password it serves, and says why it is alone. */
  const alone = await nodeFor(t, redis.socketUrl, flags);
  assert.equal((await alone.client.post([event()])).status, 200);
  await until('it says so', () => /redis\.away.*NOAUTH/.test(alone.server.stderr));
  redis.ask('config', 'set', 'requirepass', '');
  await until('it is let in', async () => (await metric(alone.server, 'potik_redis_up')) === 1);
  /* The script is forgotten: greeted anew. */
  await alone.client.post([event()]);
  redis.ask('script', 'flush');
  await until('it is back', async () => {
    await alone.client.post([event()]);
    return (await metric(alone.server, 'potik_redis_up')) === 1 && (await metric(alone.server, 'potik_redis_failures_total')) >= 2;
  });
  /* Something else stands under our name: it is overwritten. */
  const key = redis.ask('keys', 'shop-1:limit:key:*').split('\n')[0];
  redis.ask('del', key);
  redis.ask('hset', key, 'a', 'b');
  const failures = await metric(alone.server, 'potik_redis_failures_total');
  await alone.client.post([event()]);
  await until('it is told', () => redis.ask('type', key) === 'string');
  assert.equal(await metric(alone.server, 'potik_redis_failures_total'), failures);
  const nowhere = await nodeFor(t, `redis://127.0.0.1:${await freePort()}`, flags);
  await until('it says so', () => /redis\.away.*Connection refused/.test(nowhere.server.stderr));
  const unknown = await nodeFor(t, 'redis://no-such-host.invalid', flags);
  await until('it says so', () => /redis\.away.*no-such-host\.invalid/.test(unknown.server.stderr));
});

test('a Redis that takes no writes: away for good, tried again ever more seldom, one line a minute', { skip }, async (t) => {
  const redis = await redisFor(t);
  const node = await nodeFor(t, redis.url, ['--limit-key-requests', '100000']);
  await node.client.post([event()]);
  await until('it is told', async () => (await metric(node.server, 'potik_redis_exchanges_total')) >= 1);
  redis.ask('replicaof', '127.0.0.1', String(await freePort()));
  const before = await metric(node.server, 'potik_redis_failures_total');
  const seen = await storm([node], 4000, { isLimited: false });
  assert.equal(seen[429] + seen[503], 0);
  const tries = await metric(node.server, 'potik_redis_failures_total') - before;
  assert.ok(tries >= 2 && tries < 20, `${tries} tries in 4 s`);
  assert.equal(node.server.stderr.match(/redis\.away/g)?.length, 1);
  assert.match(node.server.stderr, /redis\.away.*READONLY/);
  assert.equal(node.server.stderr.match(/redis\.back/g), null);
  redis.ask('replicaof', 'no', 'one');
  await until('it is back', async () => {
    await node.client.post([event()]);
    return /redis\.back/.test(node.server.stderr);
  });
});

test('what is taken out of Redis is not owed any more', { skip }, async (t) => {
  const redis = await redisFor(t);
  const node = await nodeFor(t, redis.url, ['--limit-project-events', '1', '--limit-burst', '300s']);
  assert.equal((await node.client.post(Array.from({ length: 300 }, event))).status, 200);
  await until('it is told', () => owedSeconds(redis, 'potik:limit:project:1') > 250);
  assert.equal((await node.client.post(Array.from({ length: 50 }, event))).status, 429);
  redis.ask('flushall');
  await until('it is let in', async () => (await node.client.post(Array.from({ length: 50 }, event))).status === 200);
});

test('an address or a prefix that will not do is told, without the password', { skip }, () => {
  const folder = temporaryFolder('redis-words');
  const said = (...flags) => {
    const run = spawnSync(BIN, ['serve', '--data-dir', folder, '--listen', '127.0.0.1:0', ...flags], { encoding: 'utf8', env: BARE_ENV, timeout: 30000 });
    assert.equal(run.status, 2, run.stderr);
    return run.stderr;
  };
  assert.match(said('--redis', 'http://:secret@x'), /^potik: --redis: this is no address of a Redis server; it must be redis:\/\//m);
  assert.match(said('--redis', 'rediss://:secret@x'), /TLS to Redis is not supported/);
  const wrong = said('--redis', 'redis://:secret@x:99999');
  assert.match(wrong, /--redis: the port is not 1 to 65535/);
  assert.doesNotMatch(wrong, /secret/);
  assert.match(said('--redis', 'redis://x', '--redis-prefix', 'a:b'), /--redis-prefix: may have 1 to 64 letters/);
  assert.match(said('--redis-prefix', 'a:b'), /--redis-prefix: may have 1 to 64 letters/); // used or not
  assert.match(said('--redis', 'redis://x', '--limit-fallback', 'maybe'), /--limit-fallback: .*local\|open\|closed/);
});
