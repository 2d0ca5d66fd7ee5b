import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { connect } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { Certificates } from '../../src/host/certificates.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { TestCa } from '../support/certificates.js';
import { type Harness, startHarness, validRequest } from '../support/harness.js';
import { PaymentsLoad } from '../support/payments-load.js';
import { scrape, sum } from '../support/prometheus.js';

const REPLACED = 'new connections get another certificate';
const BROKEN = 'the certificates cannot be used';

describe('certificates of a running service', () => {
  let folder: string;
  let ca: TestCa;
  let others: TestCa;
  let harness: Harness | undefined;
  before(async function () {
    folder = await mkdtemp(join(tmpdir(), 'sealwire-certificates-'));
    ca = new TestCa(folder, this);
    others = new TestCa(join(folder, 'others'), this);
    for (const name of ['one', 'two', 'three']) ca.sign(name);
    ca.sign('client', 'URI:spiffe://example.org/shop');
  });
  after(() => rm(folder, { recursive: true, force: true }));
  afterEach(() => harness?.stop());

  /** A service whose certificate files are in a folder of their own. */
  async function start(name: string, prepare: (dir: string) => void, clientCa?: string) {
    const dir = join(folder, name);
    mkdirSync(dir);
    prepare(dir);
    const tls = { cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key'), ...(clientCa && { clientCa }) };
    harness = await startHarness({ config: { tls } });
    return { dir, harness };
  }

  /** Name in the certificate that a new connection is given. */
  function nameServed({ service }: Harness): Promise<string> {
    const port = Number(service.address.split(':')[1]);
    return new Promise((resolve, reject) => {
      const socket = connect(
        { host: '127.0.0.1', port, ca: readFileSync(ca.at('ca.pem')), ALPNProtocols: ['h2'] },
        () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.destroy();
        },
      );
      socket.once('error', reject);
    });
  }

  function connectClient({ service, dir }: Harness): SealedPaymentServiceClient {
    const address = `localhost:${service.address.split(':')[1]}`;
    const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
    const pair = [readFileSync(ca.at('client.key')), readFileSync(ca.at('client.pem'))] as const;
    const secure = credentials.createSsl(readFileSync(ca.at('ca.pem')), ...pair);
    // No connection is shared with another client: each makes a handshake of its own.
    return new SealedPaymentServiceClient(address, secure, {
      keys,
      channelOptions: { 'grpc.use_local_subchannel_pool': 1 },
    });
  }

  const copy = (name: string, dir: string) => {
    for (const [from, to] of [
      ['key', 'tls.key'],
      ['pem', 'tls.crt'],
    ] as const)
      copyFileSync(ca.at(`${name}.${from}`), join(dir, to));
  };

  /** As Kubernetes mounts a secret: the files are links through `..data`, which is replaced by renaming. */
  const link = (name: string, dir: string) => {
    mkdirSync(join(dir, `..${name}`));
    copy(name, join(dir, `..${name}`));
    symlinkSync(`..${name}`, join(dir, '..data_tmp'));
    renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
  };

  it('are replaced under load: no call fails, and new connections get the new one', async () => {
    const { dir, harness: running } = await start('load', (at) => copy('one', at), ca.at('ca.pem'));
    const client = connectClient(running);
    const load = new PaymentsLoad(client, 'order');
    load.start(4);
    for (const [round, name] of ['two', 'three', 'one', 'two'].entries()) {
      const { length } = load.acknowledged;
      copy(name, dir);
      await running.loggedText(REPLACED, round + 1);
      const other = connectClient(running);
      expect((await other.authorize({ ...validRequest, orderId: `other-${round}` })).status).to.equal('authorized');
      other.close();
      await load.until(({ acknowledged, failures }) => acknowledged.length >= length + 20 || failures.length > 0);
    }
    await load.stop();
    client.close();
    expect(load.failures).to.deep.equal([]);
  }).timeout(60_000);

  it('are found behind a link that is renamed over a link', async () => {
    const { dir, harness: running } = await start('links', (at) => {
      link('one', at);
      for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(at, name));
    });
    expect(await nameServed(running)).to.equal('one');
    link('two', dir);
    await running.loggedText(REPLACED);
    expect(await nameServed(running)).to.equal('two');
  });

  it('stay in use while their files do not fit each other or are broken, which the log says', async () => {
    const { dir, harness: running } = await start('broken', (at) => copy('one', at));
    copyFileSync(ca.at('two.pem'), join(dir, 'tls.crt'));
    await running.loggedText(BROKEN);
    expect(await nameServed(running)).to.equal('one');
    writeFileSync(join(dir, 'tls.crt'), 'nothing');
    await running.loggedText(BROKEN, 2);
    expect(await nameServed(running)).to.equal('one');
    copy('two', dir);
    await running.loggedText(REPLACED);
    expect(await nameServed(running)).to.equal('two');
    expect(running.logged()).not.to.include('PRIVATE KEY');
  });

  it('of clients need a CA: a file without a whole one is broken, at the start and later', async () => {
    const clients = join(folder, 'cas.pem');
    const good = readFileSync(ca.at('ca.pem'), 'utf8');
    copyFileSync(ca.at('ca.pem'), clients);
    const { dir, harness: running } = await start('cas', (at) => copy('one', at), clients);
    const tls = { cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key'), clientCa: clients };
    const broken = ['', good.slice(0, -60), `${good}${good.slice(0, 200)}`, readFileSync(ca.at('ca.key'), 'utf8')];
    for (const [times, text] of broken.entries()) {
      writeFileSync(clients, text);
      const refused = () => new Certificates(tls, createApplicationLogger('error', new PassThrough()));
      expect(refused).to.throw(/^tls: .*cas\.pem: (no certificate in PEM|a certificate in it is broken)/);
      await running.loggedText(BROKEN, times + 1);
    }
    const client = connectClient(running);
    expect((await client.authorize(validRequest)).status).to.equal('authorized');
    client.close();
    writeFileSync(clients, good);
    await running.loggedText('the certificates can be used again');
    expect(running.logged()).to.include(' (mTLS)');
    expect(running.logged()).not.to.include(REPLACED);
  });

  it('tell their end: those that come to it are warned of, once a day', async () => {
    const dir = join(folder, 'ends');
    mkdirSync(dir);
    copy('one', dir);
    const lines = new PassThrough({ encoding: 'utf8' });
    let now = Date.now();
    const tls = { cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key'), clientCa: ca.at('ca.pem') };
    const certificates = new Certificates(tls, createApplicationLogger('info', lines), () => now);
    chmodSync(tls.key, 0o644);
    await certificates.check();
    const [[first, left], [second]] = certificates.timeLeft() as [[string, number], [string, number]];
    expect([first, second]).to.deep.equal(['cert', 'clientCa']);
    expect(left).to.be.within(1.9 * 86_400, 2 * 86_400);
    now += 3 * 86_400_000;
    for (let look = 0; look < 3; look++) await certificates.check();
    certificates.close();
    const said = String(lines.read())
      .trim()
      .split('\n')
      .map((line) => line.replace(/^\S+ /, ''));
    expect(said.filter((line) => !line.includes('tls.key'))).to.deep.equal([
      'warn the certificate of tls.cert ends in 1 days: put another in its place',
      'warn the certificate of tls.clientCa ends in 1 days: put another in its place',
      'warn the certificate of tls.cert has ended: put another in its place',
      'warn the certificate of tls.clientCa has ended: put another in its place',
    ]);
    expect(said.filter((line) => line.includes('others can read tls.key'))).to.have.length(2);
  });

  it('of clients are checked against the CAs of the file as it is now', async () => {
    const clients = join(folder, 'clients.pem');
    copyFileSync(ca.at('ca.pem'), clients);
    const { harness: running } = await start('clients', (at) => copy('one', at), clients);
    const before = connectClient(running);
    expect((await before.authorize(validRequest)).status).to.equal('authorized');
    before.close();
    copyFileSync(others.at('ca.pem'), clients);
    await running.loggedText(REPLACED);
    const after = connectClient(running);
    const refused = after.authorize({ ...validRequest, orderId: 'after' }, { deadline: Date.now() + 10_000 });
    expect(await refused.catch((error: { code: number }) => error.code)).to.equal(14);
    after.close();
    // The caller learns nothing of why.
    await running.loggedText('a client was refused by its certificate {"why":"certificate","error":"');
    // It hears of that once it has been let in, by its own view.
    const port = Number(running.service.address.split(':')[1]);
    const bare = connect({ port, host: '127.0.0.1', ca: readFileSync(ca.at('ca.pem')) }).on('error', () => {});
    await new Promise((resolve) => bare.once('close', resolve));
    await running.loggedText(
      '{"why":"no certificate","error":"ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE","peer":"127.',
    );
    const { samples } = await scrape(running.service.metricsAddress as string);
    for (const why of ['no certificate', 'certificate'])
      expect(sum(samples, 'sealwire_tls_refused_total', `why="${why}"`), why).to.be.greaterThan(0);
  });
});
