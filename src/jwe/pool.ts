/** Worker threads for fresh agreements, with a bounded queue. */
import { createECDH, type KeyObject } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { SealwireError } from '../errors.js';
import { agreementWorker } from '../gen/programs.js';
import { type Curve, curves } from '../profile/algorithms.js';
import { checkRange } from '../profile/check-range.js';
import type { JwkPoint } from '../profile/jwk-rules.js';
import type { AgreementOutcome, AgreementTask } from './agreement.js';
import type { AgreementReply } from './agreement-worker.js';
import type { EphemeralPoint } from './header.js';
import { opensslCurves } from './openssl-curves.js';

/** Options of {@link AgreementPool}. */
export interface AgreementPoolOptions {
  /** Worker threads. Default: cores less one, at least 1, at most 4; 1 to 64. */
  readonly threads?: number;
  /** Agreements that may wait for a thread. Default 1,024; 1 to 65,536. */
  readonly queue?: number;
  /**
   * How long an agreement may wait and run, in ms. Default 30,000; 100 to 600,000. A thread that takes longer is
   * replaced.
   */
  readonly deadlineMs?: number;
  /** What threads run. Default: `agreement-worker.ts`. */
  readonly program?: string;
}

/** One sender's agreement: the public half to send and the shared secret. */
export interface GeneratedAgreement {
  readonly epk: JwkPoint;
  readonly z: Buffer;
}

interface Job {
  readonly task: AgreementTask;
  readonly settle: (reply: AgreementReply | SealwireError) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly resting: NodeJS.Timeout;
  job: Job | undefined;
  /** It has answered once. */
  works: boolean;
}

const REST_MS = 30_000;
const FAILED = 'the agreement could not be made';

/**
 * Runs agreements off the event loop. Pairs that we make, for sessions and grants of our own, do not wait for
 * agreements that others ask of us, but for those that a thread has begun. Idle threads end after a while, all but one,
 * and never keep a process alive.
 */
export class AgreementPool {
  readonly #program: string;
  readonly #size: number;
  readonly #capacity: number;
  readonly #deadlineMs: number;
  readonly #threads = new Set<Thread>();
  readonly #own: Job[] = [];
  readonly #others: Job[] = [];
  #pending = 0;
  #closed = false;

