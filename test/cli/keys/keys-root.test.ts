/**
 * `sealwire keys root` and `keys verify` as their users run them: with the root on the service's machine, and away from
 * it.
 */
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import type { SealwireError } from '../../../src/errors.js';
import { createApplicationLogger } from '../../../src/host/log/logger.js';
import { signDelegation } from '../../../src/keys/signed-set/delegation.js';
import { verifyKeySet } from '../../../src/keys/signed-set/key-set.js';
import { loadVerificationKey, SigningKey } from '../../../src/keys/signed-set/signing-key.js';
import { environment, type Finished, finishSealwire } from '../../support/command.js';
import { type PaymentsService, paymentsConfig, startPayments } from '../../support/payments-host.js';

const ORIGIN = 'sealwire-payments';

describe('sealwire keys root', () => {
  let dir: string;
  let running: PaymentsService | undefined;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-root-'));
  });
  afterEach(async () => {
    await stop();
    await rm(dir, { recursive: true, force: true });
  });

  const at = (...parts: string[]) => join(dir, ...parts);
  const service = () => at('service');
  const keys = (...args: string[]) => finishSealwire(['keys', ...args]);
  const read = (path: string) => readFile(path, 'utf8');

  async function done(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await keys(...args);
    expect([code, stderr], args.join(' ')).to.deep.equal([0, '']);
    return stdout;
  }

  /** One line on stderr and no stack. */
  function expectFailure({ code, stderr }: Finished, expected: number, said: RegExp): void {
    expect(code, stderr).to.equal(expected);
    expect(stderr)
      .to.match(said)
      .and.to.match(/^sealwire: [^\n]+\n$/);
  }

  /** The service as it is started by `sealwire serve`. */
  async function serve(): Promise<string> {
    const config = paymentsConfig({ dir: service(), drainMs: 0 });
    const quiet = createApplicationLogger('error', new Writable({ write: (_chunk, _encoding, written) => written() }));
    running = await startPayments(config, quiet);
    return running.address;
  }

  async function stop(): Promise<void> {
    await running?.stop();
    running = undefined;
  }

  /** What a client would say of the set that is served. */
  async function verdict(...roots: string[]): Promise<string> {
    const text = running?.keySet.current()?.jws ?? '';
    return verifyKeySet(text, { roots, issuer: ORIGIN, nowMs: Date.now() }).then(
      () => 'ok',
      (error: SealwireError) => error.code,
    );
  }

  const thumbprint = async () => (await loadVerificationKey(at('service/keys/root.pub.json'))).kid;

  it('init makes a root for the service, once, and says what to pin', async () => {
    const said = await done('root', 'init', '--dir', service());
    const pin = (await done('root', 'show', '--dir', service())).trim();
    expect(pin).to.equal(await thumbprint());
    expect(said).to.equal(
      `signing root ${pin}\nprivate half ${at('service/keys/root.json')}\npublic half ${at('service/keys/root.pub.json')}\n`,
    );
    expect((await stat(at('service/keys/root.json'))).mode & 0o777).to.equal(0o600);
    const before = await read(at('service/keys/root.json'));
    expectFailure(await keys('root', 'init', '--dir', service()), 3, /root\.json: the file exists already/);
    expect(await read(at('service/keys/root.json'))).to.equal(before);
    const address = await serve();
    expect(await done('verify', '--address', address, '--root', pin)).to.match(/^key set +ok +of 'sealwire-payments'/m);
  });

  it('keeps a root away from the service: its key is carried there, a delegation back, and the service never sees the root', async () => {
    const offline = at('offline');
    await mkdir(offline);
    await done('root', 'init', '--root', join(offline, 'root.json'));
    await mkdir(at('service/keys'), { recursive: true, mode: 0o700 });
    await rename(join(offline, 'root.pub.json'), at('service/keys/root.pub.json'));
    const pin = await thumbprint();
    const address = await serve();
    // There is a set-signing key, and nobody has delegated to it yet.
    expectFailure(await keys('verify', '--address', address, '--root', pin), 3, /the key service answered UNAVAILABLE/);
    const carried = ['--signer', at('service/keys/set-signing.pub.json'), '--out', at('delegation.jws')];
    const said = await done('root', 'delegate', '--root', join(offline, 'root.json'), ...carried, '--days', '30');
    expect(said).to.match(/^delegation for 'sealwire-payments' until \d{4}-\d\d-\d\d: .*delegation\.jws\n$/);
    await rename(at('delegation.jws'), at('service/keys/delegation.jws'));
    await running?.keySet.update();
    expect(await verdict(pin)).to.equal('ok');
    expect(await done('verify', '--dir', service())).to.match(
      /^delegation +ok +for 'sealwire-payments', 29 days left$/m,
    );
    const names = ['root.json', 'root.next.json', 'root.old.json'];
    for (const name of names) expect(await read(at('service/keys', name)).catch(() => 'absent')).to.equal('absent');
  });

  it('delegate renews under the same pin, and replaces a set-signing key', async () => {
    await serve();
    await stop();
    const pin = await thumbprint();
    const signer = await read(at('service/keys/set-signing.json'));
    expect(await done('root', 'delegate', '--dir', service(), '--days', '7')).to.include(
      new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 10),
    );
    expect(await read(at('service/keys/set-signing.json'))).to.equal(signer);
    await done('root', 'delegate', '--dir', service(), '--new-key');
    expect(await read(at('service/keys/set-signing.json'))).not.to.equal(signer);
    await serve();
    expect(await verdict(pin)).to.equal('ok');
  });

  it('delegate without a folder that has anything makes the set-signing key, and takes a name', async () => {
    await done('root', 'init', '--dir', service());
    expect(await done('root', 'delegate', '--dir', service(), '--name', 'invoices')).to.include("for 'invoices'");
    // The name of the delegation that is there goes on.
    expect(await done('root', 'delegate', '--dir', service())).to.include("for 'invoices'");
    for (const name of ['set-signing.json', 'set-signing.pub.json', 'delegation.jws'])
      await stat(at('service/keys', name));
  });

  it('rotate lets clients pin two roots, and goes over to the next one with --finish', async () => {
    const address = await serve();
    const first = await thumbprint();
    const said = await done('root', 'rotate', '--dir', service());
    const [, shown, next] = /\n {2}(\S{43})\n {2}(\S{43}) \(next\)\n/.exec(said) ?? [];
    expect(shown).to.equal(first);
    expectFailure(await keys('root', 'rotate', '--dir', service()), 3, /root\.next\.json: the file exists already/);
    const [both, old, fresh] = [[first, String(next)], [first], [String(next)]];
    expect([await verdict(...both), await verdict(...old)]).to.deep.equal(['ok', 'ok']);
    expect(await done('root', 'rotate', '--dir', service(), '--finish')).to.include(`signing root ${next}\n`);
    // The service runs all the time.
    await running?.keySet.update();
    expect([await verdict(...both), await verdict(...fresh)]).to.deep.equal(['ok', 'ok']);
    const refused = await keys('verify', '--address', address, '--root', first);
    expect(refused.code).to.equal(1);
    expect(refused.stdout).to.include('KEY_SET_ROOT_UNKNOWN');
    const pins = ['--root', first, '--root', String(next)];
    await done('verify', '--address', address, ...pins);
    expect((await SigningKey.load(at('service/keys/root.old.json'))).kid).to.equal(first);
    expectFailure(await keys('root', 'rotate', '--dir', service(), '--finish'), 3, /root\.next\.json: no such file/);
  });

  it('rotate --finish takes up where a crash left it', async () => {
    const steps = [
      ['root.json', 'root.old.json'],
      ['root.next.json', 'root.json'],
      ['root.next.pub.json', 'root.pub.json'],
    ] as const;
    await serve();
    await stop();
    for (const count of [1, 2]) {
      await done('root', 'rotate', '--dir', service());
      const next = await done('root', 'show', '--root', at('service/keys/root.next.pub.json'));
      for (const [from, to] of steps.slice(0, count)) await rename(at('service/keys', from), at('service/keys', to));
      const said = await done('root', 'rotate', '--dir', service(), '--finish');
      expect(said).to.include(`signing root ${next}`);
      expect(await thumbprint()).to.equal(next.trim());
      await serve();
      expect(await verdict(next.trim())).to.equal('ok');
      await stop();
    }
  });

  it('rotate --finish does not take the present root for the next one, when that was taken away', async () => {
    await done('root', 'init', '--dir', service());
    await done('root', 'rotate', '--dir', service());
    await rm(at('service/keys/root.next.json'));
    const before = await read(at('service/keys/root.pub.json'));
    expectFailure(await keys('root', 'rotate', '--dir', service(), '--finish'), 3, /root\.next\.json: no such file/);
    expect(await read(at('service/keys/root.pub.json'))).to.equal(before);
    expect((await SigningKey.load(at('service/keys/root.json'))).kid).to.equal(await thumbprint());
  });

  it('keeps a root encrypted; the service takes it for one that is elsewhere', async () => {
    await writeFile(at('passphrase'), 'correct horse\n', { mode: 0o600 });
    const secret = ['--passphrase-file', at('passphrase')];
    await done('root', 'init', '--dir', service(), ...secret);
    expect(await read(at('service/keys/root.json'))).to.match(/^ey/);
    await serve();
    expect(running?.keySet.current()).to.equal(undefined);
    expectFailure(await keys('root', 'delegate', '--dir', service()), 2, /a passphrase of the root is needed/);
    await writeFile(at('wrong'), 'battery staple\n', { mode: 0o600 });
    const wrong = await keys('root', 'delegate', '--dir', service(), '--passphrase-file', at('wrong'));
    expectFailure(wrong, 2, /passphrase/);
    await done('root', 'delegate', '--dir', service(), ...secret);
    await running?.keySet.update();
    expect(await verdict(await thumbprint())).to.equal('ok');
    const env = { ...environment, SEALWIRE_ROOT_PASSPHRASE: 'correct horse' };
    const { code } = await finishSealwire(['keys', 'root', 'delegate', '--dir', service()], { env });
    expect(code).to.equal(0);
  });

  it('refuses what it cannot do, in one line', async () => {
    await done('root', 'init', '--dir', service());
    const delegate = (...args: string[]) => keys('root', 'delegate', '--dir', service(), ...args);
    expectFailure(await delegate('--days', '91'), 2, /days must be a whole number from 1 to 90/);
    expectFailure(await delegate('--name', ''), 2, /needs the name of a recipient/);
    expectFailure(await delegate('--new-key', '--out', at('x')), 2, /cannot be used with --out/);
    expectFailure(await delegate('--signer', at('absent.json')), 3, /absent\.json: no such file/);
    await writeFile(at('private.json'), await read(at('service/keys/root.json')));
    expectFailure(
      await delegate('--signer', at('private.json')),
      3,
      /private\.json: a private key in place of a public one/,
    );
    expectFailure(await keys('root', 'show', '--dir', at('nowhere')), 3, /root\.pub\.json: no such file/);
    for (const args of [
      ['--days', 'x'],
      ['--new-key', '--signer', 'x'],
    ]) {
      expect((await delegate(...args)).code).to.equal(2);
    }
  });

  describe('and keys verify', () => {
    it('checks a folder, line by line, and prints JSON', async () => {
      await serve();
      await stop();
      const { stdout } = await keys('verify', '--dir', service(), '--json');
      const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: { check: string; result: string }[] };
      expect(ok).to.equal(true);
      expect(checks.map(({ check, result }) => [check, result])).to.deep.equal([
        ['ring', 'ok'],
        ['root', 'ok'],
        ['delegation', 'ok'],
        ['key set', 'ok'],
      ]);
    });

    it('names what is wrong with each file, with exit code 1', async () => {
      await serve();
      await stop();
      const file = (name: string) => at('service/keys', name);
      const result = async (...args: string[]) => {
        const { code, stdout, stderr } = await keys('verify', '--dir', service(), ...args);
        expect([code, stderr]).to.deep.equal([1, '']);
        return stdout;
      };
      const set = await read(file('key-set.jws'));
      await writeFile(file('key-set.jws'), `${set.trim().slice(0, -4)}AAAA\n`);
      expect(await result()).to.match(/^key set +KEY_SET_SIGNATURE /m);
      await writeFile(file('key-set.jws'), set);
      expect(await result('--root', 'A'.repeat(43))).to.match(
        /^root +KEY_SET_ROOT_UNKNOWN .*\n.*\nkey set +KEY_SET_ROOT_UNKNOWN/m,
      );
      expect(await result('--name', 'other')).to.match(/^delegation +KEY_SET_ISSUER /m);
      const ring = await readFile(file('ring.json'));
      await done('rotate', '--dir', service(), '--compromised');
      expect(await result()).to.match(/^key set +KEY_NOT_FOUND +names key \S+, which the ring refuses: start the/m);
      await writeFile(file('ring.json'), ring);
      const delegation = await read(file('delegation.jws'));
      const root = await SigningKey.load(file('root.json'));
      const other = await SigningKey.generate();
      const foreign = { recipient: ORIGIN, signer: other.publicJwk, nowMs: Date.now() };
      await writeFile(file('delegation.jws'), await signDelegation(root, foreign));
      expect(await result()).to.match(/^delegation +KEY_SET_SIGNER /m);
      const expired = { ...foreign, nowMs: Date.now() - 91 * 86_400_000 };
      await writeFile(file('delegation.jws'), await signDelegation(root, expired));
      expect(await result()).to.match(/^delegation +KEY_SET_DELEGATION_EXPIRED /m);
      await writeFile(file('delegation.jws'), delegation);
      await rm(file('ring.json'));
      expect(await result()).to.match(/^ring +KEY_FILE_MISSING /m);
    });

    it('checks a set in a file against a pin, and knows what is no verdict', async () => {
      await serve();
      await stop();
      const pin = await thumbprint();
      const set = at('service/keys/key-set.jws');
      await done('verify', '--dir', at('nowhere'), '--file', set, '--root', pin);
      const wrong = await keys('verify', '--dir', at('nowhere'), '--file', set, '--root', pin, '--name', 'other');
      expect(wrong.code).to.equal(1);
      expect(wrong.stdout).to.include('KEY_SET_ISSUER');
      expectFailure(await keys('verify', '--file', at('absent')), 3, /absent: no such file/);
      expectFailure(
        await keys('verify', '--address', '127.0.0.1:1', '--root', pin),
        3,
        /answered UNAVAILABLE; sealwire doctor \S+ with/,
      );
      const badCa = await keys('verify', '--address', '127.0.0.1:1', '--tls-ca', at('absent.pem'));
      expectFailure(badCa, 2, /absent\.pem: ENOENT/);
      expect((await keys('verify', '--address', 'x:1', '--file', 'y')).code).to.equal(2);
    });
  });
});
