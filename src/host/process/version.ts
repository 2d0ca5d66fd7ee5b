import { readFileSync } from 'node:fs';

/** This package's version; `unknown` in a bundle, which has left the package's files behind. */
export const VERSION = readVersion(new URL('../../../../package.json', import.meta.url));

function readVersion(file: URL): string {
  try {
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown; version?: unknown };
    // Beside a bundle there may be another package's file.
    return name === 'sealwire' ? String(version) : 'unknown';
  } catch {
    return 'unknown';
  }
}
