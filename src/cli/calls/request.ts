/** `sealwire request` and `response`: JSON in, sealed or opened, JSON out. */
import { MessageSealer } from '../../client/seal-message.js';
import { SealwireError } from '../../errors.js';
import { ExitCode } from '../../host/process/exit.js';
import { SealingSessions } from '../../jwe/sender.js';
import type { KeySource } from '../../keys/key-source.js';
import { REPLY_METADATA } from '../../profile/replies.js';
import { hasOwnFields } from '../../schema/walk.js';
import type { JsonMethod } from '../json/json-messages.js';
import type { JsonNode } from '../json/json-reader.js';
import { readMessages } from '../json/messages-in.js';
import { print } from '../output.js';
import { loadMethod, openKeySource } from '../target/target.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from '../target/target-options.js';
import { createNotes } from './notes.js';
import { markPrinted, readSession, writeSession } from './reply-file.js';
import { asInput, currentKeys, readRequestNodes } from './requests-in.js';

/** Flags of `request`. */
export interface RequestFlags extends TargetFlags, KeyFlags, SchemaFlags {
  readonly data?: string;
  readonly session?: string;
  /** Seconds. */
  readonly sessionLife: number;
  readonly printHeader?: boolean;
}

/** Flags of `response`. */
export interface ResponseFlags {
  readonly session: string;
}

/** Prints the sealed request, or the header for its replies. */
export async function request(name: string, flags: RequestFlags): Promise<void> {
  const { session, printHeader, data } = flags;
  if (printHeader === true && session === undefined) {
    throw new SealwireError(
      'OPTIONS_INVALID',
      '--print-header needs --session FILE, which keeps the key to the replies',
    );
  }
  if (printHeader === true && session !== undefined && data === undefined && (await printKnownHeader(name, session)))
    return;
  const { descriptors, method } = await loadMethod(flags, name);
  const keys = await openKeySource(flags);
  const sessions = new SealingSessions();
  try {
    const sealer = new MessageSealer({ sessions, forwardTokens: true });
    const lines: string[] = [];
    for await (const node of printHeader === true && data === undefined ? [] : readRequestNodes(method, data)) {
      lines.push(JSON.stringify(await sealOne(method, sealer, keys, node)));
    }
    const header = session === undefined ? '' : await beginSession(session);
    if (printHeader === true) await print(header);
    else await print(lines.map((line) => `${line}\n`).join(''));

    async function beginSession(path: string): Promise<string> {
      if (!hasOwnFields(method.plan.response)) {
        throw new SealwireError(
          'OPTIONS_INVALID',
          `--session: responses of ${name} have no sealed fields for the caller`,
        );
      }
      // grpcurl encodes the request, so its bytes are not known here.
      const replies = await sealer.beginReplies(await keys.current(''), new Uint8Array(), { mth: method.path });
      await writeSession(path, replies, {
        method: name,
        descriptors,
        lifeSeconds: flags.sessionLife,
        isPrinted: printHeader === true,
      });
      return `${REPLY_METADATA}: ${replies.token}\n`;
    }
  } finally {
    await sessions.close();
    keys.close();
  }
}

/**
 * Prints the header of the session that a request began.
 * @returns false if the file has no unprinted one for this method
 */
async function printKnownHeader(name: string, path: string): Promise<boolean> {
  try {
    const { method, replies, isPrinted } = await readSession(path);
    if (isPrinted || method.path !== `/${name.replace(/^\//, '').replace(/\.(?=\w+$)/, '/')}`) return false;
    await markPrinted(path);
    await print(`${REPLY_METADATA}: ${replies.token}\n`);
    return true;
  } catch (error) {
    if (error instanceof SealwireError && (error.code === 'KEY_FILE_MISSING' || error.code === 'SESSION_INVALID'))
      return false;
    throw error;
  }
}

/** Opens the sealed fields in grpcurl's output, each message as it comes. */
export async function response({ session }: ResponseFlags): Promise<void> {
  const { method, replies } = await readSession(session);
  const plan = method.plan.response;
  const note = createNotes();
  let count = 0;
  for await (const node of readMessages('@')) {
    count++;
    const message = method.response.fromJson(node);
    const opened = plan === undefined ? message : replies.open(plan, message);
    await print(`${JSON.stringify(method.response.toJson(opened, note), null, 2)}\n`);
  }
  if (count > 0 || method.plan.responseStream) return;
  process.stderr.write('sealwire: no response came on stdin\n');
  process.exitCode = ExitCode.NEGATIVE;
}

async function sealOne(method: JsonMethod, sealer: MessageSealer, keys: KeySource, node: JsonNode): Promise<unknown> {
  const message = method.request.fromJson(node);
  method.request.checkRequired(message);
  const plan = method.plan.request;
  if (plan === undefined) return method.request.toJson(message);
  try {
    return method.request.toJson(await sealer.seal(plan, message, await currentKeys(plan, keys)));
  } catch (error) {
    throw asInput(error);
  }
}
