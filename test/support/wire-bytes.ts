/** Protobuf wire format by hand, for what no encoder makes. */

/** A field with its bytes; its length is written in as many bytes as are asked for. */
export function delimited(number: number, content: Uint8Array, lengthBytes = 0): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(content.length, lengthBytes), content]);
}

/** A number in as few bytes as it takes, or in more. */
export function varint(value: number, bytes = 0): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest > 0x7f || out.length + 1 < bytes) {
    out.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Buffer.from([...out, rest]);
}

/** A field in the form of proto2 groups. */
export function group(number: number, content: Uint8Array): Buffer {
  return Buffer.concat([varint((number << 3) | 3), content, varint((number << 3) | 4)]);
}

/** The same bytes many times. */
export function repeat(bytes: Uint8Array, times: number): Buffer {
  return Buffer.alloc(bytes.length * times, bytes);
}
