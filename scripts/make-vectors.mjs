/**
 * Writes test/vectors/jwe-p521.json: P-521 tokens of the profile, good and bad. Made with `node:crypto`
 * alone, so that it shares no code with what it tests. All secrets come from a fixed text: running it
 * again gives the same bytes. Test-only keys: never use them elsewhere.
 */
import { writeFileSync } from 'node:fs';
import { b64, deriveKey, encrypt, flip, pair, secret, thumbprint, wrapKey } from './vector-tools.mjs';

const IAT = 1_700_000_000;
const FIELD = 'payments.v1.AuthorizeRequest.card';
const MESSAGE = Buffer.from('{"number":"4111111111111111"}');

const recipient = pair('recipient');
const kid = thumbprint(recipient);

function token(label, { alg = 'ECDH-ES+A256KW', enc = 'A256GCM', header = {}, json = JSON.stringify } = {}) {
  const ephemeral = pair(`ephemeral ${label}`);
  const profile = { typ: 'sealed-field+jwe', cty: 'application/json', fld: FIELD, iat: IAT };
  const members = { alg, enc, kid, epk: ephemeral.jwk, ...profile, ...header };
  const part = b64(json(members));
  const z = ephemeral.ecdh.computeSecret(recipient.point);
  const direct = alg === 'ECDH-ES';
  const cekBytes = enc === 'A256CBC-HS512' ? 64 : 32;
  const party = (name) => Buffer.from(members[name] ?? '', 'base64url');
  const key = deriveKey(z, direct ? enc : alg, party('apu'), party('apv'), direct ? cekBytes : 32);
  const cek = direct ? key : secret(`${label} cek`, cekBytes);
  return [
    part,
    b64(direct ? '' : wrapKey(key, cek)),
    ...encrypt(enc, cek, label, Buffer.from(part), MESSAGE).map(b64),
  ].join('.');
}

const change = (text, index, edit) =>
  text
    .split('.')
    .map((part, at) => (at === index ? edit(part) : part))
    .join('.');
const bare = { typ: undefined, cty: undefined, fld: undefined, iat: undefined };
const epk = pair('ephemeral point').jwk;
const good = token('good');

const vectors = [];
const add = (comment, jwe, strict, interop = strict) => vectors.push({ comment, jwe, strict, interop });
for (const alg of ['ECDH-ES+A256KW', 'ECDH-ES']) {
  for (const enc of ['A256GCM', 'A128CBC-HS256', 'A256CBC-HS512']) {
    add(`${alg}, ${enc}`, token(`${alg} ${enc}`, { alg, enc }), 'valid');
    add(
      `${alg}, ${enc}, no names of the profile`,
      token(`bare ${alg} ${enc}`, { alg, enc, header: bare }),
      'POLICY_MISSING_HEADER',
      'valid',
    );
    add(`${alg}, ${enc}, tag changed`, change(token(`tag ${alg} ${enc}`, { alg, enc }), 4, flip), 'DECRYPTION_FAILED');
    add(
      `${alg}, ${enc}, ciphertext changed`,
      change(token(`ct ${alg} ${enc}`, { alg, enc }), 3, flip),
      'DECRYPTION_FAILED',
    );
  }
}
add('apu and apv', token('party', { header: { apu: b64('Alice'), apv: b64('Bob') } }), 'valid');
add('a name of no meaning', token('unknown', { header: { unknown: [{ a: 1 }] } }), 'valid');
add('header with white space', token('space', { json: (members) => JSON.stringify(members, null, 2) }), 'valid');
add('encrypted key changed', change(good, 1, flip), 'DECRYPTION_FAILED');
add('IV changed', change(good, 2, flip), 'DECRYPTION_FAILED');
add(
  'tag cut to 4 bytes',
  change(good, 4, (part) => b64(Buffer.from(part, 'base64url').subarray(0, 4))),
  'TOKEN_PART_LENGTH',
);
add('four parts', good.slice(0, good.lastIndexOf('.')), 'TOKEN_PART_COUNT');
add('six parts', `${good}.AA`, 'TOKEN_PART_COUNT');
add('padding', `${good}=`, 'TOKEN_ENCODING');
add('line end', `${good}\n`, 'TOKEN_ENCODING');
for (const name of ['zip', 'crit', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'p2c', 'p2s']) {
  add(`header with ${name}`, token(`name ${name}`, { header: { [name]: 'DEF' } }), 'HEADER_FORBIDDEN_NAME');
}
const repeat = (members) => JSON.stringify(members).replace('"kty":"EC"', '"kty":"EC","kty":"EC"');
add('duplicate name in epk', token('duplicate', { json: repeat }), 'HEADER_DUPLICATE_NAME');
add('header is an array', token('array', { json: (members) => JSON.stringify([members]) }), 'HEADER_JSON');
add('alg none', token('none', { header: { alg: 'none' } }), 'ALGORITHM_NOT_ALLOWED');
add('enc A128GCM', token('a128gcm', { header: { enc: 'A128GCM' } }), 'ALGORITHM_NOT_ALLOWED');
add('epk with d', token('private', { header: { epk: { ...epk, d: epk.x } } }), 'EPK_INVALID');
const x = b64(Buffer.from(epk.x, 'base64url').subarray(1));
add('coordinate one byte short', token('short', { header: { epk: { ...epk, x } } }), 'EPK_INVALID');
add('epk not on the curve', token('off', { header: { epk: { ...epk, y: epk.x } } }), 'DECRYPTION_FAILED');
const p256 = pair('p256', 'prime256v1', 'P-256', 32).jwk;
add('epk on P-256', token('p256', { header: { epk: p256 } }), 'CURVE_NOT_ALLOWED');
add('another kid', token('kid', { header: { kid: b64(Buffer.alloc(32)) } }), 'KEY_UNKNOWN');
add('another field', token('fld', { header: { fld: `${FIELD}2` } }), 'FIELD_MISMATCH');
add('bound where nothing is', token('bnd', { header: { bnd: b64(Buffer.alloc(32)) } }), 'BINDING_MISMATCH');
add('another typ', token('typ', { header: { typ: 'JWE' } }), 'POLICY_TYPE');
add('301 s old', token('old', { header: { iat: IAT - 301 } }), 'TOKEN_STALE');
add('61 s ahead', token('new', { header: { iat: IAT + 61 } }), 'TOKEN_FROM_FUTURE');

const file = {
  notes:
    'Made by scripts/make-vectors.mjs. Test-only keys. `strict` and `interop`: "valid" or the code of the refusal.',
  field: FIELD,
  iat: IAT,
  plaintext: MESSAGE.toString(),
  kid,
  key: { ...recipient.jwk, d: recipient.d },
  vectors,
};
writeFileSync(new URL('../test/vectors/jwe-p521.json', import.meta.url), `${JSON.stringify(file, null, 2)}\n`);
