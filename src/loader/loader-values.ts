/** Single values in proto-loader's forms: from and to what `@bufbuild/protobuf`'s reflection takes. */
import { createRequire } from 'node:module';
import { type DescEnum, ScalarType } from '@bufbuild/protobuf';
import type { Long } from '@grpc/proto-loader';
import { bitsToBigInt, bytesOf, parseInteger } from '../schema/loose-values.js';
import type { LoaderForm } from './loader-form.js';

const UNSIGNED: readonly ScalarType[] = [ScalarType.UINT64, ScalarType.FIXED64];
const SIXTY_FOUR: readonly ScalarType[] = [...UNSIGNED, ScalarType.INT64, ScalarType.SINT64, ScalarType.SFIXED64];
const NOT_FINITE = ['NaN', 'Infinity', '-Infinity'];

/**
 * @param value what reflection gave
 * @throws Error for a 64-bit value that `longs: Number` cannot carry
 */
export function scalarToLoader(scalar: ScalarType, value: unknown, form: LoaderForm): unknown {
  if (SIXTY_FOUR.includes(scalar)) return longToLoader(BigInt(value as bigint), UNSIGNED.includes(scalar), form);
  if (scalar === ScalarType.BYTES) {
    const bytes = value as Uint8Array;
    if (form.bytes === 'array') return [...bytes];
    const buffer = Buffer.from(bytes);
    return form.bytes === 'base64' ? buffer.toString('base64') : buffer;
  }
  const isFloat = scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT;
  return isFloat && form.json && !Number.isFinite(value) ? String(value) : value;
}

function longToLoader(value: bigint, unsigned: boolean, form: LoaderForm): unknown {
  if (form.longs === 'bigint') return value;
  if (form.longs === 'string') return value.toString();
  if (form.longs === 'long') return longClass().fromString(value.toString(), unsigned);
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError('not a safe integer');
  return number;
}

/** The name of an enum value where names are wanted and there is one, else its number. */
export function enumToLoader(desc: DescEnum, number: number, form: LoaderForm): string | number {
  if (form.enums === 'number') return number;
  // protobufjs takes the first of several aliases; from a descriptor set, the last.
  const same = desc.values.filter((value) => value.number === number);
  return same.at(form.entries ? -1 : 0)?.name ?? number;
}

/**
 * Takes every form of proto-loader, whatever its options are.
 *
 * @throws Error for a value that is not of its type; nothing is coerced
 */
export function scalarFromLoader(scalar: ScalarType, value: unknown): unknown {
  if (SIXTY_FOUR.includes(scalar)) {
    if (typeof value === 'object' && value !== null) return bitsToBigInt(value, UNSIGNED.includes(scalar));
    return parseInteger(value);
  }
  if (scalar === ScalarType.BYTES) return bytesOf(value);
  const isFloat = scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT;
  // Reflection checks the rest.
  return isFloat && NOT_FINITE.includes(value as string) ? Number(value) : value;
}

/** @throws Error for a name the enum does not have */
export function enumFromLoader(desc: DescEnum, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const known = desc.values.find(({ name }) => name === value);
  if (known === undefined) throw new TypeError('not a name of the enum');
  return known.number;
}

/** A map key from the text that is its property name. */
export function mapKeyFromText(scalar: ScalarType, text: string): unknown {
  if (scalar === ScalarType.STRING) return text;
  if (scalar === ScalarType.BOOL) {
    if (text !== 'true' && text !== 'false') throw new TypeError('not a boolean');
    return text === 'true';
  }
  const integer = parseInteger(text);
  return SIXTY_FOUR.includes(scalar) ? integer : Number(integer);
}

type LongClass = typeof Long;
let loaded: LongClass | undefined;

/**
 * proto-loader's own `Long`, only loaded where it is in use already. A bundle of CommonJS has no URL, but a program.
 */
function longClass(): LongClass {
  const require = createRequire(import.meta.url ?? process.argv[1]);
  loaded ??= (require('@grpc/proto-loader') as { readonly Long: LongClass }).Long;
  return loaded;
}
