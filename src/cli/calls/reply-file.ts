/**
 * The session file of `sealwire request` and `sealwire response`: the key that opens the replies of one call, for a
 * limited time.
 */
import { rm } from 'node:fs/promises';
import { CallReplies } from '../../client/open-reply.js';
import { SealwireError } from '../../errors.js';
import { readKeyFile, writeKeyFile } from '../../keys/files.js';
import { type JsonMethod, JsonSchema } from '../json/json-messages.js';

/** A session read from its file. */
export interface Session {
  readonly method: JsonMethod;
  readonly replies: CallReplies;
  /** Whether its header was printed. A header is good for one call, and this one may have been used. */
  readonly isPrinted: boolean;
}

/** What the file holds; binary values are base64. */
interface Stored {
  readonly v: 1;
  readonly method: string;
  /** Seconds since 1970. */
  readonly expiresAt: number;
  readonly token: string;
  readonly kid: string;
  readonly key: string;
  readonly descriptors: string;
  readonly printed?: boolean;
}

/**
 * Writes the file with mode 0600, replacing an existing file.
 *
 * @throws SealwireError `KEY_FILE_WRITE`
 */
export async function writeSession(
  path: string,
  replies: CallReplies,
  about: {
    readonly method: string;
    readonly descriptors: Uint8Array;
    readonly lifeSeconds: number;
    readonly isPrinted: boolean;
  },
): Promise<void> {
  const { token, kid, key } = replies.export();
  const stored: Stored = {
    v: 1,
    method: about.method,
    expiresAt: Math.floor(Date.now() / 1000) + about.lifeSeconds,
    token,
    kid,
    key: Buffer.from(key).toString('base64'),
    descriptors: Buffer.from(about.descriptors).toString('base64'),
    ...(about.isPrinted && { printed: true }),
  };
  await writeKeyFile(path, `${JSON.stringify(stored)}\n`, 0o600);
}

/**
 * Records that the header of a session has been printed.
 * @throws SealwireError as {@link readSession} and {@link writeSession} do
 */
export async function markPrinted(path: string): Promise<void> {
  const stored = parse(path, await readKeyFile(path, { secret: true }));
  await writeKeyFile(path, `${JSON.stringify({ ...stored, printed: true })}\n`, 0o600);
}

/**
 * @throws SealwireError `SESSION_INVALID` for another file, or an expired one. An expired file is removed: keys past
 *   their time must not stay behind; `KEY_FILE_MISSING`, `KEY_FILE_MODE`
 */
export async function readSession(path: string): Promise<Session> {
  const stored = parse(path, await readKeyFile(path, { secret: true }));
  const late = Math.floor(Date.now() / 1000) - stored.expiresAt;
  if (late >= 0) {
    await rm(path, { force: true });
    throw new SealwireError(
      'SESSION_INVALID',
      `${path}: the session expired ${late} s ago and was removed; make the request again`,
    );
  }
  const method = new JsonSchema(Buffer.from(stored.descriptors, 'base64')).method(stored.method);
  const { token, kid } = stored;
  const replies = CallReplies.restore({ token, kid, key: Buffer.from(stored.key, 'base64') });
  return { method, replies, isPrinted: stored.printed === true };
}

function parse(path: string, text: string): Stored {
  let value = {} as Partial<Record<keyof Stored, unknown>> | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    // The parser's message quotes the text.
  }
  const texts = [value?.method, value?.token, value?.kid, value?.key, value?.descriptors];
  if (value?.v === 1 && Number.isSafeInteger(value.expiresAt) && texts.every((one) => typeof one === 'string')) {
    return value as Stored;
  }
  throw new SealwireError('SESSION_INVALID', `${path}: not a session file of sealwire request`);
}
