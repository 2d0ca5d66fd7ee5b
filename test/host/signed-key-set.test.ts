/** The files of set signing, and the service with the root at hand and without. */
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import { servicePaths } from '../../src/files/service-paths.js';
import { loadKeys } from '../../src/host/key-files.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';
import { startKeySet } from '../../src/host/signed-key-set.js';
import { KeyRing } from '../../src/keys/ring.js';
import { signDelegation } from '../../src/keys/signed-set/delegation.js';
import { verifyKeySet } from '../../src/keys/signed-set/key-set.js';
import { ensureRoot, ensureSetSigningKey } from '../../src/keys/signed-set/set-signer.js';
import { loadVerificationKey, SigningKey } from '../../src/keys/signed-set/signing-key.js';
import { refusal } from '../keys/helpers.js';

const DAY_MS = 86_400_000;

describe('the key set of a service', () => {
  let dir: string;
  let nowMs: number;
  let log: string[];
  let stamps: number;
  let ring: KeyRing;
  let started: Awaited<ReturnType<typeof startKeySet>> | undefined;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-set-'));
    await loadKeys(dir);
    nowMs = Date.now();
    log = [];
    stamps = 0;
    const { changed } = (await KeyRing.load(paths().ring)).version() ?? {};
    ring = KeyRing.fromRingKeys((await KeyRing.create('P-256')).keys(), { now: () => nowMs }, changed);
  });
  afterEach(async () => {
    started?.publisher.close();
    await rm(dir, { recursive: true });
  });

  async function start(name = 'payments', passphrase?: string) {
    started?.publisher.close();
    const stream = new Writable({
      write(chunk, _encoding, done) {
        log.push(String(chunk));
        done();
      },
    });
    const logger = createApplicationLogger('info', stream);
    started = await startKeySet({
      dir,
      name,
      keys: ring,
      stamp: async () => void stamps++,
      logger,
      passphrase: passphrase === undefined ? undefined : () => passphrase,
      statement: '/p.S/M p.In p.Out\n',
      lifeSeconds: 86_400,
      maxAgeSeconds: 60,
      now: () => nowMs,
    });
    return started;
  }

  const paths = () => servicePaths(dir);
  const verify = (root: string, issuer = 'payments') =>
    verifyKeySet(started?.publisher.current()?.jws ?? '', { roots: [root], issuer, nowMs });

  /** Takes the root away, as an operator does who keeps it elsewhere. */
  async function takeRoot(): Promise<SigningKey> {
    const root = await SigningKey.load(paths().root);
    await rm(paths().root);
    return root;
  }

  it('is made with everything that it needs on first run, and good for whoever pins the root', async () => {
    const { root } = await start();
    const set = await verify(root);
    expect(set.keys.map(({ kid }) => kid)).to.deep.equal([ring.currentKid]);
    expect(set.delegation.expiresAt - set.delegation.issuedAt).to.equal(90 * 86_400);
    for (const [path, mode] of [
      [paths().root, 0o600],
      [paths().signer, 0o600],
      [paths().rootPublic, 0o644],
      [paths().signerPublic, 0o644],
      [paths().delegation, 0o644],
      [join(dir, 'keys/key-set.jws'), 0o644],
    ] as const) {
      expect((await stat(path)).mode & 0o777, path).to.equal(mode);
    }
    for (const path of [paths().rootPublic, paths().signerPublic]) {
      expect(await readFile(path, 'utf8')).not.to.include('"d"');
    }
    expect(log).to.deep.equal([]);
  });

  it('goes on with the same root and delegation after a restart', async () => {
    const first = await start();
    const delegation = await readFile(paths().delegation, 'utf8');
    const second = await start();
    expect(second.root).to.equal(first.root);
    expect(await readFile(paths().delegation, 'utf8')).to.equal(delegation);
    await verify(first.root);
  });

  it('renews its delegation by itself 30 days before its end when the root is at hand', async () => {
    const { publisher, root } = await start();
    const { expiresAt } = (await verify(root)).delegation;
    nowMs += 59 * DAY_MS;
    await publisher.update();
    expect((await verify(root)).delegation.expiresAt).to.equal(expiresAt);
    nowMs += 2 * DAY_MS;
    await publisher.update();
    expect((await verify(root)).delegation.expiresAt).to.equal(expiresAt + 61 * 86_400);
    expect(log.join('')).to.match(/^\S+ info the delegation is another one \{"before":"[^"]+","after":"[^"]+"\}\n$/);
  });

  it('delegates anew when the name or the root is another', async () => {
    const { root } = await start();
    await start('invoices');
    await verify(root, 'invoices');
    const other = await SigningKey.generate();
    await other.save(paths().root);
    await start('invoices');
    await verify(other.kid, 'invoices');
  });

  it('says which root and which set-signing key sign from now on', async () => {
    const { publisher, root } = await start();
    const { kid } = await SigningKey.load(paths().signer);
    const [other, signer] = [await SigningKey.generate(), await SigningKey.generate()];
    await other.save(paths().root);
    await signer.save(paths().signer);
    await publisher.update();
    await verify(other.kid);
    const said = log.map((line) => line.replace(/^\S+ /, '').trimEnd());
    expect(said).to.deep.equal([
      `info the signing root is another one {"before":"${root}","after":"${other.kid}"}`,
      `info the set-signing key is another one {"before":"${kid}","after":"${signer.kid}"}`,
    ]);
  });

  it('works without the root, warns once a day from 14 days on, and takes a new delegation while it runs', async () => {
    await start();
    const root = await takeRoot();
    const { publisher } = await start();
    await verify(root.kid);
    nowMs += 76 * DAY_MS - 60_000;
    await publisher.update();
    expect(log).to.deep.equal([]);
    nowMs += 120_000;
    await publisher.update();
    await publisher.update();
    expect(log.join('')).to.match(
      /^\S+ warn the delegation of the set-signing key ends in 13 days[^\n]+root delegate\n$/,
    );
    const signer = await SigningKey.load(paths().signer);
    const text = await signDelegation(root, { recipient: 'payments', signer: signer.publicJwk, nowMs });
    await writeFile(paths().delegation, text);
    await publisher.update();
    expect((await verify(root.kid)).delegation.issuedAt).to.equal(Math.floor(nowMs / 1000));
  });

  it('does not repeat itself when two things are wrong at once', async () => {
    await start();
    await takeRoot();
    nowMs += 80 * DAY_MS;
    await rm(join(dir, 'keys/key-set.jws'));
    await mkdir(join(dir, 'keys/key-set.jws'));
    const { publisher } = await start();
    for (let look = 0; look < 5; look++) await publisher.update();
    expect(log.map((line) => line.split(' ')[1])).to.deep.equal(['warn', 'error']);
    nowMs += DAY_MS;
    await publisher.update();
    expect(log).to.have.length(4);
  });

  it('without the root and past the delegation serves no set and says so, and serves again once there is one', async () => {
    await start();
    const root = await takeRoot();
    nowMs += 91 * DAY_MS;
    const { publisher } = await start();
    expect(publisher.current()).to.equal(undefined);
    expect(log.join('')).to.match(/^\S+ error no key set can be signed: KEY_SET_DELEGATION_EXPIRED: [^\n]+\n$/);
    const signer = await SigningKey.load(paths().signer);
    const text = await signDelegation(root, { recipient: 'payments', signer: signer.publicJwk, nowMs });
    await writeFile(paths().delegation, text);
    await publisher.update();
    await verify(root.kid);
  });

  it('makes no new root where the old one is kept elsewhere', async () => {
    await start();
    const root = await takeRoot();
    await rm(paths().delegation);
    expect((await start()).root).to.equal(root.kid);
    expect(started?.publisher.current()).to.equal(undefined);
    expect(log.join('')).to.include('KEY_FILE_MISSING');
    await refusal(() => SigningKey.load(paths().root), 'KEY_FILE_MISSING');
  });

  it('makes root and set-signing key encrypted when there is a passphrase, and goes on with them', async () => {
    const { root } = await start('payments', 'correct horse');
    for (const path of [paths().root, paths().signer]) {
      expect(await readFile(path, 'utf8')).to.match(/^ey[\w-]+\.[\w-]+\.[\w-]+\.[\w-]+\.[\w-]+\n$/);
    }
    nowMs += 61 * DAY_MS;
    expect((await start('payments', 'correct horse')).root).to.equal(root);
    expect((await verify(root)).delegation.issuedAt).to.equal(Math.floor(nowMs / 1000));
    await refusal(() => SigningKey.load(paths().root), 'KEY_FILE_ENCRYPTED');
  });

  it('takes a root under a passphrase of its own for one that is kept elsewhere', async () => {
    await start();
    const root = await SigningKey.load(paths().root);
    await root.save(paths().root, () => 'known to the operator alone');
    for (const passphrase of [undefined, 'another']) {
      nowMs += 61 * DAY_MS;
      await start('payments', passphrase);
      await verify(root.kid);
      nowMs += 30 * DAY_MS;
      await start('payments', passphrase);
      expect(started?.publisher.current()).to.equal(undefined);
      nowMs -= 91 * DAY_MS;
    }
  });

  it('removes what a killed process left half written, private keys perhaps, and nothing that is being written', async () => {
    const old = `${paths().root}.0123456789ab.tmp`;
    const fresh = `${paths().root}.ba9876543210.tmp`;
    for (const path of [old, fresh]) await writeFile(path, '{', { mode: 0o600 });
    const before = new Date(Date.now() - 61_000);
    await utimes(old, before, before);
    await start();
    const names = (await readdir(join(dir, 'keys'))).filter((name) => name.endsWith('.tmp'));
    expect(names).to.deep.equal(['root.json.ba9876543210.tmp']);
  });

  it('makes one root when several start at once', async () => {
    const all = await Promise.all([1, 2, 3, 4].map(() => ensureRoot(paths())));
    const { kid } = await SigningKey.load(paths().root);
    expect(all).to.deep.equal([kid, kid, kid, kid]);
    expect((await loadVerificationKey(paths().rootPublic)).kid).to.equal(kid);
    const signers = await Promise.all([1, 2, 3, 4].map(() => ensureSetSigningKey(paths())));
    expect(new Set(signers.map((key) => key.kid))).to.have.property('size', 1);
  });

  it('mends the public half of the set-signing key, and makes no other in the place of one that cannot be opened', async () => {
    await start();
    const { kid } = await SigningKey.load(paths().signer);
    await (await SigningKey.generate()).savePublic(paths().signerPublic);
    await start();
    expect((await loadVerificationKey(paths().signerPublic)).kid).to.equal(kid);
    await rm(paths().signer);
    await symlink('not-mounted.json', paths().signer);
    await start();
    expect(await readlink(paths().signer)).to.equal('not-mounted.json');
    expect(started?.publisher.current()).to.equal(undefined);
    expect(log.join('')).to.include('KEY_FILE_MISSING');
  });

  it('refuses a delegation for another set-signing key', async () => {
    await start();
    const root = await takeRoot();
    const other = await SigningKey.generate();
    const text = await signDelegation(root, { recipient: 'payments', signer: other.publicJwk, nowMs });
    await writeFile(paths().delegation, text);
    await start();
    expect(started?.publisher.current()).to.equal(undefined);
    expect(log.join('')).to.include('KEY_SET_SIGNER');
  });

  it('does not start with a root that others can read, or that is broken, and quotes nothing of it', async () => {
    await start();
    await chmod(paths().root, 0o640);
    await refusal(() => start(), 'KEY_FILE_MODE');
    await chmod(paths().root, 0o600);
    const { d } = JSON.parse(await readFile(paths().root, 'utf8')) as { d: string };
    for (const text of [JSON.stringify({ d }), '[]', '{}']) {
      await writeFile(paths().root, text);
      expect((await refusal(() => start(), 'KEY_FILE_INVALID')).message).not.to.contain(d);
    }
    await writeFile(paths().root, `{"d":"${d}`);
    expect((await refusal(() => start(), 'KEY_FILE_INCOMPLETE')).message).not.to.contain(d);
  });
});
