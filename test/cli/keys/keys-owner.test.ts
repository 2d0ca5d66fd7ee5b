/** Root changes the keys of a service that runs as another user, who must go on reading them. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, statSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { environment, finish, finishSealwire, MAIN } from '../../support/command.js';
import { validRequest } from '../../support/harness.js';
import { startServiceProcess, stopServiceProcess } from '../../support/service-process.js';

/** Nobody's: no account is needed to run as a number. */
const SERVICE = 47_111;
const OTHER = 47_112;

describe('keys of a service of another user', function () {
  this.timeout(180_000);
  let root: string;
  let dir: string;

  before(function () {
    const probe = () =>
      spawnSync(process.execPath, [resolve(MAIN), '--version'], { uid: SERVICE, gid: SERVICE, env: {} });
    if (process.geteuid?.() === 0 && probe().status === 0) return;
    if (this.test) this.test.title += ' (needs root, and a checkout that other users can read)';
    this.skip();
  });
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'sealwire-owner-'));
    chmodSync(root, 0o755);
    dir = join(root, 'var');
    mkdirSync(dir);
    chownSync(dir, SERVICE, SERVICE);
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const at = (name: string) => join(dir, 'keys', name);
  const keys = (...args: string[]) => finishSealwire(['keys', ...args, '--dir', dir]);
  const done = async (...args: string[]) => {
    const { code, stderr } = await keys(...args);
    expect([code, stderr.replace(/^sealwire: note: .*\n$/, '')], args.join(' ')).to.deep.equal([0, '']);
  };
  const ownerOf = (name: string) => {
    const { uid, gid, mode } = statSync(at(name));
    return [uid, gid, mode & 0o777];
  };
  const serve = () => startServiceProcess({ dir, uid: SERVICE, config: { logLevel: 'warn' } });

  it('stay readable whatever root does to them, and the service follows and starts again', async () => {
    const service = await serve();
    await service.client.authorize(validRequest);
    chmodSync(at('public.jwks.json'), 0o640);
    const files = [
      'ring.json',
      'public.jwks.json',
      'set-signing.json',
      'set-signing.pub.json',
      'root.pub.json',
      'delegation.jws',
    ];
    const owners = () => files.map((name) => [name, ...ownerOf(name)]);
    const before = owners();
    expect(before.every(([, uid, gid]) => uid === SERVICE && gid === SERVICE)).to.equal(true);
    await done('rotate', '--now');
    await done('root', 'delegate', '--new-key');
    await done('rotate', '--compromised', '--keep-stored', '1d');
    expect(owners()).to.deep.equal(before);
    await done('verify');
    await service.client.authorize({ ...validRequest, orderId: 'after' });
    expect(await stopServiceProcess(service)).to.equal(0);
    // A set that was signed by the key before waits for the next one to be made; nothing else is said.
    expect(service.running.stderr()).not.to.match(/KEY_FILE|EACCES/);
    const again = await serve();
    await again.client.authorize({ ...validRequest, orderId: 'again' });
    expect(await stopServiceProcess(again)).to.equal(0);
  });

  it('are made for the owner of the folder', async () => {
    await done('init', '--curve', 'P-256');
    await done('root', 'init');
    expect(ownerOf('.')).to.deep.equal([SERVICE, SERVICE, 0o700]);
    for (const name of ['ring.json', 'root.json']) expect(ownerOf(name)).to.deep.equal([SERVICE, SERVICE, 0o600]);
    const service = await serve();
    await service.client.authorize(validRequest);
    expect(await stopServiceProcess(service)).to.equal(0);
    // A root that is kept from the service is followed by one that is as well.
    chownSync(at('root.json'), 0, 0);
    await done('root', 'rotate');
    expect(ownerOf('root.next.json')).to.deep.equal([0, 0, 0o600]);
  });

  it('that the owner of the folder cannot read are told by each command, and verify fails', async () => {
    await done('init', '--curve', 'P-256');
    await done('root', 'init');
    await done('root', 'delegate');
    const service = await serve();
    expect(await stopServiceProcess(service)).to.equal(0);
    await done('verify');
    const why = (path: string) =>
      `${path}: belongs to user 0, and user ${SERVICE}, who owns the folder, cannot read it: chown ${SERVICE} ${path}`;
    const ring = at('ring.json');
    chownSync(ring, 0, 0);
    for (const command of [['list'], ['rotate'], ['list', '--json']]) {
      const { code, stderr } = await keys(...command);
      expect([code, stderr]).to.deep.equal([0, `sealwire: warning: ${why(ring)}\n`]);
    }
    const verdict = await keys('verify');
    expect(verdict.code).to.equal(1);
    expect(verdict.stdout).to.contain(`KEY_FILE_MODE  ${why(ring)}`);
    chownSync(ring, SERVICE, SERVICE);
    await done('verify');
    chownSync(at('set-signing.json'), 0, 0);
    expect((await keys('verify')).stdout).to.contain(`KEY_FILE_MODE  ${why(at('set-signing.json'))}`);
  });

  it('are not taken away by a user who may write the folder but cannot give files away', async () => {
    await done('init', '--curve', 'P-256');
    await done('root', 'init');
    await done('root', 'delegate');
    const signer = await readFile(at('set-signing.json'), 'utf8');
    const own = join(root, 'root.json');
    await writeFile(own, await readFile(at('root.json')), { mode: 0o600 });
    chownSync(own, OTHER, OTHER);
    chmodSync(at('.'), 0o777);
    const args = [resolve(MAIN), 'keys', 'root', 'delegate', '--new-key', '--root', own, '--dir', dir];
    const { code, stderr } = await finish(process.execPath, args, { uid: OTHER, env: { ...environment, HOME: root } });
    expect([code, stderr]).to.deep.equal([
      3,
      `sealwire: ${at('set-signing.json')}: it belongs to user ${SERVICE}, who could not read it any more; ` +
        'run this as that user or as root\n',
    ]);
    expect(await readFile(at('set-signing.json'), 'utf8')).to.equal(signer);
  });
});
