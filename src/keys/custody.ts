/** Private keys in this process: agreements run in the worker pool on key handles. */
import type { KeyObject } from 'node:crypto';
import { SealwireError } from '../errors.js';
import type { EphemeralPoint } from '../jwe/header.js';
import { type AgreementPool, sharedPool } from '../jwe/pool.js';
import type { Custody } from '../jwe/recipient.js';

/** Agrees with private keys given as key objects. */
export class LocalCustody implements Custody {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #pool: Pick<AgreementPool, 'agree'> | undefined;

  /** @param pool default: the process's shared pool, made at first use */
  constructor(keys: ReadonlyMap<string, KeyObject>, pool?: Pick<AgreementPool, 'agree'>) {
    this.#keys = keys;
    this.#pool = pool;
  }

  async agree(kid: string, epk: EphemeralPoint): Promise<Buffer> {
    const key = this.#keys.get(kid);
    if (key === undefined) throw new SealwireError('CUSTODY_FAILED', 'the custody has no such key');
    return (this.#pool ?? sharedPool()).agree(key, epk);
  }
}
