/**
 * Writes test/vectors/key-sets.json, or the file that is named: signed key sets in the order in which a client comes to
 * see them, good and bad. Made with `node:crypto` alone, so that it shares no code with what it tests; signatures
 * differ from run to run. Test-only keys: never use them elsewhere.
 */
import { createPrivateKey, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { b64, pair, thumbprint } from './vector-tools.mjs';

const IAT = 1_790_000_000;
const HOUR = 3_600;
const ISSUER = 'sealwire-payments';
const [root, signer] = [pair('set root'), pair('set signer')];

function jws(key, header, payload) {
  const text = [{ alg: 'ES512', ...header, kid: thumbprint(key) }, payload]
    .map((part) => b64(JSON.stringify(part)))
    .join('.');
  const privateKey = createPrivateKey({ key: { ...key.jwk, d: key.d }, format: 'jwk' });
  return `${text}.${b64(sign('sha512', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }))}`;
}

const life = { iat: IAT, exp: IAT + 90 * 24 * HOUR };
const dlg = jws(root, { typ: 'key-set-delegation+jwt' }, { sub: ISSUER, ...life, root: root.jwk, key: signer.jwk });

function key(label, dates = {}) {
  const made = pair(label);
  return { ...made.jwk, kid: thumbprint(made), use: 'enc', alg: 'ECDH-ES+A256KW', ...dates };
}
const first = key('set key 1', { nbf: IAT - 9 });
const ends = { ...first, exp: IAT + HOUR };
const second = key('set key 2', { nbf: IAT + HOUR });

/** @param age s since the set was signed */
const set = (ver, keys, age = 0) =>
  jws(signer, { typ: 'jwk-set+jwt', dlg }, { iss: ISSUER, iat: IAT - age, exp: IAT - age + 24 * HOUR, ver, keys });
const start = [[IAT, IAT - 9], [first]];

const clients = [
  ['an instance that signed the same keys an hour ago', [[start], [[...start, HOUR]]]],
  [
    'the same keys in another order',
    [
      [
        [
          [IAT, IAT - 9],
          [ends, second],
        ],
      ],
      [
        [
          [IAT, IAT - 9],
          [second, ends],
        ],
      ],
    ],
  ],
  [
    'a date that has passed, then the set before it',
    [[start], [[[IAT, IAT], [first]]], [start, 'KEY_SET_ROLLED_BACK']],
  ],
  [
    'a ring that was changed, then an instance that has not seen it',
    [
      [start],
      [
        [
          [IAT + 1, IAT - 9],
          [ends, second],
        ],
      ],
      [start, 'KEY_SET_ROLLED_BACK'],
      [[[IAT, IAT + HOUR], [first]], 'KEY_SET_ROLLED_BACK'],
      [
        [
          [IAT + 1, IAT - 9],
          [ends, second],
        ],
      ],
    ],
  ],
  ['a change counts for more than dates', [[[[IAT, IAT - 9], [first]]], [[[IAT + 1, 0], [first]]]]],
  ['another key under the same version', [[start], [[[IAT, IAT - 9], [second]], 'KEY_SET_CONFLICT']]],
  ['another end of a key under the same version', [[start], [[[IAT, IAT - 9], [ends]], 'KEY_SET_CONFLICT']]],
  [
    'versions that are no pair of whole seconds',
    [IAT, [IAT], [IAT, 0, 0], [IAT, -1], [IAT, 0.5], ['1', 0], null].map((ver) => [[ver, [first]], 'KEY_SET_CONTENT']),
  ],
];

const file = {
  notes:
    'Made by scripts/make-key-set-vectors.mjs; explained in docs/key-sets.md. Test-only keys. Each client begins with ' +
    'nothing and is offered the sets one after the other, all at the time `now`. Results: "valid" or the code of the refusal.',
  root: thumbprint(root),
  issuer: ISSUER,
  now: IAT + 60,
  clients: clients.map(([comment, sets]) => ({
    comment,
    sets: sets.map(([given, result = 'valid']) => ({ jws: set(...given), result })),
  })),
};
const path = process.argv[2] ?? new URL('../test/vectors/key-sets.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(file, null, 2)}\n`);
