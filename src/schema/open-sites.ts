/** The steps of opening a message that client and server share: decoding inner messages and putting them in place. */
import { SealwireError } from '../errors.js';
import { encodeBound, type Sha256 } from './binding.js';
import { markHolder, markOpened, recordToken } from './opened.js';
import type { MessagePlan, SealedFieldPlan } from './plan.js';
import { replaceSealed, type SealedSite } from './walk.js';

/** Text that is not UTF-8 must not become other text. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What a token must say at this place. */
export interface ExpectedAtSite {
  /** Full name of the field. */
  readonly field: string;
  /** `bnd` of the siblings; computed when it is asked for, since rubbish is refused before. */
  readonly bound?: string;
  /** Longest inner message, in bytes. */
  readonly maxBytes?: number;
}

/** @returns field and binding; reading `bound` throws SealwireError `BOUND_VALUE` when there can be none */
export function expectationOf(site: SealedSite, sha256: Sha256): ExpectedAtSite {
  const { field } = site;
  const { fullName, maxBytes } = field;
  const expected = maxBytes === undefined ? { field: fullName } : { field: fullName, maxBytes };
  if (field.bind.length === 0) return expected;
  return {
    ...expected,
    get bound() {
      return sha256(boundAtSite(site));
    },
  };
}

/** @returns the encoded bound siblings of a token that was received. @throws SealwireError `BOUND_VALUE` */
export function boundAtSite({ field, holder }: SealedSite): Uint8Array {
  try {
    return encodeBound(field, holder);
  } catch {
    // E.g. an enum value that is not known here: nothing can have been bound to it.
    throw new SealwireError('BOUND_VALUE', 'a bound sibling has no valid value');
  }
}

/** @throws SealwireError `INNER_TOO_LARGE` when the field's own limit is exceeded */
export function checkInnerSize({ maxBytes }: SealedFieldPlan, bytes: number, path: string): void {
  if (maxBytes === undefined || bytes <= maxBytes) return;
  throw new SealwireError('INNER_TOO_LARGE', `the inner message exceeds the ${maxBytes} bytes of its field`, { path });
}

/**
 * @param site where the token stood
 * @param plaintext what was in it
 * @param cty its content type; only `application/protobuf` is not JSON
 * @returns the inner message, which prints redacted
 * @throws SealwireError `INNER_DECODE`, `INNER_TOO_LARGE`, with the path
 */
export function decodeInner({ field, path }: SealedSite, plaintext: Uint8Array, cty: string | undefined): object {
  const { codec } = field;
  checkInnerSize(field, plaintext.length, path);
  try {
    // Without a type (interop) stock JOSE clients mean JSON.
    const value = cty === 'application/protobuf' ? codec.decode(plaintext) : codec.decodeJson(utf8.decode(plaintext));
    return markOpened(codec.typeName, value as object);
  } catch {
    // The decoder's message may quote the plaintext: it must not become a cause.
    throw new SealwireError('INNER_DECODE', 'the inner message is malformed', { path });
  }
}

/**
 * Copies a message with inner messages in place of tokens; a token that is left as it is stays one.
 *
 * @param values one for each site: an inner message or the token
 * @returns a copy that remembers its tokens; the message itself when nothing differs
 */
export function putOpened(
  plan: MessagePlan,
  message: object,
  sites: readonly SealedSite[],
  values: readonly unknown[],
): object {
  const opened = replaceSealed(plan, message, sites, values, {
    absent: undefined,
    observe(copy, { field, index, value }) {
      markHolder(copy);
      if (!field.transient) recordToken(copy, field.key, index, value as string);
    },
  });
  if (opened !== message) markHolder(opened);
  return opened;
}
