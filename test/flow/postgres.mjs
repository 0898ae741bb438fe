/*
 * postgres - a private PostgreSQL for tests: a cluster of its own in a temporary folder, on a unix socket and a free port of
 * 127.0.0.1, with Debian's binaries and none of Debian's clusters.
 *
 *     const cluster = await Postgres.start();
 *     const url = cluster.newDatabase();               // of an ordinary role: no superuser, may create no database
 *     cluster.query('SELECT 1', { url });              // through psql; as superuser where no url is given
 *     await cluster.kill9(); await cluster.restart();
 *     await cluster.close();                           // stopped by its process id, folder removed
 *
 * PostgreSQL refuses root: run by root, it is given to the user postgres (else nobody). fsync is on, as in life. A cluster ends
 * with this process: the postmaster is told at exit, and by the kernel where this process is killed.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

/** The folder of initdb and postgres: $POTIK_POSTGRES_BIN, else the newest of Debian's, else null. */
export const BINARIES = (() => {
  if (process.env.POTIK_POSTGRES_BIN !== undefined) return process.env.POTIK_POSTGRES_BIN;
  const place = '/usr/lib/postgresql';
  const versions = fs.existsSync(place) ? fs.readdirSync(place).filter((name) => fs.existsSync(path.join(place, name, 'bin/initdb'))) : [];
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
  return newest === undefined ? null : path.join(place, newest, 'bin');
})();
/** A reason to skip, or false. */
export const NO_POSTGRES = BINARIES === null ? 'no PostgreSQL on this machine (apt-get install postgresql-15)' : false;

const majorOf = (program) => Number(/ (\d+)/.exec(spawnSync(path.join(BINARIES, program), ['--version'], { encoding: 'utf8' }).stdout)?.[1]);
/** Why dumps and base backups cannot be made: their programs know no server newer than themselves. Or false. */
export const NO_COPIES = NO_POSTGRES || (majorOf('pg_dump') < majorOf('postgres') ? 'pg_dump and pg_basebackup are older than the server' : false);

/** The ordinary role of every database. Its password holds what a URL must escape. */
export const ROLE = 'potik';
export const PASSWORD = 'to ken@/%:?';
const ADMIN = 'admin';

/* Who the server runs as: undefined for oneself. */
const account = (() => {
  if (process.getuid() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const found = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm').exec(fs.readFileSync('/etc/passwd', 'utf8'));
    if (found) return { uid: Number(found[1]), gid: Number(found[2]) };
  }
  throw new Error('run by root, and there is no user postgres or nobody to run PostgreSQL as');
})();

const running = new Set();
process.on('exit', () => {
  for (const cluster of running) cluster.abandon();
});

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** `url` with another database, user, password, host or port. */
export function changedUrl(url, { database, user, password, host, port } = {}) {
  const changed = new URL(url);
  if (database !== undefined) changed.pathname = `/${database}`;
  if (user !== undefined) changed.username = user;
  if (password !== undefined) changed.password = encodeURIComponent(password);
  if (host !== undefined) changed.hostname = host;
  if (port !== undefined) changed.port = String(port);
  return changed.href;
}

/** SQL through psql: its output, unaligned, without headers. Fails with psql's words unless `isTried`: then { status, stdout, stderr }. */
export function query(url, sql, { isTried = false } = {}) {
  const ran = spawnSync(path.join(BINARIES, 'psql'), ['-X', '-qAt', '-v', 'ON_ERROR_STOP=1', '-d', url, '-f', '-'], {
    input: sql, encoding: 'utf8', maxBuffer: 1 << 28, env: { PATH: process.env.PATH, PGCONNECT_TIMEOUT: '10' },
  });
  if (isTried) return { status: ran.status, stdout: ran.stdout.trimEnd(), stderr: ran.stderr };
  assert.equal(ran.status, 0, `${sql.slice(0, 200)}: ${ran.stderr}`);
  return ran.stdout.trimEnd();
}

