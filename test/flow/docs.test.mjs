/*
 * The manual in a real browser: GET /docs shows every operation, loads nothing from anywhere else, keeps to its strict policy, and sends
 * requests with the key that is typed in. Debian's Chromium, driven by playwright-core.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { MISSING, OF_NO_STORE, startServer, temporaryFolder } from './server.mjs';
import { NO_NPM, fromNpm } from './npm.mjs';

const CHROMIUM = '/usr/bin/chromium';
const NO_BROWSER = fs.existsSync(CHROMIUM) ? false : `there is no ${CHROMIUM}`;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

test('the manual\'s files: as gzip or plain, with a tag that is answered by 304', { skip: MISSING || OF_NO_STORE }, async (t) => {
  const server = await startServer();
  t.after(() => server.close());
  const ask = (path, headers = {}, method = 'GET') => server.request({ method, path, headers });
  for (const [path, type] of [['/openapi.json', 'application/json'], ['/docs', 'text/html; charset=utf-8'], ['/docs/page.css', 'text/css; charset=utf-8'],
    ['/docs/start.js', 'text/javascript; charset=utf-8'], ['/docs/swagger-ui.css', 'text/css; charset=utf-8'], ['/docs/swagger-ui-bundle.js', 'text/javascript; charset=utf-8']]) {
    const plain = await ask(path);
    const again = await ask(path, { 'accept-encoding': 'identity' });
    const packed = await ask(path, { 'accept-encoding': 'br;q=1.0, gzip;q=0.8' });
    assert.deepEqual([plain.status, again.status, packed.status], [200, 200, 200], path);
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.ok(packed.bytes.length < plain.bytes.length || plain.bytes.length < 1000);
    assert.ok(gunzipSync(packed.bytes).equals(plain.bytes) && again.bytes.equals(plain.bytes), path);
    for (const reply of [plain, packed]) {
      assert.equal(reply.headers['content-type'], type);
      assert.equal(reply.headers['x-content-type-options'], 'nosniff');
      assert.equal(reply.headers['cache-control'], 'no-cache');
      assert.match(reply.headers.vary, /Accept-Encoding/);
    }
    assert.notEqual(plain.headers.etag, packed.headers.etag);
    for (const [headers, status] of [[{ 'if-none-match': plain.headers.etag }, 304], [{ 'if-none-match': `"x", W/${plain.headers.etag}` }, 304],
      [{ 'if-none-match': '*' }, 304], [{ 'if-none-match': packed.headers.etag }, 200], [{ 'if-none-match': packed.headers.etag, 'accept-encoding': 'gzip' }, 304],
      [{ 'accept-encoding': 'gzip;q=0' }, 200], [{ 'if-none-match': '' }, 200]]) {
      const reply = await ask(path, headers);
      assert.equal(reply.status, status, `${path} ${JSON.stringify(headers)}`);
      if (status === 304) assert.equal(reply.bytes.length, 0);
    }
    const head = await ask(path, {}, 'HEAD');
    assert.deepEqual([head.status, head.bytes.length, head.headers['content-length']], [200, 0, String(plain.bytes.length)]);
  }
  /* The names that the document tells of are those there are. */
  const { enum: names } = (await ask('/openapi.json')).json.paths['/docs/{file}'].get.parameters.find((each) => each.name === 'file').schema;
  for (const name of names) assert.equal((await ask(`/docs/${name}`)).status, 200, name);
  for (const name of ['', 'docs.html', 'openapi.json', '..', 'page.css/', 'swagger-ui-bundle.js.map']) assert.equal((await ask(`/docs/${name}`)).status, 404, name);
  const policy = (await ask('/docs')).headers['content-security-policy'];
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*|http/);
  for (const path of ['/', '/docs']) assert.match((await ask(path)).text, /openapi\.json/);
  assert.match((await ask('/')).text, /href="docs"/);
});

test('the manual in Chromium: every operation, no word of complaint, and a request that is sent', { skip: MISSING || OF_NO_STORE || NO_NPM || NO_BROWSER, timeout: 120000 }, async (t) => {
  const { chromium } = fromNpm('playwright-core');
  const server = await startServer();
  const profile = temporaryFolder('chromium');
  const browser = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, headless: true, args: FLAGS, chromiumSandbox: false });
  t.after(async () => {
    await browser.close();
    fs.rmSync(profile, { recursive: true, force: true });
    await server.close();
  });
  const page = await browser.newPage();
  const complaints = [];
  const elsewhere = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  browser.on('request', (request) => {
    if (!request.url().startsWith(`${server.address}/`) && !request.url().startsWith('data:')) elsewhere.push(request.url());
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
  });
  await page.goto(`${server.address}/docs`);
  await page.waitForSelector('.opblock');

  const document = (await server.request({ path: '/openapi.json' })).json;
  const documented = Object.entries(document.paths).flatMap(([path, item]) => Object.keys(item)
    .filter((word) => word !== 'parameters').map((method) => `${method.toUpperCase()} ${path}`)).sort();
  const shown = await page.$$eval('.opblock', (blocks) => blocks.map((block) => `${block.querySelector('.opblock-summary-method').textContent} ${block.querySelector('.opblock-summary-path').getAttribute('data-path')}`));
  assert.deepEqual(shown.sort(), documented);

  /* The key is typed in, and the example sent as it stands. */
  await page.click('button.authorize');
  const field = page.locator('.auth-container', { hasText: 'writeKey (http' });
  await field.locator('input').fill(server.keys.write);
  await field.locator('button.authorize').click();
  await page.click('.btn-done');
  await page.click('#operations-Events-sendEvents .opblock-summary-control');
  const block = page.locator('#operations-Events-sendEvents');
  await block.locator('button.execute').click();
  const status = block.locator('.live-responses-table tbody .response-col_status');
  await status.waitFor();
  assert.match(await status.textContent(), /^200/);
  assert.match(await block.locator('.live-responses-table tbody .response-col_description').textContent(), /"accepted": 1/);
  const stored = await server.request({ path: '/v1/events?limit=10', headers: { authorization: `Bearer ${server.keys.read}` } });
  assert.deepEqual(stored.json.events.map((event) => event.event_id), ['e-1']);

  /* One operation of each kind opened: what it shows keeps to the policy, too. (All of them at once take a minute to draw.) */
  for (const name of ['Stats-getRetention', 'Login-logIn', 'Projects-changeProject', 'Operation-getDocsFile']) {
    await page.click(`#operations-${name} .opblock-summary-control`);
    await page.locator(`#operations-${name} .responses-table`).first().waitFor();
  }
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  assert.deepEqual(complaints, []);
  assert.deepEqual(elsewhere, []);
});
