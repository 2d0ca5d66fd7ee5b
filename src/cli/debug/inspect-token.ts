/** What a token shows without any key. Pure; nothing in the token is trusted. */
import { createPublicKey } from 'node:crypto';
import { SealwireError } from '../../errors.js';
import { decodeCanonical } from '../../jwe/base64url.js';
import { parseMembers } from '../../jwe/header.js';
import { sha256 } from '../../jwe/sha256.js';
import { parseToken } from '../../jwe/token.js';
import {
  encryptedKeyBytes,
  encryptions,
  isContentEncryption,
  isCurve,
  isKeyAlgorithm,
} from '../../profile/algorithms.js';
import { DEFAULT_LIMITS } from '../../profile/limits.js';
import { checkPolicy, MAX_AGE_SECONDS, MAX_SKEW_SECONDS, TOKEN_TYPE } from '../../profile/policy.js';
import { told } from '../output.js';

/** A rule of the strict policy that a token breaks. */
export interface Finding {
  readonly rule: string;
  readonly problem: string;
  readonly fix: string;
}

/** What the token is compared with. */
export interface InspectContext {
  readonly nowMs: number;
  /** Full name of the field it is sent in. Default: the one that the token names. */
  readonly field?: string | undefined;
  /** `bnd` at that place; undefined: not known; null: the field binds nothing. */
  readonly bound?: string | null | undefined;
}

/** All findings. */
export interface Inspection {
  readonly kind: 'sealed field' | 'reply token' | 'reply' | 'signed token' | 'cut token';
  /** Decoded header members, as they are. */
  readonly header: Readonly<Record<string, unknown>>;
  /** In bytes; those of parts after decoding. */
  readonly sizes: Readonly<Record<'token' | 'header' | 'encryptedKey' | 'iv' | 'ciphertext' | 'tag', number>>;
  /** By the given clock; undefined without `iat`. */
  readonly ageSeconds: number | undefined;
  /** As audit logs have it; undefined for what is not a whole token. */
  readonly digest?: string;
  readonly findings: readonly Finding[];
}

const PARTS = ['header', 'encryptedKey', 'iv', 'ciphertext', 'tag'] as const;

/**
 * @param token any text
 * @throws SealwireError `SEAL_INPUT` when not even its header can be read
 */
export function inspectToken(token: string, context: InspectContext): Inspection {
  const parts = token.split('.');
  const decoded = parts.map((part) => Buffer.from(part, 'base64url'));
  const header = readHeader(token, decoded[0] as Buffer, parts.length);
  const size = (index: number) => decoded[index]?.length ?? 0;
  const sizes = {
    token: token.length,
    header: size(0),
    encryptedKey: size(1),
    iv: size(2),
    ciphertext: size(3),
    tag: size(4),
  };
  const { iat, alg, fld } = header;
  const ageSeconds = Number.isSafeInteger(iat) ? Math.floor(context.nowMs / 1000) - (iat as number) : undefined;
  if (parts.length !== 5) return { ...whatElse(header, parts.length), header, sizes, ageSeconds };
  const kind = alg === 'A256KW' ? 'reply' : fld === 'sealwire.v1.reply' ? 'reply token' : 'sealed field';
  const findings = [
    ...parts.flatMap((part, index) =>
      decodeCanonical(part) === undefined ? [notCanonical(PARTS[index] as string)] : [],
    ),
    ...checkHeaderForm(parts[0] as string),
    ...(kind === 'reply' ? checkReply(header, sizes) : checkMembers(header, sizes)),
    ...checkPlace(header, ageSeconds, kind, context),
  ];
  // The parser has the last word: a token that it refuses must not look good here.
  if (findings.length === 0 && kind !== 'reply') findings.push(...askParser(token, context));
  return { kind, header, sizes, ageSeconds, digest: sha256(token.replace(/\s/g, '')), findings };
}

