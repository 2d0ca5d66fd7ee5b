/** Custody of private keys: in this process, whose worker pool makes the agreements, or in hardware. */
import type { KeyObject } from 'node:crypto';
import { SealwireError } from '../errors.js';
import type { EphemeralPoint } from '../jwe/header.js';
import { type AgreementPool, sharedPool } from '../jwe/pool.js';
import type { Custody } from '../jwe/recipient.js';

type LocalPool = Pick<AgreementPool, 'agree'> & Partial<Pick<AgreementPool, 'concurrency'>>;

/** Agrees with private keys given as key objects. */
class LocalCustody implements Custody {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #pool: LocalPool | undefined;

  /** @param pool default: the process's shared pool, made at first use */
  constructor(keys: ReadonlyMap<string, KeyObject>, pool?: LocalPool) {
    this.#keys = keys;
    this.#pool = pool;
  }

  get concurrency(): number | undefined {
    return (this.#pool ?? sharedPool()).concurrency;
  }

  async agree(kid: string, epk: EphemeralPoint): Promise<Buffer> {
    const key = this.#keys.get(kid);
    if (key === undefined) throw new SealwireError('CUSTODY_FAILED', 'the custody has no such key');
    return (this.#pool ?? sharedPool()).agree(key, epk);
  }
}

/** Keys in hardware; see `Pkcs11Custody`. */
export interface HardwareCustody extends Custody {
  /**
   * Says where the private key of a kid is. Nothing is asked of the hardware yet.
   *
   * @throws SealwireError `OPTIONS_INVALID`
   */
  add(kid: string, uri: string): void;
}

/** Options of {@link createCustody}. */
export interface CustodyOptions {
  /** Where agreements with local keys are made. Default: the process's shared pool. @internal */
  readonly pool?: LocalPool;
  /** Custody of keys in PKCS#11 tokens. Default: none; such keys are refused. */
  readonly hardware?: HardwareCustody;
}

/** A key, and where its private half is. */
interface HeldKey {
  readonly kid: string;
  readonly privateKey: KeyObject | undefined;
  readonly custody?: string;
}

/**
 * One custody for keys that are here and keys in hardware.
 *
 * @throws SealwireError `KEY_INVALID` for a key in hardware where none is configured, `OPTIONS_INVALID` for its URI
 */
export function createCustody(keys: readonly HeldKey[], options: CustodyOptions): Custody {
  const { pool, hardware } = options;
  const handles = new Map<string, KeyObject>();
  for (const { kid, privateKey, custody } of keys) {
    if (privateKey !== undefined) handles.set(kid, privateKey);
    else if (custody !== undefined && hardware !== undefined) hardware.add(kid, custody);
    else
      throw new SealwireError('KEY_INVALID', 'the private half of a key is in a PKCS#11 token, and none is configured');
  }
  const local = new LocalCustody(handles, pool);
  if (hardware === undefined) return local;
  return {
    agree: (kid, epk) => (handles.has(kid) ? local : hardware).agree(kid, epk),
    get concurrency() {
      return (local.concurrency ?? 0) + (hardware.concurrency ?? 0);
    },
  };
}
