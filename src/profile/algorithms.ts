/** The algorithms of the token profile: allow-lists with fixed sizes, never a lookup by what a token says. */

/** Curves of recipient and ephemeral keys; P-521 is the default. */
export type Curve = 'P-521' | 'P-384' | 'P-256';
/** JWE `alg` (RFC 7518 §4.6); the first is what we send. */
export type KeyAlgorithm = 'ECDH-ES+A256KW' | 'ECDH-ES';
/** JWE `enc` (RFC 7518 §5); the first is what we send. */
export type ContentEncryption = 'A256GCM' | 'A128CBC-HS256' | 'A256CBC-HS512';

/** Facts of a curve. */
export interface CurveFacts {
  /** Bytes of one coordinate and of the shared secret Z (RFC 7518 §6.2.1.2). */
  readonly coordinateBytes: number;
  /** Characters of one coordinate in base64url. */
  readonly coordinateChars: number;
}

/** Facts of a content encryption. */
export interface EncryptionFacts {
  readonly cipher: 'aes-256-gcm' | 'aes-128-cbc' | 'aes-256-cbc';
  readonly keyBytes: number;
  readonly ivBytes: number;
  readonly tagBytes: number;
  /** HMAC of the AES-CBC composites (RFC 7518 §5.2); GCM has none. */
  readonly hmac: 'sha256' | 'sha512' | undefined;
}

// Null prototypes: `constructor` or `__proto__` in a header must not find anything.
function table<K extends string, V>(entries: Record<K, V>): Readonly<Record<K, V>> {
  return Object.freeze(Object.assign(Object.create(null) as Record<K, V>, entries));
}

export const curves = table<Curve, CurveFacts>({
  'P-521': { coordinateBytes: 66, coordinateChars: 88 },
  'P-384': { coordinateBytes: 48, coordinateChars: 64 },
  'P-256': { coordinateBytes: 32, coordinateChars: 43 },
});

export const encryptions = /* @__PURE__ */ table<ContentEncryption, EncryptionFacts>({
  A256GCM: { cipher: 'aes-256-gcm', keyBytes: 32, ivBytes: 12, tagBytes: 16, hmac: undefined },
  'A128CBC-HS256': { cipher: 'aes-128-cbc', keyBytes: 32, ivBytes: 16, tagBytes: 16, hmac: 'sha256' },
  'A256CBC-HS512': { cipher: 'aes-256-cbc', keyBytes: 64, ivBytes: 16, tagBytes: 32, hmac: 'sha512' },
});

/** Bytes of the encrypted key: RFC 3394 adds one block to the CEK; direct agreement has none. */
export function encryptedKeyBytes(alg: KeyAlgorithm, enc: ContentEncryption): number {
  return alg === 'ECDH-ES' ? 0 : encryptions[enc].keyBytes + 8;
}

/** Narrows a header value to an accepted `alg`. */
export function isKeyAlgorithm(value: unknown): value is KeyAlgorithm {
  return value === 'ECDH-ES+A256KW' || value === 'ECDH-ES';
}

/** Narrows a header value to an accepted `enc`. */
export function isContentEncryption(value: unknown): value is ContentEncryption {
  return typeof value === 'string' && value in encryptions;
}

/** Narrows a header value to an accepted curve. */
export function isCurve(value: unknown): value is Curve {
  return typeof value === 'string' && value in curves;
}
