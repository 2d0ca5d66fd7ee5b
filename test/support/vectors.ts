import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(process.env['VECTORS_DIR'] ?? '../shared/vectors');

/** Said by tests that are pending because the vectors are not there. */
export const VECTORS_HINT = 'test vectors not found: set VECTORS_DIR to their folder';

/** Path of a vector file, or undefined where the folder is absent. */
export function vectorsPath(...parts: string[]): string | undefined {
  const path = join(root, ...parts);
  return existsSync(path) ? path : undefined;
}

/** Reads a JSON vector file, or skips the calling test with the hint in its title. */
export function readVectors<T>(context: Mocha.Context, ...parts: string[]): T {
  const path = vectorsPath(...parts);
  if (path === undefined) {
    if (context.test) context.test.title += ` (${VECTORS_HINT})`;
    return context.skip();
  }
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}
