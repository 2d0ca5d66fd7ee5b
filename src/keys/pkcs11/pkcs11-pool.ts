/**
 * Sessions with one PKCS#11 token, each in a process of its own. A module that blocks cannot hold up the event
 * loop, one that crashes cannot take the service down, and a new process finds a token that was away:
 * modules remember what they saw when they began.
 */
import type { ChildProcess } from 'node:child_process';
import { SealwireError } from '../../errors.js';
import { checkRange } from '../../profile/check-range.js';
import { endInOrder, startProcess } from './pkcs11-child.js';
import {
  endsSession,
  type OpenRequest,
  type Pkcs11Problem,
  type Pkcs11Reply,
  type Pkcs11Task,
} from './pkcs11-messages.js';

/** How much is asked of a token at once, and who hears of it. */
export interface Pkcs11Limits {
  /** Sessions, each a process of about 45 MB. Default 2; 1 to 16. */
  readonly sessions?: number;
  /** Calls that may wait for a session. Default 1,024; 1 to 65,536. */
  readonly queue?: number;
  /**
   * How long a call, and opening the token, may take, in ms. Default 5,000; 100 to 60,000. A process that takes longer
   * is ended.
   */
  readonly deadlineMs?: number;
  /** Called when the token goes away, and when it is back. */
  readonly onChange?: (available: boolean, why: string) => void;
}

/** Options of {@link Pkcs11Pool}. */
export interface Pkcs11PoolOptions extends Pkcs11Limits {
  /** Library, token and PIN. */
  readonly open: OpenRequest;
}

/** Counters since start. */
export interface Pkcs11Stats {
  readonly calls: number;
  readonly failed: number;
  /** Time that calls took on the token, ms. */
  readonly callMs: number;
  /** Sessions that are open now. */
  readonly sessions: number;
  readonly queued: number;
}

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 2_000;

interface Job {
  readonly task: Pkcs11Task;
  readonly settle: (reply: Pkcs11Reply) => void;
  timer?: NodeJS.Timeout;
}

interface Session {
  readonly child: ChildProcess;
  job: Job | undefined;
  /** The token answered the log-in. */
  isOpen: boolean;
  startedAt: number;
}

/** Gives tasks to sessions in the order they came. */
export class Pkcs11Pool {
  readonly #open: OpenRequest;
  readonly #size: number;
  readonly #maxQueue: number;
  readonly #deadlineMs: number;
  readonly #onChange: (available: boolean, why: string) => void;
  readonly #sessions = new Set<Session>();
  readonly #queue: Job[] = [];
  #retryMs = FIRST_RETRY_MS;
  #retrying: NodeJS.Timeout | undefined;
  /** Why no session could be opened; cleared when one opens. */
  #problem: { readonly problem: Pkcs11Problem; readonly text: string } | undefined;
  /** Never tried again: tokens lock after a few wrong PINs. */
  #pinRefused = false;
  #closed = false;
  #calls = 0;
  #failed = 0;
  #callMs = 0;

  /** @throws SealwireError `OPTIONS_INVALID` */
  constructor(options: Pkcs11PoolOptions) {
    const { open, sessions = 2, queue = 1_024, deadlineMs = 5_000, onChange = () => {} } = options;
    checkRange('sessions', sessions, [1, 16]);
    checkRange('queue', queue, [1, 65_536]);
    checkRange('deadlineMs', deadlineMs, [100, 60_000]);
    this.#open = open;
    this.#size = sessions;
    this.#maxQueue = queue;
    this.#deadlineMs = deadlineMs;
    this.#onChange = onChange;
  }

