/** Passphrases of a process that cannot ask a person: from a file or an environment variable. */
import { SealwireError } from '../errors.js';
import { readKeyFile } from './files.js';
import type { PassphraseSource } from './protected-file.js';

/** May hold the passphrase of the key ring. */
export const PASSPHRASE_VARIABLE = 'SEALWIRE_KEY_PASSPHRASE';

/**
 * @param path a file whose first line is the secret, spaces included; refused when others can read it
 * @param name what the secret is called in errors
 * @throws SealwireError `OPTIONS_INVALID` for an empty line, `KEY_FILE_MISSING`, `KEY_FILE_MODE`
 */
export async function readSecretFile(path: string, name: string): Promise<string> {
  const [line = ''] = (await readKeyFile(path, { secret: true })).split('\n', 1);
  if (line === '') throw new SealwireError('OPTIONS_INVALID', `${path} holds no ${name}`);
  return line;
}

/**
 * @param file read whenever the passphrase is needed, so that a new one needs no restart
 * @param environment the variable is removed from it, so that processes started later do not inherit it
 * @returns undefined when there is neither a file nor the variable
 */
export function findPassphrase(
  file: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): PassphraseSource | undefined {
  const value = environment[PASSPHRASE_VARIABLE];
  delete environment[PASSPHRASE_VARIABLE];
  if (file !== undefined) return () => readSecretFile(file, 'passphrase');
  return value === undefined || value === '' ? undefined : () => value;
}
