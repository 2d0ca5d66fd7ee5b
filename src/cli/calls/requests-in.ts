/** The requests of a call: JSON messages from `-d`, and the keys that they are sealed to. */
import type { RecipientKeys } from '../../client/seal-message.js';
import { SealwireError } from '../../errors.js';
import type { RecipientKey } from '../../jwe/recipient.js';
import type { KeySource } from '../../keys/key-source.js';
import type { MessagePlan } from '../../schema/plan.js';
import { collectToSeal, recipientsOf } from '../../schema/walk.js';
import type { JsonMethod } from '../json/json-messages.js';
import { inputError, type JsonNode } from '../json/json-reader.js';
import { readMessages } from '../json/messages-in.js';

/**
 * The input's messages. Without a request stream exactly one, checked to be the only one; empty input is an empty
 * message.
 */
export async function* readRequestNodes(
  { plan, path }: JsonMethod,
  data: string | undefined,
  signal?: AbortSignal,
): AsyncGenerator<JsonNode> {
  let only: JsonNode | undefined;
  for await (const node of readMessages(data, signal)) {
    if (plan.requestStream) yield node;
    else if (only === undefined) only = node;
    else
      throw inputError(node.at, `a second message, but ${path.slice(1)} takes one (sealwire call --each: one a call)`);
  }
  if (!plan.requestStream) yield only ?? { at: { line: 1, column: 1 }, kind: 'object', members: [] };
}

/**
 * @throws SealwireError `SEAL_INPUT` for a message that cannot be sealed: the input's fault, not an answer of the
 * service
 */
export function readRequest(method: JsonMethod, node: JsonNode): object {
  const message = method.request.fromJson(node);
  const { request: plan } = method.plan;
  method.request.checkRequired(message);
  try {
    if (plan !== undefined) collectToSeal(plan, message);
  } catch (error) {
    throw asInput(error);
  }
  return message;
}

/** The keys of all to whom something in such messages is sealed. */
export async function currentKeys(plan: MessagePlan, keys: KeySource): Promise<RecipientKeys> {
  const found = new Map<string, RecipientKey>();
  for (const recipient of recipientsOf(plan)) found.set(recipient, await keys.current(recipient));
  return found;
}

/** A message that cannot be sealed is wrong input, whichever check failed. */
export function asInput(error: unknown): unknown {
  if (!(error instanceof SealwireError) || error.reason === undefined) return error;
  if (error.code === 'POOL_FULL' || error.code === 'CUSTODY_FAILED') return error;
  return new SealwireError('SEAL_INPUT', error.path === undefined ? error.message : `${error.path}: ${error.message}`);
}