let made = 0;
/** A fresh database in the cluster of `adminUrl`, owned by the ordinary role: its URL. */
export function createDatabase(adminUrl) {
  const name = `t${process.pid}_${++made}`;
  query(adminUrl, `CREATE DATABASE ${name} OWNER ${ROLE};`);
  return changedUrl(adminUrl, { database: name, user: ROLE, password: PASSWORD });
}

/** One session that stays open: for transactions that last. */
export class Session {
  constructor(url) {
    this.child = spawn(path.join(BINARIES, 'psql'), ['-X', '-qAt', '-d', url], {
      env: { PATH: process.env.PATH, PGCONNECT_TIMEOUT: '10' }, stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.out = '';
    this.asked = 0;
    this.err = '';
    this.waiting = null;
    this.child.stdout.on('data', (part) => {
      this.out += part;
      this.waiting?.();
    });
    this.child.stderr.on('data', (part) => {
      this.err += part;
    });
    this.child.stdin.on('error', () => {}); /* told by the end of it */
    this.ended = new Promise((resolve) => {
      this.child.on('close', () => {
        this.isOver = true;
        this.waiting?.();
        resolve();
      });
    });
  }

  /** What these statements gave, once they are done. */
  async query(sql) {
    const mark = `-- done ${++this.asked} --`;
    this.child.stdin.write(`${sql}\n;\\echo '${mark}'\n`);
    while (!this.out.includes(`${mark}\n`)) {
      assert.ok(!this.isOver, `psql ended: ${this.err}`);
      await new Promise((resolve) => {
        this.waiting = resolve;
      });
    }
    this.waiting = null;
    const at = this.out.indexOf(`${mark}\n`);
    const answer = this.out.slice(0, at).trimEnd();
    this.out = this.out.slice(at + mark.length + 1);
    return answer;
  }

  async close() {
    this.child.stdin.end();
    await this.ended;
  }
}

export class Postgres {
  /**
   * `settings`: lines of postgresql.conf. `port`: 0 for a free one. `folder`: where the cluster is made (a new temporary folder).
   * `hasArchive`: every finished WAL file is kept in <folder>/archive, for point-in-time restores. `smallDisk`: a tmpfs of that size
   * for the tablespace `small`, in a mount namespace of the server's own (needs root; empty again after a restart).
   */
  constructor({ settings = {}, port = 0, folder = null, adminPassword = 'admin', hasArchive = false, smallDisk = null } = {}) {
    this.adminPassword = adminPassword;
    this.port = port;
    this.ownsFolder = folder === null;
    this.folder = folder ?? fs.mkdtempSync(path.join(os.tmpdir(), 'potik-postgres-'));
    this.data = path.join(this.folder, 'data');
    this.sockets = path.join(this.folder, 'run');
    this.logFile = path.join(this.folder, 'log');
    this.archive = path.join(this.folder, 'archive');
    this.small = path.join(this.folder, 'small');
    this.smallDisk = smallDisk;
    this.settings = { ...settings };
    if (hasArchive) {
      this.settings.archive_mode = 'on';
      this.settings.archive_command = `cp %p "${this.archive}/%f"`;
    }
    this.child = null;
    this.sessions = [];
  }

  static async start(options = {}) {
    const cluster = new Postgres(options);
    try {
      cluster.create();
      await cluster.start();
      cluster.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD '${PASSWORD}';`);
      if (cluster.smallDisk !== null) cluster.query(`CREATE TABLESPACE small LOCATION '${cluster.small}';`);
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  /** A program of PostgreSQL's, as the server's user. */
  run(program, words, { input = undefined, env = {} } = {}) {
    const ran = spawnSync(path.join(BINARIES, program), words, {
      ...account, input, encoding: 'utf8', maxBuffer: 1 << 28, cwd: this.folder,
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC', ...env },
    });
    assert.equal(ran.status, 0, `${program} ${words.join(' ')}: ${ran.error ?? ''}${ran.stderr}`);
    return ran.stdout;
  }

  #own(place) {
    if (account !== undefined) fs.chownSync(place, account.uid, account.gid);
  }

  makeFolders() {
    fs.mkdirSync(this.folder, { recursive: true });
    fs.chmodSync(this.folder, 0o711);
    for (const place of [this.sockets, this.archive, this.small]) fs.mkdirSync(place, { recursive: true });
    for (const place of [this.folder, this.sockets, this.archive, this.small]) this.#own(place);
  }

  /** initdb. */
  create() {
    this.makeFolders();
    const passwords = path.join(this.folder, 'password');
    fs.writeFileSync(passwords, `${this.adminPassword}\n`, { mode: 0o600 });
    this.#own(passwords);
    this.run('initdb', ['-D', this.data, '-U', ADMIN, '--auth=scram-sha-256', `--pwfile=${passwords}`, '--no-locale', '-E', 'UTF8', '--no-sync']);
    fs.rmSync(passwords);
    this.configure();
  }

  /** Writes the settings that are ours behind those of initdb. */
  configure() {
    const settings = {
      listen_addresses: '127.0.0.1', unix_socket_directories: this.sockets, max_connections: 200,
      shared_buffers: '64MB', max_wal_size: '1GB', autovacuum_naptime: '10s', log_line_prefix: '%m [%p] %d ', timezone: 'UTC', ...this.settings,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`);
    fs.appendFileSync(path.join(this.data, 'postgresql.conf'), `\n# the test's\n${lines.join('')}`);
  }

  get adminUrl() {
    return `postgresql://${ADMIN}:${this.adminPassword}@127.0.0.1:${this.port}/postgres`;
  }

  /** A database's URL through the unix socket. */
  socketUrl(url) {
    const { pathname, username, password } = new URL(url);
    return `postgresql://${username}:${password}@${pathname}?host=${encodeURIComponent(this.sockets)}&port=${this.port}`;
  }

  get pid() {
    return this.child?.pid ?? null;
  }

  get log() {
    return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, 'utf8') : '';
  }

  /** Starts the postmaster and waits till it takes connections. After kill9 its predecessor's children may need a moment to go. */
  async start({ limitMs = 30000 } = {}) {
    if (this.port === 0) this.port = await freePort(); /* and kept from now on */
    const end = Date.now() + limitMs;
    while (!(await this.#startOnce(end))) {
      assert.ok(Date.now() < end, `PostgreSQL did not start:\n${this.log.slice(-3000)}`);
      await sleep(50);
    }
    return this;
  }

  async #startOnce(end) {
    const out = fs.openSync(this.logFile, 'a');
    const words = account === undefined ? [] : ['--reuid', String(account.uid), '--regid', String(account.gid), '--clear-groups'];
    const serve = ['setpriv', ...words, '--pdeathsig', 'QUIT', path.join(BINARIES, 'postgres'), '-D', this.data, '-c', `port=${this.port}`];
    /* Each word before it becomes the next by exec, so that the process id stays. */
    const mount = this.smallDisk === null ? [] : ['unshare', '-m', '--propagation', 'private', 'sh', '-c',
      `mount -t tmpfs -o size=${this.smallDisk},uid=${account?.uid},gid=${account?.gid},mode=700 tmpfs "$0" && exec "$@"`, this.small];
    const child = spawn([...mount, ...serve][0], [...mount, ...serve].slice(1), {
      detached: true, /* ^C at a terminal is for the tests, which then stop it in order */
      cwd: this.folder, stdio: ['ignore', out, out], env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
    });
    fs.closeSync(out);
    this.child = child;
    running.add(this);
    child.on('error', () => {}); /* exited tells it */
    this.exited = new Promise((resolve) => {
      const over = () => {
        if (this.child === child) {
          this.child = null;
          running.delete(this);
        }
        resolve();
      };
      child.on('exit', over);
      child.on('error', over);
    });
    for (;;) {
      if (this.child !== child) return false;
      let lines = [];
      try {
        lines = fs.readFileSync(path.join(this.data, 'postmaster.pid'), 'utf8').split('\n');
      } catch (error) {
        if (error.code !== 'ENOENT') throw error;
      }
      if (Number(lines[0]) === child.pid && ['ready', 'standby'].includes(lines[7]?.trim())) return true;
      if (Date.now() > end) {
        await this.kill9();
        return false;
      }
      await sleep(10);
    }
  }

  /** 'INT' is a fast stop, 'QUIT' an immediate one (as if it had crashed), 'TERM' waits for every client. */
  async stop(signal = 'INT') {
    if (this.child === null) return;
    this.child.kill(`SIG${signal}`);
    await this.exited;
  }

  async restart(options) {
    await this.stop();
    return this.start(options);
  }

  /** The postmaster's children: backends and helpers. */
  get children() {
    if (this.child === null) return [];
    try {
      return fs.readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, 'utf8').trim().split(' ').filter((id) => id !== '').map(Number);
    } catch {
      return [];
    }
  }

