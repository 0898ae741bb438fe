/*
 * contract - every reply that a flow test gets is held against the document (openapi/openapi.yaml, as the build made it): is this status
 * told for this operation, is the Content-Type, is the body as its schema says and holds nothing that it does not say, are the header
 * fields there. What is no route, or no method of its path, must be the one form of errors.
 *
 * server.mjs asks here for each reply; a test that fails by it says which pair differs. The document is closed for this: an object may have
 * no member that is not told, though clients should bear new ones. Which pairs (operation, status) a run has seen is kept in the
 * folder $POTIK_CONTRACT_SEEN, for tools/contract_report.
 *
 * Off where test/npm is not installed (ajv) or the build has no document; openapi.test.mjs then skips and says so.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { NO_NPM, fromNpm } from './npm.mjs';

const BUILD = path.resolve(process.env.POTIK_TEST_TOOLS ?? fileURLToPath(new URL('../../build', import.meta.url)));
const DOCUMENT = path.join(BUILD, 'src/api/openapi.json');
/** A reason to skip what needs the check, or false. */
export const NO_CONTRACT = NO_NPM || (fs.existsSync(DOCUMENT) ? false : `the build has no ${DOCUMENT}`);

export const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
/** What the server itself may say before it knows a route. */
const OF_ANY_PATH = [400, 404, 405, 408, 413, 414, 417, 429, 431, 500, 501, 503, 505];
const FORMATS = {
  date: /^\d{4}-\d{2}-\d{2}$/,
  'date-time': /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$/,
  password: true,
};

let loaded = null;
/** { document, operations, ajv }, read once. */
export function contract() {
  if (loaded !== null) return loaded;
  const { default: Ajv } = fromNpm('ajv/dist/2020');
  const document = JSON.parse(fs.readFileSync(DOCUMENT, 'utf8'));
  const ajv = new Ajv({ strict: false, validateSchema: false, logger: false, allErrors: false, formats: FORMATS });
  ajv.addSchema(closed(structuredClone(document)), 'potik');
  const operations = Object.entries(document.paths).flatMap(([pattern, item]) => METHODS.filter((method) => method in item)
    .map((method) => ({ pattern, method, id: item[method].operationId, operation: item[method], parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map((each) => deref(document, each)) })));
  loaded = { document, operations, ajv };
  return loaded;
}

export function deref(document, node) {
  return node?.$ref === undefined ? node : node.$ref.slice(2).split('/').reduce((place, step) => place[step], document);
}

/** Objects that list their members have no others. */
function closed(node) {
  if (Array.isArray(node)) node.forEach(closed);
  else if (node !== null && typeof node === 'object') {
    const isObject = [node.type].flat().includes('object');
    if (isObject && typeof node.properties === 'object' && node.additionalProperties === undefined) node.additionalProperties = false;
    Object.values(node).forEach(closed);
  }
  return node;
}

/** The document's path of a request's; null: no route. Raw segments, as the server matches them; a literal path wins. */
function findPath(document, target) {
  const given = target.split('?')[0].split('/');
  const fits = (pattern) => {
    const wanted = pattern.split('/');
    return wanted.length === given.length && wanted.every((word, i) => {
      const name = /^\{(\w+)\}$/.exec(word)?.[1];
      if (name === undefined) return word === given[i];
      const item = document.paths[pattern];
      const all = [...(item.parameters ?? []), ...METHODS.flatMap((method) => item[method]?.parameters ?? [])].map((each) => deref(document, each));
      const names = all.find((each) => each.in === 'path' && each.name === name)?.schema.enum;
      return given[i] !== '' && (names === undefined || names.includes(given[i]));
    });
  };
  const found = Object.keys(document.paths).filter(fits);
  return found.find((pattern) => !pattern.includes('{')) ?? found[0] ?? null;
}

function validator(steps) {
  const ref = `potik#/${steps.map((step) => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`;
  const found = contract().ajv.getSchema(ref);
  if (found === undefined) throw new Error(`contract: there is no schema at ${ref}`);
  return found;
}

