/** 64-bit integers and bytes in all forms that ts-proto and proto-loader give them, read without guessing. */
import { base64Decode, base64Encode } from '@bufbuild/protobuf/wire';

const MASK_32 = 0xffff_ffffn;

/**
 * A decimal integer: a bigint, a safe integer, or digits with an optional minus.
 *
 * @throws Error for anything else: a number beyond ±(2^53 − 1) may already be another one than was meant
 */
export function parseInteger(value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  // BigInt itself takes '', white space and hexadecimal.
  if (typeof value === 'string' && /^-?[0-9]{1,20}$/.test(value)) return BigInt(value);
  throw new TypeError('not an integer');
}

/**
 * A `Long`, or anything that has its two halves: the bits count, as for protobufjs.
 *
 * @throws Error for another object
 */
export function bitsToBigInt(value: object, unsigned: boolean): bigint {
  const { low, high } = value as { readonly low?: unknown; readonly high?: unknown };
  if (!Number.isInteger(low) || !Number.isInteger(high)) throw new TypeError('not a Long');
  const bits = ((BigInt(high as number) & MASK_32) << 32n) | (BigInt(low as number) & MASK_32);
  return unsigned ? bits : BigInt.asIntN(64, bits);
}

/**
 * Bytes, a list of numbers from 0 to 255, or standard base64, with or without padding.
 *
 * @throws Error for anything else: decoders differ in what they make of sloppy base64
 */
export function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value) && value.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)) {
    return Uint8Array.from(value as number[]);
  }
  if (typeof value === 'string') {
    const bytes = base64Decode(value);
    if (base64Encode(bytes) === value || base64Encode(bytes, 'std_raw') === value) return bytes;
  }
  throw new TypeError('not bytes');
}
