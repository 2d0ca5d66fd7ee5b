import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { credentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import type { HostConfigInput } from '../../src/host/config.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { TestCa } from '../support/certificates.js';
import { finishSealwire } from '../support/command.js';
import { callRaw, failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';
import { checkHealth, makeHealthClient, watchUntilEnd } from '../support/health.js';
import { type PaymentsService, paymentsConfig, startPayments } from '../support/payments-host.js';

describe('the service', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  for (const [name, mode] of [
    ['ring.json', 0o600],
    ['root.json', 0o600],
    ['public.jwks.json', 0o644],
    ['root.pub.json', 0o644],
  ] as const) {
    it(`makes keys/${name} with mode ${mode.toString(8)}`, () => {
      expect(statSync(join(harness.dir, 'keys', name)).mode & 0o777).to.equal(mode);
    });
  }

  it('is the only one with its folder: a second one ends, and signs nothing', async () => {
    const read = () =>
      Promise.all(['key-set.jws', 'root.json'].map((name) => readFile(join(harness.dir, 'keys', name), 'utf8')));
    const before = await read();
    const config = paymentsConfig({ dir: harness.dir });
    const error = await startPayments(config).catch((thrown: unknown) => thrown);
    expect(error)
      .to.have.property('message')
      .that.equals(`${harness.dir}/audit: process ${process.pid} writes this log; stop it, or use another folder`);
    expect(await read()).to.deep.equal(before);
  });

  it('publishes no private part', async () => {
    for (const name of ['public.jwks.json', 'root.pub.json']) {
      expect(await readFile(join(harness.dir, 'keys', name), 'utf8')).not.to.include('"d"');
    }
  });

  it('makes the signing root an ES512 key', async () => {
    const root = JSON.parse(await readFile(join(harness.dir, 'keys/root.pub.json'), 'utf8')) as object;
    expect(root).to.include({ kty: 'EC', crv: 'P-521', use: 'sig', alg: 'ES512' });
  });

  it('says at start where it listens, with which key and policy, and where its files are', () => {
    const { address, kid } = harness.service;
    for (const fact of [address, kid, 'strict', join(harness.dir, 'keys/ring.json'), join(harness.dir, 'audit')]) {
      expect(harness.logged()).to.include(fact);
    }
  });

  it('warns where other machines can call it in plain text, and nowhere else', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sealwire-test-'));
    for (const [listen, warnings] of [
      ['0.0.0.0:0', 1],
      ['[::]:0', 1],
      ['localhost:0', 0],
    ] as const) {
      const lines: string[] = [];
      const stream = new Writable({
        write(chunk, _encoding, done) {
          lines.push(String(chunk));
          done();
        },
      });
      const config = paymentsConfig({ listen, dir });
      const service = await startPayments(config, createApplicationLogger('warn', stream));
      await service.stop();
      expect(lines, listen).to.have.length(warnings);
      for (const line of lines) expect(line).to.match(/ warn other machines can call in plain text: .*"address":/);
    }
    await rm(dir, { recursive: true });
  });

  it('is healthy, as a whole and by its name', async () => {
    const client = makeHealthClient(harness.service.address);
    expect(await checkHealth(client, '')).to.include({ status: 'SERVING' });
    expect(await checkHealth(client, 'payments.v1.PaymentService')).to.include({ status: 'SERVING' });
    const unknown = await failureOf(checkHealth(client, 'other.v1.Service'));
    expect(unknown.code).to.equal(status.NOT_FOUND);
    client.close();
  });

  it('refuses messages above 1 MiB', async () => {
    const request = { ...validRequest, orderId: 'x'.repeat(1_048_577), card: '', billingAddress: '', securityCode: '' };
    const failure = await failureOf(callRaw(harness.raw, request));
    expect(failure.code).to.equal(status.RESOURCE_EXHAUSTED);
  });

  it('keeps the payment with its card as the token on the audit record', async () => {
    await harness.client.authorize({ ...validRequest, securityCode: { value: '737' } });
    const records = await harness.auditRecords();
    const record = records.findLast(({ event }) => event === 'open');
    const [card, securityCode] = record?.fields ?? [];
    expect(harness.service.app.store.find(validRequest.orderId)?.card).to.equal(card?.token);
    expect(securityCode?.token).to.have.all.keys('digest', 'length', 'header');
  });

  it('starts again with the same key', async () => {
    const first = await startIn({});
    await first.service.stop();
    const second = await startIn({ dir: first.dir });
    expect(second.service.kid).to.equal(first.service.kid);
    await second.service.stop();
    await rm(first.dir, { recursive: true });
  });

  it('tells watchers of its health that it stops, ends them, and does not wait for them', async () => {
    // A drain this long would outlast the test.
    const { service, dir } = await startIn({ drainMs: 600_000 });
    const client = makeHealthClient(service.address);
    const names = ['', 'payments.v1.PaymentService', 'other.v1.Service'];
    let ended: Promise<string[]>[] = [];
    await new Promise<void>((resolve) => {
      let waiting = names.length;
      const onFirst = () => {
        if (--waiting === 0) resolve();
      };
      ended = names.map((name) => watchUntilEnd(client, name, onFirst));
    });
    await service.stop();
    expect(await Promise.all(ended)).to.deep.equal([
      ['SERVING', 'NOT_SERVING', 'OK'],
      ['SERVING', 'NOT_SERVING', 'OK'],
      ['SERVICE_UNKNOWN', 'OK'],
    ]);
    client.close();
    await rm(dir, { recursive: true });
  });
});