function checkBody(steps, reply, what) {
  const type = reply.headers['content-type'];
  if (type === 'application/json' && reply.json === null) throw new Error(`contract: ${what}: the body is no JSON: ${reply.text.slice(0, 500)}`);
  const validate = validator(steps);
  if (!validate(reply.json)) throw new Error(`contract: ${what}: ${contract().ajv.errorsText(validate.errors, { dataVar: 'body' })}\n${reply.text.slice(0, 1000)}`);
}

const seen = new Set();
process.on('exit', () => {
  const folder = process.env.POTIK_CONTRACT_SEEN;
  if (folder === undefined || seen.size === 0) return;
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, `${process.pid}`), [...seen].map((pair) => `${pair}\n`).join(''));
});
export const hasSeen = (id, status) => seen.has(`${id} ${status}`);

/** Throws where the reply is none that the document tells. `reply`: as Server.request gives it. */
export function checkReply(method, target, reply) {
  if (NO_CONTRACT !== false) return;
  const { document } = contract();
  const what = `${method} ${target} → ${reply.status}`;
  const pattern = findPath(document, target);
  const item = pattern === null ? null : document.paths[pattern];
  const word = method === 'HEAD' ? 'get' : method.toLowerCase();
  const isBare = method === 'HEAD' || reply.status === 204 || reply.status === 304;
  if (isBare && reply.text !== '') throw new Error(`contract: ${what}: has a body`);
  if (item === null || !(word in item)) {
    if (method === 'OPTIONS' && reply.status === 204) return;
    if (!OF_ANY_PATH.includes(reply.status)) throw new Error(`contract: ${what}: is no route of the document`);
    if (!isBare) checkBody(['components', 'schemas', 'Error'], reply, what);
    return;
  }
  const operation = item[word];
  const told = operation.responses[reply.status];
  if (told === undefined) throw new Error(`contract: ${what}: ${operation.operationId} does not tell of this status: ${reply.text.slice(0, 500)}`);
  seen.add(`${operation.operationId} ${reply.status}`);
  const { content, headers = {} } = deref(document, told);
  for (const [name, header] of Object.entries(headers)) {
    const value = reply.headers[name.toLowerCase()];
    const { required, schema } = deref(document, header);
    if (value === undefined && required) throw new Error(`contract: ${what}: there is no ${name}`);
    if (value !== undefined && schema.pattern !== undefined && !new RegExp(schema.pattern).test(value)) throw new Error(`contract: ${what}: ${name}: ${value}`);
  }
  if (isBare) return;
  const type = (reply.headers['content-type'] ?? '').split(';')[0];
  if (content === undefined) {
    if (reply.text !== '' || type !== '') throw new Error(`contract: ${what}: has a body: ${reply.text.slice(0, 500)}`);
    return;
  }
  if (!(type in content)) throw new Error(`contract: ${what}: Content-Type ${type}`);
  if (type !== 'application/json' || reply.headers['content-encoding'] !== undefined) return;
  const place = told.$ref === undefined ? ['paths', pattern, word, 'responses', String(reply.status)] : told.$ref.slice(2).split('/');
  checkBody([...place, 'content', type, 'schema'], reply, what);
}

/** Of bytes that were no request: whatever came back is the one form of errors. */
export function checkRaw(text) {
  const status = Number(/^HTTP\/1\.1 ([45]\d\d) /.exec(text)?.[1]);
  if (NO_CONTRACT !== false || !status) return;
  const end = text.indexOf('\r\n\r\n');
  const body = text.slice(end + 4);
  if (end < 0 || body === '' || body.includes('HTTP/1.1 ')) return; /* cut, of HEAD, or more than one reply */
  checkBody(['components', 'schemas', 'Error'], { headers: { 'content-type': /^content-type: (.*)\r$/im.exec(text.slice(0, end + 2))?.[1] }, text: body, json: JSON.parse(body) }, `raw bytes → ${status}`);
}
