/*
 * access - what tests of access control share: requests with a token, and logging in.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';

/** One request; its body as JSON, or the whole reply where `expect` is not given. */
export async function api(server, method, target, { token = null, body = undefined, expect = undefined, headers = {} } = {}) {
  const text = body === undefined ? null : JSON.stringify(body);
  const reply = await server.request({
    method, path: target, body: text,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(text === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }), ...headers,
    },
  });
  if (expect === undefined) return reply;
  assert.equal(reply.status, expect, `${method} ${target}: ${reply.status} ${reply.text}`);
  return reply.json;
}

export async function logIn(server, account) {
  return (await api(server, 'POST', '/v1/auth/login', { body: account, expect: 200 })).access_token;
}

/** The account of the first start, from first-run.txt. */
export function firstAdmin(server) {
  const text = fs.readFileSync(path.join(server.dataDir, 'first-run.txt'), 'utf8');
  const of = (name) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1];
  return { email: of('admin_email'), password: of('admin_password') };
}

export const adminLogin = (server) => logIn(server, firstAdmin(server));
