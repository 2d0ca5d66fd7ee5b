/** Canonical base64url: Node's decoder skips bad characters and ignores stray bits, a token must not. */

/**
 * Decodes base64url (RFC 7515 §2), refusing every text but the one that the bytes encode to.
 *
 * @param text base64url without padding
 * @returns the bytes, or undefined when the text is not canonical
 */
export function decodeCanonical(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}
