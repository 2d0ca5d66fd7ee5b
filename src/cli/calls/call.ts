/** `sealwire call`: JSON in, a sealed call, or one for each message, and JSON out. */
import type { ServiceError } from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import { ExitCode } from '../../host/process/exit.js';
import { hasOwnFields } from '../../schema/walk.js';
import type { JsonMethod } from '../json/json-messages.js';
import { readMessages } from '../json/messages-in.js';
import { print } from '../output.js';
import { describeFailure, isUnavailable } from '../target/call-failure.js';
import { readTarget } from '../target/credentials.js';
import { MethodClient } from '../target/method-client.js';
import { loadMethod, openKeySource } from '../target/target.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from '../target/target-options.js';
import { callEach } from './call-each.js';
import { createNotes } from './notes.js';
import { currentKeys, readRequest, readRequestNodes } from './requests-in.js';
import { describeCall, tellCalls } from './verbose.js';

/** Flags of the command. */
export interface CallFlags extends TargetFlags, KeyFlags, SchemaFlags {
  readonly data?: string;
  /** Seconds; of each call. */
  readonly maxTime?: number;
  readonly each?: boolean;
  /** With `each`: calls at a time. */
  readonly parallel: number;
  readonly verbose?: boolean;
}

/** Makes the call, or the calls. */
export async function call(name: string, flags: CallFlags): Promise<void> {
  const { address, credentials, channelOptions, metadata } = readTarget(flags);
  const { method, statements } = await loadMethod(flags, name);
  const { request: requestPlan, response: responsePlan, requestStream, responseStream } = method.plan;
  if (flags.each === true && (requestStream || responseStream)) {
    throw new SealwireError('OPTIONS_INVALID', `--each: ${name} is a stream, which takes many messages in one call`);
  }
  const keys = await openKeySource(flags);
  const interceptors = flags.verbose === true ? [tellCalls] : [];
  const options = { keys, forwardTokens: true, channelOptions, interceptors };
  const client = new MethodClient(address, credentials, method, options);
  const callOptions = () => ({
    metadata,
    ...(flags.maxTime !== undefined && { deadline: Date.now() + flags.maxTime * 1000 }),
  });
  const input = new AbortController();
  const note = createNotes();
  try {
    // Asked first, so that a problem with the keys is reported as such.
    const found = new Map(requestPlan === undefined ? [] : await currentKeys(requestPlan, keys));
    if (hasOwnFields(responsePlan)) found.set('', await keys.current(''));
    if (flags.verbose === true) describeCall(flags, statements, found);
    if (flags.each === true) {
      const nodes = readMessages(flags.data, input.signal);
      process.exitCode = await callEach(client, method, nodes, { callOptions, note, parallel: flags.parallel });
      return;
    }
    const requests = readRequests(method, flags.data, input.signal);
    for await (const message of client.exchange(requests, callOptions())) {
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
  for await (const node of readRequestNodes(method, data, signal)) yield readRequest(method, node);
}
