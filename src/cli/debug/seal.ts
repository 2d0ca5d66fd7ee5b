/** `sealwire seal` and `sealwire open`: one inner message to one token, and back. */
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { AuditLog } from '../../audit/write/audit-log.js';
import { SealwireError } from '../../errors.js';
import { servicePaths } from '../../files/service-paths.js';
import { descriptorSet } from '../../gen/descriptors.js';
import { chooseOrigin } from '../../host/audit/log-origin.js';
import { HSM_PIN_VARIABLE } from '../../host/config.js';
import { peekHeader } from '../../jwe/header.js';
import { TokenOpener } from '../../jwe/opener.js';
import { SealingSessions } from '../../jwe/sender.js';
import { sha256 } from '../../jwe/sha256.js';
import { PASSPHRASE_VARIABLE } from '../../keys/passphrase.js';
import { Pkcs11Custody } from '../../keys/pkcs11/pkcs11-custody.js';
import { KeyRing } from '../../keys/ring.js';
import { encodeSite } from '../../schema/seal-sites.js';
import { type JsonField, JsonSchema } from '../json/json-messages.js';
import { readJson } from '../json/json-reader.js';
import { readOne } from '../json/messages-in.js';
import type { PlaceFlags } from '../keys/keys-options.js';
import { askOnce } from '../keys/place.js';
import { print, printJson } from '../output.js';
import { readSecret } from '../secret-input.js';
import { loadDescriptors, openKeySource } from '../target/target.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from '../target/target-options.js';
import { inspectToken } from './inspect-token.js';
import { readToken } from './token-in.js';

/** Flags of `seal`. */
export interface SealFlags extends TargetFlags, KeyFlags, SchemaFlags {
  readonly data: string;
  readonly bound?: string;
}

/** Flags of `open`. */
export interface OpenFlags extends PlaceFlags {
  readonly reason: string;
  readonly field?: string;
  readonly audit?: string;
  readonly name: string;
  readonly descriptors?: string;
  readonly module?: string;
  readonly pinFile?: string;
  readonly json?: boolean;
}

const MAX_REASON = 400;

/** Prints one token. */
export async function seal(fieldName: string, flags: SealFlags): Promise<void> {
  const field = new JsonSchema(await loadDescriptors(flags, undefined)).field(fieldName);
  if (flags.data === '@' && flags.bound === '@') {
    throw new SealwireError('OPTIONS_INVALID', 'only one of --data and --bound can come from stdin');
  }
  const value = field.inner.fromJson(await readOne('--data', flags.data));
  const holder = flags.bound === undefined ? {} : field.holder.fromJson(await readOne('--bound', flags.bound));
  if (field.plan.bind.length > 0 && flags.bound === undefined) {
    const names = field.plan.bind.map(({ name }) => name).join(', ');
    throw new SealwireError('OPTIONS_INVALID', `${fieldName} binds ${names}: give their values with --bound JSON`);
  }
  const keys = await openKeySource(flags);
  const sessions = new SealingSessions();
  try {
    const session = await sessions.acquire(await keys.current(field.plan.recipient));
    const site = { field: field.plan, path: field.plan.name, value, holder };
    await print(`${encodeSite(site, session, Math.floor(Date.now() / 1000), sha256)}\n`);
  } finally {
    await sessions.close();
    keys.close();
  }
}

/** Opens a token with the service's ring, records that, and only then prints what is inside. */
export async function open(argument: string | undefined, flags: OpenFlags): Promise<void> {
  const reason = flags.reason.trim();
  if (reason === '' || reason.length > MAX_REASON) {
    throw new SealwireError('OPTIONS_INVALID', `--reason must say why, in at most ${MAX_REASON} characters`);
  }
  const token = await readToken(argument);
  // First, because its errors say what the text is if it is no token.
  const { header, kind, findings } = inspectToken(token, { nowMs: Date.now() });
  const broken = findings.find(({ rule }) => rule === 'parts');
  if (broken !== undefined) throw new SealwireError('SEAL_INPUT', broken.problem);
  if (kind !== 'sealed field') throw new SealwireError('SEAL_INPUT', `this is a ${kind}, which no key ring opens`);
  const fieldName = flags.field ?? header['fld'];
  if (typeof fieldName !== 'string') {
    throw new SealwireError('OPTIONS_INVALID', 'the token names no field: give its full name with --field');
  }
  const field = findField(fieldName, await readSchema(flags));
  const plaintext = await decrypt(token, fieldName, flags);
  const value = decode(field, plaintext.bytes, plaintext.cty);
  await record(token, fieldName, reason, flags);
  await printJson(flags.json === true ? { field: fieldName, type: field.inner.typeName, value } : value);
}