  /**
   * Runs a task on a free session. While the token is away it fails at once.
   *
   * @returns the reply; a `problem` in it does not concern the token as a whole
   * @throws SealwireError `POOL_FULL`, `CUSTODY_FAILED`; `KEY_PASSPHRASE_WRONG` for a refused PIN, but not for an
   *   agreement
   */
  async run(task: Pkcs11Task): Promise<Pkcs11Reply> {
    if (this.#closed) throw new SealwireError('CUSTODY_FAILED', 'the key custody is closed');
    // With one session open the others may come back; with none, waiting is useless.
    if (this.#problem !== undefined && this.#openCount() === 0) throw this.#unavailable(task, this.#problem.text);
    if (this.#queue.length >= this.#maxQueue) throw new SealwireError('POOL_FULL', 'too many agreements are waiting');
    const reply = await new Promise<Pkcs11Reply>((settle) => {
      const job: Job = { task, settle };
      // The time in the queue counts too.
      job.timer = setTimeout(() => this.#expire(job), this.#deadlineMs);
      this.#queue.push(job);
      this.#fill();
      this.#assign();
    });
    this.#calls++;
    if (reply.problem === undefined || reply.problem === 'point') return reply;
    this.#failed++;
    if (reply.problem === 'key' && task.kind !== 'agree') return reply;
    throw this.#unavailable(task, reply.text);
  }

  stats(): Pkcs11Stats {
    return {
      calls: this.#calls,
      failed: this.#failed,
      callMs: this.#callMs,
      sessions: this.#openCount(),
      queued: this.#queue.length,
    };
  }

  /** Ends the processes; calls under way fail. @returns when they have ended: killed, if the module holds them up */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retrying);
    this.#failQueue({ problem: 'token', text: 'the key custody is closed' });
    await Promise.all([...this.#sessions].map(({ child }) => endInOrder(child)));
  }

  /**
   * Starts sessions up to the configured number. The first starts alone: a wrong PIN must not be tried twice at once.
   */
  #fill(): void {
    if (this.#closed || this.#pinRefused || this.#retrying !== undefined) return;
    const wanted = this.#openCount() === 0 ? 1 : this.#size;
    while (this.#sessions.size < wanted && this.#retrying === undefined) this.#start();
  }

  #start(): void {
    let child: ChildProcess;
    try {
      child = startProcess();
    } catch {
      // Out of memory, for example: Node then throws at once.
      this.#lost('token', 'the process could not be started');
      return;
    }
    const session: Session = { child, job: undefined, isOpen: false, startedAt: performance.now() };
    this.#sessions.add(session);
    const opening = setTimeout(() => this.#lose(session, 'token', 'the token did not answer'), this.#deadlineMs);
    // A call that waits has a timer of its own.
    opening.unref();
    child.once('message', (reply: Pkcs11Reply) => {
      clearTimeout(opening);
      child.on('message', (next: Pkcs11Reply) => this.#answer(session, next));
      if (reply.problem === undefined) this.#opened(session);
      else this.#lose(session, reply.problem, reply.text);
    });
    child.once('exit', (code, signal) => {
      clearTimeout(opening);
      this.#lose(session, 'token', `the session ended (${signal ?? `exit code ${code}`})`);
    });
    child.once('error', () => this.#lose(session, 'token', 'the process could not be started'));
    // Without free file descriptors there is no channel either; the error comes later.
    if (child.connected) child.send(this.#open, () => {});
    // Neither the process nor its channel keeps the service alive.
    child.unref();
    child.channel?.unref();
  }

  #opened(session: Session): void {
    session.isOpen = true;
    this.#retryMs = FIRST_RETRY_MS;
    if (this.#problem !== undefined) this.#onChange(true, '');
    this.#problem = undefined;
    this.#assign();
    this.#fill();
  }

  #assign(): void {
    for (const session of this.#sessions) {
      if (!session.isOpen || session.job !== undefined) continue;
      const job = this.#queue.shift();
      if (job === undefined) return;
      session.job = job;
      session.startedAt = performance.now();
      session.child.send(job.task, () => {});
    }
  }

  #answer(session: Session, reply: Pkcs11Reply): void {
    this.#callMs += performance.now() - session.startedAt;
    const { job } = session;
    session.job = undefined;
    if (job !== undefined) this.#settle(job, reply);
    if (reply.problem !== undefined && endsSession(job?.task, reply.problem)) {
      this.#lose(session, reply.problem, reply.text);
    } else this.#assign();
  }

  #settle(job: Job, reply: Pkcs11Reply): void {
    clearTimeout(job.timer);
    job.settle(reply);
  }

  /** A call took too long: still waiting, or on a session whose module hangs. */
  #expire(job: Job): void {
    const at = this.#queue.indexOf(job);
    if (at >= 0) this.#queue.splice(at, 1);
    this.#settle(job, { problem: 'token', text: 'the token did not answer in time' });
    const session = [...this.#sessions].find((each) => each.job === job);
    if (session === undefined) return;
    session.job = undefined;
    this.#lose(session, 'token', 'the token did not answer in time');
  }

  /** A session is over; others are opened later, unless trying again would lock the token. */
  #lose(session: Session, problem: Pkcs11Problem, text: string): void {
    if (!this.#sessions.delete(session)) return;
    session.child.kill('SIGKILL');
    if (session.job !== undefined) this.#settle(session.job, { problem: 'token', text });
    this.#lost(problem, text);
  }

  #lost(problem: Pkcs11Problem, text: string): void {
    if (this.#closed) return;
    const isNew = this.#problem === undefined;
    if (this.#openCount() === 0) {
      this.#problem = { problem, text };
      this.#failQueue({ problem: 'token', text });
      if (isNew) this.#onChange(false, text);
    }
    if (problem === 'pin') this.#pinRefused = true;
    else this.#retry();
  }

  #retry(): void {
    if (this.#retrying !== undefined) return;
    this.#retrying = setTimeout(() => {
      this.#retrying = undefined;
      this.#fill();
    }, this.#retryMs);
    this.#retrying.unref();
    this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
  }

  #failQueue(reply: Pkcs11Reply): void {
    for (const job of this.#queue.splice(0)) this.#settle(job, reply);
  }

  #openCount(): number {
    let count = 0;
    for (const { isOpen } of this.#sessions) if (isOpen) count++;
    return count;
  }

  /** Callers cannot mend a PIN; whoever starts a service or runs a command can. */
  #unavailable({ kind }: Pkcs11Task, text: string): SealwireError {
    const code = this.#pinRefused && kind !== 'agree' ? 'KEY_PASSPHRASE_WRONG' : 'CUSTODY_FAILED';
    return new SealwireError(code, `the key custody cannot serve: ${text}`);
  }
}
