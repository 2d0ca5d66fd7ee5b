import { Writable } from 'node:stream';
import { expect } from 'chai';
import { createGrpcLogger } from '../../../src/host/log/grpc-logger.js';
import { createApplicationLogger } from '../../../src/host/log/logger.js';

describe('createGrpcLogger', () => {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  let now = Date.UTC(2026, 0, 1);
  const logger = createGrpcLogger(createApplicationLogger('debug', stream), () => now);
  beforeEach(() => {
    lines.length = 0;
    now += 10_000;
  });

  it('gives each message as one line of the application log, whatever callers put into it', () => {
    logger.error?.('E bad metadata \u0085\n2026-01-01 info forged\u2028\u001b[2J', 7);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(/^\S+ warn grpc \{"text":"E bad metadata [ -~]+ 7"\}\n$/);
  });

  it('cuts long messages', () => {
    logger.info?.('x'.repeat(10_000));
    expect(lines[0]?.length).to.be.lessThan(400);
  });

  it('gives ten a second, and tells how many it left out', () => {
    for (let line = 0; line < 100; line++) logger.debug?.('again');
    expect(lines).to.have.length(10);
    now += 1_000;
    logger.debug?.('later');
    expect(lines[10]).to.contain('"omitted":90');
  });
});
