/** Keys of a running service: the ring follows its file and its dates, and everything else follows the ring. */
import type { Logger } from 'winston';
import type { RecordInput } from '../audit/format/record.js';
import type { AuditLog } from '../audit/write/audit-log.js';
import type { KeyChange, KeyRing, KeyRingOptions, RingChange } from '../keys/ring.js';
import { RingFollower } from '../keys/ring-follower.js';

/** What {@link LiveKeys} needs. */
export interface LiveKeysOptions {
  readonly ring: KeyRing;
  readonly ringPath: string;
  readonly publicPath: string;
  /** How the ring file is read. */
  readonly load: KeyRingOptions;
  /** Forgets all agreements with a key. */
  readonly forgetKey: (kid: string) => void;
  readonly audit: Pick<AuditLog, 'commit'>;
  /** Told of each change of the keys once it is recorded. */
  readonly onChanged: () => void;
  readonly logger: Pick<Logger, 'info' | 'error'>;
}

/** Follows the ring file until it is stopped. */
export class LiveKeys {
  readonly #options: LiveKeysOptions;
  readonly #follower: RingFollower;
  readonly #unlisten: () => void;
  /** Files and records are written one after the other, in the order of the changes. */
  #work: Promise<void> = Promise.resolve();

  constructor(options: LiveKeysOptions) {
    const { ring, ringPath, load, logger } = options;
    this.#options = options;
    this.#unlisten = ring.onChange((change) => this.#follow(change));
    let isStale = false;
    this.#follower = new RingFollower({
      path: ringPath,
      ring,
      load,
      onLoad: () => {
        if (isStale) logger.info('the key ring can be used again');
        isStale = false;
      },
      onError: ({ code, message }) => {
        isStale = true;
        logger.error('the key ring cannot be used; the keys before it keep serving', { code, error: message });
      },
    });
  }

  /** Whether the ring file is unusable and the previous keys serve. */
  get isStale(): boolean {
    return this.#follower.isStale;
  }

  /** Stops following. @returns when files and records are written */
  stop(): Promise<void> {
    this.#follower.close();
    this.#unlisten();
    return this.#work;
  }

  #follow(change: RingChange): void {
    // At once: nothing may be opened with a retired key, not even with a cached agreement.
    for (const { kid } of change.changes.filter(isRetired)) this.#options.forgetKey(kid);
    this.#work = this.#work.then(() => this.#record(change));
  }

  async #record({ changes, previousKid, currentKid }: RingChange): Promise<void> {
    const { ring, publicPath, audit, onChanged, logger } = this.#options;
    const rotated = previousKid !== currentKid;
    const retired = changes.filter(isRetired);
    for (const { kid, from, to } of changes) logger.info('key', { kid, from: from ?? 'absent', to: to ?? 'removed' });
    if (rotated) logger.info('senders use another key', { kid: currentKid, before: previousKid });
    await this.#attempt('the public keys cannot be written', () => ring.savePublic(publicPath));
    await this.#attempt('the rotation cannot be recorded', async () => {
      if (rotated) await audit.commit(keyRecord('rotate', `from ${previousKid} to ${currentKid}`));
      for (const { kid } of retired) await audit.commit(keyRecord('retire', kid));
    });
    onChanged();
  }

  async #attempt(failure: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#options.logger.error(failure, { error: error instanceof Error ? error.message : typeof error });
    }
  }
}

/** A removed key was retired, or should have been. */
function isRetired({ from, to }: KeyChange): boolean {
  return to === 'retired' || (to === undefined && from !== 'retired');
}

function keyRecord(event: 'rotate' | 'retire', detail: string): RecordInput {
  const nobody = { method: '', peer: '', principal: '', requestId: '', traceparent: '' };
  return { event, ...nobody, durationUs: 0, detail, fields: [] };
}
