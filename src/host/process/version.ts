import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** This package's version; `unknown` in a bundle, which has left the package's files behind. */
export const VERSION = readVersion(join(import.meta.dirname, '..', '..', '..', '..', 'package.json'));

function readVersion(file: string): string {
  try {
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown; version?: unknown };
    // Beside a bundle there may be another package's file.
    return name === 'sealwire' ? String(version) : 'unknown';
  } catch {
    return 'unknown';
  }
}
