/**
 * A client process that calls without a pause while keys rotate: forked by `rotate-under-load.ts`, with the service's
 * address, its signing root and its public key file as arguments. It answers the message `{ until: KID }` when every
 * lane has finished a round with that key, and `{ end: true }` with what it has done.
 */
import { credentials, InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import { KeyDirectory } from '../../src/client/key-directory.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { peekHeader } from '../../src/jwe/header.js';
import { fileKeySource, type KeySource } from '../../src/keys/key-source.js';
import { validRequest } from './harness.js';

const [address = '', root = '', publicPath = ''] = process.argv.slice(2);
const LANES = 3;

/** What the process reports in the end. */
export interface LoadReport {
  readonly calls: number;
  readonly failures: readonly string[];
}

let calls = 0;
let isStopped = false;
const failures: string[] = [];
/** The key of each lane's last round. */
const lastKid = new Map<string, string>();
let waiting: { readonly kid: string; readonly tell: () => void } | undefined;

/** Notes by order, or payment, which key a call was sealed to. */
function noteKids(kids: Map<string, string>): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      sendMessage: (message: { orderId?: string; card?: string; paymentId?: string; statementLine?: string }, next) => {
        const { orderId, card, paymentId, statementLine } = message;
        const token = card || statementLine;
        if (token) kids.set((orderId || paymentId) as string, peekHeader(token).kid ?? '');
        next(message);
      },
    });
}

async function runLane(name: string, client: SealedPaymentServiceClient, kids: Map<string, string>): Promise<void> {
  for (let round = 0; !isStopped; round++) {
    const orderId = `${name}-${round}`;
    try {
      const { paymentId } = await client.authorize({ ...validRequest, orderId });
      const { payment } = await client.getPayment({ paymentId });
      if (payment?.card?.number !== validRequest.card.number) throw new Error('another card came back');
      const lines = [1, 2, 3].map(() => ({ paymentId, statementLine: { value: `for ${orderId}` } }));
      let matched = 0;
      for await (const reply of client.reconcile(lines)) if (reply.matched && reply.note) matched++;
      if (matched !== lines.length) throw new Error(`${matched} lines matched`);
      calls += 3;
      const [first, second] = [kids.get(orderId), kids.get(paymentId)];
      // A rotation may come between two calls of a round.
      lastKid.set(name, first === second ? (first ?? '') : '');
      kids.clear();
    } catch (error) {
      failures.push(`${name}: ${(error as Error).message}`);
    }
    if (waiting !== undefined && [...lastKid.values()].every((kid) => kid === waiting?.kid)) {
      waiting.tell();
      waiting = undefined;
    }
  }
}

function connect(keys: KeySource, lane: string): { client: SealedPaymentServiceClient; lane: Promise<void> } {
  const kids = new Map<string, string>();
  const wireInterceptors = [noteKids(kids)];
  const client = new SealedPaymentServiceClient(address, credentials.createInsecure(), { keys, wireInterceptors });
  lastKid.set(lane, '');
  return { client, lane: runLane(lane, client, kids) };
}

const directory = new KeyDirectory({
  address,
  credentials: credentials.createInsecure(),
  roots: [root],
  issuer: 'sealwire-payments',
  minAgeMs: 100,
});
const file = fileKeySource(publicPath, { checkMs: 100 });
const lanes = Array.from({ length: LANES }, (_, index) => [
  connect(directory, `directory-${index}`),
  connect(file, `file-${index}`),
]).flat();

process.on('message', async (message: { readonly until?: string; readonly end?: true }) => {
  if (message.until !== undefined) {
    waiting = { kid: message.until, tell: () => process.send?.({ reached: message.until }) };
    return;
  }
  isStopped = true;
  await Promise.all(lanes.map(({ lane }) => lane));
  for (const { client } of lanes) client.close();
  directory.close();
  process.send?.({ calls, failures } satisfies LoadReport, () => process.disconnect());
});