  /** @throws SealwireError `OPTIONS_INVALID`; `CUSTODY_FAILED` when Node starts no thread at all */
  constructor(options: AgreementPoolOptions = {}) {
    const threads = options.threads ?? Math.min(4, Math.max(1, availableParallelism() - 1));
    const queue = options.queue ?? 1_024;
    checkRange('threads', threads, [1, 64]);
    checkRange('queue', queue, [1, 65_536]);
    this.#deadlineMs = options.deadlineMs ?? 30_000;
    checkRange('deadlineMs', this.#deadlineMs, [100, 600_000]);
    this.#size = threads;
    this.#capacity = threads + queue;
    this.#program = options.program ?? agreementWorker;
    this.#start();
  }

  /**
   * How many agreements keep the threads busy: one more than there are, so that the next is at hand when one is done.
   */
  get concurrency(): number {
    return this.#size + 1;
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
    return asBuffer((await this.#run({ kind: 'agree', privateKey, crv: epk.crv, x, y }, this.#others)).z);
  }

  /**
   * Makes an ephemeral key pair and agrees with `publicKey`; the private half never leaves the thread.
   *
   * @throws SealwireError `POOL_FULL`, `CUSTODY_FAILED`
   */
  async generate(publicKey: KeyObject, crv: Curve): Promise<GeneratedAgreement> {
    const der = publicKey.export({ type: 'spki', format: 'der' });
    const publicPoint = new Uint8Array(der.subarray(-(1 + 2 * curves[crv].coordinateBytes)));
    const { z, x, y } = (await this.#run(
      { kind: 'generate', publicPoint, crv },
      this.#own,
    )) as Required<AgreementOutcome>;
    return { epk: { kty: 'EC', crv, x, y }, z: asBuffer(z) };
  }

  /**
   * Makes an agreement that nobody needs: whoever starts a service learns now whether threads work, not from the first
   * call.
   *
   * @throws SealwireError `CUSTODY_FAILED` saying why no thread can start
   */
  async check(): Promise<void> {
    const publicPoint = new Uint8Array(createECDH(opensslCurves['P-256'].name).generateKeys());
    await this.#run({ kind: 'generate', publicPoint, crv: 'P-256' }, this.#own);
  }

  /** Ends the threads; agreements under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of [...this.#own.splice(0), ...this.#others.splice(0)]) job.settle(failure(FAILED));
    await Promise.all([...this.#threads].map((thread) => this.#lose(thread)));
  }

  async #run(task: AgreementTask, lane: Job[]): Promise<AgreementOutcome> {
    if (this.#closed) throw failure(FAILED);
    if (this.#pending >= this.#capacity) throw new SealwireError('POOL_FULL', 'too many agreements are waiting');
    this.#pending++;
    const reply = await new Promise<AgreementReply | SealwireError>((settle) => {
      // A task that is lost would leave its caller, and with one thread everybody behind it, waiting for good.
      const timer = setTimeout(() => this.#expire(job, lane), this.#deadlineMs);
      const job: Job = {
        task,
        settle: (outcome) => {
          clearTimeout(timer);
          this.#pending--;
          settle(outcome);
        },
      };
      lane.push(job);
      this.#assign();
    });
    if (reply instanceof SealwireError) throw reply;
    if (reply === 'point') throw new SealwireError('DECRYPTION_FAILED', 'decryption failed');
    if (reply === 'failed') throw failure(FAILED);
    return reply;
  }

  /** Gives what waits to threads that are free, and starts more while there may be more. */
  #assign(): void {
    while (this.#own.length + this.#others.length > 0) {
      let thread = [...this.#threads].find(({ job }) => job === undefined);
      if (thread === undefined && this.#threads.size >= this.#size) return;
      const job = (this.#own.shift() ?? this.#others.shift()) as Job;
      try {
        thread ??= this.#start();
        thread.job = job;
        thread.worker.postMessage(job.task);
      } catch (error) {
        if (thread !== undefined) thread.job = undefined;
        job.settle(error instanceof SealwireError ? error : failure(FAILED));
      }
    }
  }

  /** @throws SealwireError `CUSTODY_FAILED` */
  #start(): Thread {
    let worker: Worker;
    try {
      // The flags and variables of the process, such as preloaded modules, are not for this program.
      worker = new Worker(this.#program, { eval: true, execArgv: [], env: {}, name: 'sealwire agreements' });
    } catch (error) {
      throw cannotStart(error);
    }
    const thread: Thread = {
      worker,
      // The first stays.
      resting: setTimeout(() => thread.job === undefined && this.#threads.size > 1 && this.#lose(thread), REST_MS),
      job: undefined,
      works: false,
    };
    thread.resting.unref();
    worker.on('message', (reply: AgreementReply) => {
      const { job } = thread;
      thread.works = true;
      thread.job = undefined;
      thread.resting.refresh();
      job?.settle(reply);
      this.#assign();
    });
    // Errors of a thread may carry the task: nothing of one that has worked is kept.
    worker.on('error', (error) => this.#lose(thread, thread.works ? failure(FAILED) : cannotStart(error)));
    worker.on('exit', () => this.#lose(thread));
    worker.unref();
    this.#threads.add(thread);
    return thread;
  }

  #expire(job: Job, lane: Job[]): void {
    const thread = [...this.#threads].find((each) => each.job === job);
    if (thread !== undefined) this.#lose(thread);
    else {
      lane.splice(lane.indexOf(job), 1);
      job.settle(failure(FAILED));
    }
  }

  async #lose(thread: Thread, why = failure(FAILED)): Promise<void> {
    if (!this.#threads.delete(thread)) return;
    clearTimeout(thread.resting);
    const { job } = thread;
    // Its answer may be under way.
    thread.job = undefined;
    job?.settle(why);
    this.#assign();
    await thread.worker.terminate();
  }
}

let shared: AgreementPool | undefined;

/**
 * The process's pool, made at first use.
 *
 * @throws SealwireError `CUSTODY_FAILED` as the constructor
 */
export function sharedPool(): AgreementPool {
  shared ??= new AgreementPool();
  return shared;
}

function failure(text: string): SealwireError {
  return new SealwireError('CUSTODY_FAILED', text);
}

/** Of the error nothing is told but its code: its text is of unknown making. */
function cannotStart(error: unknown): SealwireError {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  return failure(`the worker thread for agreements cannot start (${String(code ?? name)})`);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
