/** `sealwire audit open`: one record in clear for a reviewer, recorded in the reviewer's own log before it is shown. */
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { isTransient, type LogField, type LogRecord } from '../../audit/format/log-record.js';
import { readOrThrow } from '../../audit/read/line-blocks.js';
import { findRecord, followRef } from '../../audit/read/read-records.js';
import { AuditLog } from '../../audit/write/audit-log.js';
import { SealwireError } from '../../errors.js';
import { SealedPaymentService } from '../../gen/payments/v1/payments_sealed.js';
import { ExitCode } from '../../host/process/exit.js';
import { type GrantedContent, grantKid, openGranted } from '../../jwe/grant.js';
import { PASSPHRASE_VARIABLE } from '../../keys/passphrase.js';
import { loadReviewerPrivateKey, type ReviewerPrivateKey } from '../../keys/reviewer-keys.js';
import { createPlans } from '../../loader/create-plans.js';
import type { InnerCodec } from '../../schema/plan.js';
import { collectFields } from '../../server/stored/open-stored.js';
import { print } from '../output.js';
import { readSecret } from '../secret-input.js';
import { asInput } from './kept.js';
import { visible, visibleJson } from './record-text.js';

/** Flags of `open`. */
export interface OpenFlags {
  readonly dir: string;
  readonly reviewerKey: string;
  readonly reason: string;
  readonly reviewLog: string;
  /** Default: all fields that have a grant. */
  readonly path?: string;
  /** `FileDescriptorSet` of the service's protos. Default: those of the reference service. */
  readonly descriptors?: string;
  /** Default: the name of the user who runs this. */
  readonly who?: string;
  /** Passphrase file of the reviewer's key, if the key is encrypted. */
  readonly passphraseFile?: string;
}

/** Origin of reviewers' logs. */
const REVIEW_ORIGIN = 'sealwire-reviews';
const MAX_REASON = 400;
/** Leaves room for the rest: texts of a record are cut to 512 characters. */
const MAX_ORIGIN = 64;

/** @returns exit code: 1 when the record has no grant for this key, or cannot be opened with it */
export async function open(seq: number, flags: OpenFlags): Promise<number> {
  const reason = flags.reason.trim();
  if (reason === '' || reason.length > MAX_REASON) {
    throw new SealwireError('OPTIONS_INVALID', `--reason must say why, in at most ${MAX_REASON} characters`);
  }
  if (flags.reviewerKey.endsWith('.pub.json')) {
    throw new SealwireError(
      'OPTIONS_INVALID',
      `${flags.reviewerKey}: the public key; --reviewer-key takes the private one`,
    );
  }
  const codecs = readCodecs(flags.descriptors);
  const key = await loadReviewerPrivateKey(flags.reviewerKey, () =>
    readSecret({ name: 'passphrase', file: flags.passphraseFile, variable: PASSPHRASE_VARIABLE }),
  );
  const found = findRecord(flags.dir, seq);
  if (typeof found === 'string') return refuse(seq, found === 'removed' ? 'its segment was removed' : 'no such record');
  if (found.record === undefined) return refuse(seq, 'the line is not a record');
  const { record } = found;
  // Otherwise the review log would name another record.
  if (record.seq !== seq) return refuse(seq, 'the line has another number; run sealwire audit verify');
  const fields = record.fields.filter(({ path }) => flags.path === undefined || path === flags.path);
  if (fields.length === 0) return refuse(seq, 'no such field');
  const followed = fields.map((field) => followRef(flags.dir, record, field));
  const whole = followed.filter((field) => typeof field !== 'string');
  const granted = whole.filter(({ grant, token }) => grant !== null && typeof token === 'string');
  const why = followed.find((field) => typeof field === 'string');
  if (granted.length === 0 && why !== undefined) return refuse(seq, visible(why));
  if (granted.length === 0 && fields.every((field) => isTransient(field, record))) {
    return refuse(seq, `${visible(fields.map(({ path }) => path).join(', '))}: transient, never granted`);
  }
  if (granted.length === 0) return refuse(seq, 'it carries no grant, so no reviewer can open it');
  const opened: object[] = [];
  for (const field of granted) {
    const value = openField(field, key, codecs);
    if (typeof value === 'string') return refuse(seq, `${visible(field.path)}: ${value}`);
    opened.push(value);
  }
  await recordOpening(record, granted, reason, flags);
  await print(`${visibleJson({ seq, origin: record.origin, time: record.time, fields: opened }, 2)}\n`);
  return ExitCode.DONE;
}

type Codecs = (field: string) => InnerCodec | undefined;

function readCodecs(path: string | undefined): Codecs {
  if (path === undefined) {
    const fields = collectFields([SealedPaymentService]);
    return (name) => fields.get(name)?.codec;
  }
  const bytes = readOrThrow(path, () => readFileSync(path));
  const plans = asInput(path, () => createPlans(bytes, { longs: String, enums: String, bytes: String }));
  return (name) => plans.innerCodec(name);
}

/** @returns what is shown, or why it is not */
function openField({ field, path, token, grant }: LogField, key: ReviewerPrivateKey, codecs: Codecs): object | string {
  if (grantKid(grant as string) !== key.kid) return `the grant is for another key than ${key.kid}`;
  const codec = codecs(field);
  if (codec === undefined) return `no descriptor of ${visible(field)}; give --descriptors FILE`;
  let content: GrantedContent;
  try {
    content = openGranted(token as string, grant as string, key.privateKey);
  } catch {
    return 'the grant does not open the token';
  }
  try {
    const { plaintext, cty } = content;
    const value =
      cty === 'application/protobuf' ? codec.decode(plaintext) : codec.decodeJson(plaintext.toString('utf8'));
    return { path, field, type: codec.typeName, value };
  } catch {
    // The decoder's message may quote the plaintext.
    return `what was sealed is not a ${codec.typeName}`;
  }
}

/** Who opened what, and why: durable before anything is shown. */
async function recordOpening(record: LogRecord, fields: readonly LogField[], reason: string, flags: OpenFlags) {
  const log = await AuditLog.open({ dir: flags.reviewLog, origin: REVIEW_ORIGIN });
  try {
    await log.commit({
      event: 'reveal',
      method: record.method,
      peer: '',
      principal: flags.who ?? userInfo().username,
      requestId: record.requestId,
      traceparent: record.traceparent,
      durationUs: 0,
      detail: `record ${record.seq} of ${record.origin.slice(0, MAX_ORIGIN)}: ${reason}`,
      fields: fields.map(({ field, path, token, kid, alg, enc, bound }) => ({
        field,
        path,
        token: token as string,
        keep: false,
        header: { kid, alg, enc },
        bound,
        outcome: 'opened',
        reason: '',
      })),
    });
  } finally {
    await log.close();
  }
}

function refuse(seq: number, why: string): number {
  process.stderr.write(`record ${seq}: ${why}\n`);
  return ExitCode.NEGATIVE;
}
