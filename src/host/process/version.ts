/** Which version of this package runs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** This package's version; `unknown` in a bundle, which has left the package's files behind. */
export const VERSION = readVersion();

function readVersion(): string {
  try {
    // Without a folder of its own, as in a CommonJS bundle, this throws.
    const file = join(import.meta.dirname, '..', '..', '..', '..', 'package.json');
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown; version?: unknown };
    // Beside a bundle there may be another package's file.
    return name === 'sealwire' ? String(version) : 'unknown';
  } catch {
    return 'unknown';
  }
}
