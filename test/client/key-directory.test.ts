/** The directory in front of a real service: first key, restart in an outage, rotation, options, and its end. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { credentials, Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { KeyDirectory, type KeyDirectoryOptions } from '../../src/client/key-directory.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { KeyServiceService } from '../../src/gen/sealwire/v1/keys.js';
import { KeyRing } from '../../src/keys/ring.js';
import { refusal } from '../keys/helpers.js';
import { finish, finishSealwire } from '../support/command.js';
import { type Harness, startHarness, validRequest } from '../support/harness.js';

const ORIGIN = 'sealwire-payments';

describe('KeyDirectory', () => {
  let harness: Harness;
  const open: { close(): void }[] = [];
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
  });

  function create(options: Partial<KeyDirectoryOptions> = {}): KeyDirectory {
    const directory = new KeyDirectory({
      address: harness.service.address,
      credentials: credentials.createInsecure(),
      roots: [harness.service.root],
      issuer: ORIGIN,
      onProblem: () => {},
      ...options,
    });
    open.push(directory);
    return directory;
  }

  it("gives the service's key under both of its names, and knows what it has", async () => {
    const directory = create();
    expect(directory.describe('')).to.equal(undefined);
    expect((await directory.current('')).kid).to.equal(harness.service.kid);
    expect(directory.current(ORIGIN)).to.include({ kid: harness.service.kid });
    const { version, expiresAt } = harness.service.keySet.current()!;
    expect(directory.describe('')).to.deep.equal({ version, expiresAt });
  });

  it('has no key of a recipient that the service does not serve', async () => {
    await refusal(() => create().current('fraud-team'), 'KEY_SET_UNAVAILABLE');
  });

  it('sends its metadata with each question, asked for anew, and says what was wrong with it', async () => {
    const asked: unknown[] = [];
    const server = new Server();
    server.addService(KeyServiceService, {
      getKeySet: ({ metadata }: { metadata: Metadata }, answer: (error: object) => void) => {
        asked.push(metadata.get('authorization'));
        answer({ code: status.UNAUTHENTICATED });
      },
    });
    const bind = promisify(server.bindAsync.bind(server));
    const address = `127.0.0.1:${await bind('127.0.0.1:0', ServerCredentials.createInsecure())}`;
    const withToken = (token: string) => {
      const metadata = new Metadata();
      metadata.set('authorization', token);
      return metadata;
    };
    const patient = { retryMs: 60_000 };
    let count = 0;
    const asker = create({ address, metadata: async () => withToken(`t-${++count}`), ...patient });
    await refusal(() => asker.current(''), 'KEY_SET_UNAVAILABLE');
    await refusal(() => asker.refresh(''), 'KEY_SET_UNAVAILABLE');
    await refusal(
      () => create({ address, metadata: withToken('fixed'), ...patient }).current(''),
      'KEY_SET_UNAVAILABLE',
    );
    expect(asked).to.deep.equal([['t-1'], ['t-2'], ['fixed']]);
    const cause = new Error('no token to be had');
    const failing = create({ address, metadata: () => Promise.reject(cause), ...patient });
    const error = await refusal(() => failing.current(''), 'KEY_SET_UNAVAILABLE');
    expect(error.message).to.include('the function that gives metadata for the key service failed');
    expect(error.cause).to.equal(cause);
    server.forceShutdown();
  });

  it('expects the name that it was told, not what the service calls itself', async () => {
    await refusal(() => create({ issuer: 'other' }).current(''), 'KEY_SET_ISSUER');
  });

  it('starts with what it remembers while the service is away, and with nothing without a memory', async () => {
    const stateFile = join(harness.dir, 'directory.state.json');
    await create({ stateFile }).current('');
    // Nobody listens on a port of the system's own.
    const away = { address: '127.0.0.1:1' };
    expect((await create({ stateFile, ...away }).current('')).kid).to.equal(harness.service.kid);
    await refusal(() => create(away).current(''), 'KEY_SET_UNAVAILABLE');
    await writeFile(stateFile, '{}');
    await refusal(() => create({ stateFile }).current(''), 'KEY_FILE_INVALID');
  });

  /** Gives the service other keys, as a command would by its file. */
  function change(keys: ReturnType<KeyRing['keys']>): void {
    const { keyRing, keySet } = harness.service;
    const changed = (keySet.current()?.version.changed ?? 0) + 1;
    keyRing.replace(KeyRing.fromRingKeys(keys, {}, changed));
  }

  it('has the next key before senders use it, and a client goes over to it without a fetch or a failed call', async () => {
    const { keyRing, keySet } = harness.service;
    const before = keyRing.keys();
    const [old] = before as [(typeof before)[0]];
    const [fresh] = (await KeyRing.create('P-521')).keys() as [(typeof before)[0]];
    const now = Math.floor(Date.now() / 1000);
    const handOver = now + 3_600;
    change([
      { ...old, dates: { opening: handOver, retired: handOver + 604_800 } },
      { ...fresh, dates: { published: now, active: handOver } },
    ]);
    await keySet.update();
    let aheadMs = 0;
    const keys = create({ now: () => Date.now() + aheadMs });
    const client = new SealedPaymentServiceClient(harness.service.address, credentials.createInsecure(), { keys });
    open.push(client);
    const used: string[] = [];
    for (aheadMs of [0, 3_590_000, 3_610_000, 7_200_000]) {
      const answer = await client.authorize({ ...validRequest, orderId: `hand-over-${aheadMs}` });
      expect(answer.status).to.equal('authorized');
      used.push((await keys.current('')).kid);
    }
    expect(used).to.deep.equal([old.kid, old.kid, fresh.kid, fresh.kid]);
    change(before);
    await keySet.update();
  });

  it('learns from a refusal that its key is gone, and the call is made once more with the new one', async () => {
    const { keyRing, keySet } = harness.service;
    const before = keyRing.keys();
    const keys = create();
    const client = new SealedPaymentServiceClient(harness.service.address, credentials.createInsecure(), { keys });
    open.push(client);
    await client.authorize({ ...validRequest, orderId: 'before' });
    const replacement = await KeyRing.create('P-521');
    change(replacement.keys());
    await keySet.update();
    expect(keys.current('')).to.include({ kid: before[0]?.kid });
    expect((await client.authorize({ ...validRequest, orderId: 'after' })).status).to.equal('authorized');
    expect(keys.current('')).to.include({ kid: replacement.currentKid });
    change(before);
    await keySet.update();
  });

  it('is told of a rotation by the command line while the service runs, before senders use the key', async () => {
    const changed = () => harness.service.keySet.current()?.version.changed ?? 0;
    const before = changed();
    const keys = create();
    await keys.current('');
    const rotated = await finishSealwire(['keys', 'rotate', '--dir', harness.dir]);
    expect(rotated.code, rotated.stderr).to.equal(0);
    while (changed() === before) await new Promise((done) => setImmediate(done));
    await keys.refresh('');
    const served = harness.service.keyRing.publishedKeys().map(({ jwk }) => jwk.kid);
    expect(served).to.have.length(2);
    expect(keys.current('')).to.include({ kid: served[0] });
    // Above the last set that was signed, too, of which the ring file says nothing here.
    expect(keys.describe('')?.version.changed).to.equal(changed()).and.to.be.greaterThan(before);
  });

  for (const [name, options] of [
    ['no root', { roots: [] }],
    ['a root that is no thumbprint', { roots: ['abc'] }],
    ['five roots', { roots: Array.from({ length: 5 }, () => 'A'.repeat(43)) }],
    ['no issuer', { issuer: '' }],
    ['deadlineMs', { deadlineMs: 99 }],
    ['minAgeMs', { minAgeMs: 99 }],
    ['maxAgeMs', { maxAgeMs: 999 }],
    ['retryMs', { retryMs: 9 }],
    ['maxRetryMs', { maxRetryMs: 1.5 }],
  ] as const) {
    it(`refuses ${name}`, () => refusal(() => create(options), 'OPTIONS_INVALID'));
  }

  it('gives out nothing once it is closed', async () => {
    const directory = create();
    await directory.current('');
    directory.close();
    await refusal(() => directory.current(''), 'CLOSED');
    await refusal(() => directory.current('fraud-team'), 'CLOSED');
    await refusal(() => directory.refresh(''), 'CLOSED');
  });

  it('does not keep a process alive, with a set or while it retries', async () => {
    const program = `
      import { credentials, Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
      import { KeyDirectory } from ${JSON.stringify(resolve('dist/src/index.js'))};
      const shared = { credentials: credentials.createInsecure(), roots: ['${harness.service.root}'], issuer: '${ORIGIN}' };
      const directory = new KeyDirectory({ ...shared, address: '${harness.service.address}' });
      console.log((await directory.current('')).kid);
      await new KeyDirectory({ ...shared, address: '127.0.0.1:1' }).current('').catch(({ code }) => console.log(code));
    `;
    const done = await finish(process.execPath, ['--input-type=module', '-e', program]);
    expect(done.stdout).to.equal(`${harness.service.kid}\nKEY_SET_UNAVAILABLE\n`);
    expect(done.stderr).to.match(/SealwireKeySetWarning: key set of 'sealwire-payments': KEY_SET_UNAVAILABLE/);
    expect(done.code).to.equal(0);
  });
});
