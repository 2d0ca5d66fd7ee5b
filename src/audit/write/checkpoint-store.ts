/** The files `checkpoint`, `checkpoints` and `log.vkey` of a log folder, for its writer. */
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SealwireError } from '../../errors.js';
import { type Checkpoint, openCheckpoint, signCheckpoint } from '../format/checkpoint.js';
import { CHECKPOINT_FILE, CHECKPOINTS_FILE, VERIFIER_KEY_FILE } from '../format/log-files.js';
import type { NoteSigner, NoteVerifier } from '../format/note-keys.js';
import { type AppendFile, isDiskFull, openAppendFile, replaceLogFile } from './append-file.js';

/** Stands between a store and its two files. */
type WrapFile = (file: AppendFile, kind: 'checkpoint' | 'checkpoints') => AppendFile;

/** More than one checkpoint is long. */
const TAIL_BYTES = 65_536;

/** What a tree is signed with: its size and root. */
export interface TreeHead {
  readonly size: number;
  readonly root: Buffer;
}

/** @returns whether the folder has a checkpoint or a verifier key */
export async function isLogSigned(dir: string): Promise<boolean> {
  const names = await readdir(dir);
  return [CHECKPOINT_FILE, CHECKPOINTS_FILE, VERIFIER_KEY_FILE].some((name) => names.includes(name));
}

/** Writes checkpoints. */
export class CheckpointStore {
  readonly #path: string;
  readonly #signer: NoteSigner;
  readonly #wrap: WrapFile;
  readonly #list: AppendFile;
  #listBytes: number;
  /** Notes that stand in `checkpoint` and not yet in `checkpoints`, for want of room. */
  #unlisted = '';
  #size = -1;

  private constructor(dir: string, signer: NoteSigner, wrap: WrapFile) {
    this.#path = join(dir, CHECKPOINT_FILE);
    this.#signer = signer;
    this.#wrap = wrap;
    const { file, size } = openAppendFile(join(dir, CHECKPOINTS_FILE));
    this.#list = wrap(file, 'checkpoints');
    this.#listBytes = size;
  }

