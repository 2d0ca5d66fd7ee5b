/** Requests that come whole, once, and stay for as long as their calls do. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { validRequest } from '../support/harness.js';
import { type Bench, metadataOf, startBench } from '../support/sealed-bench.js';

const MIB = 2 ** 20;
/** One of 64 would fit exactly, were it not for what else a message has. */
const LARGE = 'x'.repeat(MIB - 4_096);
const MOST = 64;

describe('single requests of calls that last', () => {
  let bench: Bench;
  let waiting: (() => void)[];
  beforeEach(async () => {
    waiting = [];
    const wait = () => new Promise<void>((resolve) => waiting.push(resolve));
    const handlers = {
      watchPayments: async (call: ServerWritableStream<unknown, unknown>) => {
        await wait();
        call.end();
      },
      authorize: (_call: unknown, callback: (error: Error | null, answer: object) => void) => {
        void wait().then(() => callback(null, {}));
      },
    };
    bench = await startBench({
      services: [{ service: SealedPaymentService, handlers }],
      open: { caller: ({ metadata }) => String(metadata.get('who')[0]) },
    });
  });
  afterEach(() => bench.stop());

  const kinds: Readonly<Record<string, (who: string) => Promise<unknown>>> = {
    'without sealed fields': async (who) => {
      const metadata = metadataOf('who', who);
      for await (const _ of bench.client.watchPayments({ orderId: LARGE }, { metadata }));
    },
    'with sealed fields': (who) =>
      bench.client.authorize({ ...validRequest, orderId: LARGE }, { metadata: metadataOf('who', who) }),
  };
  for (const [kind, call] of Object.entries(kinds)) {
    it(`${kind} count until the call ends, against the account alone`, async function () {
      this.timeout(60_000);
      const held = Array.from({ length: MOST }, () => call('a'));
      while (waiting.length < MOST) await new Promise((resolve) => setImmediate(resolve));
      let refused: ReturnType<typeof errorDetails>;
      call('a').catch((error: unknown) => {
        refused = errorDetails(error);
      });
      while (refused === undefined && waiting.length === MOST) await new Promise((resolve) => setImmediate(resolve));
      expect(refused).to.deep.include({ reason: 'LIMIT_EXCEEDED' });
      expect(refused?.metadata).to.include({ limit: 'capacity' });
      const other = call('b');
      while (waiting.length < MOST + 1) await new Promise((resolve) => setImmediate(resolve));
      for (const end of waiting.splice(0)) end();
      await Promise.all([...held, other]);
      // What they held is given back.
      const again = call('a');
      while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
      waiting[0]?.();
      await again;
    });
  }
});
