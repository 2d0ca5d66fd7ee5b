/** Finds two members of one oneof in a message as it was encoded: what one reader takes, another may not. */
import type { DescMessage, DescOneof } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

const withOneofs = new WeakMap<DescMessage, boolean>();

/** @returns whether messages of this type, or those in it, can have two members of a oneof */
export function canHaveTwoMembers(desc: DescMessage): boolean {
  const known = withOneofs.get(desc);
  if (known !== undefined) return known;
  const seen = new Set<DescMessage>([desc]);
  // A set grows while it is walked.
  for (const { fields } of seen) for (const { message } of fields) if (message !== undefined) seen.add(message);
  const can = [...seen].some(({ oneofs }) => oneofs.some(({ fields }) => fields.length > 1));
  withOneofs.set(desc, can);
  return can;
}

/**
 * @param bytes an encoded message, as an encoder without a fault writes it
 * @returns e.g. `payment.iban cannot be set together with card`; undefined where there is at most one of each
 */
export function findTwoMembers(desc: DescMessage, bytes: Uint8Array): string | undefined {
  const reader = new BinaryReader(bytes);
  return search(desc, reader, reader.len, '');
}

function search(desc: DescMessage, reader: BinaryReader, end: number, path: string): string | undefined {
  const set = new Map<DescOneof, string>();
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = desc.fields.find((candidate) => candidate.number === number);
    if (field?.oneof !== undefined) {
      const other = set.get(field.oneof) ?? field.name;
      if (other !== field.name) return `${path}${field.name} cannot be set together with ${other}`;
      set.set(field.oneof, field.name);
    }
    if (field?.message === undefined || wireType !== WireType.LengthDelimited || !canHaveTwoMembers(field.message)) {
      reader.skip(wireType, number);
      continue;
    }
    const to = reader.uint32() + reader.pos;
    if (field.fieldKind === 'map') skipToValue(reader, to);
    const found = search(field.message, reader, to, `${path}${field.name}.`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Leaves the reader at the message in a map entry, or at the entry's end. */
function skipToValue(reader: BinaryReader, end: number): void {
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    if (number === 2) {
      reader.uint32();
      return;
    }
    reader.skip(wireType, number);
  }
}
