/**
 * The logs that docs/audit.md asks its questions of: a week of a small shop with two instances, one card really sealed.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordFieldInput, RecordInput } from '../../src/audit/format/record.js';
import { CardDetails } from '../../src/gen/payments/v1/payments.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { createReviewerKey, loadReviewerKey } from '../../src/keys/reviewer-keys.js';
import { KeyRing } from '../../src/keys/ring.js';
import { linesOf } from './log-attacks.js';
import { buildFromLines, buildLog, createTestSigner, writeLog } from './log-builder.js';

const OLD_KID = 'pT3xkqK7p1vYb9w0Jm2cZrQeUoLfDhGnSaXiVtByE4I';
const NEW_KID = '8Yd2NfWc5RsGqAzLxKvPbTjHmUeOiJtMr0gS6kB3hZ4';
const CARD = 'payments.v1.AuthorizeRequest.card';
const METHOD = '/payments.v1.PaymentService/';
/** Records that the checkpoint covers which was kept. */
const KEPT_RECORDS = 9;

interface Entry {
  readonly time: string;
  readonly input: RecordInput;
}

function entry(time: string, event: RecordInput['event'], changes: Partial<RecordInput> = {}): Entry {
  const none = { method: '', peer: '', principal: '', requestId: '', traceparent: '', detail: '', fields: [] };
  return { time, input: { event, durationUs: 0, ...none, ...changes } };
}

interface Call {
  readonly method?: string;
  readonly order: string;
  readonly amount: string;
  readonly kid: string;
  readonly token: string;
  readonly grant?: string | undefined;
}

function cardField(
  { order, amount, kid, token, grant }: Call,
  changes: Partial<RecordFieldInput> = {},
): RecordFieldInput {
  return {
    field: CARD,
    path: 'card',
    token,
    keep: true,
    header: { kid, alg: 'ECDH-ES+A256KW', enc: 'A256GCM' },
    bound: [
      ['order_id', order],
      ['amount_minor', amount],
      ['currency_code', 'EUR'],
    ],
    outcome: 'opened',
    reason: '',
    grant,
    ...changes,
  };
}

function authorize(time: string, principal: string, requestId: string, call: Call, reason = ''): Entry {
  const facts = { method: `${METHOD}Authorize`, peer: '10.20.0.7:50412', principal, requestId, durationUs: 210 };
  if (reason === '') return entry(time, 'open', { ...facts, fields: [cardField(call)] });
  const fields = [cardField(call, { keep: false, outcome: 'refused', reason })];
  return entry(time, 'reject', { ...facts, detail: `${reason} at card`, fields });
}

/** Makes `var/audit`, `second/audit`, `kept/` and `alice.json` in a folder. */
export async function writeReviewFolder(root: string): Promise<void> {
  const { publicFile } = await createReviewerKey(join(root, 'alice.json'));
  const [service, sessions, reviews] = [await KeyRing.create(), new SealingSessions(), new SealingSessions()];
  const session = await sessions.acquire(service.current());
  const grant = (await reviews.acquire(await loadReviewerKey(publicFile))).createGrant();
  const card = { number: '4111111111111111', expiryMonth: 12, expiryYear: 2031, holderName: 'Zoë Ñandú' };
  const iat = Date.UTC(2026, 0, 27, 9) / 1_000;
  const real = session.seal(
    CardDetails.encode(card).finish(),
    { field: CARD, cty: 'application/protobuf', iat },
    grant,
  );
  const token = (name: string) =>
    `${Buffer.from(JSON.stringify({ alg: 'ECDH-ES+A256KW', name })).toString('base64url')}.a.b.c.d`;
  const call = (order: string, amount: string, kid = OLD_KID): Call => ({ order, amount, kid, token: token(order) });
  const entries: Entry[] = [
    entry('2026-01-26T08:00:00.000Z', 'start'),
    authorize('2026-01-26T09:12:41.120Z', 'shop-web', 'req-4001', call('A-1000', '1250')),
    authorize('2026-01-27T09:00:02.007Z', 'shop-web', 'req-4002', {
      ...call('A-1001', '1999'),
      token: real,
      grant: grant.text,
    }),
    authorize('2026-01-27T09:00:02.950Z', 'shop-web', 'req-4003', call('A-1001', '1999'), 'REPLAYED'),
    authorize('2026-01-28T16:45:10.300Z', 'shop-app', 'req-4004', call('A-1002', '500')),
    entry('2026-01-28T17:02:55.811Z', 'openStored', {
      durationUs: 95,
      fields: [cardField({ ...call('A-1001', '1999'), token: real, grant: grant.text })],
    }),
    authorize('2026-01-29T03:11:07.001Z', 'unknown-relay', 'req-4005', call('A-1002', '1'), 'BINDING_MISMATCH'),
    authorize('2026-01-29T03:11:07.420Z', 'unknown-relay', 'req-4006', call('A-1003', '9900'), 'DECRYPTION_FAILED'),
    authorize('2026-01-29T10:30:00.640Z', 'shop-app', 'req-4007', call('A-1004', '7300')),
    entry('2026-01-30T12:00:00.000Z', 'rotate', { detail: `active ${NEW_KID}` }),
    authorize('2026-01-30T12:04:19.505Z', 'shop-web', 'req-4008', call('A-1005', '2400', NEW_KID)),
    authorize('2026-01-31T06:20:33.090Z', 'nightly-batch', 'req-4009', call('A-1006', '8800')),
    authorize('2026-01-31T08:00:00.111Z', 'shop-web', 'req-4010', call('A-1007', '315', NEW_KID)),
  ];
  const others: Entry[] = [
    entry('2026-01-26T08:00:04.000Z', 'start'),
    authorize('2026-01-27T09:00:02.400Z', 'shop-web', 'req-4101', call('A-1100', '6150')),
    authorize('2026-01-29T03:11:07.210Z', 'unknown-relay', 'req-4102', call('A-1002', '1'), 'BINDING_MISMATCH'),
    entry('2026-01-30T12:00:00.000Z', 'rotate', { detail: `active ${NEW_KID}` }),
    authorize('2026-01-30T18:20:51.033Z', 'shop-app', 'req-4103', call('A-1101', '800', NEW_KID)),
  ];
  mkdirSync(join(root, 'kept'));
  writeInstance(root, 'eu-1', entries, { log: 'var/audit', kept: ['checkpoint', 'log.vkey'] });
  writeInstance(root, 'eu-2', others, { log: 'second/audit', kept: ['second-checkpoint', 'second.vkey'] });
  await sessions.close();
  await reviews.close();
}

/** A log, and what a reviewer has kept of it. */
function writeInstance(
  root: string,
  instance: string,
  entries: readonly Entry[],
  names: { readonly log: string; readonly kept: readonly [checkpoint: string, vkey: string] },
): void {
  const signer = createTestSigner(`sealwire-payments/${instance}`);
  const input = (seq: number) => (entries[seq] as Entry).input;
  const time = (seq: number) => Date.parse((entries[seq] as Entry).time);
  const { lines } = linesOf(buildLog({ records: entries.length, signer, input, time }));
  writeLog(join(root, names.log), buildFromLines(lines, { signer, checkpointRecords: KEPT_RECORDS }));
  const kept = buildFromLines(lines.slice(0, KEPT_RECORDS), { signer });
  for (const [index, file] of ['checkpoint', 'log.vkey'].entries()) {
    writeFileSync(join(root, 'kept', names.kept[index] as string), kept.get(file) as Buffer);
  }
}
