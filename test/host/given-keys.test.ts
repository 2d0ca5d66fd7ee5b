/** Keys that were made elsewhere and are only read: rings on read-only mounts, and Kubernetes secrets. */
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { servicePaths } from '../../src/files/service-paths.js';
import { loadKeys } from '../../src/host/key-files.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';
import { startKeySet } from '../../src/host/signed-key-set.js';
import { readKeyFile } from '../../src/keys/files.js';
import { importRingKey, withDates } from '../../src/keys/ring-file.js';
import { RingStore } from '../../src/keys/ring-store.js';
import { replaceAll } from '../../src/keys/rotation.js';
import { signDelegation } from '../../src/keys/signed-set/delegation.js';
import { verifyKeySet } from '../../src/keys/signed-set/key-set.js';
import { SigningKey } from '../../src/keys/signed-set/signing-key.js';
import { makePair, refusal } from '../keys/helpers.js';
import { paymentsConfig, startPayments } from '../support/payments-host.js';

const GIVEN = ['ring.json', 'root.pub.json', 'set-signing.json', 'delegation.jws'];
const NAME = 'sealwire-payments';

describe('keys in a folder that is only read', () => {
  let parent: string;
  /** Where an operator makes them. */
  let admin: ReturnType<typeof servicePaths>;
  let secret: string;
  const closing: (() => unknown)[] = [];

  const start = async (dir: string, folder: string | undefined) => {
    const { ring, stamp } = await loadKeys(dir, { folder });
    const logger = createApplicationLogger('error', new PassThrough());
    const options = { name: NAME, keys: ring, stamp, logger, lifeSeconds: 86_400, maxAgeSeconds: 60 };
    const started = await startKeySet({ dir, folder, ...options });
    closing.push(() => started.publisher.close());
    return { ...started, ring };
  };
  const folderOf = (name: string) => join(parent, name);
  /** As Kubernetes puts a secret in place: its files are links through a link, which is renamed over the last one. */
  let versions = 0;
  async function mount(names: readonly string[] = GIVEN): Promise<void> {
    const version = `..${++versions}`;
    await mkdir(join(secret, version));
    for (const name of names) {
      await cp(join(admin.keys, name), join(secret, version, name));
      await chmod(join(secret, version, name), 0o400);
    }
    await symlink(version, join(secret, '..data_tmp'));
    await rename(join(secret, '..data_tmp'), join(secret, '..data'));
    for (const name of names) await symlink(`..data/${name}`, join(secret, name)).catch(() => {});
  }

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'sealwire-given-'));
    admin = servicePaths(folderOf('admin'));
    await mkdir(folderOf('admin'), { mode: 0o700 });
    secret = folderOf('secret');
    await mkdir(secret);
    await start(folderOf('admin'), undefined);
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
    await rm(parent, { recursive: true });
  });

  const adminStore = () => new RingStore({ path: admin.ring, signedPath: admin.keySet });

  it('are followed from secret to secret; each instance signs the same version with the same key', async () => {
    await mount();
    const dir = folderOf('state');
    const service = await startPayments(paymentsConfig({ dir, keys: { folder: secret } }));
    closing.push(() => service.stop());
    await mkdir(folderOf('second'));
    const second = await start(folderOf('second'), secret);
    const root = JSON.parse(await readFile(admin.rootPublic, 'utf8')) as { kid: string };
    expect([service.root, second.root]).to.deep.equal([root.kid, root.kid]);
    const verify = (jws = '') => verifyKeySet(jws, { roots: [root.kid], issuer: NAME, nowMs: Date.now() });
    const sets = await Promise.all([service.keySet, second.publisher].map((each) => verify(each.current()?.jws)));
    expect(sets[1]).to.deep.include({ version: sets[0]?.version, fingerprint: sets[0]?.fingerprint });
    expect(sets[1]?.delegation.signer.kid).to.equal(sets[0]?.delegation.signer.kid);

    const next = await importRingKey(makePair('P-256').jwk);
    const isTold = new Promise<void>((resolve) => service.keyRing.onChange(() => resolve()));
    await adminStore().update((keys) => {
      const { next: dates, previous } = replaceAll(keys, undefined, Date.now() / 1_000);
      return [...keys.map((key) => withDates(key, previous.get(key.kid) ?? key.dates)), withDates(next, dates)];
    });
    await mount();
    await isTold;
    await service.keySet.update();
    const rotated = await verify(service.keySet.current()?.jws);
    expect(rotated.keys.map(({ kid }) => kid)).to.deep.equal([next.kid]);
    expect(rotated.version.changed).to.be.greaterThan(sets[0]?.version.changed ?? 0);

    // Nothing was written there, and nothing secret to the state.
    const links = [...GIVEN, '..data', '..1', '..2'];
    expect((await readdir(secret)).sort()).to.deep.equal(links.sort());
    for (const version of ['..1', '..2'])
      expect((await readdir(join(secret, version))).sort()).to.deep.equal([...GIVEN].sort());
    expect((await readdir(servicePaths(dir).keys)).sort()).to.deep.equal(
      ['key-set.jws', 'log.key', 'public.jwks.json', 'set-signing.pub.json'].sort(),
    );
  });

  it('may lack a set-signing key: then each instance has its own, and waits for a delegation in its state', async () => {
    await mount(['ring.json', 'root.pub.json']);
    const dir = folderOf('state');
    await mkdir(dir);
    const { publisher, root } = await start(dir, secret);
    expect(publisher.current()).to.equal(undefined);
    const signer = await SigningKey.load(servicePaths(dir).signer);
    const nowMs = Date.now();
    const claims = { recipient: NAME, signer: signer.publicJwk, nowMs };
    const text = await signDelegation(await SigningKey.load(admin.root), claims);
    await writeFile(servicePaths(dir).delegation, text);
    await publisher.update();
    await verifyKeySet(publisher.current()?.jws ?? '', { roots: [root], issuer: NAME, nowMs });
  });

  it('with a root among them renew a delegation that ends soon, in the state', async () => {
    const root = await SigningKey.load(admin.root);
    const signer = await SigningKey.load(admin.signer);
    const nowMs = Date.now();
    const short = await signDelegation(root, { recipient: NAME, signer: signer.publicJwk, nowMs, days: 1 });
    await writeFile(admin.delegation, short);
    await mount([...GIVEN, 'root.json']);
    const dir = folderOf('state');
    await mkdir(dir);
    for (const _ of ['first', 'again']) {
      const { publisher } = await start(dir, secret);
      const set = await verifyKeySet(publisher.current()?.jws ?? '', { roots: [root.kid], issuer: NAME, nowMs });
      expect(set.delegation.expiresAt - nowMs / 1_000).to.be.greaterThan(80 * 86_400);
    }
    const made = await readFile(servicePaths(dir).delegation, 'utf8');
    await start(dir, secret);
    expect(await readFile(servicePaths(dir).delegation, 'utf8')).to.equal(made);
    expect(await readFile(join(secret, 'delegation.jws'), 'utf8')).to.equal(short);
  });

  it('make no ring and no root: what is missing is an error', async () => {
    const dir = folderOf('state');
    await mkdir(dir);
    await refusal(() => start(dir, secret), 'KEY_FILE_MISSING');
    await mount(['ring.json']);
    const { message } = await refusal(() => start(dir, secret), 'KEY_FILE_MISSING');
    expect(message).to.contain('root.pub.json');
  });

  it('must say when they were changed; where the ring can be written, the service says it', async () => {
    const { keys } = JSON.parse(await readFile(admin.ring, 'utf8')) as { keys: object[] };
    await writeFile(admin.ring, JSON.stringify({ keys }));
    await mount();
    const dir = folderOf('state');
    await mkdir(dir);
    const { message } = await refusal(() => start(dir, secret), 'KEY_FILE_INVALID');
    expect(message).to.match(/ring\.json: has no member changed, .* is only read here/);
    // A link to where nothing can be written is no better: the name of a lock beside this file would be too long.
    const linked = servicePaths(folderOf('linked'));
    await mkdir(linked.keys, { recursive: true, mode: 0o700 });
    const long = join(parent, 'r'.repeat(253));
    await cp(admin.ring, long);
    await symlink(long, linked.ring);
    await refusal(() => loadKeys(folderOf('linked')), 'KEY_FILE_INVALID');
    const before = await readFile(admin.ring, 'utf8');
    const { ring } = await loadKeys(folderOf('admin'));
    const { changed } = JSON.parse(await readFile(admin.ring, 'utf8')) as { changed: number };
    expect([before.includes('changed'), ring.version()?.changed]).to.deep.equal([false, changed]);
  });

  it('may be edited where they can be written: the service then says that they were changed', async () => {
    const { publisher, ring } = await start(folderOf('admin'), undefined);
    const before = publisher.current()?.version.changed ?? 0;
    const file = JSON.parse(await readFile(admin.ring, 'utf8')) as { keys: object[] };
    await writeFile(admin.ring, JSON.stringify({ ...file, keys: [makePair('P-256').jwk] }));
    ring.replace(await adminStore().load());
    await publisher.update();
    // Its follower would have seen the file by now.
    ring.replace(await adminStore().load());
    await publisher.update();
    expect(publisher.current()?.version.changed).to.be.greaterThan(before);
  });

  it('are read where root gave them to a group of this process, and nobody else', async function () {
    if (process.getuid?.() !== 0) this.skip();
    const path = join(secret, 'given');
    await writeFile(path, 'text');
    const read = () => readKeyFile(path, { secret: true });
    const groups = process.getgroups?.() ?? [];
    process.setgroups?.([...groups, 4_711]);
    try {
      for (const [mode, gid, isGood] of [
        [0o440, 4_711, true],
        [0o440, 4_712, false],
        [0o440, 0, false],
        [0o640, 4_711, false],
        [0o444, 4_711, false],
      ] as const) {
        await chown(path, 0, gid);
        await chmod(path, mode);
        if (isGood) expect(await read()).to.equal('text');
        else await refusal(read, 'KEY_FILE_MODE');
      }
    } finally {
      process.setgroups?.(groups);
    }
  });
});