async function readSchema({ descriptors }: OpenFlags): Promise<JsonSchema> {
  if (descriptors === undefined) return new JsonSchema(Buffer.from(descriptorSet, 'base64'));
  return new JsonSchema(await loadDescriptors({ descriptors, address: '' }, undefined));
}

function findField(name: string, schema: JsonSchema): JsonField {
  try {
    return schema.field(name);
  } catch (error) {
    // The name comes from an unchecked header: it is not repeated.
    if (!(error instanceof SealwireError)) throw error;
    throw new SealwireError(
      'OPTIONS_INVALID',
      'the schema has no such sealed field; give --descriptors FILE or --field NAME',
    );
  }
}

async function decrypt(
  token: string,
  field: string,
  flags: OpenFlags,
): Promise<{ bytes: Buffer; cty: string | undefined }> {
  const { dir, ring: ringFile, passphraseFile, module, pinFile } = flags;
  const passphrase = askOnce({ name: 'passphrase', file: passphraseFile, variable: PASSPHRASE_VARIABLE });
  const hardware = new Pkcs11Custody({
    modulePath: module,
    readPin: ({ pinSource }) => readSecret({ name: 'PIN', file: pinSource ?? pinFile, variable: HSM_PIN_VARIABLE }),
  });
  try {
    const path = ringFile === undefined ? servicePaths(resolve(dir)).ring : resolve(ringFile);
    const keys = await KeyRing.load(path, { passphrase, hardware });
    const opener = new TokenOpener({ keys, policy: 'interop' });
    const { bnd } = inspectToken(token, { nowMs: Date.now() }).header;
    // Whoever has only the token does not know the values that it was bound to.
    const expected = { field, ...(typeof bnd === 'string' && { bound: bnd }) };
    const parsed = opener.check(token, expected, 'stored');
    return { bytes: await opener.open(parsed, 'sealwire open', 'stored'), cty: parsed.header.cty };
  } finally {
    await hardware.close();
  }
}

function decode({ inner }: JsonField, bytes: Buffer, cty: string | undefined): unknown {
  try {
    return inner.toJson(
      cty === 'application/protobuf' ? inner.decode(bytes) : inner.fromJson(readJson(bytes.toString('utf8'))),
    );
  } catch {
    // The decoder's message may quote the plaintext.
    throw new SealwireError('INNER_DECODE', `what was sealed is not a ${inner.typeName}`);
  }
}

/** Durable before anything is shown. */
async function record(token: string, field: string, reason: string, flags: OpenFlags): Promise<void> {
  const dir = resolve(flags.dir);
  const { audit } = flags;
  const log = await AuditLog.open({
    dir: audit === undefined ? servicePaths(dir).audit : resolve(audit),
    origin: (begun) => begun ?? chooseOrigin(flags.name)(begun),
    ...(audit === undefined && { keyFile: servicePaths(dir).log }),
  }).catch((error: unknown) => {
    if (!(error instanceof SealwireError)) throw error;
    const hint = audit === undefined ? '; --audit gives another folder' : '';
    throw new SealwireError(error.code, `${error.message}${hint}`);
  });
  try {
    await log.commit({
      event: 'reveal',
      method: '',
      peer: '',
      principal: userInfo().username,
      requestId: '',
      traceparent: '',
      durationUs: 0,
      detail: reason,
      fields: [
        { field, path: '', token, keep: false, header: headerOf(token), bound: [], outcome: 'opened', reason: '' },
      ],
    });
  } finally {
    await log.close();
  }
}

function headerOf(token: string): { kid: string; alg: string; enc: string } {
  const { kid = '', alg = '', enc = '' } = peekHeader(token);
  return { kid, alg, enc };
}
