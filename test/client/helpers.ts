/** A payments server that records what reaches it, and key sources that answer when they are told to. */
import {
  credentials,
  InterceptingCall,
  type Interceptor,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type StatusObject,
} from '@grpc/grpc-js';
import type { SealedClientOptions } from '../../src/client/client.js';
import {
  addSealedPaymentService,
  type OpenedAuthorizeRequest,
  SealedPaymentService,
  SealedPaymentServiceClient,
  type SealedPaymentServiceServer,
} from '../../src/gen/payments/v1/payments_sealed.js';
import type { RecipientKey } from '../../src/jwe/recipient.js';
import { type KeySource, staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { createOpenInterceptor, type OpenInterceptorOptions } from '../../src/server/open-interceptor.js';

/** A promise to be settled from outside. */
export class Deferred<T> {
  resolve: (value: T) => void = () => {};
  reject: (error: unknown) => void = () => {};
  readonly promise = new Promise<T>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}

/** Asked for a key, it waits; `asked` resolves at the first question. */
export class PendingKeys implements KeySource {
  readonly #asked = new Deferred<void>();
  readonly #key = new Deferred<RecipientKey>();
  readonly asked = this.#asked.promise;

  current(): Promise<RecipientKey> {
    this.#asked.resolve();
    return this.#key.promise;
  }

  answer(key: RecipientKey): void {
    this.#key.resolve(key);
  }
}

/** What reached the server of one call: messages with their tokens. */
export interface ArrivedCall {
  readonly method: string;
  readonly messages: object[];
  /** The call is over, in whatever way. */
  readonly closed: Promise<void>;
}

export interface RecordingServer {
  readonly address: string;
  readonly keys: KeyRing;
  readonly arrived: ArrivedCall[];
  /** Resolves when that many calls have arrived. */
  arrival(count: number): Promise<ArrivedCall>;
  client(options?: Partial<SealedClientOptions>): SealedPaymentServiceClient;
  close(): void;
}

/** Records between the wire and the open interceptor: nothing that is sent escapes it. */
function createRecorder(record: boolean, onCall: (call: ArrivedCall) => void): ServerInterceptor {
  return (definition, call) => {
    const closed = new Deferred<void>();
    const messages: object[] = [];
    onCall({ method: definition.path, messages, closed: closed.promise });
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMessage: (message, pass) => {
            if (record) messages.push(message as object);
            pass(message);
          },
          // grpc-js calls this at the end of every call.
          onCancel: () => closed.resolve(),
        }),
    });
  };
}

/** Options of {@link startRecordingServer}. */
export interface RecordingServerOptions {
  readonly open?: Partial<OpenInterceptorOptions>;
  /** Whether messages are kept. Default true. */
  readonly record?: boolean;
  /** Server interceptors nearer to the handler than ours. */
  readonly inner?: readonly ServerInterceptor[];
}

/** Starts a server on port 0; methods without a handler answer UNIMPLEMENTED. */
export async function startRecordingServer(
  handlers: Partial<SealedPaymentServiceServer> = {},
  { open = {}, record = true, inner = [] }: RecordingServerOptions = {},
): Promise<RecordingServer> {
  const keys = await KeyRing.create();
  const audit = { commit: () => Promise.resolve(), note() {} };
  const { interceptor } = createOpenInterceptor({ services: [SealedPaymentService], keys, audit, ...open });
  const arrived: ArrivedCall[] = [];
  const waiting: (() => void)[] = [];
  const recorder = createRecorder(record, (call) => {
    arrived.push(call);
    for (const check of waiting) check();
  });
  const server = new Server({ interceptors: [recorder, interceptor, ...inner] });
  addSealedPaymentService(server, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const address = `127.0.0.1:${port}`;
  const clients: SealedPaymentServiceClient[] = [];
  return {
    address,
    keys,
    arrived,
    arrival: (count) =>
      new Promise((resolve) => {
        const check = () => arrived.length >= count && resolve(arrived[count - 1] as ArrivedCall);
        waiting.push(check);
        check();
      }),
    client(options = {}) {
      const source = staticKeySource(keys.current());
      const client = new SealedPaymentServiceClient(address, credentials.createInsecure(), {
        keys: source,
        ...options,
      });
      clients.push(client);
      return client;
    },
    close() {
      for (const client of clients) client.close();
      server.forceShutdown();
    },
  };
}

/** As on the wire: `undefined` in a response is written as a text today. */
const ABSENT = '' as unknown as undefined;

/** Handlers that answer every method from what they get, and keep the opened requests. */
export function createEchoHandlers(opened: object[]): SealedPaymentServiceServer {
  return {
    authorize({ request }, callback) {
      opened.push(request);
      callback(null, { paymentId: request.orderId, status: 'authorized', cardLast4: request.card.number.slice(-4) });
    },
    getPayment: (_call, callback) => callback(null, {}),
    importPayments(call, callback) {
      let imported = 0;
      call.on('data', (request: object) => {
        opened.push(request);
        imported++;
      });
      call.on('end', () => callback(null, { imported: String(imported) }));
    },
    watchPayments(call) {
      for (const paymentId of ['1', '2', '3']) call.write({ payment: makePayment(paymentId) });
      call.end();
    },
    reconcile(call) {
      call.on('data', (request: { paymentId: string }) => {
        opened.push(request);
        call.write({ paymentId: request.paymentId, matched: true, note: ABSENT });
      });
      call.on('end', () => call.end());
    },
  };
}

function makePayment(paymentId: string) {
  return { paymentId, orderId: 'order-1', amountMinor: '1', currencyCode: 'EUR', status: 'authorized', card: ABSENT };
}

/** One step of a call as an interceptor sees it. */
export type Step =
  | ['start' | 'halfClose' | 'cancel']
  | ['message', unknown]
  | ['received', unknown]
  | ['status', number];

/** A client interceptor that writes down all that passes it, in both directions. */
export function createTracer(steps: Step[]): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, _listener, next) {
        steps.push(['start']);
        next(metadata, {
          onReceiveMessage: (message, pass) => {
            if (message !== null) steps.push(['received', message]);
            pass(message);
          },
          onReceiveStatus: (received: StatusObject, pass) => {
            steps.push(['status', received.code]);
            pass(received);
          },
        });
      },
      sendMessage(message, next) {
        steps.push(['message', message]);
        next(message);
      },
      halfClose(next) {
        steps.push(['halfClose']);
        next();
      },
      cancel(next) {
        steps.push(['cancel']);
        next();
      },
    });
}

/** A request that is authorized. */
export function makeRequest(orderId: string): OpenedAuthorizeRequest {
  const card = { number: '4242424242424242', expiryMonth: 12, expiryYear: 2031, holderName: 'Ada Lovelace' };
  return { orderId, amountMinor: '4999', currencyCode: 'EUR', card, securityCode: { value: '737' } };
}

/** Freezes an object and all that is in it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) deepFreeze(part);
    Object.freeze(value);
  }
  return value;
}
