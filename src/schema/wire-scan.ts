/**
 * Looks over a message before it is decoded: counts the messages in it, since an empty one takes two bytes on the wire
 * and a thousand times the work in memory, and finds map keys that no object can have as its own.
 */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { SealwireError } from '../errors.js';

/** Nested messages and map entries that one message may hold where nothing else was configured. */
export const MAX_MESSAGES = 8_192;
/** Likewise of one inner message: a large `Struct` has many. */
export const MAX_INNER_MESSAGES = 16_384;
/** Fields of other kinds are cheap: this many count like one message. */
const RECORDS_PER_MESSAGE = 16;
/** protobuf's own limit for nested messages. */
const MAX_DEPTH = 100;

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH_DELIMITED = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED_32 = 5;

/** A field whose content is looked into. */
interface Part {
  readonly shape: Shape;
  /** A map with text keys. */
  readonly hasTextKeys: boolean;
}
type Shape = Map<number, Part>;

const EMPTY: Shape = new Map();
const shapes = new WeakMap<DescMessage, Shape>();
const FORBIDDEN_KEY = new TextEncoder().encode('__proto__');
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** Where a scan stands, and what it has counted. */
interface Scan {
  readonly bytes: Uint8Array;
  readonly most: number;
  position: number;
  depth: number;
  messages: number;
  records: number;
}

/**
 * Looks over a serialized message.
 *
 * @param desc its type
 * @param bytes protobuf wire format
 * @param most nested messages and map entries it may hold; 16 times as many fields of other kinds
 * @returns what decoding it costs, counted in messages
 * @throws SealwireError `TOO_MANY_MESSAGES`, `NESTED_TOO_DEEP`; `MAP_KEY_FORBIDDEN` for a map key `__proto__`; Error
 *   for malformed bytes
 */
export function scanMessage(desc: DescMessage, bytes: Uint8Array, most = MAX_MESSAGES): number {
  const scan: Scan = { bytes, most, position: 0, depth: 0, messages: 0, records: 0 };
  scanFields(scan, shapeOf(desc), bytes.length, 0);
  return scan.messages + Math.floor(scan.records / RECORDS_PER_MESSAGE);
}

function scanFields(scan: Scan, shape: Shape, end: number, group: number, hasTextKey = false): void {
  while (scan.position < end) {
    const tag = readVarint(scan, end);
    const number = tag >>> 3;
    if (number === 0 || ++scan.records > scan.most * RECORDS_PER_MESSAGE) throw refuseRecord(number);
    switch (tag & 7) {
      case VARINT:
        readVarint(scan, end);
        break;
      case FIXED_64:
        scan.position += 8;
        break;
      case FIXED_32:
        scan.position += 4;
        break;
      case LENGTH_DELIMITED: {
        const to = readVarint(scan, end) + scan.position;
        if (to > end) throw malformed();
        const part = shape.get(number);
        if (part !== undefined) {
          enter(scan);
          scanFields(scan, part.shape, to, 0, part.hasTextKeys);
          scan.depth--;
        } else if (hasTextKey && number === 1) {
          checkKey(scan.bytes, scan.position, to);
        }
        scan.position = to;
        break;
      }
      case START_GROUP:
        enter(scan);
        scanFields(scan, shape.get(number)?.shape ?? EMPTY, end, number);
        scan.depth--;
        break;
      case END_GROUP:
        if (number !== group) throw malformed();
        return;
      default:
        throw malformed();
    }
  }
  if (scan.position > end || group !== 0) throw malformed();
}

function enter(scan: Scan): void {
  // Its tag is no field of another kind.
  scan.records--;
  if (++scan.messages > scan.most) throw tooMany();
  if (++scan.depth > MAX_DEPTH)
    throw new SealwireError('NESTED_TOO_DEEP', `messages are nested deeper than ${MAX_DEPTH}`);
}

/** The lower 32 bits, which are what decoders take of tags and lengths. */
function readVarint(scan: Scan, end: number): number {
  const { bytes } = scan;
  let value = 0;
  for (let shift = 0; shift < 70 && scan.position < end; shift += 7) {
    const byte = bytes[scan.position++] as number;
    if (shift < 32) value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value >>> 0;
  }
  throw malformed();
}

/** In an object literal this key would set what the object is. Decoders of text drop a byte order mark. */
function checkKey(bytes: Uint8Array, start: number, end: number): void {
  const from = BYTE_ORDER_MARK.every((byte, index) => bytes[start + index] === byte) ? start + 3 : start;
  if (end - from !== FORBIDDEN_KEY.length || !FORBIDDEN_KEY.every((byte, index) => bytes[from + index] === byte))
    return;
  throw new SealwireError('MAP_KEY_FORBIDDEN', 'a map has the key __proto__');
}

function shapeOf(desc: DescMessage): Shape {
  const known = shapes.get(desc);
  if (known !== undefined) return known;
  const shape: Shape = new Map();
  // Before its fields: types may be recursive.
  shapes.set(desc, shape);
  for (const field of desc.fields) {
    const part = partOf(field);
    if (part !== undefined) shape.set(field.number, part);
  }
  return shape;
}

function partOf(field: DescField): Part | undefined {
  if (field.fieldKind === 'map') {
    const shape: Shape = new Map();
    if (field.message !== undefined) shape.set(2, { shape: shapeOf(field.message), hasTextKeys: false });
    return { shape, hasTextKeys: field.mapKey === ScalarType.STRING };
  }
  return field.message === undefined ? undefined : { shape: shapeOf(field.message), hasTextKeys: false };
}

function refuseRecord(number: number): Error {
  return number === 0 ? malformed() : tooMany();
}

function tooMany(): SealwireError {
  return new SealwireError('TOO_MANY_MESSAGES', 'a message holds too many messages');
}

function malformed(): Error {
  return new Error('not a message');
}
