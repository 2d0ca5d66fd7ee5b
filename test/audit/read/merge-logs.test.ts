import { expect } from 'chai';
import type { LogRecord } from '../../../src/audit/format/log-record.js';
import { type LogReader, mergeLogs } from '../../../src/audit/read/merge-logs.js';
import { SealwireError } from '../../../src/errors.js';

/** A record as far as merging looks at it; without a time, a line that is none. */
interface Item {
  readonly at: number | undefined;
  readonly record: LogRecord | undefined;
}

const item = (at: number | undefined): Item => ({
  at,
  record: at === undefined ? undefined : ({ time: new Date(at).toISOString() } as LogRecord),
});

/** A reader that tells what was asked of it. */
class Source implements LogReader<string, Item> {
  readonly log: string;
  readonly records: Generator<Item>;
  read = 0;
  isClosed = false;

  constructor(log: string, times: readonly (number | undefined)[], error?: Error) {
    this.log = log;
    this.records = this.#run(times, error);
  }

  *#run(times: readonly (number | undefined)[], error: Error | undefined): Generator<Item> {
    try {
      for (const at of times) {
        this.read++;
        yield item(at);
      }
      if (error !== undefined) throw error;
    } finally {
      this.isClosed = true;
    }
  }
}

const failed: string[] = [];
const merge = (...sources: Source[]) => mergeLogs(sources, (log, { message }) => failed.push(`${log}: ${message}`));
const namesOf = (...sources: Source[]) => [...merge(...sources)].map(({ log, found: { at } }) => `${log}${at ?? '?'}`);

describe('several logs as one', () => {
  beforeEach(() => {
    failed.length = 0;
  });

  it('have their records in the order of time', () => {
    const [a, b, c] = [new Source('a', [1, 4, 7]), new Source('b', [2, 5, 8, 9]), new Source('c', [0, 3, 6])];
    expect(namesOf(a, b, c)).to.deep.equal(['c0', 'a1', 'b2', 'c3', 'a4', 'b5', 'c6', 'a7', 'b8', 'b9']);
    expect(namesOf(new Source('a', []), new Source('b', [1]))).to.deep.equal(['b1']);
    expect(namesOf()).to.deep.equal([]);
  });

  it('of one time come in the order in which the logs were given', () => {
    expect(namesOf(new Source('a', [1, 1]), new Source('b', [1]))).to.deep.equal(['a1', 'a1', 'b1']);
  });

  it('keep the order that each log has, though a clock was set back or a line is no record', () => {
    const [a, b] = [new Source('a', [5, 2, 9]), new Source('b', [1, undefined, 6])];
    expect(namesOf(a, b)).to.deep.equal(['b1', 'b?', 'a5', 'a2', 'b6', 'a9']);
  });

  it('are read one record ahead, however long they are', () => {
    const sources = ['a', 'b'].map(
      (name) =>
        new Source(
          name,
          Array.from({ length: 1_000 }, (_, at) => at),
        ),
    );
    let taken = 0;
    for (const _ of merge(...sources)) {
      taken++;
      expect(sources.reduce((sum, { read }) => sum + read, 0) - taken).to.be.at.most(1);
    }
    expect(taken).to.equal(2_000);
  });

  it('go on without one that cannot be read on', () => {
    const broken = new Source('a', [1], new SealwireError('AUDIT_FILE_INVALID', 'no more'));
    expect(namesOf(broken, new Source('b', [2, 3]))).to.deep.equal(['a1', 'b2', 'b3']);
    expect(failed).to.deep.equal(['a: no more']);
    const bug = new Source('a', [1], new TypeError('a bug'));
    expect(() => namesOf(bug, new Source('b', [2]))).to.throw(TypeError);
  });

  it('are all closed when nobody wants more', () => {
    const sources = [new Source('a', [1, 2]), new Source('b', [1, 2])];
    for (const _ of merge(...sources)) break;
    expect(sources.map(({ isClosed }) => isClosed)).to.deep.equal([true, true]);
  });
});
