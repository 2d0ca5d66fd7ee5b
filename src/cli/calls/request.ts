/** `sealwire request`, `response` and `call`: JSON in, sealed, JSON out. */
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { MessageSealer, type RecipientKeys } from '../../client/seal-message.js';
import { SealwireError } from '../../errors.js';
import { ExitCode } from '../../host/process/exit.js';
import type { RecipientKey } from '../../jwe/recipient.js';
import { SealingSessions } from '../../jwe/sender.js';
import type { KeySource } from '../../keys/key-source.js';
import { REPLY_METADATA } from '../../profile/reply-names.js';
import type { MessagePlan } from '../../schema/plan.js';
import { collectToSeal, hasOwnFields, recipientsOf } from '../../schema/walk.js';

import type { JsonMethod } from '../json/json-messages.js';
import { inputError, type JsonNode } from '../json/json-reader.js';
import type { Note } from '../json/json-types.js';
import { readMessages } from '../json/messages-in.js';
import { print } from '../output.js';
import { clean, describeFailure, isUnavailable } from './call-failure.js';
import { readCredentials } from './credentials.js';
import { MethodClient } from './method-client.js';
import { markPrinted, readSession, writeSession } from './reply-file.js';
import { loadMethod, openKeySource } from './target.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from './target-options.js';

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

/** Flags of `call`. */
export interface CallFlags extends TargetFlags, KeyFlags, SchemaFlags {
  readonly data?: string;
  readonly header?: readonly string[];
  /** Seconds. */
  readonly maxTime?: number;
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
      if (!hasReplies(method.plan.response)) {
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

/** Makes the call. */
export async function call(name: string, flags: CallFlags): Promise<void> {
  const metadata = readHeaders(flags.header ?? []);
  const { method } = await loadMethod(flags, name);
  const keys = await openKeySource(flags);
  const client = new MethodClient(flags.address, readCredentials(flags), method, { keys, forwardTokens: true });
  const { request: requestPlan, response: responsePlan } = method.plan;
  const deadline = flags.maxTime === undefined ? {} : { deadline: Date.now() + flags.maxTime * 1000 };
  const input = new AbortController();
  const note = createNotes();
  try {
    // Asked first, so that a problem with the keys is reported as such.
    if (requestPlan !== undefined) await currentKeys(requestPlan, keys);
    if (hasReplies(responsePlan)) await keys.current('');
    const requests = readRequests(method, flags.data, input.signal);
    for await (const message of client.exchange(requests, { metadata, ...deadline })) {
      await print(`${JSON.stringify(method.response.toJson(message, note), null, 2)}\n`);
    }
  } catch (error) {
    if (typeof (error as Partial<ServiceError>).code !== 'number') throw error;
    process.stderr.write(`sealwire: ${describeFailure(error as ServiceError)}\n`);
    process.exitCode = isUnavailable(error as ServiceError) ? ExitCode.UNAVAILABLE : ExitCode.NEGATIVE;
  } finally {
    // The call may have ended before its input did.
    input.abort();
    client.close();
    keys.close();
  }
}

async function* readRequests(
  method: JsonMethod,
  data: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<object> {
  for await (const node of readRequestNodes(method, data, signal)) {
    const message = method.request.fromJson(node);
    const { request: plan } = method.plan;
    // A missing field is the input's fault, not an answer of the service.
    method.request.checkRequired(message);
    if (plan !== undefined) asInputSync(() => collectToSeal(plan, message));
    yield message;
  }
}

/**
 * The input's messages. Without a request stream exactly one, checked to be the only one; empty input is an empty
 * message.
 */
async function* readRequestNodes(
  { plan, path }: JsonMethod,
  data: string | undefined,
  signal?: AbortSignal,
): AsyncGenerator<JsonNode> {
  let only: JsonNode | undefined;
  for await (const node of readMessages(data, signal)) {
    if (plan.requestStream) yield node;
    else if (only === undefined) only = node;
    else throw inputError(node.at, `a second message, but ${path.slice(1)} takes one`);
  }
  if (!plan.requestStream) yield only ?? { at: { line: 1, column: 1 }, kind: 'object', members: [] };
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

async function currentKeys(plan: MessagePlan, keys: KeySource): Promise<RecipientKeys> {
  const found = new Map<string, RecipientKey>();
  for (const recipient of recipientsOf(plan)) found.set(recipient, await keys.current(recipient));
  return found;
}

/** A message that cannot be sealed is wrong input, whichever check failed. */
function asInput(error: unknown): unknown {
  if (!(error instanceof SealwireError) || error.reason === undefined) return error;
  if (error.code === 'POOL_FULL' || error.code === 'CUSTODY_FAILED') return error;
  return new SealwireError('SEAL_INPUT', error.path === undefined ? error.message : `${error.path}: ${error.message}`);
}

function asInputSync(work: () => void): void {
  try {
    work();
  } catch (error) {
    throw asInput(error);
  }
}

/** @throws SealwireError `OPTIONS_INVALID` */
function readHeaders(lines: readonly string[]): Metadata {
  const metadata = new Metadata();
  for (const line of lines) {
    const match = /^([A-Za-z0-9_.-]+):\s*(.*)$/.exec(line);
    try {
      metadata.add(match?.[1] as string, match?.[2] as string);
    } catch {
      throw new SealwireError('OPTIONS_INVALID', "-H takes 'name: value', both in ASCII");
    }
  }
  return metadata;
}

/** Notes on stderr, each once. */
function createNotes(): Note {
  const told = new Set<string>();
  return (text) => {
    if (!told.has(text)) process.stderr.write(`sealwire: note: ${clean(text)}\n`);
    told.add(text);
  };
}

function hasReplies(plan: MessagePlan | undefined): boolean {
  return hasOwnFields(plan);
}
