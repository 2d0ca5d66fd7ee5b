/** Floods a service with rubbish tokens while another caller pays. */
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { credentials, InterceptingCall, type Interceptor, Metadata } from '@grpc/grpc-js';
import { PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { callRaw } from './harness.js';
import { PaymentsLoad, readRecords } from './payments-load.js';
import { startServiceProcess, stopServiceProcess, verifyServiceLog } from './service-process.js';

/** What it cost. */
export interface FloodResult {
  readonly tokens: number;
  /** Bytes of all files of the log, without those that were there before. */
  readonly logBytes: number;
  readonly seconds: number;
  /** Rubbish that was taken. */
  readonly accepted: number;
  /** Refused calls that the log tells of, one by one or counted. */
  readonly told: number;
  readonly refused: number;
  /** Calls of the other caller. */
  readonly paid: number;
  readonly failures: readonly string[];
  readonly findings: readonly unknown[];
}

const TOKENS_PER_CALL = 3;

/** @param tokens how many tokens of rubbish, three in a call, 48 calls at a time */
export async function flood(dir: string, tokens: number): Promise<FloodResult> {
  const service = await startServiceProcess({ dir, config: { logLevel: 'error', trustedProxies: ['127.0.0.1'] } });
  const before = sizeOfLog(dir);
  const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
  const kid = (await keys.current('')).kid;
  const attacker = new PaymentServiceClient(service.address, credentials.createInsecure());
  const payer = new SealedPaymentServiceClient(service.address, credentials.createInsecure(), {
    keys,
    interceptors: [nameCaller('payer')],
  });
  const load = new PaymentsLoad(payer, 'order');
  load.start(2);
  const counts = { next: 0, accepted: 0, refused: 0 };
  const metadata = new Metadata();
  metadata.set('x-sealwire-caller', 'attacker');
  const lane = async () => {
    while (counts.next < tokens / TOKENS_PER_CALL) {
      const rubbish = RUBBISH[counts.next++ % RUBBISH.length]?.(kid) ?? '';
      const request = {
        orderId: 'x',
        amountMinor: '1',
        currencyCode: 'EUR',
        card: rubbish,
        billingAddress: rubbish,
        securityCode: rubbish,
      };
      await callRaw(attacker, request, metadata).then(
        () => counts.accepted++,
        () => counts.refused++,
      );
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: 48 }, lane));
  const seconds = (performance.now() - startedAt) / 1_000;
  await load.stop();
  attacker.close();
  payer.close();
  await stopServiceProcess(service);
  return {
    tokens,
    logBytes: sizeOfLog(dir) - before - sizeOfPayments(dir),
    seconds,
    accepted: counts.accepted,
    told: countRefused(dir),
    refused: counts.refused,
    paid: load.acknowledged.length,
    failures: [...new Set(load.failures)],
    findings: verifyServiceLog(dir).findings,
  };
}

/**
 * Cheap to make, dear to keep: with a header as large as is stored, of a key that exists, or nothing of a token at all.
 */
const RUBBISH: readonly ((kid: string) => string)[] = [
  () => randomBytes(60).toString('base64url'),
  (kid) => `${encode({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid, pad: randomBytes(700).toString('hex') })}.a.b.c.d`,
  () => `${encode({ alg: 'none', kid: randomBytes(900).toString('hex') })}....`,
  () => '\u0000"\n\u2028'.repeat(50),
];

function encode(header: object): string {
  return Buffer.from(JSON.stringify(header)).toString('base64url');
}

function nameCaller(name: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        metadata.set('x-sealwire-caller', name);
        next(metadata, listener);
      },
    });
}

function sizeOfLog(dir: string): number {
  const audit = join(dir, 'audit');
  return readdirSync(audit).reduce((total, name) => total + statSync(join(audit, name)).size, 0);
}

/** Of what the other caller's calls put into the log. */
function sizeOfPayments(dir: string): number {
  const lines = readRecords(dir).filter(({ event }) => event === 'open');
  return lines.reduce((total, line) => total + Buffer.byteLength(JSON.stringify(line)) + 1, 0);
}

function countRefused(dir: string): number {
  const rejects = readRecords(dir).filter(({ event }) => event === 'reject');
  return rejects.reduce((total, { detail }) => total + Number(/^(\d+) more refused calls$/.exec(detail)?.[1] ?? 1), 0);
}
