/*
 * redis - a private Redis for tests: Debian's Redis in a temporary folder, on a free port of 127.0.0.1 and a unix socket,
 * that keeps nothing on disk.
 *
 *     const redis = await Redis.start({ password });
 *     redis.url; redis.socketUrl;
 *     await redis.kill9(); await redis.restart();     // the same port
 *     redis.pause(); redis.resume();
 *     await redis.close();                            // ended by its process id, folder removed
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { freePort } from './postgres.mjs';
import { temporaryFolder, until } from './server.mjs';

/* The server's own program under another name; the package redis-server would start a server of Debian's. */
const BINARY = '/usr/bin/redis-check-rdb';
/** A reason to skip, or false. */
export const NO_REDIS = fs.existsSync(BINARY) ? false : 'no Redis on this machine (apt-get install redis-tools)';

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Redis {
  static async start({ flags = [], password = '' } = {}) {
    const redis = new Redis();
    redis.dir = temporaryFolder('redis');
    redis.port = await freePort();
    redis.socket = path.join(redis.dir, 'redis.sock');
    redis.password = password;
    redis.flags = flags;
    await redis.restart();
    return redis;
  }

  get url() {
    return `redis://${this.password === '' ? '' : `:${encodeURIComponent(this.password)}@`}127.0.0.1:${this.port}`;
  }

  get socketUrl() {
    return `unix:${this.socket}`;
  }

  async restart() {
    const flags = ['--port', this.port, '--bind', '127.0.0.1', '--unixsocket', this.socket, '--dir', this.dir, '--save', '', '--appendonly', 'no',
      '--daemonize', 'no', ...(this.password === '' ? [] : ['--requirepass', this.password]), ...this.flags].map(String);
    this.child = spawn(BINARY, flags, { stdio: 'ignore', argv0: 'redis-server' });
    running.add(this.child);
    const { child } = this;
    this.ended = new Promise((resolve) => { child.on('exit', () => { running.delete(child); resolve(); }); });
    await until('Redis answers', () => new Promise((resolve) => {
      const probe = net.connect(this.port, '127.0.0.1', () => { probe.destroy(); resolve(true); });
      probe.on('error', () => resolve(false));
    }));
  }

  async kill9() {
    this.child.kill('SIGCONT');
    this.child.kill('SIGKILL');
    await this.ended;
  }

  pause() { this.child.kill('SIGSTOP'); }
  resume() { this.child.kill('SIGCONT'); }

  /** What redis-cli prints. */
  ask(...words) {
    const asked = spawnSync('/usr/bin/redis-cli', ['-s', this.socket, ...words], { encoding: 'utf8', env: { ...process.env, REDISCLI_AUTH: this.password } });
    return asked.stdout.trim();
  }

  async close() {
    await this.kill9();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
