/** Calls whose reply token names the request: they start when the request is there, if it ever is. */
import { InterceptingCall, type Interceptor, type Requester, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { failureOf } from '../support/harness.js';
import { createTracer, type RecordingServer, type Step, startRecordingServer } from './helpers.js';

const withRequester =
  (requester: Requester): Interceptor =>
  (options, next) =>
    new InterceptingCall(next(options), requester);
const nothing = () => {};

class WithoutMessages extends InterceptingCall {
  override sendMessageWithContext(): void {}
}

describe('a call that waits for its request', () => {
  let server: RecordingServer;
  beforeEach(async () => {
    server = await startRecordingServer({
      getPayment: (_call, answer) => answer(null, { payment: undefined }),
    });
  });
  afterEach(() => server.close());

  it('ends at its deadline, and sends nothing', async () => {
    const client = server.client({ interceptors: [withRequester({ sendMessage: nothing, halfClose: nothing })] });
    const error = await failureOf(client.getPayment({ paymentId: 'p' }, { deadline: Date.now() + 50 }));
    expect(error.code).to.equal(status.DEADLINE_EXCEEDED);
    expect(server.arrived).to.deep.equal([]);
  });

  it('ends when it is cancelled, and sends nothing, also when the request comes after that', async () => {
    let send = nothing;
    const late: Requester = {
      sendMessage: (message, pass) => {
        send = () => pass(message);
      },
      halfClose: nothing,
    };
    const steps: Step[] = [];
    const client = server.client({ interceptors: [createTracer(steps), withRequester(late)] });
    const abort = new AbortController();
    const call = failureOf(client.getPayment({ paymentId: 'p' }, { signal: abort.signal }));
    abort.abort();
    expect((await call).code).to.equal(status.CANCELLED);
    send();
    await server.client().getPayment({ paymentId: 'after' });
    expect(server.arrived.flatMap(({ messages }) => messages)).to.deep.equal([{ paymentId: 'after' }]);
    expect(steps.filter(([name]) => name === 'status')).to.have.length(1);
  });

  it('starts without one when there is none', async () => {
    const client = server.client({ interceptors: [(options, next) => new WithoutMessages(next(options))] });
    const error = await failureOf(client.getPayment({ paymentId: 'p' }));
    expect(error.code).to.not.equal(status.DEADLINE_EXCEEDED);
    expect(server.arrived.map(({ messages }) => messages)).to.deep.equal([[]]);
  });

  it('starts when the request comes later, with all that came before it', async () => {
    const late: Requester = { sendMessage: (message, pass) => void setImmediate(() => pass(message)) };
    const steps: Step[] = [];
    const halfClose: Requester['halfClose'] = (pass) => void setImmediate(pass);
    const client = server.client({ interceptors: [createTracer(steps), withRequester({ ...late, halfClose })] });
    expect(await client.getPayment({ paymentId: 'p' })).to.deep.equal({ payment: undefined });
    const received: number[] = [];
    const watching = client.watchPayments({ orderId: 'o' });
    const error = await failureOf(
      (async () => {
        for await (const _ of watching) received.push(1);
      })(),
    );
    // It has no handler.
    expect([error.code, received]).to.deep.equal([status.UNIMPLEMENTED, []]);
  });
});
