import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { AuditLog } from '../../src/audit/write/audit-log.js';
import { addGauges } from '../../src/host/gauges.js';
import { ServiceHealth } from '../../src/host/health.js';
import { createMetricsEndpoint } from '../../src/host/metrics-endpoint.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { Pkcs11Custody } from '../../src/keys/pkcs11/pkcs11-custody.js';
import { KeyRing } from '../../src/keys/ring.js';
import { ReplayGuard } from '../../src/server/replay/replay-guard.js';
import { METER_NAME } from '../../src/server/server-metrics.js';
import { makePair } from '../keys/helpers.js';
import { callRaw, failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';
import { paymentsConfig, startPayments } from '../support/payments-host.js';
import { scrape, sum } from '../support/prometheus.js';

const METHOD = 'rpc_method="/payments.v1.PaymentService/Authorize"';

/** Metrics as Prometheus lists them: what each tells, and its labels. */
function listMetrics(text: string): Map<string, { readonly help: string; readonly labels: Set<string> }> {
  const metrics = new Map<string, { readonly help: string; readonly labels: Set<string> }>();
  for (const line of text.split('\n')) {
    const [, name = '', help = ''] = /^# HELP (\S+) (.*)/.exec(line) ?? [];
    if (name !== '') metrics.set(name, { help, labels: new Set() });
    const [, sample = '', labels = ''] = /^([a-z_]+)\{(.*)\} /.exec(line) ?? [];
    const metric = metrics.get(sample.replace(/_(count|sum|bucket)$/, ''));
    for (const [, label = ''] of labels.matchAll(/([a-z_]+)="/g)) {
      if (label !== 'le' && !label.startsWith('otel_')) metric?.labels.add(label);
    }
  }
  return metrics;
}

const isAllZero = (values: readonly number[]) => values.every((value) => value === 0);

describe('the metrics endpoint', () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await startHarness();
  });
  afterEach(() => harness.stop());

  const read = () => scrape(harness.service.metricsAddress ?? '');

  it('answers on loopback to its own names only', async () => {
    const [host, port] = (harness.service.metricsAddress as string).split(':');
    const ask = (name: string) =>
      new Promise<number>((resolve, reject) => {
        const asked = request({ host, port, path: '/metrics', headers: { host: name } }, (response) => {
          response.resume();
          resolve(response.statusCode as number);
        });
        asked.on('error', reject).end();
      });
    for (const name of [`127.0.0.1:${port}`, `localhost:${port}`, 'LOCALHOST', `[::1]:${port}`]) {
      expect(await ask(name), name).to.equal(200);
    }
    for (const name of ['evil.example', `evil.example:${port}`, `127.0.0.1.evil.example:${port}`]) {
      expect(await ask(name), name).to.equal(421);
    }
  });

  it('tells of calls, latencies and parts while calls are made, and nothing of what they say', async () => {
    const call = (index: number) => harness.client.authorize({ ...validRequest, orderId: `canary-order-${index}` });
    const load = Promise.all(Array.from({ length: 200 }, (_, index) => call(index)));
    const underLoad = await read();
    await load;
    await failureOf(
      callRaw(harness.raw, {
        orderId: 'canary-order',
        amountMinor: '1',
        currencyCode: 'EUR',
        card: 'canary.token',
        billingAddress: '',
        securityCode: '',
      }),
    );
    await failureOf(
      callRaw(harness.raw, {
        orderId: 'canary-order',
        amountMinor: '1',
        currencyCode: 'EUR',
        card: '',
        billingAddress: '',
        securityCode: '',
      }),
    );
    const { text, samples } = await read();

    expect(sum(underLoad.samples, 'sealwire_keys', 'state="active"')).to.equal(1);
    expect(sum(samples, 'sealwire_server_calls_total', METHOD, 'reason="OK"')).to.equal(200);
    expect(sum(samples, 'sealwire_server_calls_total', METHOD, 'reason="SEALED_FIELD_INVALID"')).to.equal(1);
    expect(sum(samples, 'sealwire_server_calls_total', METHOD, 'reason="SEALED_FIELD_REQUIRED"')).to.equal(1);
    expect(sum(samples, 'sealwire_server_open_duration_count', METHOD)).to.equal(200);
    expect(sum(samples, 'sealwire_server_audit_duration_count')).to.equal(200);
    expect(sum(samples, 'sealwire_agreements_total', 'kind="fresh"')).to.be.within(1, 2);
    expect(sum(samples, 'sealwire_agreements_total', 'kind="cached"')).to.be.within(1, 199);
    expect(sum(samples, 'sealwire_replay_fill')).to.be.greaterThan(0);
    expect(sum(samples, 'sealwire_audit_records_total')).to.be.at.least(201);
    expect(sum(samples, 'sealwire_audit_sync_time_total')).to.be.greaterThan(0);
    for (const name of ['sealwire_pool_pending', 'sealwire_audit_queue', 'sealwire_agreements_held']) {
      expect(samples.has(name), name).to.equal(true);
    }
    expect(sum(samples, 'sealwire_key_set_time_left')).to.be.within(86_000, 86_400);
    expect(text).not.to.match(/canary|4111111111111111|Zoë|127\.0\.0\.1/);
  });

  it('counts what a handler says, and calls whose callers went away', async () => {
    await harness.client.authorize(validRequest);
    await failureOf(harness.client.authorize({ ...validRequest, amountMinor: '7' }));
    const leaving = new AbortController();
    const watching = harness.client.watchPayments({ orderId: '' }, { signal: leaving.signal });
    for await (const _ of watching) break;
    leaving.abort();
    let counted = 0;
    while (counted === 0) counted = sum((await read()).samples, 'sealwire_server_calls_total', 'reason="CANCELLED"');
    const { samples } = await read();
    expect(sum(samples, 'sealwire_server_calls_total', METHOD, 'reason="HANDLER"')).to.equal(1);
    expect(sum(samples, 'sealwire_server_calls_total', METHOD, 'reason="OK"')).to.equal(1);
    expect(sum(samples, 'sealwire_server_seal_duration_count')).to.be.at.least(1);
  });

  it('serves the metrics that docs/operations.md lists, with these labels, and no other', async () => {
    const { paymentId } = await harness.client.authorize(validRequest);
    await harness.client.getPayment({ paymentId });
    // The service's first key has no dates to tell of.
    const now = () => 1_800_000_000_000;
    const dates = { active: 1_799_999_900, opening: 1_800_000_000 + 2 * 86_400, stored: 1_800_000_000 + 9 * 86_400 };
    const keys = [makePair('P-256').jwk, { ...makePair('P-256').jwk, sealwire: dates }];
    const ring = await KeyRing.fromKeys(keys, { now });
    const endpoint = createMetricsEndpoint();
    const audit = await AuditLog.open({ dir: join(harness.dir, 'other'), origin: 'test' });
    const { keySet } = harness.service;
    const parts = {
      opener: new TokenOpener({ keys: ring }),
      guard: new ReplayGuard(),
      audit,
      ring,
      liveKeys: { isStale: false },
      keySet,
      hardware: new Pkcs11Custody({ readPin: async () => '' }),
      health: new ServiceHealth([]),
      disk: { free: 1 },
      handshakes: { refused: (): ['other', number][] => [['other', 0]] },
      certificates: { timeLeft: (): ['cert', number][] => [['cert', 100]] },
      now,
    };
    addGauges(endpoint.provider.getMeter(METER_NAME), parts);
    const dated = await scrape(await endpoint.listen('127.0.0.1:0'));
    await endpoint.close();
    await audit.close();
    const kid = ring.keys()[1]?.kid;
    expect(sum(dated.samples, 'sealwire_key_age', `kid="${kid}"`)).to.equal(100);
    expect(sum(dated.samples, 'sealwire_key_time_left', `kid="${kid}"`, 'date="opening"')).to.equal(2 * 86_400);

    const served = new Map([...listMetrics((await read()).text), ...listMetrics(dated.text)]);
    const page = await readFile('docs/operations.md', 'utf8');
    const rows = page.matchAll(/^\| `(sealwire_\w+)` \| (.*?) ?\| (.*) \|$/gm);
    const listed = [...rows].map(([, name, labels = '', help]) => [name, labels.replaceAll('`', ''), help]);
    expect(listed).to.have.deep.members(
      [...served].map(([name, { help, labels }]) => [name, [...labels].join(', '), help]),
    );
  });

  it('has all that deploy/alerts.yml selects from the start, counts at 0: or the first failures would be no rise', async () => {
    const { samples } = await read();
    const rules = await readFile('deploy/alerts.yml', 'utf8');
    const selected = [...rules.matchAll(/(sealwire_\w+)(?:\{([^}]*)\})?/g)];
    expect(selected.length).to.be.greaterThan(13);
    for (const [selector, name = '', label = ''] of selected) {
      // The first key has no dates, and the service no certificate.
      if (name === 'sealwire_key_age' || name === 'sealwire_certificate_time_left') continue;
      const found = [...samples].filter(([series]) => series.startsWith(name) && series.includes(label));
      expect(found, selector).not.to.deep.equal([]);
      if (name.endsWith('_total'))
        expect(
          found.map(([, value]) => value),
          selector,
        ).to.satisfy(isAllZero);
    }
  });

  it('answers for /metrics only, and to reading only', async () => {
    const address = `http://${harness.service.metricsAddress}`;
    expect((await fetch(`${address}/keys/ring.json`)).status).to.equal(404);
    expect((await fetch(`${address}/metrics`, { method: 'POST' })).status).to.equal(405);
    expect((await fetch(`${address}/metrics?name=x`)).status).to.equal(200);
  });

  it('survives targets that are no URLs', async () => {
    const [host = '', port] = (harness.service.metricsAddress ?? '').split(':');
    for (const path of ['//', '*', 'http://[', '/%']) {
      const status = await new Promise((resolve, reject) => {
        request({ host, port, path }, (answer) => resolve(answer.resume().statusCode))
          .on('error', reject)
          .end();
      });
      expect(status, path).to.equal(404);
    }
    expect((await read()).samples.size).to.be.greaterThan(0);
  });

  it('is off by choice', async () => {
    const config = paymentsConfig({ dir: `${harness.dir}/off`, metrics: { listen: 'off' } });
    const service = await startPayments(config);
    expect(service.metricsAddress).to.equal(undefined);
    await service.stop();
  });

  it('says why the service does not start when its port is taken', async () => {
    const listen = harness.service.metricsAddress;
    const config = paymentsConfig({ dir: `${harness.dir}/taken`, metrics: { listen } });
    const error = await startPayments(config).catch((reason: unknown) => reason);
    expect(error).to.include({ code: 'EADDRINUSE', message: `metrics.listen: ${listen}: EADDRINUSE` });
  });
});
