/** Worker threads for fresh agreements, with a bounded queue. */
import type { KeyObject } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import { SealwireError } from '../errors.js';
import { type Curve, curves } from '../profile/algorithms.js';
import { checkRange } from '../profile/check-range.js';
import type { AgreementOutcome, AgreementTask } from './agreement-worker.js';
import type { EphemeralPoint } from './header.js';

/** Options of {@link AgreementPool}. */
export interface AgreementPoolOptions {
  /** Worker threads. Default: cores less one, at least 1, at most 4; 1 to 64. */
  readonly threads?: number;
  /** Agreements that may wait for a thread. Default 1,024; 1 to 65,536. */
  readonly queue?: number;
  /** How long an agreement may wait and run, in ms. Default 30,000; 100 to 600,000. A thread that takes longer is replaced. */
  readonly deadlineMs?: number;
}

/** The public half of an ephemeral key, as it stands in a header. */
export interface EphemeralJwk {
  readonly kty: 'EC';
  readonly crv: Curve;
  readonly x: string;
  readonly y: string;
}

/** One sender's agreement: the public half to send and the shared secret. */
export interface GeneratedAgreement {
  readonly epk: EphemeralJwk;
  readonly z: Buffer;
}

/** Work that waits for a thread. */
type Lane = (() => void)[];

/**
 * Runs agreements off the event loop. Pairs that we make, for sessions and grants of our own, do not wait for agreements that
 * others ask of us, but for those that a thread has begun or is about to begin. Idle threads end after a while and never keep
 * a process alive.
 */
export class AgreementPool {
  readonly #piscina: Piscina<AgreementTask, AgreementOutcome | undefined>;
  readonly #capacity: number;
  readonly #deadlineMs: number;
  /** One more than there are threads, so that none is idle while the event loop is busy. */
  readonly #slots: number;
  readonly #own: Lane = [];
  readonly #others: Lane = [];
  #running = 0;
  #pending = 0;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: AgreementPoolOptions = {}) {
    const threads = options.threads ?? Math.min(4, Math.max(1, availableParallelism() - 1));
    const queue = options.queue ?? 1_024;
    checkRange('threads', threads, [1, 64]);
    checkRange('queue', queue, [1, 65_536]);
    this.#deadlineMs = options.deadlineMs ?? 30_000;
    checkRange('deadlineMs', this.#deadlineMs, [100, 600_000]);
    this.#capacity = threads + queue;
    this.#slots = threads + 1;
    this.#piscina = new Piscina({
      filename: new URL('./agreement-worker.js', import.meta.url).href,
      name: 'runAgreement',
      minThreads: 1,
      maxThreads: threads,
      maxQueue: queue,
      idleTimeout: 30_000,
      // With the default a thread sleeps in Atomics.wait between tasks, and its own timers and ports with it.
      atomics: 'disabled',
    });
  }

  /** How many agreements keep the threads busy. */
  get concurrency(): number {
    return this.#slots;
  }

  /** Agreements that run or wait. */
  get pending(): number {
    return this.#pending;
  }

  /**
   * @param privateKey a private EC key on the point's curve
   * @param epk the sender's ephemeral key
   * @returns Z
   * @throws SealwireError `DECRYPTION_FAILED` when the point is not on the curve, `POOL_FULL`, `CUSTODY_FAILED`
   */
  async agree(privateKey: KeyObject, epk: EphemeralPoint): Promise<Buffer> {
    // Copies of their own size: a view would take the whole buffer that it is part of to the thread.
    const [x, y] = [new Uint8Array(epk.x), new Uint8Array(epk.y)];
    const outcome = await this.#run({ kind: 'agree', privateKey, crv: epk.crv, x, y }, this.#others);
    if (outcome === undefined) throw new SealwireError('DECRYPTION_FAILED', 'decryption failed');
    return asBuffer(outcome.z);
  }

  /**
   * Makes an ephemeral key pair and agrees with `publicKey`; the private half never leaves the thread.
   *
   * @throws SealwireError `POOL_FULL`, `CUSTODY_FAILED`
   */
  async generate(publicKey: KeyObject, crv: Curve): Promise<GeneratedAgreement> {
    const der = publicKey.export({ type: 'spki', format: 'der' });
    const publicPoint = new Uint8Array(der.subarray(-(1 + 2 * curves[crv].coordinateBytes)));
    const outcome = await this.#run({ kind: 'generate', publicPoint, crv }, this.#own);
    const { z, x, y } = outcome as Required<AgreementOutcome>;
    return { epk: { kty: 'EC', crv, x, y }, z: asBuffer(z) };
  }

  /** Ends the threads; agreements under way fail. */
  async close(): Promise<void> {
    await this.#piscina.destroy();
  }

  async #run(task: AgreementTask, lane: Lane): Promise<AgreementOutcome | undefined> {
    if (this.#pending >= this.#capacity) throw new SealwireError('POOL_FULL', 'too many agreements are waiting');
    this.#pending++;
    // A task that is lost would leave its caller, and with one thread everybody behind it, waiting for good.
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#deadlineMs);
    try {
      if (this.#running < this.#slots) this.#running++;
      else await new Promise<void>((start) => lane.push(start));
      try {
        return await this.#piscina.run(task, { signal: deadline.signal });
      } finally {
        this.#startNext();
      }
    } catch {
      // Thread errors may carry the task: nothing of them is kept.
      throw new SealwireError('CUSTODY_FAILED', 'the agreement could not be made');
    } finally {
      clearTimeout(timer);
      this.#pending--;
    }
  }

  #startNext(): void {
    const next = this.#own.shift() ?? this.#others.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

let shared: AgreementPool | undefined;

/** The process's pool, made at first use. */
export function sharedPool(): AgreementPool {
  shared ??= new AgreementPool();
  return shared;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
