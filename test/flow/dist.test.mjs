/*
 * The tarball of ./dev dist runs where it is unpacked: in an empty folder, with an empty environment, its libraries beside it.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const top = path.resolve(path.dirname(new URL(import.meta.url).pathname), '../..');
const sanitized = process.env.POTIK_SANITIZED !== undefined;

test('dist: the tarball runs without building', { skip: sanitized && 'the tarball is of the optimised build', timeout: 300000 }, () => {
  const made = spawnSync(path.join(top, 'tools/make_dist'), ['build'], { cwd: top, encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  const tarball = path.join(top, made.stdout.trim());
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'potik-dist-'));
  try {
    const unpacked = spawnSync('tar', ['-xzf', tarball, '-C', folder], { encoding: 'utf8' });
    assert.equal(unpacked.status, 0, unpacked.stderr);
    const [name] = fs.readdirSync(folder);
    assert.match(name, /^potik-\d+\.\d+\.\d+-linux-(x86_64|aarch64)$/);
    const root = path.join(folder, name);
    for (const file of ['bin/potik', 'README.md', 'LICENSE', 'NOTICES']) assert.ok(fs.existsSync(path.join(root, file)), file);
    const ran = spawnSync(path.join(root, 'bin/potik'), ['version'], { cwd: folder, env: {}, encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stdout, /\d+\.\d+\.\d+/);
    // Every library it loads is the tarball's own, or one of those every system has.
    const loaded = spawnSync('ldd', [path.join(root, 'bin/potik')], { env: { PATH: process.env.PATH }, encoding: 'utf8' });
    for (const line of loaded.stdout.split('\n').filter((each) => each.includes('=>'))) {
      const own = line.includes(fs.realpathSync(folder)) || line.includes(folder);
      const base = /^\s*(libc|libm|libdl|libpthread|librt|libresolv|libstdc\+\+|libgcc_s)\.so/.test(line);
      assert.ok(own || base, line.trim());
    }
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
