/**
 * Unary calls per second: clear field, sealed, sealed behind an interceptor, sealed with durable audit; interleaved,
 * two processes.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fdatasync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { credentials, InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import { type AuthorizeRequest, PaymentServiceClient } from '../src/gen/payments/v1/payments.js';
import { SealedPaymentServiceClient } from '../src/gen/payments/v1/payments_sealed.js';
import { staticKeySource } from '../src/keys/key-source.js';
import { loadPublicKeys } from '../src/keys/public-keys.js';
import { type Summary, summarize } from './stats.js';

const ROUNDS = 9;
const VARIANTS = ['clear', 'bare', 'sealed', 'intercepted', 'audited'] as const;
type Variant = (typeof VARIANTS)[number];

/** What one variant at one concurrency gave. */
export interface CallResult {
  readonly callsPerSecond: Summary;
  /** Of the clear variant's calls per second in the same round; 1 for the clear variant itself. */
  readonly ratio: Summary;
  readonly clientCpuUs: Summary;
  readonly serverCpuUs: Summary;
}

/** Results by `variant@inFlight`, and the disk's own speed. */
export interface CallsResult {
  readonly rounds: number;
  readonly results: Readonly<Record<string, CallResult>>;
  readonly fdatasyncMs: Summary;
}

interface Measurement {
  readonly callsPerSecond: number;
  readonly clientCpuUs: number;
  readonly serverCpuUs: number;
}

const pass: Interceptor = (options, nextCall) => new InterceptingCall(nextCall(options));

const card = { number: '4111111111111111', expiryMonth: 12, expiryYear: 2031, holderName: 'x'.repeat(90) };
/** Of a token with the card above. */
const TOKEN_CHARACTERS = 890;
const common = { orderId: 'order-1', amountMinor: '1999', currencyCode: 'EUR' };

/** @param callsPerBatch calls per variant and round at 64 in flight; a tenth of it at 1 in flight */
export async function benchCalls(callsPerBatch = 4_000): Promise<CallsResult> {
  const child = fork(new URL('./call-server.js', import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [ready] = (await once(child, 'message')) as [
    { ports: Record<Exclude<Variant, 'intercepted'>, number>; jwks: { keys: object[] } },
  ];
  const [key] = await loadPublicKeys(ready.jwks as never);
  if (key === undefined) throw new Error('the bench server sent no key');
  const address = (variant: Exclude<Variant, 'intercepted'>) => `127.0.0.1:${ready.ports[variant]}`;
  const keys = staticKeySource(key);
  const clearClient = new PaymentServiceClient(address('clear'), credentials.createInsecure());
  const bareClient = new PaymentServiceClient(address('bare'), credentials.createInsecure(), {
    interceptors: [pass],
  });
  const sealedClient = new SealedPaymentServiceClient(address('sealed'), credentials.createInsecure(), { keys });
  // With an interceptor of its own a client starts each call when it is made.
  const interceptedClient = new SealedPaymentServiceClient(address('sealed'), credentials.createInsecure(), {
    keys,
    wireInterceptors: [pass],
  });
  const auditedClient = new SealedPaymentServiceClient(address('audited'), credentials.createInsecure(), { keys });
  const clearRequest: AuthorizeRequest = {
    ...common,
    card: JSON.stringify(card),
    billingAddress: '',
    securityCode: '',
  };
  // As long as the message that the sealed variants send.
  const bareRequest = { ...clearRequest, card: 'x'.repeat(TOKEN_CHARACTERS) };
  const callPlain = (client: PaymentServiceClient, request: AuthorizeRequest) =>
    new Promise((resolve, reject) => {
      client.authorize(request, (error, value) => (error ? reject(error) : resolve(value)));
    });
  const calls: Record<Variant, () => Promise<unknown>> = {
    clear: () => callPlain(clearClient, clearRequest),
    bare: () => callPlain(bareClient, bareRequest),
    sealed: () => sealedClient.authorize({ ...common, card }),
    intercepted: () => interceptedClient.authorize({ ...common, card }),
    audited: () => auditedClient.authorize({ ...common, card }),
  };
  const results: Record<string, CallResult> = {};
  try {
    for (const variant of VARIANTS) await runBatch(calls[variant], 1_000, 64);
    for (const inFlight of [1, 64]) {
      const total = inFlight === 1 ? callsPerBatch / 10 : callsPerBatch;
      Object.assign(results, await benchAt(child, calls, inFlight, total));
    }
  } finally {
    clearClient.close();
    bareClient.close();
    sealedClient.close();
    interceptedClient.close();
    auditedClient.close();
    child.send('stop');
    await once(child, 'exit');
  }
  return { rounds: ROUNDS, results, fdatasyncMs: await measureSync() };
}

async function benchAt(
  child: ChildProcess,
  calls: Record<Variant, () => Promise<unknown>>,
  inFlight: number,
  total: number,
): Promise<Record<string, CallResult>> {
  const rounds: Record<Variant, Measurement>[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const measured: Partial<Record<Variant, Measurement>> = {};
    // Rotating who goes first spreads drift of the machine over all variants.
    for (let offset = 0; offset < VARIANTS.length; offset++) {
      const variant = VARIANTS[(round + offset) % VARIANTS.length] as Variant;
      measured[variant] = await measure(child, calls[variant], total, inFlight);
    }
    rounds.push(measured as Record<Variant, Measurement>);
  }
  const entries = VARIANTS.map((variant): [string, CallResult] => {
    const of = (pick: (measured: Record<Variant, Measurement>) => number) => summarize(rounds.map(pick));
    return [
      `${variant}@${inFlight}`,
      {
        callsPerSecond: of((round) => round[variant].callsPerSecond),
        ratio: of((round) => round[variant].callsPerSecond / round.clear.callsPerSecond),
        clientCpuUs: of((round) => round[variant].clientCpuUs),
        serverCpuUs: of((round) => round[variant].serverCpuUs),
      },
    ];
  });
  return Object.fromEntries(entries);
}

async function measure(
  child: ChildProcess,
  call: () => Promise<unknown>,
  total: number,
  inFlight: number,
): Promise<Measurement> {
  const serverBefore = await serverCpu(child);
  const clientBefore = process.cpuUsage();
  const startedAt = performance.now();
  await runBatch(call, total, inFlight);
  const seconds = (performance.now() - startedAt) / 1000;
  const client = process.cpuUsage(clientBefore);
  const server = (await serverCpu(child)) - serverBefore;
  return {
    callsPerSecond: total / seconds,
    clientCpuUs: (client.user + client.system) / total,
    serverCpuUs: server / total,
  };
}

async function runBatch(call: () => Promise<unknown>, total: number, inFlight: number): Promise<void> {
  let left = total;
  const worker = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

async function serverCpu(child: ChildProcess): Promise<number> {
  child.send('cpu');
  const [{ cpu }] = (await once(child, 'message')) as [{ cpu: NodeJS.CpuUsage }];
  return cpu.user + cpu.system;
}

/** What one appended record and its fdatasync cost on the disk that the audit log of this bench uses. */
async function measureSync(): Promise<Summary> {
  const path = join(process.env['BENCH_AUDIT_DIR'] ?? tmpdir(), `sealwire-sync-${process.pid}`);
  const file = openSync(path, 'w', 0o600);
  const sync = promisify(fdatasync);
  const times: number[] = [];
  for (let index = 0; index < 200; index++) {
    writeSync(file, Buffer.alloc(1_000, 0x20));
    const startedAt = performance.now();
    await sync(file);
    times.push(performance.now() - startedAt);
  }
  rmSync(path);
  return summarize(times);
}
