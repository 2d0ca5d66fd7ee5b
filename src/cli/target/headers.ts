/** Metadata from `-H`. */
import { readFileSync } from 'node:fs';
import { Metadata } from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import { decodeText } from '../../files/file-text.js';

const LINE = /^([A-Za-z0-9_.-]+):[ \t]*(.*)$/;
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/**
 * @param values `name: value`, or `@FILE` with such lines; the value of a name that ends in `-bin` is base64
 * @throws SealwireError `OPTIONS_INVALID`, which quotes no value
 */
export function readHeaders(values: readonly string[] = []): Metadata {
  const metadata = new Metadata();
  for (const line of values.flatMap(readLines)) {
    const [, name = '', value = ''] = LINE.exec(line) ?? [];
    const isBinary = name.toLowerCase().endsWith('-bin');
    if (isBinary && !BASE64.test(value)) throw new SealwireError('OPTIONS_INVALID', `-H ${name} takes base64`);
    try {
      metadata.add(name, isBinary ? Buffer.from(value, 'base64') : value);
    } catch {
      throw new SealwireError('OPTIONS_INVALID', "-H takes 'name: value', both in ASCII, or @FILE with such lines");
    }
  }
  return metadata;
}

/** Arguments of a command can be seen by others; a file need not be. */
function readLines(value: string): readonly string[] {
  if (!value.startsWith('@')) return [value];
  const path = value.slice(1);
  try {
    const lines = decodeText(readFileSync(path)).split('\n');
    return lines.filter((line) => line.trim() !== '');
  } catch (error) {
    throw new SealwireError('OPTIONS_INVALID', `-H: ${path}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`);
  }
}
