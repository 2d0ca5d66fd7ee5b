/** Canonical base64url (RFC 7515 §2): decoders skip bad characters and ignore stray bits, a token must not. */

/** Whole groups, then none, one byte or two without stray bits. */
const CANONICAL = /^(?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?$/;

/** Whether a text is the one that some bytes encode to. */
export function isCanonicalBase64url(text: string): boolean {
  return CANONICAL.test(text);
}
