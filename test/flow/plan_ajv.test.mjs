/*
 * The checker of tracking plans against a public validator of JSON Schema 2020-12 (ajv, dev only): thousands of seeded random schemas and
 * events of our subset, and both say the same. What is ours alone is told to ajv first: an object with `properties` is closed unless
 * additionalProperties says otherwise.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { MISSING, OF_NO_STORE, SLOWNESS, TOP, seeded } from './server.mjs';

const npm = path.join(TOP, 'test/npm');
const program = path.join(process.env.POTIK_TEST_TOOLS ?? path.join(TOP, 'build'), 'test/flow/ask_plan');
const skip = MISSING || OF_NO_STORE || (fs.existsSync(path.join(npm, 'node_modules/ajv')) ? false : 'no ajv: (cd test/npm && npm ci)') ||
  (fs.existsSync(program) ? false : `no program at ${program}`);

const NAMES = ['a', 'b', 'cc', 'ключ', 'd.e'];
const TEXTS = ['', 'x', 'xy', 'EUR', 'їжак', '🦔', 'aab', 'a1', '\n', '"'];
const NUMBERS = [0, 1, -1, 1.5, 2, 2.5, 10, 100, 1e3, -1.25, 0.1, 9007199254740991];
const PATTERNS = ['^a', 'b$', '^[A-Z]{3}$', 'x*', '^(a|b)+$', '[0-9]', '^.$', '^[a-z]+[0-9]?$'];
const KINDS = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];

function maker(seed) {
  const { below: int, pick } = seeded(seed);
  const one = (n) => int(n) === 0;
  const value = (depth) => {
    switch (int(depth > 0 ? 8 : 6)) {
    case 0: return null;
    case 1: return one(2);
    case 2: case 3: return pick(NUMBERS);
    case 4: case 5: return pick(TEXTS);
    case 6: return Array.from({ length: int(4) }, () => value(depth - 1));
    default: return object(depth - 1);
    }
  };
  const object = (depth) => Object.fromEntries(NAMES.filter(() => one(2)).map((name) => [name, value(depth)]));
  const schema = (depth, isRoot = false) => {
    if (!isRoot && one(12)) return one(2);
    const made = {};
    if (!isRoot && one(2)) made.type = one(3) ? [...new Set([pick(KINDS), pick(KINDS)])] : pick(KINDS);
    if (!isRoot && one(5)) made.enum = [...new Set(Array.from({ length: 1 + int(4) }, () => value(0)))];
    else if (!isRoot && one(10)) made.const = value(0);
    for (const [plain, exclusive] of [['minimum', 'exclusiveMinimum'], ['maximum', 'exclusiveMaximum']]) {
      if (one(3)) made[plain] = pick(NUMBERS);
      else if (one(5)) made[exclusive] = pick(NUMBERS);
    }
    for (const [name, most] of [['minLength', 4], ['maxLength', 5], ['minItems', 3], ['maxItems', 4]]) if (one(4)) made[name] = int(most);
    if (one(5)) made.pattern = pick(PATTERNS);
    if (depth > 0 && one(3)) made.items = schema(depth - 1);
    if (isRoot || (depth > 0 && one(2))) made.properties = Object.fromEntries(NAMES.filter(() => one(2)).map((name) => [name, schema(depth - 1)]));
    if (one(3)) made.required = NAMES.filter(() => one(3));
    if (one(3)) made.additionalProperties = depth > 0 && one(3) ? schema(depth - 1) : one(2);
    return made;
  };
  return { object, schema };
}

/** As ajv has to see it. */
function closed(schema, isRoot = false) {
  if (typeof schema !== 'object') return schema;
  const made = { ...schema };
  if (made.properties) made.properties = Object.fromEntries(Object.entries(made.properties).map(([name, inner]) => [name, closed(inner)]));
  if (made.items !== undefined) made.items = closed(made.items);
  if (made.additionalProperties !== undefined) made.additionalProperties = closed(made.additionalProperties);
  else if (isRoot || made.properties) made.additionalProperties = false;
  return made;
}

test('thousands of random schemas and events have the verdict of a public validator', { skip, timeout: 120000 * SLOWNESS }, () => {
  const Ajv = createRequire(path.join(npm, 'package.json'))('ajv/dist/2020').default;
  const ajv = new Ajv({ strict: false });
  const { object, schema } = maker(20260131);
  const lines = [];
  const wanted = [];
  for (let i = 0; i < 1000; i++) {
    const made = schema(3, true);
    const judge = ajv.compile(closed(made, true));
    lines.push(`schema ${JSON.stringify(made)}`);
    wanted.push('taken');
    for (let k = 0; k < 10; k++) {
      const event = object(3);
      lines.push(`event ${JSON.stringify(event)}`);
      wanted.push(judge(event));
    }
  }
  const done = spawnSync(program, { input: `${lines.join('\n')}\n`, encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(done.status, 0, done.stderr);
  const got = done.stdout.trimEnd().split('\n');
  assert.equal(got.length, wanted.length);
  let last = '';
  wanted.forEach((verdict, i) => {
    if (verdict === 'taken') last = lines[i];
    assert.equal(verdict === 'taken' ? got[i] : got[i] === 'fits', verdict, `${last}\n${lines[i]}: ${got[i]}`);
  });
  const fits = wanted.filter((verdict) => verdict === true).length;
  assert.ok(fits > 500 && fits < 9500, `${fits} of 10,000 fit: the test says little`);
});
