/** Turns at something scarce, by account: whoever asks for much waits behind itself, and not before others. */
import { SealwireError } from '../../errors.js';

/** Options of {@link FairQueue}. */
export interface FairQueueOptions {
  /** How many work at once; asked anew for each turn. */
  readonly concurrency: () => number;
  /** How many may work and wait, of all accounts. */
  readonly maxPending: number;
  /** How many of one account may wait, for each unit of its share. */
  readonly maxPerAccount: number;
  /** An account's share; 1 is what everybody has. */
  readonly shareOf: (account: string) => number;
}

/** Why somebody was sent away: its account had too many waiting, or all accounts together had. */
export type QueueRefusal = 'account' | 'queue';

interface Job {
  readonly start: () => void;
  /** Undefined for one that is never refused. */
  readonly refuse: (() => void) | undefined;
}

interface Line {
  readonly account: string;
  readonly share: number;
  readonly jobs: Job[];
  /** Turns it has left before the next account's. */
  turns: number;
}

/**
 * Serves accounts in turns, and first those that had nothing waiting: with little use there is nearly nothing to wait
 * for, whatever others do. Past {@link FairQueueOptions.maxPending} the account with the most waiting loses its latest.
 */
export class FairQueue {
  readonly #options: FairQueueOptions;
  readonly #lines = new Map<string, Line>();
  /** Those that have not had a turn since they came, and those that have. */
  readonly #fresh = new Set<Line>();
  readonly #served = new Set<Line>();
  #running = 0;
  #waiting = 0;
  #turn = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get running(): number {
    return this.#running;
  }

  /**
   * @param work begun when it is the account's turn
   * @param onRefused told why, when it is not taken or has to make room
   * @param patient never refused: whoever says so has seen to it that it does not ask for too much
   * @throws SealwireError `POOL_FULL`, and what `work` throws
   */
  async run<T>(account: string, work: () => Promise<T>, onRefused: (why: QueueRefusal) => void, patient = false) {
    if (this.#running >= this.#options.concurrency() || this.#waiting > 0) {
      await this.#wait(account, onRefused, patient);
    } else this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
      this.#startNext();
    }
  }

  #wait(account: string, onRefused: (why: QueueRefusal) => void, patient: boolean): Promise<void> {
    const { maxPending, maxPerAccount, shareOf } = this.#options;
    const share = shareOf(account);
    const line = this.#lines.get(account) ?? { account, share, jobs: [], turns: share };
    if (!patient && line.jobs.length >= maxPerAccount * share) throw refused('account', onRefused);
    if (!patient && this.#running + this.#waiting >= maxPending) this.#makeRoom(line, onRefused);
    return new Promise((resolve, reject) => {
      const refuse = patient ? undefined : () => reject(refused('queue', onRefused));
      line.jobs.push({ start: resolve, refuse });
      this.#waiting++;
      if (this.#lines.has(account)) return;
      this.#lines.set(account, line);
      this.#fresh.add(line);
      // There may be more room than there was.
      this.#startNext();
    });
  }

  /** The longest line, for its share, loses its last that may be refused, unless that is the one of who comes. */
  #makeRoom(comer: Line, onRefused: (why: QueueRefusal) => void): void {
    let longest = comer;
    let most = (countRefusable(comer) + 1) / comer.share;
    for (const line of this.#lines.values()) {
      // Counted only where it can matter.
      const length = line.jobs.length / line.share > most ? countRefusable(line) / line.share : 0;
      if (length > most) [longest, most] = [line, length];
    }
    if (longest === comer) throw refused('queue', onRefused);
    const [last] = longest.jobs.splice(
      longest.jobs.findLastIndex(({ refuse }) => refuse !== undefined),
      1,
    );
    this.#waiting--;
    last?.refuse?.();
  }

  #startNext(): void {
    while (this.#waiting > 0 && this.#running < this.#options.concurrency()) {
      const line = this.#nextLine();
      const job = line.jobs.shift();
      line.turns--;
      if (job !== undefined) {
        this.#waiting--;
        this.#running++;
        job.start();
      }
      if (job === undefined) {
        this.#remove(line);
        // It used no turn: the turn is the next line's of the same kind.
        this.#turn--;
      } else if (line.turns <= 0 || line.jobs.length === 0) this.#toTheEnd(line);
    }
    if (this.#waiting > 0) return;
    for (const lines of [this.#lines, this.#fresh, this.#served]) lines.clear();
  }

  /** Many new accounts must not keep the others waiting for good: of four turns one is theirs. */
  #nextLine(): Line {
    this.#turn = (this.#turn + 1) % 4;
    const lines = this.#turn === 0 ? [this.#served, this.#fresh] : [this.#fresh, this.#served];
    return lines.flatMap((each) => each.values().next().value ?? [])[0] as Line;
  }

  /** An empty line goes when its turn comes: were it gone at once, who sends one by one would always be new. */
  #toTheEnd(line: Line): void {
    line.turns = line.share;
    this.#fresh.delete(line);
    this.#served.delete(line);
    this.#served.add(line);
  }

  #remove(line: Line): void {
    this.#fresh.delete(line);
    this.#served.delete(line);
    this.#lines.delete(line.account);
  }
}

function countRefusable({ jobs }: Line): number {
  return jobs.reduce((count, { refuse }) => (refuse === undefined ? count : count + 1), 0);
}

function refused(why: QueueRefusal, onRefused: (why: QueueRefusal) => void): SealwireError {
  onRefused(why);
  return new SealwireError('POOL_FULL', 'too many agreements are waiting');
}
