/*
 * What packaging/ says for containers, as far as it can be held against the program and its peers without an engine: settings
 * that are settings, commands that are commands, passwords that are asked for. test/fresh-image builds and runs the image.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { BIN, MISSING, OF_NO_STORE, TOP, startServer, temporaryFolder, until } from './server.mjs';

const lacks = (command) => spawnSync('sh', ['-c', `command -v ${command}`]).status !== 0 && `there is no ${command}`;
const read = (name) => fs.readFileSync(path.join(TOP, name), 'utf8');
const PASSWORDS = { POTIK_POSTGRES_PASSWORD: 'postgres-secret', POTIK_REDIS_PASSWORD: 'redis-secret' };

/** docker-compose's own reading of the file, with that environment and no .env. The version that Debian has knows no `name` yet. */
function compose(env) {
  const folder = temporaryFolder('compose');
  fs.mkdirSync(path.join(folder, 'packaging'));
  fs.writeFileSync(path.join(folder, 'packaging/compose.yaml'), read('packaging/compose.yaml').replace(/^name: potik\n/m, ''));
  const ran = spawnSync('docker-compose', ['-f', path.join(folder, 'packaging/compose.yaml'), 'config'], { env: { PATH: process.env.PATH, ...env }, encoding: 'utf8' });
  fs.rmSync(folder, { recursive: true });
  return ran;
}

/** As it stands, without anything put in: what this test's own checks look at. */
function composeFile() {
  const ran = spawnSync('python3', ['-c', 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)'], { input: read('packaging/compose.yaml'), encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
  return JSON.parse(ran.stdout);
}

function settingVariables() {
  const { stdout } = spawnSync(BIN, ['serve', '--help'], { encoding: 'utf8' });
  return new Set([...stdout.matchAll(/^ {2}--([a-z-]+) /gm)].map((found) => `POTIK_${found[1].toUpperCase().replaceAll('-', '_')}`));
}

/** The instructions of the Dockerfile, continued lines joined, comments gone. */
const instructions = () => read('packaging/Dockerfile').replace(/^#.*\n/gm, '').replace(/\\\n/g, ' ').split('\n').filter((line) => line !== '');

test('the Dockerfile: its settings, commands and version are the program\'s; nobody\'s rights; one folder is written', { skip: MISSING || OF_NO_STORE }, () => {
  const lines = instructions();
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));
  const value = (name) => last.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1).trim());
  assert.match(lines[0], /^ARG BASE=debian:12-slim$/);
  const known = settingVariables();
  const set = Object.fromEntries([...value('ENV').join(' ').matchAll(/(\w+)=(\S+)/g)].map((found) => found.slice(1)));
  assert.deepEqual(Object.keys(set).filter((name) => !known.has(name)), []);
  assert.equal(set.POTIK_LISTEN, `0.0.0.0:${value('EXPOSE')[0]}`);
  assert.deepEqual(value('VOLUME'), [set.POTIK_DATA_DIR]);
  assert.deepEqual(value('USER'), ['10001:10001']);
  assert.deepEqual(value('STOPSIGNAL'), ['SIGTERM']);
  const commands = [...spawnSync(BIN, ['--help'], { encoding: 'utf8' }).stdout.matchAll(/^ {2}([a-z]+) +\S/gm)].map((found) => found[1]);
  for (const words of [JSON.parse(value('CMD')[0]), JSON.parse(/CMD (\[.*\])/.exec(value('HEALTHCHECK')[0])[1]).slice(1)])
    assert.ok(commands.includes(words[0]), words[0]);
  assert.equal(/^ARG VERSION=(.*)$/m.exec(read('packaging/Dockerfile'))[1], /version: '([^']+)'/.exec(read('meson.build'))[1]);
  /* What the build copies is there, and what must not get into it is kept out. */
  const ignored = read('.dockerignore').split('\n');
  for (const name of ['.git', '/build*', '/dist', '/deps/cache', '/potik-data', '**/.env']) assert.ok(ignored.includes(name), name);
  for (const line of lines.filter((each) => each.startsWith('COPY ') && !each.includes('--from')))
    for (const name of line.split(' ').slice(1, -1)) assert.ok(fs.existsSync(path.join(TOP, name)), name);
});

test('compose.yaml: Compose takes it, and only with both passwords', { skip: OF_NO_STORE || lacks('docker-compose') }, () => {
  const whole = compose(PASSWORDS);
  assert.equal(whole.status, 0, whole.stderr);
  assert.match(whole.stdout, /redis:\/\/:redis-secret@redis:6379\/0/);
  for (const missing of Object.keys(PASSWORDS)) {
    for (const env of [{ ...PASSWORDS, [missing]: undefined }, { ...PASSWORDS, [missing]: '' }]) {
      const ran = compose(env);
      assert.notEqual(ran.status, 0, missing);
      assert.match(ran.stderr, /put it into packaging\/\.env/);
    }
  }
  /* The sample is no answer to the question: its passwords are empty. */
  for (const name of Object.keys(PASSWORDS)) assert.match(read('packaging/compose.env'), new RegExp(`^${name}=$`, 'm'));
});

