/** Single use over the death of the real service process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { MessageSealer } from '../../src/client/seal-message.js';
import { type AuthorizeRequest, PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { AuthorizeRequestPlan } from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { listening, sealwire } from '../support/command.js';
import { callRaw, failureOf } from '../support/harness.js';
import { fullOrder } from '../support/relayed-harness.js';

describe('sealwire serve, started again', () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`after ${signal}: refuses every token that it took before, and takes others`, async function () {
      this.timeout(60_000);
      const dir = await mkdtemp(join(tmpdir(), 'sealwire-replay-'));
      const sealer = new MessageSealer({ sessions: new SealingSessions() });
      /** Runs the service until `work` is done, and ends it. */
      const serve = async (work: (raw: PaymentServiceClient) => Promise<void>) => {
        const service = sealwire('serve', '--listen', '127.0.0.1:0', '--dir', dir);
        const raw = new PaymentServiceClient(await listening(service), credentials.createInsecure());
        try {
          await work(raw);
        } finally {
          raw.close();
          service.child.kill(signal);
          await service.ended;
        }
      };
      const seal = async (orderId: string) => {
        const key = await fileKeySource(join(dir, 'keys/public.jwks.json')).current('');
        return (await sealer.seal(AuthorizeRequestPlan, fullOrder(orderId), new Map([['', key]]))) as AuthorizeRequest;
      };
      let used: AuthorizeRequest | undefined;
      let unused: AuthorizeRequest | undefined;
      await serve(async (raw) => {
        [used, unused] = [await seal('order-1'), await seal('order-1')];
        await callRaw(raw, used);
      });
      await serve(async (raw) => {
        for (const name of ['card', 'billingAddress', 'securityCode'] as const) {
          const error = await failureOf(callRaw(raw, { ...unused!, [name]: used![name] }));
          expect(errorDetails(error)?.reason, name).to.equal('SEALED_FIELD_REPLAYED');
        }
        await callRaw(raw, unused!);
      });
      await rm(dir, { recursive: true });
    });
  }
});
