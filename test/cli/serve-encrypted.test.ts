/** `sealwire serve` with an encrypted key ring. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { isEncrypted } from '../../src/keys/encryption.js';
import { KeyRing } from '../../src/keys/ring.js';
import { environment, finishSealwire } from '../support/command.js';
import { validRequest } from '../support/harness.js';
import { readRecords } from '../support/payments-load.js';
import { startServiceProcess, stopServiceProcess } from '../support/service-process.js';

const PASSPHRASE = 'kept elsewhere';

describe('sealwire serve with an encrypted ring', function () {
  this.timeout(60_000);
  let dir: string;
  let ringPath: string;
  let file: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-encrypted-'));
    ringPath = join(dir, 'keys/ring.json');
    file = join(dir, 'passphrase');
    await writeFile(file, `${PASSPHRASE}\n`, { mode: 0o600 });
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const load = () => KeyRing.load(ringPath, { passphrase: () => PASSPHRASE });

  it('makes one with the passphrase of a file, and follows it', async () => {
    const config = { logLevel: 'info', keys: { passphraseFile: file } } as const;
    const service = await startServiceProcess({ dir, config });
    expect(isEncrypted(await readFile(ringPath, 'utf8'))).to.equal(true);
    const first = (await load()).currentKid;
    await service.client.authorize(validRequest);
    const rotated = await finishSealwire(['keys', 'rotate', '--now', '--dir', dir, '--passphrase-file', file]);
    expect([rotated.code, rotated.stderr.replace(/^sealwire: note: .*\n$/, '')]).to.deep.equal([0, '']);
    const second = (await load()).currentKid;
    while (!service.running.stderr().includes('senders use another key')) {
      await new Promise((resolve) => service.running.child.stderr?.once('data', resolve));
    }
    expect(await stopServiceProcess(service)).to.equal(0);
    const rotations = readRecords(dir).filter(({ event }) => event === 'rotate');
    expect(rotations.map(({ detail }) => detail)).to.deep.equal([`from ${first} to ${second}`]);
    expect(service.running.stderr()).not.to.contain(PASSPHRASE);
  });

  it('takes the passphrase from the environment, and refuses to start with another or none', async () => {
    const init = await finishSealwire(['keys', 'init', '--dir', dir, '--passphrase-file', file]);
    expect(init.code).to.equal(0);
    const before = await readFile(ringPath, 'utf8');
    const service = await startServiceProcess({ dir, env: { SEALWIRE_KEY_PASSPHRASE: PASSPHRASE } });
    await service.client.authorize(validRequest);
    expect(await stopServiceProcess(service)).to.equal(0);
    const serve = (variables: object) =>
      finishSealwire(['serve', '--listen', '127.0.0.1:0', '--dir', dir], { env: { ...environment, ...variables } });
    const none = await serve({});
    expect([none.code, none.stderr]).to.deep.equal([
      2,
      `sealwire: ${ringPath}: encrypted; a passphrase is needed to read it\n`,
    ]);
    const other = await serve({ SEALWIRE_KEY_PASSPHRASE: 'another' });
    expect([other.code, other.stderr]).to.deep.equal([
      2,
      `sealwire: ${ringPath}: the passphrase is wrong, or the file was changed\n`,
    ]);
    expect(await readFile(ringPath, 'utf8')).to.equal(before);
  });
});
