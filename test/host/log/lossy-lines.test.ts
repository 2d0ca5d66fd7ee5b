import { Writable } from 'node:stream';
import { expect } from 'chai';
import { createLossyLines } from '../../../src/host/log/lossy-lines.js';

/** A stream that takes one line at a time, when it is told to. */
function createSlowStream() {
  const lines: string[] = [];
  const waiting: ((error?: Error | null) => void)[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      lines.push(line);
      waiting.push(done);
    },
  });
  /** Lets the stream take all that waits. */
  const flow = async () => {
    while (waiting.length > 0) {
      waiting.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { stream, lines, flow };
}

describe('createLossyLines', () => {
  it('holds 1 MiB for a reader that sleeps, drops more, and tells how many lines it dropped', async () => {
    const { stream, lines, flow } = createSlowStream();
    const sink = createLossyLines(stream);
    const line = `${'x'.repeat(65_535)}\n`;
    for (let count = 0; count < 100; count++) sink.write(line);
    expect(stream.writableLength).to.be.within(1_048_577, 1_048_576 + line.length);
    await flow();
    const kept = lines.length;
    sink.write('and now\n');
    sink.write('and then\n');
    await flow();
    expect(lines.slice(kept)).to.deep.equal([`and now {"droppedBefore":${100 - kept}}\n`, 'and then\n']);
  });

  it('goes on when the stream takes nothing, and counts that too', async () => {
    let isFull = true;
    const lines: string[] = [];
    const stream = new Writable({
      decodeStrings: false,
      autoDestroy: false,
      write(line: string, _encoding, done) {
        if (isFull) return done(Object.assign(new Error('full'), { code: 'ENOSPC' }));
        lines.push(line);
        done();
      },
      // As Node's stdout and stderr do.
      destroy(error, done) {
        done(error);
      },
    });
    const sink = createLossyLines(stream);
    sink.write('one\n');
    await new Promise((resolve) => setImmediate(resolve));
    isFull = false;
    (stream as unknown as { _undestroy(): void })._undestroy();
    sink.write('two\n');
    await new Promise((resolve) => setImmediate(resolve));
    expect(lines).to.deep.equal(['two {"droppedBefore":1}\n']);
  });
});
