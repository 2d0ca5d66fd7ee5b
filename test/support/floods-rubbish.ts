/**
 * Rubbish that costs an agreement: twelve senders, each 55 tokens in a second, above the rate that one caller has.
 * Everything that can be checked without the private key is right; the tag is not.
 */
import { credentials, Metadata } from '@grpc/grpc-js';
import { PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { boundDigest } from '../../src/schema/binding.js';
import type { ServicePlan } from '../../src/schema/plan.js';
import { type FloodWork, pace } from './floods-work.js';
import { callRaw, validRequest } from './harness.js';

const SENDERS = 12;
const TOKENS_PER_SECOND = 55;
/** What was refused is not remembered: the same few serve for good. */
const TOKENS = 64;

export const work: FloodWork = async (target, stop, report) => {
  let tokens = await forgeTokens(target.publicKeys);
  // They are too old after 300 s.
  const renewal = setInterval(() => void forgeTokens(target.publicKeys).then((made) => (tokens = made)), 120_000);
  report.begin();
  const raw = new PaymentServiceClient(target.address, credentials.createInsecure());
  const senders = Array.from({ length: SENDERS }, (_, n) => {
    const metadata = new Metadata();
    metadata.set('x-sealwire-caller', `rubbish-${n}`);
    let next = n;
    return pace(TOKENS_PER_SECOND, stop, () => {
      const { card: _, ...rest } = validRequest;
      const request = { ...rest, card: tokens[next++ % TOKENS] as string, billingAddress: '', securityCode: '' };
      return callRaw(raw, request, metadata).then(
        () => report.count('OK'),
        ({ details }: { details: string }) => report.count(details),
      );
    });
  });
  await Promise.all(senders);
  clearInterval(renewal);
  raw.close();
};

async function forgeTokens(publicKeys: string): Promise<string[]> {
  const key = await fileKeySource(publicKeys).current('');
  const { plan }: { readonly plan: ServicePlan } = SealedPaymentService;
  const field = plan.methods['/payments.v1.PaymentService/Authorize']?.request?.sealed.find(
    ({ name }) => name === 'card',
  );
  if (field === undefined) throw new Error('no such field');
  const sessions = new SealingSessions({ maxTokens: 1 });
  const parameters = {
    field: field.fullName,
    cty: 'application/protobuf',
    bound: boundDigest(field, validRequest, sha256),
    iat: Math.floor(Date.now() / 1_000),
  } as const;
  const tokens: string[] = [];
  for (let n = 0; n < TOKENS; n++) {
    const token = (await sessions.acquire(key)).seal(Buffer.alloc(40), parameters);
    const tagAt = token.lastIndexOf('.') + 1;
    tokens.push(`${token.slice(0, tagAt)}${token[tagAt] === 'A' ? 'B' : 'A'}${token.slice(tagAt + 1)}`);
  }
  await sessions.close();
  return tokens;
}
