/** Keys as the token code sees them: public parts to seal to, and a custody that holds the private ones. */
import type { KeyObject } from 'node:crypto';
import type { ContentEncryption, Curve, KeyAlgorithm } from '../profile/algorithms.js';
import type { EphemeralPoint } from './header.js';

/** What a sender needs to seal to somebody. */
export interface RecipientKey {
  /** RFC 7638 SHA-256 thumbprint. */
  readonly kid: string;
  readonly crv: Curve;
  readonly publicKey: KeyObject;
}

/** A key whose tokens can be opened, with what is allowed for it. */
export interface OpeningKey extends RecipientKey {
  /** Accepted `alg`. Default: all. */
  readonly algorithms?: readonly KeyAlgorithm[];
  /** Accepted `enc`. Default: all. */
  readonly encryptions?: readonly ContentEncryption[];
}

/** The one operation on private keys; the key itself may be in an HSM. */
export interface Custody {
  /**
   * ECDH of the private key with a sender's ephemeral key.
   *
   * @param kid which private key
   * @param epk a point that claims to be on the key's curve; the custody must refuse one that is not
   * @returns Z (SP 800-56A §5.7.1.2), left-padded to the curve's coordinate size
   * @throws SealwireError `DECRYPTION_FAILED` for a bad point, `POOL_FULL`, `CUSTODY_FAILED`
   */
  agree(kid: string, epk: EphemeralPoint): Promise<Buffer>;
  /**
   * How many agreements keep it busy: no more are given to it at once, and callers wait in turns for the others.
   * Default 8. More than it works on lets the callers' turns count for less.
   */
  readonly concurrency?: number | undefined;
}

/** Where a token comes from: a key that is no longer good for calls may be good for stored tokens. */
export type TokenOrigin = 'wire' | 'stored';

/** A recipient's keys. */
export interface OpeningKeys {
  /** The key of that kid for tokens from the wire; undefined when it is not ours or opens none (any more). */
  find(kid: string): OpeningKey | undefined;
  /** The same for stored tokens, which a key may open for longer. Default: as {@link find}. */
  findStored?(kid: string): OpeningKey | undefined;
  /** Whether the kid was ours and no longer opens tokens from the wire. */
  isRetired?(kid: string): boolean;
  /**
   * Looks whether there are newer keys: asked before a token is refused for a kid that is not ours, since a sender may
   * know a key a moment earlier. Anybody can send such a kid: whoever implements it sees to it that looking stays
   * cheap.
   */
  refresh?(): Promise<void>;
  readonly custody: Custody;
}
