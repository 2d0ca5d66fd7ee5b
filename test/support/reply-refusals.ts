/** Replies that no client may open, each with the code of its refusal: for Node's client and the browser's. */
import type { StepCode } from '../../src/errors.js';
import { REPLY_FIELD } from '../../src/profile/replies.js';
import { FIELD, flip, IAT, withPart } from '../jwe/helpers.js';
import { CALL_ID, forgeReply, type ReplyForgery, type ReplySecrets } from '../jwe/reply-forge.js';

/** `bnd` of something. */
export const BOUND = 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg';

const header = (name: string, value: unknown): ReplyForgery => ({ header: { [name]: value } });
const json = (headerBytes: ReplyForgery['headerBytes']): ReplyForgery => ({ headerBytes: headerBytes! });
const forgeries: readonly [string, StepCode, ReplyForgery][] = [
  ['alg of a request', 'ALGORITHM_NOT_ALLOWED', header('alg', 'ECDH-ES+A256KW')],
  ['alg dir', 'ALGORITHM_NOT_ALLOWED', header('alg', 'dir')],
  ['alg A128KW', 'ALGORITHM_NOT_ALLOWED', header('alg', 'A128KW')],
  ['alg A256GCMKW', 'ALGORITHM_NOT_ALLOWED', header('alg', 'A256GCMKW')],
  ['alg in small letters', 'ALGORITHM_NOT_ALLOWED', header('alg', 'a256kw')],
  ['alg in a list', 'ALGORITHM_NOT_ALLOWED', header('alg', ['A256KW'])],
  ['no alg', 'ALGORITHM_NOT_ALLOWED', header('alg', undefined)],
  ['enc A128GCM', 'ALGORITHM_NOT_ALLOWED', header('enc', 'A128GCM')],
  ['enc A256CBC-HS512', 'ALGORITHM_NOT_ALLOWED', header('enc', 'A256CBC-HS512')],
  ['no enc', 'ALGORITHM_NOT_ALLOWED', header('enc', undefined)],
  ['another kid', 'REPLY_MISMATCH', header('kid', BOUND)],
  ['no kid', 'REPLY_MISMATCH', header('kid', undefined)],
  ['typ JWE', 'POLICY_TYPE', header('typ', 'JWE')],
  ['no typ', 'POLICY_TYPE', header('typ', undefined)],
  ['cty text/plain', 'POLICY_TYPE', header('cty', 'text/plain')],
  ['no cty', 'POLICY_TYPE', header('cty', undefined)],
  ['another fld', 'FIELD_MISMATCH', header('fld', FIELD)],
  ['the fld of a reply token', 'FIELD_MISMATCH', header('fld', REPLY_FIELD)],
  ['no fld', 'FIELD_MISMATCH', header('fld', undefined)],
  ['bnd where nothing is bound', 'BINDING_MISMATCH', header('bnd', BOUND)],
  ['an empty bnd where nothing is bound', 'BINDING_MISMATCH', header('bnd', '')],
  ['bnd null where nothing is bound', 'BINDING_MISMATCH', header('bnd', null)],
  ['another rto', 'REPLY_MISMATCH', header('rto', BOUND)],
  ['no rto', 'REPLY_MISMATCH', header('rto', undefined)],
  ['a later seq', 'REPLY_MISMATCH', header('seq', 1)],
  ['a negative seq', 'REPLY_MISMATCH', header('seq', -1)],
  ['seq as text', 'REPLY_MISMATCH', header('seq', '0')],
  ['no cid', 'HEADER_VALUE', header('cid', undefined)],
  ['a cid of 15 bytes', 'HEADER_VALUE', header('cid', CALL_ID.slice(0, 20))],
  ['a cid with stray bits', 'HEADER_VALUE', header('cid', `${CALL_ID.slice(0, 21)}R`)],
  ['cid as a number', 'HEADER_VALUE', header('cid', 1)],
  ['no seq', 'REPLY_MISMATCH', header('seq', undefined)],
  ['iat as text', 'HEADER_VALUE', header('iat', String(IAT))],
  ['iat with a fraction', 'HEADER_VALUE', header('iat', IAT + 0.5)],
  ['iat before 1970', 'HEADER_VALUE', header('iat', -1)],
  ['no iat', 'HEADER_VALUE', header('iat', undefined)],
  ['a CEK of 128 bits', 'TOKEN_PART_LENGTH', { cekBytes: 16 }],
  ['a CEK of 512 bits', 'TOKEN_PART_LENGTH', { cekBytes: 64 }],
  ['an IV of 16 bytes', 'TOKEN_PART_LENGTH', { ivBytes: 16 }],
  ['an IV of 8 bytes', 'TOKEN_PART_LENGTH', { ivBytes: 8 }],
  ['a header that is no UTF-8', 'HEADER_UTF8', json((text) => Buffer.from(text.replace('jwe', 'jw\xff'), 'latin1'))],
  ['a header that is no JSON', 'HEADER_JSON', json((text) => text.slice(0, -1))],
  ['a header with a byte order mark', 'HEADER_JSON', json((text) => `\ufeff${text}`)],
  ['a header that is a list', 'HEADER_JSON', json((text) => `[${text}]`)],
  ['a header that is null', 'HEADER_JSON', json(() => 'null')],
  ['seq twice', 'HEADER_DUPLICATE_NAME', json((text) => text.replace('"seq"', '"seq":1,"seq"'))],
  ['alg twice, once escaped', 'HEADER_DUPLICATE_NAME', json((text) => text.replace('{', '{"\\u0061lg":"dir",'))],
  ['a large header', 'HEADER_TOO_LARGE', header('pad', 'x'.repeat(2_048))],
  ['a large inner message', 'INNER_TOO_LARGE', { plaintext: Buffer.alloc(65_537) }],
  ...['zip', 'crit', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'p2c', 'p2s'].map(
    (name): [string, StepCode, ReplyForgery] => [`the header name ${name}`, 'HEADER_FORBIDDEN_NAME', header(name, 1)],
  ),
];

