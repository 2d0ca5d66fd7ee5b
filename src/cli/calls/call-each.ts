/** `sealwire call --each`: one call for each message of the input, some at a time, and a line for each result. */
import { type ServiceError, status } from '@grpc/grpc-js';
import type { SealedCallOptions } from '../../client/client.js';
import { errorDetails } from '../../client/client.js';
import { SealwireError } from '../../errors.js';
import { ExitCode } from '../../host/process/exit.js';
import type { JsonMethod } from '../json/json-messages.js';
import type { JsonNode } from '../json/json-reader.js';
import type { Note } from '../json/json-types.js';
import { Progress, print } from '../output.js';
import { clean } from '../target/call-failure.js';
import type { MethodClient } from '../target/method-client.js';
import { readRequest } from './requests-in.js';

/** Why a request has no response. */
interface Failure {
  /** Name of the gRPC code; `SEAL_INPUT` for a message that was not sent. */
  readonly code: string;
  readonly message: string;
  readonly reason?: string;
  /** What else the service told, such as `field`. */
  readonly [fact: string]: unknown;
}

type Result = { readonly response: unknown } | { readonly error: Failure };

/** Options of {@link callEach}. */
export interface EachOptions {
  /** Asked for each call, since deadlines begin with it. */
  readonly callOptions: () => SealedCallOptions;
  /** Told of what an answer holds that cannot be shown as it should. */
  readonly note: Note;
  /** Calls at a time. */
  readonly parallel: number;
}

/**
 * Prints one line of JSON for each message, in their order: `request` is its number, from 1. Progress and totals go to
 * stderr.
 *
 * @returns the exit code: 1 if the service refused a call or a message could not be sent, else 3 if a call failed
 *   otherwise
 * @throws SealwireError `SEAL_INPUT` for text that is not JSON, when the calls before it have ended
 */
export async function callEach(
  client: MethodClient,
  method: JsonMethod,
  nodes: AsyncIterable<JsonNode>,
  { callOptions, note, parallel }: EachOptions,
): Promise<number> {
  const tally = { done: 0, failed: 0, unavailable: 0 };
  const progress = new Progress((done) => `${done} calls, ${tally.failed} failed`);
  const report = async (request: number, result: Result, before: Promise<void> | undefined) => {
    await before;
    tally.done++;
    if ('error' in result) tally.failed++;
    if ('error' in result && UNAVAILABLE.has(result.error.code)) tally.unavailable++;
    progress.update(tally.done);
    await print(`${JSON.stringify({ request, ...result })}\n`);
  };
  let count = 0;
  let last: Promise<void> | undefined;
  const running: Promise<void>[] = [];
  try {
    for await (const node of nodes) {
      const request = ++count;
      const before = last;
      last = callOne(client, method, node, callOptions(), note).then((result) => report(request, result, before));
      running.push(last);
      if (running.length >= parallel) await running.shift();
    }
  } finally {
    await last;
    progress.end();
    process.stderr.write(`sealwire: ${tally.done} calls, ${tally.failed} failed\n`);
  }
  if (tally.failed === 0) return ExitCode.DONE;
  return tally.failed > tally.unavailable ? ExitCode.NEGATIVE : ExitCode.UNAVAILABLE;
}

const UNAVAILABLE: ReadonlySet<string> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);

/** Never fails: one bad request says nothing of the next. */
async function callOne(
  client: MethodClient,
  method: JsonMethod,
  node: JsonNode,
  options: SealedCallOptions,
  note: Note,
): Promise<Result> {
  try {
    const { value } = await client.exchange([readRequest(method, node)], options).next();
    return { response: method.response.toJson(value as object, note) };
  } catch (error) {
    return { error: describe(error) };
  }
}

function describe(error: unknown): Failure {
  if (error instanceof SealwireError) return { code: error.code, message: error.message };
  const { code, details } = error as ServiceError;
  const { reason, metadata, violations = [] } = errorDetails(error) ?? {};
  return {
    code: status[code] ?? 'UNKNOWN',
    message: clean(details ?? 'no text'),
    ...(reason && { reason }),
    ...metadata,
    ...(violations.length > 0 && { violations }),
  };
}
