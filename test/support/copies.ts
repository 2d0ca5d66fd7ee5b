/** One sealed message in many calls at the same time. */
import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { errorDetails } from '../../src/client/client.js';
import { MessageSealer } from '../../src/client/seal-message.js';
import { type AuthorizeRequest, PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { AuthorizeRequestPlan } from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { ReplayGuard } from '../../src/server/replay/replay-guard.js';
import { createEchoHandlers, makeRequest, startRecordingServer } from '../client/helpers.js';
import { callRaw } from './harness.js';

/** Runs `count` pieces of work, at most `atOnce` of them at the same time. */
export async function runMany(count: number, atOnce: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

/** How the calls ended: by reason, `OK`, or the code of an unexpected error. */
export interface Flood {
  readonly outcomes: Readonly<Record<string, number>>;
  /** Requests that the handler saw. */
  readonly handled: number;
}

/** @param count calls with the same tokens, `atOnce` of them under way at a time */
export async function floodWithCopies(count: number, atOnce: number): Promise<Flood> {
  const handled: object[] = [];
  const open = { guard: new ReplayGuard() };
  const server = await startRecordingServer(createEchoHandlers(handled), { open, record: false });
  const raw = new PaymentServiceClient(server.address, credentials.createInsecure());
  const sealer = new MessageSealer({ sessions: new SealingSessions() });
  const keys = new Map([['', server.keys.current()]]);
  const message = (await sealer.seal(AuthorizeRequestPlan, makeRequest('flood'), keys)) as AuthorizeRequest;
  const outcomes: Record<string, number> = {};
  try {
    await runMany(count, atOnce, async () => {
      const outcome = await callRaw(raw, message).then(
        () => 'OK',
        (error: ServiceError) => errorDetails(error)?.reason ?? status[error.code] ?? 'none',
      );
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    });
  } finally {
    raw.close();
    server.close();
  }
  return { outcomes, handled: handled.length };
}
