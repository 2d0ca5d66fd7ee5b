import { Writable } from 'node:stream';
import { expect } from 'chai';
import { createApplicationLogger, type LogFormat } from '../../../src/host/log/logger.js';
import { markHolder, markOpened } from '../../../src/schema/opened.js';

const SECRET = 'canary-4242424242424242';

/** A logger and what it printed. */
function capture(level = 'debug', form?: LogFormat) {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return { logger: createApplicationLogger(level, stream, form), printed: () => text };
}

function makeCard() {
  return markOpened('payments.v1.CardDetails', { number: SECRET });
}

describe('the application logger', () => {
  it('prints one JSON object per line when it is told to, in which facts stand beside time, level and message', () => {
    const { logger, printed } = capture('info', 'json');
    logger.info('started', { port: 1, size: 2n, level: 'forged' });
    logger.debug('no');
    logger.warn('text\n\u0085\u202e', { card: makeCard() });
    logger.info('authorize', makeCard());
    expect(printed())
      .to.match(/^[ -~\n]*$/)
      .and.not.include(SECRET);
    const lines = printed()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const { timestamp } of lines) expect(timestamp).to.match(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(lines.map(({ timestamp: _, ...rest }) => rest)).to.deep.equal([
      { level: 'info', message: 'started', port: 1, size: '2' },
      { level: 'warn', message: 'text\n\u0085\u202e', card: '[opened payments.v1.CardDetails]' },
      { level: 'info', message: 'authorize', refused: 'an opened message is not logged' },
    ]);
  });

  it('tells in JSON how many lines were dropped before one', () => {
    const lines: string[] = [];
    let isFull = true;
    const stream = new Writable({
      decodeStrings: false,
      write(line: string, _encoding, done) {
        lines.push(line);
        done();
      },
    });
    Object.defineProperty(stream, 'writableLength', { get: () => (isFull ? 2_000_000 : 0) });
    const logger = createApplicationLogger('info', stream, 'json');
    logger.info('lost');
    isFull = false;
    logger.info('kept', { port: 1 });
    expect(lines).to.have.length(1);
    expect(JSON.parse(lines[0] as string)).to.include({ message: 'kept', port: 1, droppedBefore: 1 });
  });

  it('prints time, level, text and facts on one line', () => {
    const { logger, printed } = capture();
    logger.info('started', { port: 1 });
    expect(printed()).to.match(/^\d{4}-\d\d-\d\dT[\d:.]+Z info started \{"port":1\}\n$/);
  });

  it('keeps to its level', () => {
    const { logger, printed } = capture('warn');
    logger.info('no');
    logger.warn('yes');
    expect(printed()).to.include('yes').and.not.include('no');
  });

  it('refuses an opened message as the meta root', () => {
    const { logger, printed } = capture();
    logger.info('authorize', makeCard());
    expect(printed()).to.include('an opened message is not logged').and.not.include(SECRET);
  });

  it('refuses an outer message as the meta root', () => {
    const { logger, printed } = capture();
    const request = { orderId: 'order-1', card: makeCard() };
    markHolder(request);
    logger.info('authorize', request);
    expect(printed()).to.include('an opened message is not logged').and.not.include(SECRET);
  });

  it('prints an opened message below the root redacted', () => {
    const { logger, printed } = capture();
    logger.info('authorize', { card: makeCard() });
    expect(printed()).to.include('"card":"[opened payments.v1.CardDetails]"').and.not.include(SECRET);
  });

  it('prints an opened message as the text redacted', () => {
    const { logger, printed } = capture();
    logger.info(makeCard() as unknown as string);
    logger.info({ message: makeCard(), level: 'info' } as unknown as string);
    expect(printed()).not.to.include(SECRET);
  });

  it('lets no text begin a new line with a fact', () => {
    const { logger, printed } = capture();
    logger.info('authorize', { orderId: 'order-1\n2026-01-01T00:00:00Z error forged' });
    expect(printed().trimEnd().split('\n')).to.have.length(1);
  });
});
