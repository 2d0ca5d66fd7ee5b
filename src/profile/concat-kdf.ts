/** Concat KDF of RFC 7518 §4.6.2 (SP 800-56A §5.8.1 with SHA-256): what is hashed, whoever hashes it. */
import { concatBytes } from './bytes.js';

/** Which key is derived from a shared secret. */
export interface KdfParties {
  /** AlgorithmID: `enc` for direct agreement, `alg` with key wrapping. */
  readonly algorithmId: string;
  /** Agreement PartyUInfo. Default: empty. */
  readonly apu?: Uint8Array | undefined;
  /** Agreement PartyVInfo. Default: empty. */
  readonly apv?: Uint8Array | undefined;
  /** 1 to 64. */
  readonly keyBytes: number;
}

const HASH_BYTES = 32;
const utf8 = new TextEncoder();

/** The key-encryption key for what a sender seals. */
export const SEALING_PARTIES: KdfParties = { algorithmId: 'ECDH-ES+A256KW', keyBytes: 32 };

/**
 * The key-encryption key for replies: a second key from the same agreement, told apart by its party info.
 *
 * @param kid the recipient's kid, as text
 */
export function replyParties(kid: string): KdfParties {
  return { algorithmId: 'A256KW', apu: utf8.encode('sealwire-reply'), apv: utf8.encode(kid), keyBytes: 32 };
}

/**
 * @param z the shared secret
 * @returns one text per round; the SHA-256s of all, one after the other and cut to `keyBytes`, are the key. Each holds
 *   `z`: to be wiped
 */
export function kdfRounds(z: Uint8Array, { algorithmId, apu, apv, keyBytes }: KdfParties): Uint8Array[] {
  const fields = [utf8.encode(algorithmId), apu ?? new Uint8Array(), apv ?? new Uint8Array()];
  const rounds: Uint8Array[] = [];
  while (rounds.length * HASH_BYTES < keyBytes) {
    const parts = [uint32(rounds.length + 1), z];
    // Behind their lengths, so that fields cannot run into each other.
    for (const field of fields) parts.push(uint32(field.length), field);
    rounds.push(concatBytes(...parts, uint32(keyBytes * 8)));
  }
  return rounds;
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