const changes: readonly [string, StepCode, (token: string) => string][] = [
  ['four parts', 'TOKEN_PART_COUNT', (token) => token.split('.').slice(0, 4).join('.')],
  ['six parts', 'TOKEN_PART_COUNT', (token) => `${token}.AAAA`],
  ['plaintext', 'TOKEN_PART_COUNT', () => '4111111111111111'],
  ['a large token', 'TOKEN_TOO_LARGE', (token) => token + 'A'.repeat(98_304)],
  ['a tag of 12 bytes', 'TOKEN_PART_LENGTH', (token) => withPart(token, 4, (part) => part.slice(0, 16))],
  ['a tag of 32 bytes', 'TOKEN_PART_LENGTH', (token) => withPart(token, 4, () => 'A'.repeat(43))],
  ['no encrypted key', 'TOKEN_PART_LENGTH', (token) => withPart(token, 1, () => '')],
  ['padding after the tag', 'TOKEN_ENCODING', (token) => `${token}==`],
  ['standard base64', 'TOKEN_ENCODING', (token) => withPart(token, 1, (part) => `+${part.slice(1)}`)],
  ['stray bits in the tag', 'TOKEN_ENCODING', (token) => withPart(token, 4, (part) => `${part.slice(0, -1)}B`)],
  ['stray bits in the header', 'TOKEN_ENCODING', (token) => withPart(token, 0, addStrayBits)],
  ['a line break', 'TOKEN_ENCODING', (token) => withPart(token, 3, (part) => `${part.slice(0, 4)}\n${part.slice(4)}`)],
  ['a changed header', 'DECRYPTION_FAILED', (token) => withPart(token, 0, addSpace)],
  ['a changed encrypted key', 'DECRYPTION_FAILED', (token) => withPart(token, 1, flip)],
  ['a changed IV', 'DECRYPTION_FAILED', (token) => withPart(token, 2, flip)],
  ['a changed ciphertext', 'DECRYPTION_FAILED', (token) => withPart(token, 3, flip)],
  ['a cut ciphertext', 'DECRYPTION_FAILED', (token) => withPart(token, 3, (part) => part.slice(0, 8))],
  ['a changed tag', 'DECRYPTION_FAILED', (token) => withPart(token, 4, flip)],
];

/** All of them, made with a call's secrets: nothing but one thing is wrong with each. */
export const replyRefusals: readonly (readonly [
  name: string,
  code: StepCode,
  make: (secrets: ReplySecrets) => string,
])[] = [
  ...forgeries.map(
    ([name, code, forgery]) => [name, code, (secrets: ReplySecrets) => forgeReply(secrets, forgery)] as const,
  ),
  ...changes.map(
    ([name, code, change]) => [name, code, (secrets: ReplySecrets) => change(forgeReply(secrets))] as const,
  ),
];

/** The same JSON in other bytes. */
function addSpace(part: string): string {
  return Buffer.from(`${Buffer.from(part, 'base64url').toString()} `).toString('base64url');
}

/** Another text for the same bytes; the header is padded to a length that leaves bits over. */
function addStrayBits(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  let text = part;
  while (text.length % 4 !== 2) text = addSpace(text);
  return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1) as string) + 1];
}
