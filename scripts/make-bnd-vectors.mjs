/**
 * Writes test/vectors/bnd.json: bound siblings, their encoding and its digest, for implementations in any
 * language; docs/binding.md explains it. The encoder is written out here, so that it shares no code with
 * what it tests. Running it again gives the same bytes.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';

const MAX_TAG = 536_870_911;
const text = new TextEncoder();

/** Wire type and bytes of one value that is not zero-length by itself; `value` is in proto3 JSON form. */
const encoders = {
  int32: (value) => [0, varint(BigInt(value))],
  int64: (value) => [0, varint(BigInt(value))],
  uint32: (value) => [0, varint(BigInt(value))],
  uint64: (value) => [0, varint(BigInt(value))],
  sint32: (value) => [0, varint(zigzag(BigInt(value)))],
  sint64: (value) => [0, varint(zigzag(BigInt(value)))],
  bool: (value) => [0, varint(value ? 1n : 0n)],
  enum: (value) => [0, varint(BigInt(value))],
  fixed64: (value) => [1, littleEndian(BigInt(value), 8)],
  sfixed64: (value) => [1, littleEndian(BigInt(value), 8)],
  fixed32: (value) => [5, littleEndian(BigInt(value), 4)],
  sfixed32: (value) => [5, littleEndian(BigInt(value), 4)],
  string: (value) => [2, withLength(text.encode(value))],
  bytes: (value) => [2, withLength(Buffer.from(value, 'base64'))],
};

/** Seven bits a byte, lowest first; a negative value is its 64-bit two's complement: ten bytes. */
function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

function zigzag(value) {
  return value < 0n ? -2n * value - 1n : 2n * value;
}

function littleEndian(value, size) {
  return Array.from({ length: size }, (_, index) => Number((value >> BigInt(8 * index)) & 255n));
}

function withLength(bytes) {
  return [...varint(BigInt(bytes.length)), ...bytes];
}

function isZero(kind, value) {
  if (kind === 'string' || kind === 'bytes') return value === '';
  return kind === 'bool' ? value === false : BigInt(value) === 0n;
}

function encode(fields, values) {
  const bytes = [];
  for (const { name, number, kind, explicitPresence } of fields.toSorted((a, b) => a.number - b.number)) {
    const value = values[name];
    if (value === undefined || (!explicitPresence && isZero(kind, value))) continue;
    const [wireType, payload] = encoders[kind](value);
    bytes.push(...varint(BigInt(number) * 8n + BigInt(wireType)), ...payload);
  }
  return Buffer.from(bytes);
}

const vectors = [];
function add(comment, fields, values) {
  const encoded = encode(fields, values);
  const bnd = createHash('sha256').update(encoded).digest('base64url');
  vectors.push({ comment, fields, values, encoded: encoded.toString('hex'), bnd });
}

const field = (name, number, kind, explicitPresence = false) => ({ name, number, kind, explicitPresence });

const signed32 = [0, 1, -1, 127, 128, 2_147_483_647, -2_147_483_648];
const unsigned32 = [0, 1, 4_294_967_295];
const safe = ['9007199254740991', '9007199254740993', '1234567890123456789'];
const signed64 = ['0', '1', '-1', ...safe, '-9007199254740993', '9223372036854775807', '-9223372036854775808'];
const unsigned64 = ['0', '1', ...safe, '18446744073709551615'];
const boundaries = {
  int32: signed32,
  sint32: signed32,
  sfixed32: signed32,
  uint32: unsigned32,
  fixed32: unsigned32,
  int64: signed64,
  sint64: signed64,
  sfixed64: signed64,
  uint64: unsigned64,
  fixed64: unsigned64,
  bool: [false, true],
  enum: [0, 1, -1, 77, 2_147_483_647, -2_147_483_648],
  string: ['', '0', 'a', 'EUR', 'ñ漢🎴', '\u0000', '\ufeffmark', 'e\u0301', 'x'.repeat(128)],
  bytes: ['', 'AA==', '/wD+', 'AAECAwQFBgcICQ=='],
};

const payment = [
  field('order_id', 1, 'string'),
  field('amount_minor', 2, 'int64'),
  field('currency_code', 3, 'string'),
];
add('payments.v1.AuthorizeRequest.card', payment, { order_id: 'order-1', amount_minor: '1999', currency_code: 'EUR' });
add('its siblings named in another order', payment.toReversed(), {
  order_id: 'order-1',
  amount_minor: '1999',
  currency_code: 'EUR',
});
add('a sibling that is absent, of implicit presence', payment, { order_id: 'order-1', amount_minor: '1999' });
add('the same sibling set to its zero value', payment, {
  order_id: 'order-1',
  amount_minor: '1999',
  currency_code: '',
});
add('all siblings absent', payment, {});
add('explicit presence: absent', [field('v', 1, 'string', true)], {});
add('text does not move between fields', [field('a', 1, 'string'), field('b', 2, 'string')], { a: 'xy', b: 'z' });
add('text does not move between fields (2)', [field('a', 1, 'string'), field('b', 2, 'string')], { a: 'x', b: 'yz' });
for (const number of [15, 16, 2047, 2048, MAX_TAG]) {
  add(`field number ${number}`, [field('v', number, 'bool')], { v: true });
}
for (const [kind, values] of Object.entries(boundaries)) {
  for (const explicit of [false, true]) {
    for (const value of values) {
      const shown =
        typeof value === 'string' && value.length > 40 ? `${value.length} characters` : JSON.stringify(value);
      const presence = explicit ? 'explicit' : 'implicit';
      add(`${kind} ${shown}, ${presence} presence`, [field('v', 7, kind, explicit)], { v: value });
    }
  }
}

const file = {
  notes:
    'Made by scripts/make-bnd-vectors.mjs; explained in docs/binding.md. `values` are proto3 JSON, enums as numbers; ' +
    'a field that is not among them is absent. `encoded` is hexadecimal, `bnd` its SHA-256 in base64url.',
  vectors,
};
writeFileSync(new URL('../test/vectors/bnd.json', import.meta.url), `${JSON.stringify(file, null, 2)}\n`);
