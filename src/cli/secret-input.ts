/**
 * Passphrases and PINs: from a file, an environment variable or a prompt; never from argv, which every process can
 * read.
 */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { SealwireError } from '../errors.js';
import { readSecretFile } from '../keys/passphrase.js';

/** Where a secret may come from. */
export interface SecretSources {
  /** Its name in prompts and errors, e.g. `passphrase`. */
  readonly name: string;
  /** Path of a file whose first line is the secret; refused when others can read it. */
  readonly file?: string | undefined;
  /** Environment variable that may hold it. */
  readonly variable: string;
  /** Ask twice, for a new secret. Default false. */
  readonly confirm?: boolean;
}

/**
 * @returns the secret: from the file, else the variable, else asked for when stdin is a terminal
 * @throws SealwireError `OPTIONS_INVALID` when there is none; `KEY_FILE_MISSING`, `KEY_FILE_MODE` for the file
 */
export async function readSecret(sources: SecretSources): Promise<string> {
  const { name, file, variable, confirm = false } = sources;
  if (file !== undefined) return readSecretFile(file, name);
  const value = process.env[variable];
  if (value !== undefined && value !== '') return value;
  if (!process.stdin.isTTY) {
    throw new SealwireError('OPTIONS_INVALID', `a ${name} is needed: give a file, or set ${variable}`);
  }
  const secret = await ask(`${name}: `);
  if (confirm && (await ask(`${name} again: `)) !== secret) {
    throw new SealwireError('OPTIONS_INVALID', `the two entries of the ${name} differ`);
  }
  if (secret === '') throw new SealwireError('OPTIONS_INVALID', `an empty ${name} protects nothing`);
  return secret;
}

/** Reads a line without showing it. */
async function ask(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  const hidden = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: hidden, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}
