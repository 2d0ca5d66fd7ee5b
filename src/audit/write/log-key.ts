/** The key that signs a log's checkpoints: made on first run, kept outside of the log's folder. */
import { constants } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SealwireError } from '../../errors.js';
import { decodeText } from '../../files/file-text.js';
import { findOthersRights } from '../../files/own-files.js';
import { syncFolder } from '../../files/replace-file.js';
import { createSignerKey, type NoteSigner, parseSignerKey } from '../format/note-keys.js';
import { replaceLogFile } from './append-file.js';

const MAX_KEY_FILE_BYTES = 4_096;

/** A signing key, which may not be in its place yet. */
export interface LogKey {
  readonly signer: NoteSigner;
  /** True until {@link LogKey.keep}: the log has no valid first checkpoint yet. */
  readonly isNew: boolean;
  /** Puts a new key in its place: from now on a log without a checkpoint is a damaged one. */
  keep(): Promise<void>;
}

/**
 * Reads the signing key, or makes one. A new key stands beside its place until the log has its first checkpoint, so
 * that a crash between the two is neither taken for a loss of the key nor for one of the checkpoint.
 *
 * @param path of the key file
 * @param origin name of the log, which must be the key's; or what it is to be after the name of the key
 * @param isLogSigned whether the log has a checkpoint, and so must have a key
 * @throws SealwireError `AUDIT_FILE_INVALID`, `OPTIONS_INVALID` when the origin cannot be a key's name
 */
export async function openLogKey(
  path: string,
  origin: string | ((begun: string | undefined) => string),
  isLogSigned: boolean,
): Promise<LogKey> {
  const originOf = typeof origin === 'string' ? () => origin : origin;
  const text = await readSecret(path);
  if (text !== undefined) return { signer: parseKey(path, text, originOf), isNew: false, keep: async () => {} };
  const waiting = `${path}.new`;
  let pending = await readSecret(waiting);
  if (pending === undefined) {
    if (isLogSigned)
      throw invalid(
        path,
        'is missing, and the log has checkpoints signed by it: put it back, or move the log away to begin a new one',
      );
    pending = `${createSignerKey(originOf(undefined))}\n`;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await replaceLogFile(waiting, pending);
  }
  return {
    signer: parseKey(waiting, pending, originOf),
    isNew: true,
    keep: async () => {
      await rename(waiting, path);
      await syncFolder(dirname(path));
    },
  };
}

function parseKey(path: string, text: string, originOf: (begun: string) => string): NoteSigner {
  let signer: NoteSigner;
  try {
    signer = parseSignerKey(text.trim());
  } catch (error) {
    throw invalid(path, (error as Error).message);
  }
  const { name } = signer.verifier;
  const origin = originOf(name);
  if (name !== origin) throw invalid(path, `signs the log of ${name}, not of ${origin}: a log keeps its origin`);
  return signer;
}

async function readSecret(path: string): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const found = await file.stat();
    const { mode, size } = found;
    const odd = found.isFile() ? findOthersRights({ ...found, mode: 0 }) : 'is not a file';
    if (odd !== undefined) throw invalid(path, odd);
    if ((mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0');
      throw invalid(path, `mode ${octal} lets others read it; run chmod 600 ${path}`);
    }
    if (size > MAX_KEY_FILE_BYTES) throw invalid(path, 'is too large for a signing key');
    return decodeText(await file.readFile());
  } finally {
    await file.close();
  }
}

function invalid(path: string, why: string): SealwireError {
  return new SealwireError('AUDIT_FILE_INVALID', `${path}: ${why}`);
}
