/** Where the time of one sealed call goes: its parts one by one, in one process and without a network. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  InterceptingCall,
  type InterceptingListener,
  type Interceptor,
  Metadata,
  type NextCall,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { encodeRecord } from '../src/audit/format/record.js';
import { AuditLog } from '../src/audit/write/audit-log.js';
import { createSealInterceptor } from '../src/client/seal-interceptor.js';
import { MessageSealer } from '../src/client/seal-message.js';
import { type AuthorizeRequest, PaymentServiceService } from '../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../src/gen/payments/v1/payments_sealed.js';
import { TokenOpener } from '../src/jwe/opener.js';
import { SealingSessions } from '../src/jwe/sender.js';
import { staticKeySource } from '../src/keys/key-source.js';
import { KeyRing } from '../src/keys/ring.js';
import type { AuditSink, CallRecord } from '../src/server/audit-sink.js';
import { createOpenInterceptor } from '../src/server/open-interceptor.js';
import { MessageOpener } from '../src/server/open-message.js';
import { type Summary, summarize } from './stats.js';

/** CPU µs per call by part. */
export type PartsResult = Readonly<Record<string, Summary>>;

type ClientCall = ReturnType<NextCall>;
type ServerListener = Parameters<ServerInterceptingCallInterface['start']>[0];

const ROUNDS = 15;
const CALLS = 1_000;
const IN_FLIGHT = 64;
const METHOD = '/payments.v1.PaymentService/Authorize';
const RESPONSE = { paymentId: 'p-1', status: 'authorized', cardLast4: '1111' };
const OK = { code: status.OK, details: '', metadata: new Metadata() };
const card = { number: '4111111111111111', expiryMonth: 12, expiryYear: 2031, holderName: 'x'.repeat(90) };
const request = { orderId: 'order-1', amountMinor: '1999', currencyCode: 'EUR', card };
const facts = {
  method: METHOD,
  peer: '127.0.0.1:50000',
  principal: '127.0.0.1',
  account: 'address:127.0.0.1',
  requestId: '',
  traceparent: '',
};

/** The wire's end of a client call: answers when the caller has sent everything. */
function createWireCall(): ClientCall {
  let listener: Partial<InterceptingListener> | undefined;
  return {
    start: (_, given) => {
      listener = given;
    },
    sendMessageWithContext: () => {},
    sendMessage: () => {},
    startRead: () => {},
    halfClose: () => {
      listener?.onReceiveMetadata?.(new Metadata());
      listener?.onReceiveMessage?.(RESPONSE);
      listener?.onReceiveStatus?.(OK);
    },
    cancelWithStatus: () => {},
    getPeer: () => '127.0.0.1:50000',
    getAuthContext: () => null,
  };
}

function runClientCall(interceptor: Interceptor, message: object): Promise<void> {
  return new Promise((resolve) => {
    const call = interceptor({ method_definition: PaymentServiceService.authorize }, createWireCall);
    call.start(new Metadata(), { onReceiveStatus: () => resolve() } as Partial<InterceptingListener>);
    call.sendMessage(message);
    call.halfClose();
  });
}

/** The wire's end of a server call: one message, and told of the status. */
function createReceivedCall(message: object, ended: () => void): ServerInterceptingCallInterface {
  let listener: ServerListener | undefined;
  return {
    start: (given) => {
      listener = given;
      given.onReceiveMetadata(new Metadata());
    },
    startRead: () => {
      listener?.onReceiveMessage(message);
      listener?.onReceiveHalfClose();
    },
    sendMetadata: () => {},
    sendMessage: (_, callback) => callback(),
    sendStatus: ended,
    getPeer: () => '127.0.0.1:50000',
    getDeadline: () => Number.POSITIVE_INFINITY,
    getHost: () => 'localhost',
    getAuthContext: () => ({}),
    getConnectionInfo: () => ({}),
    getMetricsRecorder: () => {
      throw new Error('no metrics here');
    },
  };
}