test('compose.yaml: settings are settings, nobody has rights, nothing is open to the network', { skip: MISSING || OF_NO_STORE || lacks('python3') }, () => {
  const { services, volumes } = composeFile();
  assert.deepEqual(Object.keys(services).sort(), ['postgres', 'potik', 'redis']);
  for (const [name, service] of Object.entries(services)) {
    assert.equal(service.read_only, true, name);
    assert.deepEqual(service.cap_drop, ['ALL'], name);
    assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
    for (const limit of ['mem_limit', 'cpus', 'pids_limit']) assert.ok(service[limit] !== undefined, `${name}: ${limit}`);
    for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:/, name);
    for (const volume of service.volumes ?? []) assert.ok(volume.split(':')[0] in volumes, volume);
    if (name !== 'potik') assert.equal(services.potik.depends_on[name].condition, 'service_healthy', name);
    if (name !== 'potik') assert.ok(service.healthcheck !== undefined && /^[1-9]\d*:/.test(service.user), name);
  }
  assert.deepEqual(services.potik.volumes.map((each) => each.split(':')[1]), ['/var/lib/potik']);
  assert.match(services.potik.ports[0], /:8700$/);
  assert.equal(services.potik.build.dockerfile, 'packaging/Dockerfile');
  const known = settingVariables();
  const named = Object.keys(services.potik.environment).filter((name) => name.startsWith('POTIK_'));
  assert.deepEqual(named.filter((name) => !known.has(name)), []);
});

test('compose.yaml: a server starts with its settings', { skip: MISSING || OF_NO_STORE || lacks('python3') }, async () => {
  const { environment } = composeFile().services.potik;
  const env = Object.fromEntries(Object.entries(environment).filter(([name]) => name.startsWith('POTIK_') && !['POTIK_STORE', 'POTIK_REDIS'].includes(name)));
  const server = await startServer({ env });
  const how = await server.stop();
  server.remove();
  assert.deepEqual(how, { code: 0, signal: null });
  for (const name of Object.keys(env)) assert.doesNotMatch(server.stderr, new RegExp(`config\\.unknown.*${name} is set`));
  assert.match(server.stderr, /^\{.*start\.done/m); // log-format json
});

const freePort = () => new Promise((resolve) => {
  const server = net.createServer();
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

test('compose.yaml: Redis starts with its password and answers its health check', { skip: OF_NO_STORE || lacks('redis-server') || lacks('redis-cli') || lacks('python3') }, async () => {
  const { redis } = composeFile().services;
  const port = await freePort();
  const [shell, flag, text] = redis.command.map((each) => each.replaceAll('$$', '$'));
  const env = { PATH: process.env.PATH, REDISCLI_AUTH: PASSWORDS.POTIK_REDIS_PASSWORD };
  const child = spawn(shell, [flag, text.replace('redis-server -', `redis-server - --port ${port} --bind 127.0.0.1`)], { env, stdio: 'ignore' });
  const ended = new Promise((resolve) => { child.on('close', resolve); });
  try {
    const [kind, check] = redis.healthcheck.test;
    assert.equal(kind, 'CMD-SHELL');
    const healthy = (with_) => spawnSync('sh', ['-c', check.replace('redis-cli', `redis-cli -h 127.0.0.1 -p ${port}`)], { env: with_, encoding: 'utf8' }).status === 0;
    await until('Redis', () => healthy(env));
    assert.equal(healthy({ PATH: env.PATH }), false, 'it answers without a password');
    assert.equal(healthy({ ...env, REDISCLI_AUTH: 'wrong' }), false, 'it answers to a wrong password');
    assert.ok(!fs.readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').includes('redis-secret'), 'the password stands in the list of processes');
  } finally {
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
  }
});

test('compose.yaml: the health check of PostgreSQL is a command line it takes', { skip: OF_NO_STORE || lacks('python3') || lacks('pg_isready') }, async () => {
  const [kind, ...words] = composeFile().services.postgres.healthcheck.test;
  assert.equal(kind, 'CMD');
  const port = await freePort();
  const ran = spawnSync(words[0], [...words.slice(1), `--port=${port}`], { encoding: 'utf8' });
  assert.equal(ran.status, 2, `${ran.stdout}${ran.stderr}`); // 2: no answer; 3: it could not even ask
});