/** A service without a log, in a folder of its own unless one is given. */
async function startIn(options: HostConfigInput): Promise<{ service: PaymentsService; dir: string }> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'sealwire-test-'));
  const config = paymentsConfig({ ...options, dir });
  return { service: await startPayments(config), dir };
}

describe('the service with TLS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sealwire-tls-'));
  const at = (name: string) => join(folder, name);
  const files = { cert: at('server.pem'), key: at('server.key') };

  before(function () {
    const ca = new TestCa(folder, this);
    ca.sign('server');
    ca.sign('client', 'URI:spiffe://example.org/shop');
  });
  after(() => rm(folder, { recursive: true }));

  async function call(service: PaymentsService, dir: string, withCertificate: boolean): Promise<string> {
    const pair = withCertificate ? ([readFileSync(at('client.key')), readFileSync(at('client.pem'))] as const) : [];
    // grpc-js warns of certificates checked against an address.
    const port = service.address.slice(service.address.lastIndexOf(':'));
    const client = new SealedPaymentServiceClient(
      `localhost${port}`,
      credentials.createSsl(readFileSync(at('ca.pem')), ...pair),
      { keys: fileKeySource(join(dir, 'keys/public.jwks.json')) },
    );
    try {
      return (await client.authorize(validRequest, { deadline: Date.now() + 10_000 })).status;
    } finally {
      client.close();
    }
  }

  it('serves over TLS', async () => {
    const { service, dir } = await startIn({ tls: files });
    expect(await call(service, dir, false)).to.equal('authorized');
    await service.stop();
    await rm(dir, { recursive: true });
  });

  it('serves its key set over TLS, to whoever trusts its certificate', async () => {
    const { service, dir } = await startIn({ tls: files });
    const port = service.address.slice(service.address.lastIndexOf(':'));
    const verify = (...args: string[]) =>
      finishSealwire(['keys', 'verify', '--address', `localhost${port}`, '--root', service.root, ...args]);
    const [trusting, distrusting] = await Promise.all([verify('--tls-ca', at('ca.pem')), verify('--tls')]);
    expect(trusting.code, trusting.stderr).to.equal(0);
    expect(trusting.stdout).to.match(/^key set +ok /m);
    expect(distrusting.code).to.equal(3);
    await service.stop();
    await rm(dir, { recursive: true });
  });

  it('demands a client certificate when clientCa is given, and records its name', async () => {
    const { service, dir } = await startIn({ tls: { ...files, clientCa: at('ca.pem') } });
    expect((await failureOf(call(service, dir, false))).code).to.equal(status.UNAVAILABLE);
    expect(await call(service, dir, true)).to.equal('authorized');
    await service.stop();
    const [name] = execFileSync('ls', [join(dir, 'audit')], { encoding: 'utf8' })
      .split('\n')
      .filter((file) => file.endsWith('.jsonl'));
    const log = await readFile(join(dir, 'audit', name as string), 'utf8');
    expect(log).to.include('"principal":"spiffe://example.org/shop"');
    await rm(dir, { recursive: true });
  });
});