function runServerCall(interceptor: ServerInterceptor, message: object): Promise<void> {
  return new Promise((resolve) => {
    const definition = PaymentServiceService.authorize;
    const call = interceptor(definition, createReceivedCall(message, resolve) as ServerInterceptingCall);
    call.start({
      onReceiveMetadata: () => call.startRead(),
      onReceiveMessage: () => {},
      onReceiveHalfClose: () => {
        call.sendMetadata(new Metadata());
        call.sendMessage(RESPONSE, () => call.sendStatus(OK));
      },
      onCancel: () => {},
    });
  });
}

/** Measures all parts, one round of each in turn, by CPU time: other processes disturb it least. */
export async function benchParts(): Promise<PartsResult> {
  const ring = await KeyRing.create('P-521');
  const key = ring.current();
  const services = [SealedPaymentService];
  const sessions = new SealingSessions({ maxTokens: 10_000_000, maxAgeMs: 3_600_000, maxBytes: 2 ** 40 });
  const sealer = new MessageSealer({ sessions });
  const plan = SealedPaymentService.plan.methods[METHOD]?.request;
  if (plan === undefined) throw new Error('the method has no sealed request');
  const keys = new Map([['', key]]);
  const received = (await sealer.seal(plan, request, keys)) as AuthorizeRequest;
  let record: CallRecord | undefined;
  const silent: AuditSink = {
    commit: (input) => {
      record = input;
      return Promise.resolve();
    },
    note: () => {},
  };
  const opener = new MessageOpener({ tokenOpener: new TokenOpener({ keys: ring }), audit: silent });
  await opener.open(plan, received, facts);
  const seal = createSealInterceptor({ services, keys: staticKeySource(key), sessions });
  const { interceptor: open } = createOpenInterceptor({ services, keys: ring, audit: silent });
  await runServerCall(open, received);
  const dir = await mkdtemp(join(process.env['BENCH_AUDIT_DIR'] ?? tmpdir(), 'sealwire-parts-'));
  const log = await AuditLog.open({ dir: join(dir, 'audit'), origin: 'bench' });
  const frame = { seq: 1_000_000, time: Date.now(), origin: 'bench' };
  const bareClient: Interceptor = (options, next) => new InterceptingCall(next(options));
  const bareServer: ServerInterceptor = (_, call) => new ServerInterceptingCall(call);
  const parts: Record<string, () => unknown> = {
    'client: interceptor that does nothing': () => runClientCall(bareClient, received),
    'client: seal interceptor': () => runClientCall(seal, request),
    '  of it: sealing the message': () => sealer.seal(plan, request, keys),
    'server: interceptor that does nothing': () => runServerCall(bareServer, received),
    'server: open interceptor': () => runServerCall(open, received),
    '  of it: opening the message': () => opener.open(plan, received, facts),
    'audit: one record, to the disk': () => log.commit(record as CallRecord),
    '  of it: encoding the record': () => encodeRecord(record as CallRecord, frame),
  };
  try {
    return await measureAll(parts);
  } finally {
    await log.close();
    await rm(dir, { recursive: true, force: true });
    await sessions.close();
  }
}

async function measureAll(parts: Readonly<Record<string, () => unknown>>): Promise<PartsResult> {
  const times = Object.fromEntries(Object.keys(parts).map((name): [string, number[]] => [name, []]));
  // The first rounds are for the compiler.
  for (let round = -3; round < ROUNDS; round++) {
    for (const [name, run] of Object.entries(parts)) {
      const before = process.cpuUsage();
      for (let done = 0; done < CALLS; done += IN_FLIGHT) await Promise.all(Array.from({ length: IN_FLIGHT }, run));
      const { user, system } = process.cpuUsage(before);
      const calls = Math.ceil(CALLS / IN_FLIGHT) * IN_FLIGHT;
      if (round >= 0) times[name]?.push((user + system) / calls);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, list]) => [name, summarize(list)]));
}
