/** Opening a response of protobuf-es. */
import { withPath } from '../../errors.js';
import { DEFAULT_LIMITS } from '../../profile/limits.js';
import { boundAtSite, decodeInner, putOpened } from '../../schema/open-sites.js';
import type { MessagePlan } from '../../schema/plan.js';
import { collectSealed, type SealedSite } from '../../schema/walk.js';
import type { WebSealingCall } from '../crypto/sealer.js';

/**
 * Opens one response. Messages must be given in the order they came, each after the one before: replies are numbered.
 *
 * @param call the one whose reply token was sent; undefined where none was: then tokens stay
 * @returns a copy with inner messages; fields for a named recipient stay tokens
 * @throws SealwireError with the path: those of {@link WebSealingCall.openReply}, `TOO_MANY_TOKENS`, `INNER_DECODE`,
 *   `INNER_TOO_LARGE`, `FIELD_REQUIRED`
 */
export async function openResponse(
  plan: MessagePlan,
  message: object,
  call: WebSealingCall | undefined,
): Promise<object> {
  const sites = collectSealed(plan, message, DEFAULT_LIMITS.tokensPerMessage);
  const values = sites.map((site) =>
    call !== undefined && site.field.recipient === '' ? openSite(site, call) : site.value,
  );
  return putOpened(plan, message, sites, await Promise.all(values));
}

async function openSite(site: SealedSite, call: WebSealingCall): Promise<object> {
  const { field, path, value } = site;
  try {
    const bound = field.bind.length === 0 ? undefined : boundAtSite(site);
    const { plaintext, cty } = await call.openReply(value as string, field, bound);
    return decodeInner(site, plaintext, cty);
  } catch (error) {
    throw withPath(error, path);
  }
}
