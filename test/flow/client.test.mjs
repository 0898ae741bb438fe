/*
 * A client made from the contract: types by openapi-typescript, as docs/API.md says to make them, a program on them (test/npm/client.ts)
 * that tsc checks strictly, and that then talks to a real server. Nothing that is made is kept.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { MISSING, OF_NO_STORE, TOP, startServer, temporaryFolder } from './server.mjs';
import { NO_NPM, NPM } from './npm.mjs';

const run = promisify(execFile);
const skip = MISSING || OF_NO_STORE || NO_NPM;

test('a generated TypeScript client: compiled strictly, it sends, asks, and knows errors by their codes', { skip, timeout: 120000 }, async (t) => {
  const server = await startServer();
  const folder = temporaryFolder('client');
  t.after(async () => {
    fs.rmSync(folder, { recursive: true, force: true });
    await server.close();
  });
  fs.symlinkSync(path.join(NPM, 'node_modules'), path.join(folder, 'node_modules'));
  fs.copyFileSync(path.join(NPM, 'client.ts'), path.join(folder, 'client.ts'));
  fs.writeFileSync(path.join(folder, 'package.json'), '{"type":"module"}');
  const bin = (name) => path.join(NPM, 'node_modules/.bin', name);
  const words = async (command, args) => {
    try {
      return (await run(command, args, { cwd: folder })).stdout;
    } catch (error) {
      throw new Error(`${path.basename(command)}: ${error.stdout}${error.stderr}`);
    }
  };
  /* The command of docs/API.md, on this server. */
  const manual = fs.readFileSync(path.join(TOP, 'docs/API.md'), 'utf8');
  const [, source, output] = /^npx openapi-typescript (\S+) -o (\S+)$/m.exec(manual);
  await words(bin('openapi-typescript'), [source.replace('http://127.0.0.1:8700', server.address), '-o', output]);
  await words(bin('tsc'), ['--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes', '--noUnusedLocals', '--module', 'nodenext', '--target', 'es2022',
    '--moduleResolution', 'nodenext', '--types', 'node', 'client.ts']);
  const told = JSON.parse(await words(process.execPath, ['client.js', server.address, server.keys.write, server.keys.read]));
  assert.deepEqual(told.verdicts, ['accepted', 'duplicate', 'accepted', 'rejected']);
  assert.deepEqual(told.refused.map(({ index, code }) => [index, code]), [[3, 'invalid_timestamp']]);
  assert.deepEqual([told.made, told.users, told.first], [true, 2, 'event_type']);
  assert.match(told.day, /^\d{4}-\d{2}-\d{2}$/);
  assert.deepEqual(told.other, { status: 403, word: 'take the other key', field: null });
});
