import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type CallInvocationTransformer,
  Channel,
  type ChannelOptions,
  type credentials,
  Metadata,
  status,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails, type SealedClientOptions } from '../../src/client/client.js';
import { SealwireError } from '../../src/errors.js';
import type { OpenedAuthorizeRequest, SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { sharedPool } from '../../src/jwe/pool.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { failureOf } from '../support/harness.js';
import {
  createEchoHandlers,
  createTracer,
  makeRequest,
  type RecordingServer,
  startRecordingServer,
} from './helpers.js';

/** A channel that tells of each call that is made on it. */
function observeCalls(onCall: () => void): Partial<SealedClientOptions> {
  const channelFactoryOverride = (address: string, creds: typeof credentials, options: ChannelOptions) => {
    const channel = new Channel(address, creds as never, options);
    const createCall = channel.createCall.bind(channel);
    channel.createCall = (...args) => {
      onCall();
      return createCall(...args);
    };
    return channel;
  };
  return { channelOptions: { channelFactoryOverride } as never };
}

/** An interceptor that does nothing: with it calls take the way of the seal interceptor. */
const bystander = () => ({ wireInterceptors: [createTracer([])] });

describe('a unary call without interceptors', () => {
  let server: RecordingServer;
  let opened: object[];
  let requestIds: unknown[];
  beforeEach(async () => {
    opened = [];
    requestIds = [];
    const echo = createEchoHandlers(opened);
    const authorize: typeof echo.authorize = (call, callback) => {
      requestIds.push(...call.metadata.get('x-request-id'));
      echo.authorize(call, callback);
    };
    server = await startRecordingServer({ ...echo, authorize });
  });
  afterEach(() => server.close());

  /** A client with an agreement: from the second call on nothing has to be waited for. */
  async function warmClient(options: Partial<SealedClientOptions> = {}): Promise<SealedPaymentServiceClient> {
    const client = server.client(options);
    await client.authorize(makeRequest('warm'));
    opened.length = 0;
    server.arrived.length = 0;
    return client;
  }

  const orders = () => opened.map((request) => (request as OpenedAuthorizeRequest).orderId);

  it('sends the request and the metadata as they were when it was made', async () => {
    const client = await warmClient();
    const request = makeRequest('order-0');
    const metadata = new Metadata();
    const calls: Promise<unknown>[] = [];
    const numbers = ['4000000000000000', '4000000000000001', '4000000000000002'];
    for (const [index, number] of numbers.entries()) {
      request.orderId = `order-${index}`;
      request.card.number = number;
      metadata.set('x-request-id', `request-${index}`);
      calls.push(client.authorize(request, { metadata }));
    }
    await Promise.all(calls);
    expect(orders()).to.deep.equal(['order-0', 'order-1', 'order-2']);
    expect(opened.map((seen) => (seen as OpenedAuthorizeRequest).card.number)).to.deep.equal(numbers);
    expect(requestIds).to.deep.equal(['request-0', 'request-1', 'request-2']);
    expect(metadata.getMap()).to.deep.equal({ 'x-request-id': 'request-2' });
  });

  it('starts at once if it is the first of its turn, and others follow together in the next', async () => {
    let started = 0;
    const client = await warmClient(observeCalls(() => started++));
    await nextTurn();
    started = 0;
    const calls = Array.from({ length: 5 }, (_, index) => client.authorize(makeRequest(`order-${index}`)));
    expect(started).to.equal(1);
    await nextTurn();
    expect(started).to.equal(5);
    await Promise.all(calls);
    expect(orders()).to.deep.equal(calls.map((_, index) => `order-${index}`));
  });

  it('is started in the async context of its caller', async () => {
    const caller = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const client = await warmClient(observeCalls(() => seen.push(caller.getStore())));
    seen.length = 0;
    const names = ['Ada', 'Eve', 'Bob'];
    await Promise.all(names.map((name) => caller.run(name, () => client.authorize(makeRequest(name)))));
    expect(seen).to.deep.equal(names);
  });

  it('that is aborted before it starts ends as cancelled, and the others go on', async () => {
    const client = await warmClient();
    const abort = new AbortController();
    const first = client.authorize(makeRequest('first'));
    const failure = failureOf(client.authorize(makeRequest('aborted'), { signal: abort.signal }));
    const last = client.authorize(makeRequest('last'));
    abort.abort();
    expect((await failure).code).to.equal(status.CANCELLED);
    await Promise.all([first, last]);
    expect(orders()).to.deep.equal(['first', 'last']);
  });

  it('leaves no listener on its signal, however it ends', async () => {
    const client = await warmClient();
    const { signal } = new AbortController();
    await client.authorize(makeRequest('order'), { signal });
    await failureOf(client.authorize(makeRequest('order'), { signal, deadline: 1 }));
    expect(getEventListeners(signal, 'abort')).to.deep.equal([]);
  });

  it('that waits for its turn when the client is closed ends like one under way', async () => {
    const client = await warmClient();
    const failures = Array.from({ length: 40 }, () => failureOf(client.authorize(makeRequest('closed'))));
    client.close();
    server.close();
    for (const { code } of await Promise.all(failures)) {
      expect(code).to.be.oneOf([status.CANCELLED, status.UNAVAILABLE]);
    }
  });

  it('that is made after the client was closed is refused', async () => {
    const client = await warmClient();
    client.close();
    const failures = Array.from({ length: 3 }, () => failureOf(client.authorize(makeRequest('late'))));
    for (const { message } of await Promise.all(failures)) expect(message).to.match(/shut down|closed/);
  });

  for (const [name, options] of Object.entries({ 'at once': {}, 'by the interceptor': bystander() })) {
    it(`tells in its error where it was made, sealed ${name}`, async () => {
      const client = await warmClient(options);
      const placeOrder = async () => await client.authorize(makeRequest('order'), { deadline: 1 });
      const [, callers = '', ...more] = (await failureOf(placeOrder())).stack?.split('\nfor call at\n') ?? [];
      expect(callers).to.include('placeOrder');
      expect(more).to.deep.equal([]);
    });
  }

  it('makes one agreement for each message where a client asks for that, like any other', async () => {
    let made = 0;
    const pool = {
      generate(...args: Parameters<ReturnType<typeof sharedPool>['generate']>) {
        made++;
        return sharedPool().generate(...args);
      },
    };
    const client = server.client({ sessions: new SealingSessions({ maxTokens: 1, pool }) });
    for (const order of ['a', 'b', 'c']) await client.authorize(makeRequest(order));
    expect(made).to.equal(3);
  });

  it('is shown opened to a call invocation transformer', async () => {
    const seen: unknown[] = [];
    const callInvocationTransformer: CallInvocationTransformer = (call) => {
      seen.push(call.argument);
      return call;
    };
    const client = await warmClient({ channelOptions: { callInvocationTransformer } });
    const request = makeRequest('order');
    await client.authorize(request);
    expect(seen[1]).to.equal(request);
    expect(opened).to.have.length(1);
  });

  it('fails alone, with one error, when its key source does', async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    const others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection').on('unhandledRejection', note);
    try {
      const current = () => Promise.reject(new SealwireError('KEY_SET_UNAVAILABLE', 'no key set'));
      const error = await failureOf(server.client({ keys: { current } }).authorize(makeRequest('order')));
      expect(error.code).to.equal(status.UNAVAILABLE);
      await nextTurn();
      expect(unhandled).to.deep.equal([]);
    } finally {
      process.removeAllListeners('unhandledRejection');
      for (const other of others) process.on('unhandledRejection', other);
    }
  });

  it('asks for the credential of a call once', async () => {
    let asked = 0;
    const credential = () => {
      asked++;
      return Buffer.from('a credential');
    };
    const client = server.client({ credential });
    for (const _ of [1, 2, 3]) await client.getPayment({ paymentId: 'p' });
    expect(asked).to.equal(3);
  });

  describe('fails as one with interceptors does', () => {
    const invalid: Record<string, (request: OpenedAuthorizeRequest) => unknown> = {
      'a required field that is absent': (request) => ({ ...request, card: undefined }),
      'a value that is no message': (request) => ({ ...request, card: 'a card' }),
      'a field that cannot be encoded': (request) => ({ ...request, card: { ...request.card, expiryMonth: 'May' } }),
      'a bound sibling of another kind': (request) => ({ ...request, amountMinor: 'a lot' }),
      'an inner message that is too large': (request) => ({
        ...request,
        card: { ...request.card, holderName: 'x'.repeat(65_536) },
      }),
      'a field without a seal that cannot be encoded': (request) => ({ ...request, currencyCode: 978 }),
    };
    for (const [name, change] of Object.entries(invalid)) {
      it(name, async () => {
        const request = change(makeRequest('order')) as OpenedAuthorizeRequest;
        const [direct, intercepted] = [await warmClient(), await warmClient(bystander())];
        const [error, expected] = [
          await failureOf(direct.authorize(request)),
          await failureOf(intercepted.authorize(request)),
        ];
        expect(error).to.include({ code: expected.code, details: expected.details, message: expected.message });
        expect(errorDetails(error)).to.deep.equal(errorDetails(expected));
        expect(server.arrived.flatMap(({ messages }) => messages)).to.deep.equal([]);
      });
    }
  });
});