  /**
   * Begins the files of a log that has no valid checkpoint yet: what is there was left by a first run that did not end.
   */
  static async create(dir: string, signer: NoteSigner, wrap: WrapFile): Promise<CheckpointStore> {
    const store = new CheckpointStore(dir, signer, wrap);
    try {
      await store.#cutList(0);
      await replaceLogFile(join(dir, VERIFIER_KEY_FILE), `${signer.verifier.vkey}\n`);
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /**
   * Opens the files of a log and repairs what a crash may have left: a `checkpoints` file with a torn end or without
   * the latest.
   *
   * @param latest as {@link recoverCheckpoint} gave it
   */
  static async open(
    dir: string,
    signer: NoteSigner,
    latest: RecoveredCheckpoint,
    wrap: WrapFile,
  ): Promise<CheckpointStore> {
    const store = new CheckpointStore(dir, signer, wrap);
    store.#size = latest.checkpoint.size;
    if (latest.tornBytes > 0) await store.#cutList(latest.listedBytes);
    if (latest.unlisted !== '') {
      store.#unlisted = latest.unlisted;
      await store.#writeList();
    }
    return store;
  }

  /** Records that the latest checkpoint covers; -1 before the first. */
  get size(): number {
    return this.#size;
  }

  /**
   * Signs a tree whose lines and leaves are on disk. One call at a time.
   *
   * @throws the system's errors; see `isDiskFull`
   */
  async write(head: TreeHead): Promise<void> {
    if (head.size !== this.#size) {
      const note = signCheckpoint(head, this.#signer);
      await replaceLogFile(this.#path, note, (file) => this.#wrap(file, 'checkpoint'));
      this.#size = head.size;
      this.#unlisted += `${note}\n`;
    }
    if (this.#unlisted !== '') await this.#writeList();
  }

  async close(): Promise<void> {
    await this.#list.close();
  }

  async #writeList(): Promise<void> {
    const bytes = Buffer.from(this.#unlisted);
    try {
      await this.#list.append(bytes);
    } catch (error) {
      if (isDiskFull(error)) await this.#list.cut(this.#listBytes);
      throw error;
    }
    await this.#list.sync();
    this.#listBytes += bytes.length;
    this.#unlisted = '';
  }

  async #cutList(size: number): Promise<void> {
    await this.#list.cut(size);
    this.#listBytes = size;
    await this.#list.sync();
  }
}

/** The latest checkpoint, and the state of the list of all. */
export interface RecoveredCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Bytes of `checkpoints` up to the end of its last complete note. */
  readonly listedBytes: number;
  /** Bytes behind that. */
  readonly tornBytes: number;
  /** What has to be appended there: the latest note, or nothing. */
  readonly unlisted: string;
}

/**
 * Reads the latest checkpoint and compares it with the end of `checkpoints` and with `log.vkey`.
 *
 * @throws SealwireError `AUDIT_FILE_INVALID` when they do not fit each other, or are not signed by the key
 */
export async function recoverCheckpoint(dir: string, verifier: NoteVerifier): Promise<RecoveredCheckpoint> {
  const [latest, list, key] = [CHECKPOINT_FILE, CHECKPOINTS_FILE, VERIFIER_KEY_FILE].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  const [latestText, keyText] = await Promise.all([latest, key].map(readIfThere));
  if (keyText?.toString() !== `${verifier.vkey}\n`)
    throw invalid(key, `is ${keyText === undefined ? 'missing' : 'not the key that signs this log'}`);
  if (latestText === undefined)
    throw invalid(
      latest,
      'is missing; put it back from a copy, or move the log and its signing key away to begin a new one',
    );
  const checkpoint = verified(latest, latestText, verifier);
  const tail = await readTail(list);
  if (tail === undefined) throw invalid(list, 'is missing; put it back from a copy');
  const { note, end } = lastNote(tail.bytes);
  const listed = note === undefined ? undefined : verified(list, note, verifier);
  if (listed !== undefined && listed.size > checkpoint.size) {
    throw invalid(
      latest,
      `covers ${checkpoint.size} records, and checkpoints has one of ${listed.size}: an older copy was put back`,
    );
  }
  const isListed = listed?.size === checkpoint.size;
  if (isListed && !listed.root.equals(checkpoint.root))
    throw invalid(latest, `has another root than checkpoints for ${checkpoint.size} records`);
  const tornBytes = tail.bytes.length - end;
  return { checkpoint, listedBytes: tail.from + end, tornBytes, unlisted: isListed ? '' : `${latestText}\n` };
}

function verified(path: string, note: Buffer, verifier: NoteVerifier): Checkpoint {
  try {
    return openCheckpoint(note, verifier);
  } catch (error) {
    throw invalid(path, (error as Error).message);
  }
}

/** The last note of the list that is complete, which means followed by an empty line, and where that ends. */
function lastNote(list: Buffer): { readonly note?: Buffer; readonly end: number } {
  // Only signatures begin with a dash, and only the line before them is empty; origins hold no white space.
  for (let before = list.length; before > 0; ) {
    const split = list.lastIndexOf('\n\n\u2014 ', before - 1);
    if (split < 0) break;
    const end = list.indexOf('\n\n', split + 2);
    if (end >= 0) {
      const begin = split === 0 ? -1 : list.lastIndexOf('\n\n', split - 1);
      return { note: list.subarray(begin < 0 ? 0 : begin + 2, end + 1), end: end + 2 };
    }
    before = split;
  }
  return { end: 0 };
}

/** Reads the end of a file that only grows. */
async function readTail(path: string): Promise<{ readonly bytes: Buffer; readonly from: number } | undefined> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    return { bytes: buffer.subarray(0, bytesRead), from };
  } finally {
    await file.close();
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function invalid(path: string, why: string): SealwireError {
  return new SealwireError('AUDIT_FILE_INVALID', `${path}: ${why}`);
}