  #signalAll(signal) {
    const ids = this.child === null ? [] : [this.child.pid, ...this.children];
    for (const id of ids) {
      try {
        process.kill(id, signal);
      } catch (error) {
        if (error.code !== 'ESRCH') throw error;
      }
    }
  }

  /** The whole server at once, as a machine's end would: postmaster, backends, helpers. */
  async kill9() {
    if (this.child === null) return;
    const { exited } = this;
    this.#signalAll('SIGSTOP'); /* so that none is born meanwhile */
    this.#signalAll('SIGKILL');
    await exited;
  }

  /** Stands still: connections stay open, nothing is answered. */
  pause() {
    this.#signalAll('SIGSTOP');
  }

  resume() {
    this.#signalAll('SIGCONT');
  }

  newDatabase() {
    return createDatabase(this.adminUrl);
  }

  query(sql, { url = this.adminUrl, isTried = false } = {}) {
    return query(url, sql, { isTried });
  }

  session(url = this.adminUrl) {
    const session = new Session(url);
    this.sessions.push(session);
    return session;
  }

  /** pg_dump of one database, as SQL. */
  dump(url) {
    return this.run('pg_dump', ['-d', url]);
  }

  /** Into an empty database of this cluster. */
  restore(url, dump) {
    this.query(dump, { url });
  }

  /** A copy of the whole cluster as it is now, not started: a base backup. `isReplica`: it goes on following this one. */
  copy({ isReplica = false, settings = {}, port = 0 } = {}) {
    const other = new Postgres({ settings: { ...this.settings, ...settings }, port });
    other.makeFolders();
    this.run('pg_basebackup', ['-d', this.adminUrl, '-D', other.data, '--checkpoint=fast', '--no-sync', '-X', 'stream', ...(isReplica ? ['-R'] : [])]);
    other.configure();
    return other;
  }

  /** A copy made by copy() will replay `archive` up to the named restore point, and open for writing there. */
  recoverTo(archive, name) {
    fs.appendFileSync(path.join(this.data, 'postgresql.conf'),
      `restore_command = 'cp "${archive}/%f" "%p"'\nrecovery_target_name = '${name}'\nrecovery_target_action = 'promote'\narchive_mode = off\n`);
    fs.writeFileSync(path.join(this.data, 'recovery.signal'), '');
    this.#own(path.join(this.data, 'recovery.signal'));
  }

  /** A replica becomes a primary. */
  promote() {
    assert.equal(this.query('SELECT pg_promote(true, 30);'), 't');
  }

  async close() {
    for (const session of this.sessions) session.child.kill();
    /* Nobody comes back to a temporary folder: no last checkpoint, which has to sync every file of every database. */
    await this.stop(this.ownsFolder ? 'QUIT' : 'INT');
    this.#remove();
  }

  #remove() {
    if (this.ownsFolder) fs.rmSync(this.folder, { recursive: true, force: true });
  }

  /** At node's exit: no waiting is possible any more. */
  abandon() {
    this.#signalAll('SIGKILL');
    try {
      this.#remove();
    } catch {
      /* a dying server may still write there; the folder is a temporary one */
    }
  }
}
