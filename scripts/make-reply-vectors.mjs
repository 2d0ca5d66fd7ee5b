/**
 * Writes test/vectors/replies.json, or the file that is named: reply tokens with their method and request, and the
 * replies of calls, good and bad. Made with `node:crypto` alone, so that it shares no code with what it tests.
 * Test-only keys: never use them elsewhere.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { b64, deriveKey, encrypt, pair, secret, thumbprint, wrapKey } from './vector-tools.mjs';

const IAT = 1_700_000_000;
const METHOD = '/payments.v1.PaymentService/GetPayment';
const FIELD = 'payments.v1.Payment.card';
const CREDENTIAL = 'credential';
const PLAINTEXT = Buffer.from('0a1034313131313131313131313131313131', 'hex');
/** `GetPaymentRequest { payment_id: "p-1" }`. */
const REQUEST = Buffer.from('0a03702d31', 'hex');
const OTHER = Buffer.from('0a03702d32', 'hex');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest();
const recipient = pair('recipient');
const kid = thumbprint(recipient);
const ephemeral = pair('ephemeral of replies');
const z = ephemeral.ecdh.computeSecret(recipient.point);
const none = Buffer.alloc(0);
const profile = { typ: 'sealed-field+jwe', cty: 'application/protobuf' };

function jwe(label, header, key, plaintext) {
  const part = b64(JSON.stringify(header));
  const cek = secret(`${label} cek`, 32);
  const parts = [wrapKey(key, cek), ...encrypt('A256GCM', cek, label, Buffer.from(part), plaintext)];
  return [part, ...parts.map(b64)].join('.');
}

function replyToken(label, names) {
  const alg = 'ECDH-ES+A256KW';
  const fixed = { alg, enc: 'A256GCM', kid, epk: ephemeral.jwk, ...profile, fld: 'sealwire.v1.reply' };
  const { mth, ...rest } = { mth: METHOD, ...names };
  return jwe(label, { ...fixed, mth, iat: IAT, ...rest }, deriveKey(z, alg, none, none, 32), Buffer.from(CREDENTIAL));
}

const req = b64(sha256(REQUEST));
const framed = Buffer.concat([Buffer.from([0, 0, 0, 0, REQUEST.length]), REQUEST]);
const tokens = [
  ['method and request', 'valid', { req }],
  ['method alone', 'valid', {}],
  ['another method', 'METHOD_MISMATCH', { mth: METHOD.replace('GetPayment', 'Reconcile'), req }],
  ['the method without its slash', 'METHOD_MISMATCH', { mth: METHOD.slice(1), req }],
  ['no method', 'POLICY_MISSING_HEADER', { mth: undefined, req }],
  ['a method that is no text', 'HEADER_VALUE', { mth: [METHOD], req }],
  ['another request', 'REQUEST_MISMATCH', { req: b64(sha256(OTHER)) }],
  ["the request with gRPC's prefix", 'REQUEST_MISMATCH', { req: b64(sha256(framed)) }],
  ['the request in hexadecimal', 'REQUEST_MISMATCH', { req: sha256(REQUEST).toString('hex') }],
  ['a request that is no text', 'HEADER_VALUE', { req: 1 }],
];

const good = replyToken('good reply token', { req });
const replyKey = deriveKey(z, 'A256KW', Buffer.from('sealwire-reply'), Buffer.from(kid), 32);
const coordinates = [ephemeral.jwk.x, ephemeral.jwk.y].map((text) => Buffer.from(text, 'base64url'));
const replyKid = b64(sha256(Buffer.concat(coordinates)));
const rto = b64(sha256(good));
const [one, other] = ['call one', 'call other'].map((label) => b64(secret(label, 16)));

let count = 0;
function reply(names) {
  const fixed = { alg: 'A256KW', enc: 'A256GCM', kid: replyKid, ...profile, fld: FIELD, iat: IAT, rto };
  return jwe(`reply ${count++}`, { ...fixed, ...names }, replyKey, PLAINTEXT);
}
const first = () => [reply({ cid: one, seq: 0 }), 'valid'];
const calls = [
  ['two replies', [first(), [reply({ cid: one, seq: 1 }), 'valid']]],
  [
    'the second of another call with the same reply token',
    [first(), [reply({ cid: other, seq: 1 }), 'REPLY_MISMATCH']],
  ],
  ['the first again', [first(), [reply({ cid: one, seq: 0 }), 'REPLY_MISMATCH']]],
  ['one left out', [[reply({ cid: one, seq: 1 }), 'REPLY_MISMATCH']]],
  ['no cid', [[reply({ seq: 0 }), 'HEADER_VALUE']]],
  ['a cid of 15 bytes', [[reply({ cid: b64(secret('short', 15)), seq: 0 }), 'HEADER_VALUE']]],
];

const file = {
  notes:
    'Made by scripts/make-reply-vectors.mjs; explained in docs/calls.md. Test-only keys. `request` and `replyKey` are hexadecimal. Results: ' +
    '"valid" or the code of the refusal; of a call each reply has one, in the order in which they come.',
  iat: IAT,
  method: METHOD,
  request: REQUEST.toString('hex'),
  req,
  credential: CREDENTIAL,
  kid,
  key: { ...recipient.jwk, d: recipient.d },
  replyTokens: tokens.map(([comment, result, names]) => ({
    comment,
    jwe: replyToken(`reply token ${comment}`, names),
    result,
  })),
  replyToken: good,
  replyKey: replyKey.toString('hex'),
  replyKid,
  rto,
  field: FIELD,
  plaintext: PLAINTEXT.toString('hex'),
  calls: calls.map(([comment, replies]) => ({
    comment,
    replies: replies.map(([text, result]) => ({ jwe: text, result })),
  })),
};
const path = process.argv[2] ?? new URL('../test/vectors/replies.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(file, null, 2)}\n`);