/** What has a header, but not the five parts of a token. */
function whatElse({ enc, typ }: Record<string, unknown>, count: number): Pick<Inspection, 'kind' | 'findings'> {
  if (count === 3 && enc === undefined) {
    const problem = 'three parts and no enc: a signed token (a JWS, such as a JWT), which hides nothing';
    const fix = typ === 'jwk-set+jwt' ? 'sealwire keys verify --file FILE checks a key set' : 'give a sealed field';
    return { kind: 'signed token', findings: [finding('parts', problem, fix)] };
  }
  const problem = count < 5 ? `the token has ${count} of its 5 parts; it was cut` : `${count} parts, not 5`;
  return { kind: 'cut token', findings: [finding('parts', problem, 'copy the whole token')] };
}

function readHeader(text: string, bytes: Buffer, count: number): Record<string, unknown> {
  const header = bytes.toString('utf8');
  try {
    const value: unknown = JSON.parse(header);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Reported below.
  }
  throw new SealwireError('SEAL_INPUT', whyNoHeader(text, header, count));
}

function whyNoHeader(text: string, header: string, count: number): string {
  if (text.includes('-----BEGIN'))
    return 'this is PEM, not a token; a token is five parts of base64url with dots between them';
  if (text.startsWith('{'))
    return 'this is JSON, not a compact token; a token is five parts of base64url with dots between them';
  if (count === 1 && header.startsWith('{"'))
    return `the token was cut within its header, which begins ${told(header.replaceAll('"', "'"))}`;
  if (count === 5) return 'not a token: its first part is not a JSON object in base64url';
  return `not a token: ${count} part${count === 1 ? '' : 's'}, not 5`;
}

function finding(rule: string, problem: string, fix: string): Finding {
  return { rule, problem, fix };
}

function notCanonical(part: string): Finding {
  return finding(
    'base64url',
    `${part} is not canonical base64url`,
    'encode without padding, line breaks and stray bits (RFC 7515 §2); copy the whole token',
  );
}

function checkHeaderForm(part: string): Finding[] {
  try {
    parseMembers(part, DEFAULT_LIMITS.headerBytes);
    return [];
  } catch (error) {
    if (!(error instanceof SealwireError)) throw error;
    if (error.code === 'TOKEN_ENCODING') return [];
    return [finding('header', error.message, 'use the header members of the profile only, each once, at most 2 KiB')];
  }
}

type Sizes = Inspection['sizes'];

function checkMembers(header: Readonly<Record<string, unknown>>, sizes: Sizes): Finding[] {
  const { alg, enc, kid, typ, cty, fld, iat } = header;
  const found: Finding[] = [];
  const add = (rule: string, problem: string, fix: string) => found.push(finding(rule, problem, fix));
  if (sizes.token > DEFAULT_LIMITS.tokenBytes) add('size', 'the token is over 96 KiB', 'seal less');
  if (!isKeyAlgorithm(alg)) add('alg', `alg is ${told(alg)}`, 'use ECDH-ES+A256KW');
  if (!isContentEncryption(enc)) add('enc', `enc is ${told(enc)}`, 'use A256GCM');
  if (typeof kid !== 'string' || decodeCanonical(kid)?.length !== 32) {
    add(
      'kid',
      `kid is ${kid === undefined ? 'missing' : 'not a thumbprint'}`,
      "set kid to the RFC 7638 SHA-256 thumbprint of the recipient's key, as in its JWK Set",
    );
  }
  found.push(...checkEphemeral(header['epk']));
  if (isKeyAlgorithm(alg) && isContentEncryption(enc)) {
    const { ivBytes, tagBytes } = encryptions[enc];
    if (sizes.encryptedKey !== encryptedKeyBytes(alg, enc))
      add(
        'encrypted key',
        `has ${sizes.encryptedKey} bytes, not ${encryptedKeyBytes(alg, enc)}`,
        'copy the whole token',
      );
    if (sizes.iv !== ivBytes) add('iv', `has ${sizes.iv} bytes, not ${ivBytes}`, 'copy the whole token');
    if (sizes.tag !== tagBytes)
      add(
        'tag',
        `has ${sizes.tag} bytes, not ${tagBytes}`,
        'copy the whole token: its end is missing, or it was made with a short tag',
      );
  }
  if (typ !== TOKEN_TYPE) add('typ', `typ is ${told(typ)}`, `set typ to ${TOKEN_TYPE}`);
  if (cty !== 'application/protobuf' && cty !== 'application/json') {
    add('cty', `cty is ${told(cty)}`, 'set cty to application/protobuf, or application/json for proto3 JSON');
  }
  if (typeof fld !== 'string')
    add('fld', `fld is ${told(fld)}`, 'set fld to the full name of the field, e.g. payments.v1.AuthorizeRequest.card');
  if (!Number.isSafeInteger(iat) || (iat as number) < 0)
    add('iat', `iat is ${told(iat)}`, 'set iat to the time of sealing, in whole seconds since 1970');
  return found;
}

