/** A real payments service on port 0 with its own folder, and clients for it. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { credentials, type Interceptor, Metadata, type ServiceError } from '@grpc/grpc-js';
import { PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { type OpenedAuthorizeRequest, SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import type { HostConfigInput } from '../../src/host/config.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';
import type { SealingSessions } from '../../src/jwe/sender.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import type { PolicyName } from '../../src/profile/policy.js';
import { type PaymentsService, paymentsConfig, startPayments } from './payments-host.js';

/** A request that is authorized. */
export const validRequest: OpenedAuthorizeRequest = {
  orderId: 'order-1',
  amountMinor: '1999',
  currencyCode: 'EUR',
  card: { number: '4111111111111111', expiryMonth: 12, expiryYear: 2031, holderName: 'Zoë Ñandú' },
};

/** A running service and what belongs to it. */
export interface Harness {
  readonly service: PaymentsService;
  readonly dir: string;
  readonly client: SealedPaymentServiceClient;
  /** The client without sealing: tokens in, tokens out. */
  readonly raw: PaymentServiceClient;
  /** What the application log printed. */
  logged(): string;
  /** @returns when the application log has printed this, and so often. Default: once */
  loggedText(text: string, times?: number): Promise<void>;
  /** Bytes and parsed lines of the audit log. */
  auditText(): Promise<string>;
  auditRecords(): Promise<AuditLine[]>;
  /** Stops the service alone: the audit log is complete then. */
  stopService(): Promise<void>;
  stop(): Promise<void>;
}

/** One line of the audit log, as far as tests look at it. */
export interface AuditLine {
  readonly seq: number;
  readonly event: string;
  readonly detail: string;
  readonly method: string;
  readonly principal: string;
  readonly requestId: string;
  readonly fields: readonly {
    readonly field: string;
    readonly path: string;
    readonly token: unknown;
    readonly outcome: string;
    readonly reason: string;
    readonly bound: readonly (readonly [string, unknown])[];
  }[];
}

/** Options of {@link startHarness}. */
export interface HarnessOptions {
  readonly policy?: PolicyName;
  readonly interceptors?: readonly Interceptor[];
  readonly wireInterceptors?: readonly Interceptor[];
  /** The client's agreements. Default: its own. */
  readonly sessions?: SealingSessions;
  /** Called with the service's folder before it starts. */
  readonly prepare?: (dir: string) => Promise<void>;
  /** More configuration. */
  readonly config?: Omit<HostConfigInput, 'listen' | 'dir'>;
}

/** Starts a service in a temporary folder. */
export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-test-'));
  const log: string[] = [];
  const waiting = new Set<() => void>();
  const stream = new Writable({
    write(chunk, _encoding, done) {
      log.push(String(chunk));
      for (const check of waiting) check();
      done();
    },
  });
  await options.prepare?.(dir);
  const base = { listen: '127.0.0.1:0', dir, policy: options.policy ?? 'strict', drainMs: 500 };
  const config = paymentsConfig({ ...base, ...options.config });
  const service = await startPayments(config, createApplicationLogger('debug', stream));
  const { interceptors = [], wireInterceptors = [], sessions } = options;
  const client = new SealedPaymentServiceClient(service.address, credentials.createInsecure(), {
    keys: fileKeySource(join(dir, 'keys/public.jwks.json')),
    interceptors,
    wireInterceptors,
    ...(sessions && { sessions }),
  });
  const raw = new PaymentServiceClient(service.address, credentials.createInsecure());
  const auditText = async () => {
    const folder = join(dir, 'audit');
    const names = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
    return (await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).join('');
  };
  let stopping: Promise<void> | undefined;
  const stopService = () => {
    stopping ??= service.stop();
    return stopping;
  };
  return {
    service,
    dir,
    client,
    raw,
    logged: () => log.join(''),
    loggedText: (text, times = 1) =>
      new Promise((resolve) => {
        const check = () => {
          if (log.join('').split(text).length <= times) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    auditText,
    async auditRecords() {
      return (await auditText())
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as AuditLine);
    },
    stopService,
    async stop() {
      client.close();
      raw.close();
      await stopService();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Runs a call that must fail. */
export async function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  let value: unknown;
  try {
    value = await call;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error(`the call succeeded: ${JSON.stringify(value)}`);
}

/** All that a caller sees of a failure, as text: status, message and trailers. */
export function visibleParts(error: ServiceError): string {
  const trailers = error.metadata.clone();
  trailers.remove('date');
  return JSON.stringify([error.code, error.details, trailers.toHttp2Headers()]);
}

/** A promise for a raw unary call. */
export function callRaw(
  raw: PaymentServiceClient,
  request: Parameters<PaymentServiceClient['authorize']>[0],
  metadata = new Metadata(),
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    raw.authorize(request, metadata, (error, value) => (error ? reject(error) : resolve(value)));
  });
}
