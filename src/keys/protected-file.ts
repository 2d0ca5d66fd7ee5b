/** Private key files in their two forms, plain JSON and encrypted: read, written, and told apart from half a file. */
import { SealwireError } from '../errors.js';
import { decryptKeyFile, encryptKeyFile, isEncrypted, type KeyFileType } from './encryption.js';
import { readKeyFile, type WriteKeyFileOptions, writeKeyFile } from './files.js';

/** Gives the passphrase of a key file, asked for each time one is read or written encrypted. */
export type PassphraseSource = () => string | Promise<string>;

/** A private key file as it was read. */
export interface ProtectedFile {
  /** Its JSON. */
  readonly text: string;
  readonly encrypted: boolean;
}

/**
 * Reads a private key file, and decrypts it if it is encrypted.
 *
 * @param path a file of at most 1 MiB that nobody else can read
 * @param passphrase asked only when the file is encrypted
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_MODE`, `KEY_FILE_INCOMPLETE` for half a file,
 *   `KEY_FILE_INVALID` for another type, `KEY_FILE_ENCRYPTED` without a passphrase, `KEY_PASSPHRASE_WRONG`
 */
export async function readProtectedFile(
  path: string,
  type: KeyFileType,
  passphrase?: PassphraseSource,
): Promise<ProtectedFile> {
  const text = (await readKeyFile(path, { secret: true })).trimStart();
  // A file system that lost power may leave zeros in place of what was not written yet.
  if (text === '' || text.includes('\0')) throw incomplete(path);
  if (isEncrypted(text)) {
    if (passphrase === undefined) {
      throw new SealwireError('KEY_FILE_ENCRYPTED', `${path}: encrypted; a passphrase is needed to read it`);
    }
    return { text: await decryptKeyFile(path, text, await passphrase(), type), encrypted: true };
  }
  if (isCutShort(text)) throw incomplete(path);
  return { text, encrypted: false };
}

/**
 * Writes a private key file atomically with mode 0600.
 *
 * @param passphrase encrypts the file. Default: it is written as plain JSON
 * @throws SealwireError `KEY_FILE_WRITE`
 */
export async function writeProtectedFile(
  path: string,
  text: string,
  type: KeyFileType,
  passphrase?: PassphraseSource,
  options?: WriteKeyFileOptions,
): Promise<void> {
  const content = passphrase === undefined ? text : await encryptKeyFile(text, await passphrase(), type);
  await writeKeyFile(path, content, 0o600, options);
}

/** Whether a bracket that JSON text opens is never closed. */
function isCutShort(text: string): boolean {
  // A text in quotes that does not end is cut short as well; what it holds does not count.
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/gs, '');
  if (bare.includes('"')) return true;
  return (bare.match(/[{[]/g)?.length ?? 0) > (bare.match(/[\]}]/g)?.length ?? 0);
}

function incomplete(path: string): SealwireError {
  return new SealwireError('KEY_FILE_INCOMPLETE', `${path}: the file is empty or its end is missing`);
}