function checkEphemeral(epk: unknown): Finding[] {
  const fix = 'let the library make epk: exactly kty, crv, x and y, a fresh point on the curve of the recipient';
  if (typeof epk !== 'object' || epk === null) return [finding('epk', 'epk is missing', fix)];
  const { kty, crv, x, y } = epk as Record<string, unknown>;
  if (kty !== 'EC' || !isCurve(crv)) return [finding('epk', 'epk is not on P-521, P-384 or P-256', fix)];
  if (Object.keys(epk).length !== 4) return [finding('epk', 'epk has other members than kty, crv, x and y', fix)];
  try {
    createPublicKey({ key: { kty, crv, x: x as string, y: y as string }, format: 'jwk' });
    return [];
  } catch {
    return [finding('epk', `epk is not a point on ${crv}`, fix)];
  }
}

function checkReply({ rto, seq, kid }: Readonly<Record<string, unknown>>, sizes: Sizes): Finding[] {
  const found: Finding[] = [];
  const fix = 'replies are made by the service; copy the whole token';
  if (typeof rto !== 'string' || typeof kid !== 'string' || !Number.isSafeInteger(seq)) {
    found.push(finding('reply', 'rto, kid or seq is missing', fix));
  }
  if (sizes.encryptedKey !== 40 || sizes.iv !== 12 || sizes.tag !== 16)
    found.push(finding('reply', 'a part has a wrong length', fix));
  return found;
}

function checkPlace(
  { fld, bnd }: Readonly<Record<string, unknown>>,
  ageSeconds: number | undefined,
  kind: Inspection['kind'],
  { field, bound }: InspectContext,
): Finding[] {
  const found: Finding[] = [];
  if (ageSeconds !== undefined && kind !== 'reply') {
    const fix = 'seal right before sending, on a machine whose clock is right';
    if (ageSeconds > MAX_AGE_SECONDS)
      found.push(finding('age', `sealed ${ageSeconds} s ago, over ${MAX_AGE_SECONDS}`, fix));
    if (ageSeconds < -MAX_SKEW_SECONDS)
      found.push(finding('age', `sealed ${-ageSeconds} s in the future, over ${MAX_SKEW_SECONDS}`, fix));
  }
  if (field !== undefined && fld !== undefined && fld !== field) {
    found.push(finding('fld', `made for ${told(fld)}, not for ${field}`, 'seal for the field that it is sent in'));
  }
  if (bound === null && bnd !== undefined)
    found.push(finding('bnd', 'bnd is present, but the field binds nothing', 'leave bnd out'));
  if (typeof bound === 'string' && bnd !== bound) {
    const problem = bnd === undefined ? 'bnd is missing' : 'bnd was made for other values of the bound fields';
    found.push(
      finding('bnd', problem, `set bnd to ${bound} (docs/binding.md); seal after the last change of the bound fields`),
    );
  }
  return found;
}

function askParser(token: string, { nowMs, field, bound }: InspectContext): Finding[] {
  try {
    const { header } = parseToken(token, DEFAULT_LIMITS);
    const expected = bound === undefined ? header.bnd : (bound ?? undefined);
    checkPolicy(
      header,
      { field: field ?? header.fld ?? '', ...(expected !== undefined && { bound: expected }) },
      'strict',
      nowMs,
    );
    return [];
  } catch (error) {
    if (!(error instanceof SealwireError)) throw error;
    return [finding(error.code, error.message, 'see docs/errors.md')];
  }
}
