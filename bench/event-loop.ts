/** Event-loop delay while 200 new agreements arrive within one second. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { TokenOpener } from '../src/jwe/opener.js';
import { SealingSessions } from '../src/jwe/sender.js';
import { KeyRing } from '../src/keys/ring.js';

const AGREEMENTS = 200;
const FIELD = 'bench.v1.Message.card';

/** Delays in ms. */
export interface EventLoopResult {
  readonly agreements: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Opens 200 tokens of 200 different agreements, one each 5 ms, and watches the event loop. */
export async function benchEventLoop(): Promise<EventLoopResult> {
  const ring = await KeyRing.create('P-521');
  const sessions = new SealingSessions({ maxTokens: 1 });
  const tokens: string[] = [];
  for (let index = 0; index < AGREEMENTS; index++) {
    const session = await sessions.acquire(ring.current());
    const iat = Math.floor(Date.now() / 1000);
    tokens.push(session.seal(Buffer.alloc(120), { field: FIELD, cty: 'application/protobuf', iat }));
  }
  await sessions.close();
  const opener = new TokenOpener({ keys: ring, rate: { perSecond: 1_000, burst: 1_000 } });
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  const startedAt = performance.now();
  histogram.enable();
  const opened: (Buffer | Promise<Buffer>)[] = [];
  for (const [index, token] of tokens.entries()) {
    opened.push(opener.open(opener.check(token, { field: FIELD }), 'bench'));
    const due = startedAt + ((index + 1) * 1000) / AGREEMENTS;
    const wait = due - performance.now();
    if (wait > 0) await delay(wait);
  }
  const plaintexts = await Promise.all(opened);
  histogram.disable();
  if (plaintexts.length !== AGREEMENTS) throw new Error('not all tokens were opened');
  const toMs = (nanoseconds: number) => nanoseconds / 1e6;
  return {
    agreements: AGREEMENTS,
    seconds: (performance.now() - startedAt) / 1000,
    p50: toMs(histogram.percentile(50)),
    p99: toMs(histogram.percentile(99)),
    max: toMs(histogram.max),
  };
}
