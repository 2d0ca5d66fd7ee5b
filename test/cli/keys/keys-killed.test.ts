/** `sealwire keys rotate` killed with SIGKILL wherever it changes something on disk. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadPublicKeys } from '../../../src/keys/public-keys.js';
import { KeyRing } from '../../../src/keys/ring.js';
import { RingStore } from '../../../src/keys/ring-store.js';
import { environment, finish, finishSealwire, MAIN } from '../../support/command.js';

const HOOK = new URL('../../support/kill-at.js', import.meta.url).href;
const PASSPHRASE = 'of the ring';

/** Runs `sealwire keys rotate --now` in a folder, with the hook in it. */
function rotate(dir: string, variables: NodeJS.ProcessEnv) {
  const env = { ...environment, SEALWIRE_KEY_PASSPHRASE: PASSPHRASE, ...variables };
  return finish(process.execPath, ['--import', HOOK, MAIN, 'keys', 'rotate', '--now', '--dir', dir], { env });
}

describe('sealwire keys rotate, killed', () => {
  let root: string;
  let base: string;
  let first: string;
  let operations: string[];

  before(async function () {
    this.timeout(60_000);
    root = await mkdtemp(join(tmpdir(), 'sealwire-killed-'));
    base = join(root, 'base');
    const { code } = await finishSealwire(['keys', 'init', '--curve', 'P-256', '--dir', base]);
    expect(code).to.equal(0);
    first = (await KeyRing.load(join(base, 'keys/ring.json'))).currentKid;
    const dry = join(root, 'dry');
    await cp(base, dry, { recursive: true });
    const log = join(root, 'operations');
    await writeFile(log, '');
    expect((await rotate(dry, { KILL_LOG: log })).code).to.equal(0);
    operations = (await readFile(log, 'utf8')).trimEnd().split('\n');
  });
  after(() => rm(root, { recursive: true, force: true }));

  /** What a killed rotation left is the old ring or the new one, and the next one works. @returns which */
  async function examine(dir: string): Promise<'old' | 'new'> {
    const path = join(dir, 'keys/ring.json');
    const publicPath = join(dir, 'keys/public.jwks.json');
    const ring = await KeyRing.load(path);
    const states = ring.describe().map(({ state }) => state);
    expect(states.join()).to.be.oneOf(['active', 'opening,active']);
    expect(ring.describe()[0]?.kid).to.equal(first);
    // Senders find a whole file, with a key that opens.
    const senders = await loadPublicKeys(publicPath);
    expect(senders).to.have.length(1);
    expect(ring.find(senders[0]?.kid ?? '')).not.to.equal(undefined);
    const store = new RingStore({ path, publicPath, waitMs: 1_000 });
    const after = await store.update((keys) => keys);
    expect(after.describe()).to.deep.equal(ring.describe());
    expect((await loadPublicKeys(publicPath)).map(({ kid }) => kid)).to.deep.equal([after.currentKid]);
    // Nothing half written stays that may have private keys in it.
    const harmless = /^(?:public\.jwks\.json\.[0-9a-f]+\.tmp|ring\.json\.lock\.[0-9a-f]+)$/;
    const names = (await readdir(join(dir, 'keys'))).filter((name) => !harmless.test(name));
    expect(names.sort()).to.deep.equal(['public.jwks.json', 'ring.json']);
    return states.length === 1 ? 'old' : 'new';
  }

  it('leaves the old ring or the new one, at every operation', async function () {
    this.timeout(180_000);
    const isRename = (name: string) => name === 'rename';
    expect(operations.filter(isRename)).to.have.length(2);
    expect(operations).to.include('handle.writeFile (data)');
    const cases = operations.flatMap((name, index) => [
      { at: index + 1, mode: 'before' },
      ...(name.endsWith('(data)') ? [{ at: index + 1, mode: 'half' }] : []),
    ]);
    const found: string[] = [];
    for (const { at, mode } of cases) {
      const dir = join(root, `${at}-${mode}`);
      await cp(base, dir, { recursive: true });
      const killed = await rotate(dir, { KILL_AT: String(at), KILL_MODE: mode });
      expect([killed.code, killed.stdout, killed.stderr], `${operations[at - 1]} ${mode}`).to.deep.equal([
        'SIGKILL',
        '',
        '',
      ]);
      found.push(await examine(dir));
    }
    // The rename is the moment: old before it, new from then on.
    const moment = operations.findIndex(isRename) + 1;
    const expected = cases.map(({ at }) => (at <= moment ? 'old' : 'new'));
    expect(found).to.deep.equal(expected);
  });
});
