/** `sealwire keys` with private keys in a PKCS#11 token, as operators run it: as a process. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealedPaymentServiceClient } from '../../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../../src/keys/key-source.js';
import { CK } from '../../../src/keys/pkcs11/cryptoki.js';
import { makePair } from '../../keys/helpers.js';
import { environment, type Finished, finishSealwire, listening, MAIN, run } from '../../support/command.js';
import { validRequest } from '../../support/harness.js';
import { createSoftToken, importToToken, type SoftToken } from '../../support/softhsm.js';

interface Listed {
  readonly kid: string;
  readonly custody: string;
  readonly state: string;
  readonly current: boolean;
}

/** Node finds every package but one. */
const WITHOUT_PACKAGE = `
const Module = require('node:module');
const resolve = Module._resolveFilename;
Module._resolveFilename = function (name, ...rest) {
  if (name === 'pkcs11js') throw Object.assign(new Error('not installed'), { code: 'MODULE_NOT_FOUND' });
  return resolve.call(this, name, ...rest);
};
`;

describe('sealwire keys with a PKCS#11 token', () => {
  let token: SoftToken;
  let dir: string;
  let env: NodeJS.ProcessEnv;
  before(async function () {
    token = await createSoftToken(this);
    env = { ...environment, SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'], SEALWIRE_HSM_PIN: token.pin };
  });
  after(() => token?.remove());
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-keys-hsm-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const keys = (args: readonly string[], own: NodeJS.ProcessEnv = env): Promise<Finished> =>
    finishSealwire(['keys', args[0] as string, '--dir', dir, ...args.slice(1)], { env: own });

  async function done(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await keys(args);
    expect([code, stderr.replace(/^sealwire: note: .*\n$/, '')]).to.deep.equal([0, '']);
    return stdout;
  }

  async function refused(code: number, args: readonly string[], own: NodeJS.ProcessEnv = env): Promise<string> {
    const finished = await keys(args, own);
    expect([finished.code, finished.stdout], finished.stderr).to.deep.equal([code, '']);
    expect(finished.stderr).to.match(/^sealwire: [^\n]+\n$/);
    expect(finished.stderr).not.to.include(token.pin);
    return finished.stderr;
  }

  const list = async () => JSON.parse(await done('list', '--json')) as Listed[];
  const ringText = () => readFile(join(dir, 'keys/ring.json'), 'utf8');

  it('makes a ring whose private key is on the token, and the service serves with it', async () => {
    const said = await done('init', '--custody', token.uri('first'));
    expect(said)
      .to.match(/^key \S+ \(P-521\) is active\n/)
      .and.to.include(`private half ${token.uri('first')}\n`);
    const [key] = JSON.parse(await ringText()).keys;
    expect(key).to.have.all.keys('kty', 'crv', 'x', 'y', 'kid', 'use', 'alg', 'sealwire');
    expect(key.sealwire.custody).to.equal(token.uri('first'));
    expect((await list()).map(({ custody, state }) => [custody, state])).to.deep.equal([['pkcs11', 'active']]);

    const service = run(process.execPath, [MAIN, 'serve', '--listen', '127.0.0.1:0', '--dir', dir], { env });
    const client = new SealedPaymentServiceClient(await listening(service), credentials.createInsecure(), {
      keys: fileKeySource(join(dir, 'keys/public.jwks.json')),
    });
    expect((await client.authorize(validRequest)).status).to.equal('authorized');
    client.close();
    service.child.kill();
    expect(await service.ended).to.equal(0);
    expect(service.stdout() + service.stderr()).not.to.include(token.pin);
  });

  it('moves from a file to a token and back by rotations', async () => {
    await done('init');
    await done('rotate', '--now', '--custody', token.uri('moved'));
    expect((await list()).map(({ custody, current }) => [custody, current])).to.deep.equal([
      ['file', false],
      ['pkcs11', true],
    ]);
    await done('rotate', '--now');
    expect((await list()).map(({ custody, current }) => [custody, current])).to.deep.equal([
      ['file', false],
      ['pkcs11', false],
      ['file', true],
    ]);
  });

  it('takes a key that is on the token already', async () => {
    await done('init');
    importToToken(token, 'there', makePair('P-521').jwk);
    await done('import', '--custody', token.uri('there'));
    const [, imported] = await list();
    expect([imported?.custody, imported?.state]).to.deep.equal(['pkcs11', 'published']);
    expect(await refused(2, ['import', '--custody', token.uri('there')])).to.include('already in the ring');
  });

  it('names a new key by the time, and keeps the library that --module names in the URI', async () => {
    await done('init', '--custody', 'pkcs11:token=sealwire%20test', '--module', token.modulePath);
    const [{ sealwire }] = JSON.parse(await ringText()).keys;
    const at = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z';
    expect(sealwire.custody).to.match(
      new RegExp(`^pkcs11:token=sealwire%20test;object=sealwire-${at}\\?module-path=/`),
    );
  });

  it('takes the PIN from a file that only its owner can read', async () => {
    const file = join(dir, 'pin');
    await writeFile(file, `${token.pin}\n`, { mode: 0o600 });
    const { SEALWIRE_HSM_PIN: _, ...bare } = env;
    const args = ['init', '--custody', token.uri('by file'), '--pin-file', file];
    expect((await keys(args, bare)).code).to.equal(0);
    await chmod(file, 0o644);
    expect(await refused(3, ['rotate', '--custody', token.uri('never'), '--pin-file', file], bare)).to.include(
      'chmod 600',
    );
  });

  it('says which key is on the token when the ring cannot be written', async () => {
    await done('init');
    const ring = join(dir, 'keys/ring.json');
    await rm(ring);
    await writeFile(ring, await readFile(join(dir, 'keys/public.jwks.json')), { mode: 0o600 });
    // A ring of public keys is refused before anything is made.
    expect(await refused(3, ['rotate', '--custody', token.uri('lost')])).not.to.include('in no ring');
    await done('init', '--ring', join(dir, 'other.json'), '--custody', token.uri('kept'));
    const said = await refused(3, [
      'init',
      '--ring',
      join(dir, 'nowhere/ring.json'),
      '--custody',
      token.uri('keptToo'),
    ]);
    expect(said).to.include(`in no ring: sealwire keys import --custody '${token.uri('keptToo')}'`);
  });

  const wrong: readonly (readonly [string, number, () => string[], RegExp, NodeJS.ProcessEnv?])[] = [
    [
      'a PIN in the URI',
      2,
      () => ['init', '--custody', `${token.uri('a')}&pin-value=1`],
      /pin-value would show the PIN/,
    ],
    ['no library', 2, () => ['init', '--custody', 'pkcs11:token=t;object=a'], /no library named; give module-path/],
    [
      'a file that is no library',
      3,
      () => ['init', '--custody', 'pkcs11:object=a', '--module', '/etc/passwd'],
      /not a PKCS#11 library/,
    ],
    ['another token', 3, () => ['init', '--custody', token.uri('a').replace('test', 'none')], /no such token/],
    ['a key that is not there', 2, () => ['import', '--custody', token.uri('nobody')], /is not on the token/],
    ['neither file nor URI', 2, () => ['import'], /give a file, or --custody/],
    ['a URI of another scheme', 2, () => ['init', '--custody', 'tpm:key'], /does not start with pkcs11:/],
    ['a wrong PIN', 2, () => ['init', '--custody', token.uri('a')], /refuses the PIN/, { SEALWIRE_HSM_PIN: '000000' }],
    ['no PIN', 2, () => ['init', '--custody', token.uri('a')], /PIN .* is needed/, { SEALWIRE_HSM_PIN: '' }],
  ];
  for (const [what, code, args, why, own] of wrong) {
    it(`ends with ${code} and one line for ${what}`, async () => {
      expect(await refused(code, args(), { ...env, ...own })).to.match(why);
    });
  }

  it('refuses a key that can be read out', async () => {
    importToToken(token, 'soft', makePair('P-521').jwk, [{ type: CK.CKA_EXTRACTABLE, value: true }]);
    expect(await refused(2, ['import', '--custody', token.uri('soft')])).to.include('can be read out');
  });

  it('does not start to serve with a wrong label, and says which key', async () => {
    await done('init', '--custody', token.uri('labelled'));
    await writeFile(join(dir, 'keys/ring.json'), (await ringText()).replace('object=labelled', 'object=mislaid'));
    const service = run(process.execPath, [MAIN, 'serve', '--listen', '127.0.0.1:0', '--dir', dir], { env });
    expect(await service.ended).to.equal(2);
    expect(service.stderr()).to.match(/sealwire: key \S+: PKCS#11: key 'mislaid' is not on the token\n$/);
  });

  it('opens a token with a private key that is in hardware, and not without its PIN', async () => {
    await done('init', '--custody', token.uri('opening'));
    const card = '{"number": "4242424242424242", "expiry_month": 12, "expiry_year": 2031}';
    const bound = '{"order_id": "o-1", "amount_minor": 4999, "currency_code": "EUR"}';
    const schema = ['--proto', 'proto/payments/v1/payments.proto', '--import-path', 'proto'];
    const to = ['--keys', join(dir, 'keys/public.jwks.json'), ...schema, '-d', card, '--bound', bound];
    const sealed = await finishSealwire(['seal', 'payments.v1.AuthorizeRequest.card', ...to], { env });
    expect([sealed.code, sealed.stderr]).to.deep.equal([0, '']);
    const open = (own: NodeJS.ProcessEnv) =>
      finishSealwire(['open', '--dir', dir, '--reason', 'ticket 4711'], { env: own, input: sealed.stdout });
    const opened = await open(env);
    expect([opened.code, opened.stderr]).to.deep.equal([0, '']);
    expect(JSON.parse(opened.stdout)).to.include({ number: '4242424242424242' });
    const locked = await open({ ...env, SEALWIRE_HSM_PIN: '000000' });
    expect([locked.code, locked.stdout]).to.deep.equal([3, '']);
    expect(locked.stderr).to.match(/refuses the PIN/);
  });

  it('says what to install where the optional package is missing, and does not start to serve', async () => {
    await done('init', '--custody', token.uri('packaged'));
    const hook = join(dir, 'without.cjs');
    await writeFile(hook, WITHOUT_PACKAGE);
    const own = { ...env, NODE_OPTIONS: `--require ${hook}` };
    const hint = "PKCS#11 needs the package 'pkcs11js': run npm install pkcs11js";
    expect(await refused(2, ['rotate', '--custody', token.uri('next')], own)).to.equal(`sealwire: ${hint}\n`);
    const service = run(process.execPath, [MAIN, 'serve', '--listen', '127.0.0.1:0', '--dir', dir], { env: own });
    expect(await service.ended).to.equal(3);
    expect(service.stderr()).to.equal(`sealwire: ${join(dir, 'keys/ring.json')}: ${hint}\n`);
  });
});
