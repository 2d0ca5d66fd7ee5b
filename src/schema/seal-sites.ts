/** Sealing one field: what client and server share of it. */
import { SealwireError, withPath } from '../errors.js';
import type { SealParameters } from '../profile/seal-parameters.js';
import { looksLikeToken } from '../profile/token-form.js';
import { boundDigest, type Sha256 } from './binding.js';
import { checkInnerSize } from './open-sites.js';
import type { InnerCodec } from './plan.js';
import { nameOf, type SealedSite } from './walk.js';

/** Makes tokens: an agreement session, or the replies of a call. */
export interface TokenSealer {
  seal(plaintext: Uint8Array, parameters: SealParameters): string;
}

/**
 * Encodes and seals the inner message of one field.
 *
 * @param site the field, its inner message and its siblings
 * @param iat seconds since 1970
 * @returns a compact JWE
 * @throws SealwireError `SEAL_INPUT`, `INNER_TOO_LARGE`, `HEADER_TOO_LARGE`, with the path
 */
export function encodeSite(site: SealedSite, sealer: TokenSealer, iat: number, sha256: Sha256): string {
  const { field, holder } = site;
  const plaintext = encodeInner(site);
  try {
    const bound = boundDigest(field, holder, sha256);
    return sealer.seal(plaintext, { field: field.fullName, cty: 'application/protobuf', iat, bound });
  } catch (error) {
    throw atSite(site, error);
  }
}

/**
 * Encodes the inner message of one field.
 *
 * @throws SealwireError `SEAL_INPUT`, `INNER_TOO_LARGE`, with the path
 */
export function encodeInner({ field, value, path }: SealedSite): Uint8Array {
  if (typeof value !== 'object' || value === null) {
    throw new SealwireError('SEAL_INPUT', `${path} must be a ${field.codec.typeName}`, { path });
  }
  let plaintext: Uint8Array;
  try {
    plaintext = field.codec.encode(value);
  } catch (error) {
    // The encoder's message may quote the value: it must not become a cause. Ours does not.
    const isOurs = error instanceof SealwireError && error.code === 'SEAL_INPUT';
    const fault = isOurs ? error.message : faultOf(field.codec, value);
    const what = fault === undefined ? ` is not a valid ${field.codec.typeName}` : `.${fault}`;
    throw new SealwireError('SEAL_INPUT', `${path}${what}`, { path });
  }
  checkInnerSize(field, plaintext.length, path);
  return plaintext;
}

/** @returns the token for another recipient that a site holds, to be sent as it is; other text is no inner message */
export function forwardedToken({ field, value }: SealedSite): string | undefined {
  return field.recipient !== '' && typeof value === 'string' && looksLikeToken(value) ? value : undefined;
}

/** An error of sealing a site or of encoding its siblings, with the path. */
export function atSite(site: SealedSite, error: unknown): unknown {
  const { path } = site;
  if (!(error instanceof SealwireError) || error.code !== 'SEAL_INPUT') return withPath(error, path);
  // Of a bound sibling, by its name.
  return new SealwireError('SEAL_INPUT', `${path.slice(0, -nameOf(site).length)}${error.message}`, { path });
}

/** Undefined too where looking at the message throws: a getter may. */
function faultOf(codec: InnerCodec, value: object): string | undefined {
  try {
    return codec.findFault?.(value);
  } catch {
    return undefined;
  }
}
