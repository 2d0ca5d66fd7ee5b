/** What the browser client takes from the platform: WebCrypto, and base64url in its one canonical form. */
import { base64Decode, base64Encode } from '@bufbuild/protobuf/wire';
import { SealwireError } from '../../errors.js';
import { isCanonicalBase64url } from '../../profile/base64url.js';

/** A key of the platform's WebCrypto. */
export type WebCryptoKey = Awaited<ReturnType<typeof globalThis.crypto.subtle.importKey>>;

export const utf8: InstanceType<typeof globalThis.TextEncoder> = new TextEncoder();

/** @throws SealwireError `OPTIONS_INVALID` where the platform keeps WebCrypto from the page */
export function checkPlatform(): void {
  if (globalThis.crypto?.subtle !== undefined) return;
  throw new SealwireError('OPTIONS_INVALID', 'there is no WebCrypto: a page has it over https and on localhost only');
}

/** @returns base64url without padding */
export function encodeBase64url(bytes: Uint8Array): string {
  return base64Encode(bytes, 'url');
}

/** @returns undefined for every text but the one that the bytes encode to */
export function decodeBase64url(text: string): Uint8Array | undefined {
  return isCanonicalBase64url(text) ? base64Decode(text) : undefined;
}

/** @returns SHA-256 in base64url, 43 characters */
export async function sha256(bytes: Uint8Array): Promise<string> {
  return encodeBase64url(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
}
