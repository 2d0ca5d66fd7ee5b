/** A browser client whose key is no longer in use. */
import { getEventListeners } from 'node:events';
import { Code } from '@connectrpc/connect';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import type { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed_web.js';
import { KeyRing } from '../../src/keys/ring.js';
import { errorDetails } from '../../src/web/call-errors.js';
import type { WebKeySource } from '../../src/web/crypto/recipient.js';
import { createEchoHandlers, Deferred, type RecordingServer, startRecordingServer } from '../client/helpers.js';
import { readToEnd } from '../support/sealed-bench.js';
import { webKey } from '../support/web-client.js';
import { connect, failureOf, webRequest } from './helpers.js';

/** Gives an old key until it is refreshed. */
class StaleKeys implements WebKeySource {
  refreshed: string[] = [];
  readonly #old: KeyRing;
  readonly #new: KeyRing;

  constructor(old: KeyRing, fresh: KeyRing) {
    this.#old = old;
    this.#new = fresh;
  }

  current() {
    return webKey(this.refreshed.length === 0 ? this.#old : this.#new);
  }

  async refresh(recipient: string): Promise<void> {
    this.refreshed.push(recipient);
  }
}

const UNKNOWN = 'SEALED_FIELD_UNKNOWN_KEY';

describe('a browser client whose key is no longer in use', () => {
  let server: RecordingServer;
  let old: KeyRing;
  let opened: object[];
  before(async () => {
    old = await KeyRing.create();
  });
  beforeEach(async () => {
    opened = [];
    server = await startRecordingServer(createEchoHandlers(opened));
  });
  afterEach(() => server.close());

  const readWatch = (client: SealedPaymentServiceClient) => readToEnd(client.watchPayments({ orderId: 'o' }));

  it('refreshes and makes a unary call once more', async () => {
    const keys = new StaleKeys(old, server.keys);
    expect(await connect(server, { keys }).authorize(webRequest('again'))).to.include({ paymentId: 'again' });
    expect(keys.refreshed).to.deep.equal(['']);
    expect(server.arrived).to.have.length(2);
    expect(opened).to.have.length(1);
  });

  it('refreshes and makes a server-streaming call once more', async () => {
    const keys = new StaleKeys(old, server.keys);
    const { messages, error } = await readWatch(connect(server, { keys }));
    expect([messages.length, error]).to.deep.equal([3, undefined]);
    expect(keys.refreshed).to.deep.equal(['']);
    expect(server.arrived).to.have.length(2);
  });

  it('never loops: the second refusal is the answer', async () => {
    for (const call of [
      (client: SealedPaymentServiceClient) => failureOf(client.authorize(webRequest('never'))),
      async (client: SealedPaymentServiceClient) => (await readWatch(client)).error,
    ]) {
      const keys = new StaleKeys(old, old);
      const before = server.arrived.length;
      const error = await call(connect(server, { keys }));
      expect(errorDetails(error)).to.deep.include({ reason: UNKNOWN });
      expect(errorDetails(error)?.metadata['currentKid']).to.equal(server.keys.currentKid);
      expect(keys.refreshed).to.deep.equal(['']);
      expect(server.arrived).to.have.length(before + 2);
    }
  });

  it('makes no call again that has given a message', async () => {
    server.close();
    server = await startRecordingServer({
      watchPayments(call) {
        call.write({ payment: undefined });
        call.emit('error', new SealwireError('KEY_UNKNOWN', 'retired in the middle of the stream'));
      },
    });
    const keys = new StaleKeys(server.keys, server.keys);
    const { messages, error } = await readWatch(connect(server, { keys }));
    expect(messages).to.have.length(1);
    expect(errorDetails(error)?.reason).to.equal(UNKNOWN);
    expect(keys.refreshed).to.deep.equal([]);
    expect(server.arrived).to.have.length(1);
  });

  it("gives the service's answer when the key source fails to refresh", async () => {
    const throwing = () => {
      throw new Error('canary');
    };
    for (const refresh of [() => Promise.reject(new Error('canary')), throwing]) {
      const keys = { current: () => webKey(old), refresh };
      const error = await failureOf(connect(server, { keys }).authorize(webRequest('o')));
      expect(errorDetails(error)?.reason).to.equal(UNKNOWN);
    }
    expect(server.arrived).to.have.length(2);
  });

  it('does not refresh for another error of the service', async () => {
    server.close();
    server = await startRecordingServer({
      authorize() {
        throw new SealwireError('REPLAYED', 'used before');
      },
    });
    const keys = new StaleKeys(server.keys, server.keys);
    const error = await failureOf(connect(server, { keys }).authorize(webRequest('o')));
    expect(errorDetails(error)?.reason).to.equal('SEALED_FIELD_REPLAYED');
    expect(keys.refreshed).to.deep.equal([]);
  });

  it('waits for a key source no longer than its signal and its timeout say', async () => {
    const asked = new Deferred<void>();
    const refresh = () => {
      asked.resolve();
      return new Promise<void>(() => {});
    };
    const client = connect(server, { keys: { current: () => webKey(old), refresh } });
    const abort = new AbortController();
    const call = failureOf(client.authorize(webRequest('o'), { signal: abort.signal }));
    await asked.promise;
    abort.abort();
    expect((await call).code).to.equal(Code.Canceled);
    expect(getEventListeners(abort.signal, 'abort')).to.deep.equal([]);
    const late = await failureOf(client.authorize(webRequest('o'), { timeoutMs: 1_000 }));
    expect([Code.FailedPrecondition, Code.DeadlineExceeded]).to.include(late.code);
    expect(server.arrived).to.have.length(2);
  });
});
