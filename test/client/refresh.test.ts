import { getEventListeners } from 'node:events';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { refreshKeys } from '../../src/client/refresh-keys.js';
import { SealwireError } from '../../src/errors.js';
import type { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import type { KeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { failureOf } from '../support/harness.js';
import { readToEnd } from '../support/sealed-bench.js';
import { createEchoHandlers, Deferred, makeRequest, type RecordingServer, startRecordingServer } from './helpers.js';

/** Gives an old key until it is refreshed. */
class StaleKeys implements KeySource {
  refreshed: string[] = [];
  readonly #old: KeyRing;
  readonly #new: () => KeyRing;

  constructor(old: KeyRing, fresh: () => KeyRing) {
    this.#old = old;
    this.#new = fresh;
  }

  current() {
    return (this.refreshed.length === 0 ? this.#old : this.#new()).current();
  }

  async refresh(recipient: string): Promise<void> {
    this.refreshed.push(recipient);
  }
}

const UNKNOWN = 'SEALED_FIELD_UNKNOWN_KEY';
const line = [{ paymentId: 'p', statementLine: { value: 'a line' } }];

describe('a client whose key is no longer in use', () => {
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
    const keys = new StaleKeys(old, () => server.keys);
    expect(await server.client({ keys }).authorize(makeRequest('again'))).to.include({ paymentId: 'again' });
    expect(keys.refreshed).to.deep.equal(['']);
    expect(server.arrived).to.have.length(2);
    expect(opened).to.have.length(1);
  });

  it('refreshes and makes a server-streaming call once more', async () => {
    const keys = new StaleKeys(old, () => server.keys);
    const { messages, error } = await readWatch(server.client({ keys }));
    expect([messages.length, error]).to.deep.equal([3, undefined]);
    expect(keys.refreshed).to.deep.equal(['']);
    expect(server.arrived).to.have.length(2);
  });

  it('never loops: the second refusal is the answer', async () => {
    for (const call of [
      (client: SealedPaymentServiceClient) => failureOf(client.authorize(makeRequest('never'))),
      async (client: SealedPaymentServiceClient) => (await readWatch(client)).error,
    ]) {
      const keys = new StaleKeys(old, () => old);
      const before = server.arrived.length;
      const error = await call(server.client({ keys }));
      expect(errorDetails(error)).to.deep.include({ reason: UNKNOWN });
      expect(errorDetails(error)?.metadata['currentKid']).to.equal(server.keys.currentKid);
      expect(keys.refreshed).to.deep.equal(['']);
      expect(server.arrived).to.have.length(before + 2);
    }
  });

  it('makes no call with a request stream again: what was read from it is gone', async () => {
    const keys = new StaleKeys(old, () => server.keys);
    const client = server.client({ keys });
    const imports = await failureOf(client.importPayments([{ payment: makeRequest('o') }]));
    expect(errorDetails(imports)?.reason).to.equal(UNKNOWN);
    expect(errorDetails((await readToEnd(client.reconcile(line))).error)?.reason).to.equal(UNKNOWN);
    expect(keys.refreshed).to.deep.equal([]);
    expect(server.arrived).to.have.length(2);
  });

  it('makes no call again that has given a message', async () => {
    server.close();
    server = await startRecordingServer({
      watchPayments(call) {
        call.write({ payment: undefined });
        call.emit('error', new SealwireError('KEY_UNKNOWN', 'retired in the middle of the stream'));
      },
    });
    const keys = new StaleKeys(server.keys, () => server.keys);
    const { messages, error } = await readWatch(server.client({ keys }));
    expect(messages).to.have.length(1);
    expect(errorDetails(error)?.reason).to.equal(UNKNOWN);
    expect(keys.refreshed).to.deep.equal([]);
    expect(server.arrived).to.have.length(1);
  });

  it("gives the service's answer when the key source cannot be refreshed, or fails to", async () => {
    const current = () => old.current();
    const refresh = () => Promise.reject(new Error('canary'));
    const throwing = () => {
      throw new Error('canary');
    };
    for (const keys of [{ current }, { current, refresh }, { current, refresh: throwing }] as KeySource[]) {
      const error = await failureOf(server.client({ keys }).authorize(makeRequest('o')));
      expect(errorDetails(error)?.reason).to.equal(UNKNOWN);
    }
    expect(server.arrived).to.have.length(3);
  });

  it('does not refresh for another error of the service', async () => {
    const keys = new StaleKeys(server.keys, () => server.keys);
    const missing = { ...makeRequest('o'), card: undefined as never };
    await failureOf(server.client({ keys }).authorize(missing));
    expect(keys.refreshed).to.deep.equal([]);
  });

  it('waits for a key source no longer than its signal and its deadline say', async () => {
    const asked = new Deferred<void>();
    const current = () => old.current();
    const refresh = () => {
      asked.resolve();
      return new Promise<void>(() => {});
    };
    const client = server.client({ keys: { current, refresh } });
    const abort = new AbortController();
    const reason = new Error('no longer wanted');
    const call = failureOf(client.authorize(makeRequest('o'), { signal: abort.signal }));
    await asked.promise;
    abort.abort(reason);
    expect(await call).to.equal(reason);
    expect(getEventListeners(abort.signal, 'abort')).to.deep.equal([]);
    const late = await failureOf(client.authorize(makeRequest('o'), { deadline: Date.now() + 1_000 }));
    expect([status.FAILED_PRECONDITION, status.DEADLINE_EXCEEDED]).to.include(late.code);
    expect(server.arrived).to.have.length(2);
  });
});

describe('refreshKeys', () => {
  it('asks for every recipient of the call, and one new key is worth another attempt', async () => {
    const asked: string[] = [];
    const keys: KeySource = {
      current: () => Promise.reject(new Error('not asked')),
      async refresh(recipient) {
        asked.push(recipient);
        if (recipient === 'bank') throw new SealwireError('KEY_NOT_FOUND', 'no such key');
      },
    };
    expect(await refreshKeys(keys, ['', 'bank'], {})).to.equal(true);
    expect(await refreshKeys(keys, ['bank'], {})).to.equal(false);
    expect(asked).to.deep.equal(['', 'bank', 'bank']);
  });

  it('asks nobody when the time is over', async () => {
    const keys: KeySource = {
      current: () => Promise.reject(new Error('not asked')),
      refresh: () => Promise.reject(new Error('asked')),
    };
    expect(await refreshKeys(keys, [''], { deadline: new Date(1) })).to.equal(false);
    expect(await refreshKeys(keys, [''], { signal: AbortSignal.abort() })).to.equal(false);
  });
});
