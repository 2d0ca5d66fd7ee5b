import { credentials } from '@grpc/grpc-js';
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { expect } from 'chai';
import { createSealInterceptor } from '../../src/client/seal-interceptor.js';
import { AuthorizeRequest } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentService, SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { recipientKey } from '../../src/keys/public-keys.js';
import { KeyRing } from '../../src/keys/ring.js';
import { statusByReason } from '../../src/schema/error-status.js';
import { failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';
import { AnyClient } from '../support/sealed-bench.js';

/** Collects when it is asked. */
class TestReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}

  async text(): Promise<string> {
    const { resourceMetrics } = await this.collect();
    return new PrometheusSerializer().serialize(resourceMetrics);
  }
}

describe("a client's metrics", () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  it('count calls by method and reason, and time sealing and opening, without a word of the calls', async () => {
    const reader = new TestReader();
    const meterProvider = new MeterProvider({ readers: [reader] });
    const [jwk] = harness.service.keyRing.publicJwks().keys;
    const keys = staticKeySource(await recipientKey(jwk as object));
    const options = { keys, meterProvider };
    const client = new SealedPaymentServiceClient(harness.service.address, credentials.createInsecure(), options);
    const wrong = new SealedPaymentServiceClient(harness.service.address, credentials.createInsecure(), {
      keys: staticKeySource((await KeyRing.create()).current()),
      meterProvider,
    });
    const { paymentId } = await client.authorize({ ...validRequest, orderId: 'canary-order' });
    await client.authorize({ ...validRequest, orderId: 'canary-order' });
    const abort = new AbortController();
    const made = [{}, { signal: abort.signal }].map((options) => client.authorize(validRequest, options));
    abort.abort();
    const [, cancelled] = await Promise.allSettled(made);
    expect(cancelled?.status).to.equal('rejected');
    await client.getPayment({ paymentId });
    await failureOf(client.getPayment({ paymentId: 'canary-payment' }));
    await failureOf(wrong.authorize({ ...validRequest, orderId: 'canary-order' }));
    // For this one the method has no sealed fields: its calls pass uncounted.
    const path = '/payments.v1.PaymentService/Authorize';
    const unsealed = { path, idempotency: 'unknown', requestStream: false, responseStream: false } as const;
    const plan = { typeName: 'payments.v1.PaymentService', methods: { [path]: unsealed } };
    const { definition } = SealedPaymentService;
    const plain = new AnyClient(harness.service.address, credentials.createInsecure(), { definition, plan }, options);
    await failureOf(plain.call('authorize', AuthorizeRequest.fromPartial({})));
    for (const each of [client, wrong, plain]) each.close();

    const text = await reader.text();
    const calls = text.split('\n').filter((line) => line.startsWith('sealwire_client_calls_total'));
    const counted = calls.map((line) => /PaymentService\/(\w+)",reason="(\w+)".* (\d+)/.exec(line)?.slice(1).join(' '));
    expect(counted.filter((line) => !line?.endsWith(' 0'))).to.have.members([
      'Authorize OK 3',
      'Authorize CANCELLED 1',
      'GetPayment OK 1',
      'GetPayment NOT_FOUND 1',
      'Authorize SEALED_FIELD_UNKNOWN_KEY 1',
    ]);
    expect(text).to.match(/sealwire_client_seal_duration_count\{[^}]*Authorize"[^}]*\} 5/);
    expect(text).to.match(/sealwire_client_open_duration_count\{[^}]*GetPayment"[^}]*\} 1/);
    expect(text).not.to.match(/canary|4111111111111111/);
  });

  it('count from 0 on, from the creation of a client or an interceptor, so that a first failure shows as a rise', async () => {
    const keys = staticKeySource((await KeyRing.create('P-256')).current());
    const make: readonly ((meterProvider: MeterProvider) => void)[] = [
      (meterProvider) =>
        new SealedPaymentServiceClient('127.0.0.1:1', credentials.createInsecure(), { keys, meterProvider }).close(),
      (meterProvider) => void createSealInterceptor({ services: [SealedPaymentService], keys, meterProvider }),
    ];
    for (const create of make) {
      const reader = new TestReader();
      create(new MeterProvider({ readers: [reader] }));
      const counts = (await reader.text()).matchAll(/^sealwire_client_calls_total\{(.*)\} (\d+)/gm);
      const begun = [...counts].map(([, labels = '', count]) => `${/reason="(\w+)"/.exec(labels)?.[1]} ${count}`);
      expect(begun).to.include.members(['OK 0', 'SEALED_FIELD_INVALID 0', 'UNAVAILABLE 0', 'DATA_LOSS 0']);
      expect(new Set(begun).size).to.equal(1 + Object.keys(statusByReason).length + 16);
    }
  });
});
