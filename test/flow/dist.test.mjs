/*
 * What ./dev dist makes. The tarball runs where it is unpacked: in an empty folder, with an empty environment, its libraries
 * beside it. The Debian package holds what it should, and its unit lets the service do what it must and nothing else.
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
    assert.match(fs.readFileSync(path.join(root, 'NOTICES/swagger-ui'), 'utf8'), /SmartBear[^]*Apache License[^]*MIT/);
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

const lacks = (command) => spawnSync('sh', ['-c', `command -v ${command}`]).status !== 0 && `there is no ${command}`;
const skipDeb = (sanitized && 'the package is of the optimised build') || lacks('dpkg-deb');

test('dist: the Debian package: program, unit, settings, man page, and the libraries it depends on', { skip: skipDeb, timeout: 300000 }, () => {
  const words = (command, args, options = {}) => {
    const how = spawnSync(command, args, { cwd: top, encoding: 'utf8', ...options });
    assert.equal(how.status, 0, `${command} ${args.join(' ')}: ${how.stderr}`);
    return how.stdout;
  };
  const tarball = fs.readdirSync(path.join(top, 'dist')).find((name) => name.endsWith('.tar.gz'));
  const file = path.join(top, words('tools/make_deb', [`dist/${tarball}`]).trim());
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'potik-deb-'));
  try {
    words('dpkg-deb', ['-x', file, folder]);
    words('dpkg-deb', ['-e', file, path.join(folder, 'DEBIAN')]);
    const within = (name) => path.join(folder, name);
    assert.match(words(within('usr/bin/potik'), ['version'], { env: {} }), /^potik \d+\.\d+\.\d+\n$/);
    words('md5sum', ['--quiet', '-c', within('DEBIAN/md5sums')], { cwd: folder });
    for (const script of ['postinst', 'prerm', 'postrm']) words('sh', ['-n', within(`DEBIAN/${script}`)]);
    /* Inside is DuckDB alone; the rest comes from Debian, with its security updates. */
    assert.deepEqual(fs.readdirSync(within('usr/lib/potik/lib')), ['libduckdb.so']);
    assert.ok(fs.readdirSync(within('usr/share/doc/potik/notices')).includes('swagger-ui'));
    const depends = words('dpkg-deb', ['-f', file, 'Depends']);
    for (const name of ['libc6', 'libcurl4', 'libpq5', 'libsodium23', 'libsqlite3-0', 'libssl3', 'libzstd1', 'zlib1g', 'tzdata']) assert.match(depends, new RegExp(`(^|, )${name}( |,|$)`, 'm'));
    /* The man page has every command, in the program's own words. */
    const manual = words('gzip', ['-dc', within('usr/share/man/man1/potik.1.gz')]);
    const commands = [...words(within('usr/bin/potik'), ['--help']).matchAll(/^  ([a-z]+) +\S/gm)].map((found) => found[1]).filter((name) => name !== 'potik');
    assert.ok(commands.includes('serve') && commands.includes('backup'));
    for (const name of commands) assert.match(manual, new RegExp(`^\\.SS ${name}$`, 'm'));
    /* Every setting that the file names, in force or as a hint, is one. */
    const known = words(within('usr/bin/potik'), ['serve', '--help']);
    const named = [...fs.readFileSync(within('etc/potik/potik.conf'), 'utf8').matchAll(/^(?:# )?([a-z-]+) = \S/gm)].map((found) => found[1]);
    assert.ok(named.includes('data-dir'));
    for (const name of named) assert.ok(known.includes(`--${name}`), name);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('the unit: its exposure is at most 2.0 of 10', { skip: lacks('systemd-analyze') }, () => {
  const how = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', '--threshold=20', 'packaging/potik.service'], { cwd: top, encoding: 'utf8' });
  assert.equal(how.status, 0, how.stdout + how.stderr);
  assert.match(how.stdout, /Overall exposure level for potik\.service: [01]\.\d/);
});
