/*
 * A client as one would write it, on the types that openapi-typescript makes of /openapi.json: sends a batch and reads its verdicts, asks
 * for active users, and handles errors by their codes. test/flow/client.test.mjs makes the types, has tsc check this strictly, and
 * runs it: client.js ADDRESS WRITE_KEY READ_KEY. What must not pass the compiler stands under @ts-expect-error.
 */
import createClient from 'openapi-fetch';
import type { components, paths } from './contract.js';

const [address, writeKey, readKey] = process.argv.slice(2) as [string, string, string];
const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });
const client = createClient<paths>({ baseUrl: address });

const batch: components['schemas']['Event'][] = [
  { event_id: 'c-1', event_type: 'view', user_id: 'ann', properties: { page: '/', nested: { deep: [1, null] } } },
  { event_id: 'c-1', event_type: 'view', user_id: 'ann' },
  { event_type: 'view', anonymous_id: 'visitor', occurred_at: Date.now() },
  { event_id: 'c-2', event_type: 'view', user_id: 'bob', occurred_at: 'yesterday' },
];
const sent = await client.POST('/v1/events', { body: batch, params: { query: { detail: 'all' } }, headers: bearer(writeKey) });
if (sent.error !== undefined) throw new Error(sent.error.error.message);
const verdicts: ('accepted' | 'duplicate' | 'rejected')[] = sent.data.results ?? [];
const refused: { index: number; code: components['schemas']['EventErrorCode'] }[] = sent.data.errors;
const made: string | undefined = sent.data.assigned?.[0]?.event_id;
// @ts-expect-error: there is no such verdict
const wrong: 'lost'[] = verdicts;
// @ts-expect-error: an event needs its type
batch.push({ user_id: 'ann' });
batch.pop();

const dau = await client.GET('/v1/stats/dau', { params: { query: { min_position: sent.data.position, wait_ms: 10000 } }, headers: bearer(readKey) });
if (dau.error !== undefined || typeof dau.data === 'string') throw new Error('no numbers');
const [day, users]: [string, number] = dau.data.rows.at(-1)!;
// @ts-expect-error: dau has no such parameter
void (() => client.GET('/v1/stats/dau', { params: { query: { cohorts: 3 } } }));

/* A refusal of all events has the verdicts, other errors have none: the code tells, and the compiler knows it. */
const none = await client.POST('/v1/events', { body: [{ event_type: '', user_id: 'ann' }], headers: bearer(writeKey) });
let first: string | undefined;
if (none.error !== undefined && 'errors' in none.error) first = none.error.errors[0]?.field ?? undefined;

function wordOf(code: components['schemas']['ErrorCode']): string {
  switch (code) {
    case 'wrong_key_kind': return 'take the other key';
    case 'rate_limited': case 'overloaded': case 'behind': return 'again later';
    // @ts-expect-error: there is no such code
    case 'no_such_code': return '';
    default: return code;
  }
}
const other = await client.GET('/v1/stats/dau', { headers: bearer(writeKey) });
if (other.error === undefined) throw new Error('a write key reads nothing');

console.log(JSON.stringify({
  verdicts, refused, made: made !== undefined, day, users, first, wrong: wrong.length,
  other: { status: other.response.status, word: wordOf(other.error.error.code), field: other.error.error.field },
}));
