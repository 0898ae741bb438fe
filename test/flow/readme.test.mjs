/*
 * What the README says runs: each sender, copied out of it as it stands, stores its event on a real server. A block of code is
 * run if the line above it names its runner; only the address and the keys are put in.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { MISSING, OF_NO_STORE, SLOWNESS, TOP, startServer, temporaryFolder } from './server.mjs';

const readme = fs.readFileSync(path.join(TOP, 'README.md'), 'utf8');
const blocks = new Map([...readme.matchAll(/<!-- run by test\/flow\/readme\.test\.mjs: (\w+) -->\n```\w+\n([\s\S]*?)```/g)]
  .map((match) => [match[1], match[2]]));

async function run(file, words, env) {
  const child = spawn(file, words, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (part) => { out += part; });
  child.stderr.on('data', (part) => { err += part; });
  const status = await new Promise((resolve) => { child.on('close', resolve); });
  assert.equal(status, 0, `${file}: ${err}`);
  return out;
}

test('readme: every sender stores its event, and asking works', { skip: MISSING, timeout: 120000 * SLOWNESS }, async (t) => {
  const server = await startServer();
  const folder = temporaryFolder('readme');
  const keys = Object.fromEntries(fs.readFileSync(path.join(server.dataDir, 'first-run.txt'), 'utf8').trim().split('\n')
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  const env = { POTIK_KEY: keys.write_key, POTIK_READ_KEY: keys.read_key };
  const block = (name) => blocks.get(name).replaceAll('http://127.0.0.1:8700', keys.server).replaceAll('wk_…', keys.write_key);
  const file = (name, text) => {
    const made = path.join(folder, name);
    fs.writeFileSync(made, text);
    return made;
  };
  try {
    await t.test('all blocks are found', () => assert.deepEqual([...blocks.keys()], ['keys', 'curl', 'lines', 'browser', 'python', 'node', 'ask']));
    await t.test('keys', async () => {
      const script = `cd '${folder}'; ln -s '${server.dataDir}' potik-data; ${block('keys')}echo $POTIK_KEY $POTIK_READ_KEY`;
      assert.equal((await run('sh', ['-c', script], {})).trim(), `${keys.write_key} ${keys.read_key}`);
    });
    await t.test('without POTIK_KEY every sender says so', () => {
      const unset = { ...process.env };
      delete unset.POTIK_KEY;
      for (const [program, words] of [['sh', ['-c', block('curl')]], ['python3', [file('unset.py', block('python'))]],
        [process.execPath, [file('unset.mjs', block('node'))]]]) {
        const end = spawnSync(program, words, { env: unset, encoding: 'utf8' });
        assert.notEqual(end.status, 0, program);
        assert.match(end.stderr, /POTIK_KEY:? is not set/, program);
      }
    });
    await t.test('curl', { skip: spawnSync('curl', ['--version']).error ? 'curl is absent' : false }, async () => {
      assert.equal(JSON.parse(await run('sh', ['-c', block('curl')], env)).accepted, 1);
      assert.equal(JSON.parse(await run('sh', ['-c', block('curl')], env)).duplicates, 1);
    });
    await t.test('lines', { skip: spawnSync('curl', ['--version']).error ? 'curl is absent' : false }, async () => {
      assert.equal(JSON.parse(await run('sh', ['-c', block('lines')], env)).accepted, 2);
    });
    await t.test('browser', async () => {
      const script = file('browser.mjs', `import { webcrypto } from 'node:crypto';\nglobalThis.crypto ??= webcrypto;\n${block('browser')}
        console.log(JSON.stringify([await track('page_view', 'eve', { path: '/' }), await track('', 'eve')]));`);
      const [stored, refused] = JSON.parse(await run(process.execPath, [script], env));
      assert.equal(stored.accepted, 1);
      assert.equal(refused.error.code, 'all_rejected');
    });
    await t.test('python', async () => {
      assert.match(await run('python3', [file('send.py', block('python'))], env), /'accepted': 1/);
    });
    await t.test('node', async () => {
      assert.match(await run(process.execPath, [file('send.mjs', block('node'))], env), /accepted: 1/);
    });
    await t.test('ask', { skip: spawnSync('curl', ['--version']).error ? 'curl is absent' : false }, async () => {
      const reply = JSON.parse(await run('sh', ['-c', block('ask')], env));
      assert.deepEqual(reply.columns.map((each) => each.name), ['day', 'users']);
    });
  } finally {
    fs.rmSync(folder, { recursive: true });
    await server.close();
  }
});

/*
 * README.uk.md says the same in Ukrainian. Words cannot be compared, but all that must not be translated can, section by section:
 * levels of headings, blocks of code, `words of code`, documents and addresses, rows of tables, points of lists, numbers of replies.
 */
function skeleton(text) {
  /* What stands behind a command for the reader is translated; the command is not. */
  const bare = (block) => block.replace(/^(.*\S) {2,}\S.*$/gm, '$1');
  const code = /(?:<!-- .* -->\n)?```\w*\n[\s\S]*?```/g;
  return text.split(/^(?=#)/m).map((section) => {
    const prose = section.replace(code, '');
    const all = (pattern) => [...prose.matchAll(pattern)].map((found) => found[0]).sort();
    return {
      level: /^#*/.exec(section)[0].length,
      blocks: [...section.matchAll(code)].map((found) => bare(found[0])),
      code: all(/`[^`]+`/g).map((each) => each.replace(/\s+/g, ' ')),
      places: all(/\b(?:docs|packaging)\/[\w./]*\w|https?:\/\/[\w.:/-]*\w/g),
      replies: all(/\b[2-5]\d\d\b/g),
      rows: all(/^\|/gm).length,
      points: all(/^(?:- |\d+\. )/gm).length,
    };
  });
}

test('README.uk.md is in step with README.md, and they name each other', { skip: OF_NO_STORE }, () => {
  const ukrainian = fs.readFileSync(path.join(TOP, 'README.uk.md'), 'utf8');
  const names = (text, other) => text.split('\n').slice(0, 4).some((line) => line.includes(`](${other})`));
  assert.ok(names(readme, 'README.uk.md') && names(ukrainian, 'README.md'));
  const here = skeleton(readme);
  const there = skeleton(ukrainian);
  assert.deepEqual(there.map((each) => each.level), here.map((each) => each.level));
  here.forEach((section, i) => assert.deepEqual(there[i], section, `section ${i} of README.uk.md`));
  /* Ukrainian indeed: a section that was copied and not translated has hardly a letter of it. */
  for (const section of ukrainian.split(/^(?=#)/m).slice(1)) assert.ok((section.match(/[а-щьюяєіїґ]/gi) ?? []).length > 100, section.slice(0, 80));
});
