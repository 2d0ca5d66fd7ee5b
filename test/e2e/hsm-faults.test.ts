/** The real service with its key in a token: the token goes and comes back, is the wrong one, or the service dies. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { importKey } from '../../src/keys/import.js';
import { CK } from '../../src/keys/pkcs11/cryptoki.js';
import { makePair } from '../keys/helpers.js';
import { environment, finish, MAIN } from '../support/command.js';
import { startHarness, validRequest } from '../support/harness.js';
import { scrape, sum } from '../support/prometheus.js';
import { rotateUnderLoad } from '../support/rotate-under-load.js';
import { startServiceProcess } from '../support/service-process.js';
import { sessionPids, untilGone } from '../support/session-pids.js';
import { createSoftToken, importToToken, type SoftToken, tokenConfig, writeTokenRing } from '../support/softhsm.js';
import { breakTokenUnderLoad } from '../support/token-faults.js';

describe('a service whose key is in a PKCS#11 token', function () {
  this.timeout(60_000);
  let token: SoftToken;
  let dir: string;
  before(async function () {
    token = await createSoftToken(this);
  });
  after(() => token?.remove());
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-hsm-service-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('fails fresh agreements only while the token is away, and serves again without a restart', async () => {
    const result = await breakTokenUnderLoad(token, 1);
    expect(result).to.deep.include({ freshReasons: ['CUSTODY_UNAVAILABLE'], cachedFailures: [], exitCode: 0 });
    expect(result.cachedCalls).to.be.at.least(25);
    expect(result.healths).to.deep.equal(['NOT_SERVING', 'SERVING']);
    expect(result.recoveryReasons).to.have.members(result.recoveryReasons.length > 0 ? ['CUSTODY_UNAVAILABLE'] : []);
  });

  it('fails no call while the key moves from a file to the token and back', async () => {
    const result = await rotateUnderLoad(2, token);
    expect(result).to.deep.include({ failures: [], refusedKeys: 2, rotations: 2, retirements: 2, exitCode: 0 });
    expect(result.calls).to.be.greaterThan(50);
  });

  it('leaves no process behind when it is killed', async () => {
    await writeTokenRing(dir, token, { object: 'killed' });
    const env = { SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'] };
    const { running, client } = await startServiceProcess({ dir, env, config: await tokenConfig(token) });
    await client.authorize(validRequest);
    client.close();
    const pids = sessionPids(running.child.pid);
    expect(pids).not.to.deep.equal([]);
    running.child.kill('SIGKILL');
    await running.ended;
    await untilGone(pids);
  });

  for (const [agreements, expected] of [
    ['none', 12],
    ['cached', 1],
  ] as const) {
    it(`asks the token ${expected} times for 12 messages of one sender with agreements: ${agreements}`, async () => {
      const prepare = async (folder: string) => {
        await writeTokenRing(folder, token, { object: `counted ${agreements}` });
      };
      const harness = await startHarness({ prepare, config: { agreements, ...(await tokenConfig(token)) } });
      try {
        const calls = async () => {
          const { samples } = await scrape(harness.service.metricsAddress as string);
          return sum(samples, 'sealwire_hsm_calls_total', 'outcome="done"');
        };
        for (let count = 0; count < 12; count++) {
          await harness.client.authorize({ ...validRequest, orderId: `order-${count}` });
        }
        // The key was looked at twice: at start, and when the ring file was first followed, which may be yet to come.
        const all = expected + 2;
        while ((await calls()) < all) await new Promise((resolve) => setTimeout(resolve, 20));
        expect(await calls()).to.equal(all);
      } finally {
        await harness.stop();
      }
    });
  }

  describe('does not start, and says why in one line,', () => {
    async function serve(uri: string, object: string, pin = token.pin): Promise<string> {
      const { jwk } = makePair('P-521');
      importToToken(token, object, jwk, object === 'no derive' ? [{ type: CK.CKA_DERIVE, value: false }] : []);
      await writeRing({ ...(await importKey(jwk)).jwk, sealwire: { custody: uri } });
      return start(pin);
    }

    async function writeRing(key: object): Promise<void> {
      await mkdir(join(dir, 'keys'), { mode: 0o700 });
      await writeFile(join(dir, 'keys/ring.json'), JSON.stringify({ keys: [key] }), { mode: 0o600 });
    }

    async function start(pin: string): Promise<string> {
      const env = { ...environment, SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'], SEALWIRE_HSM_PIN: pin };
      const args = [MAIN, 'serve', '--listen', '127.0.0.1:0', '--dir', dir, '--log-level', 'error'];
      const { code, stdout, stderr } = await finish(process.execPath, args, { env });
      expect(stdout).to.equal('');
      expect(stderr).not.to.include(pin);
      const lines = stderr.trimEnd().split('\n');
      expect(lines.filter((line) => line.startsWith('sealwire: key '))).to.have.length(1);
      return `${code} ${lines.at(-1)}`;
    }

    it('with the label of another token', async () => {
      const uri = token.uri('label').replace('sealwire%20test', 'another');
      expect(await serve(uri, 'label')).to.match(/^3 sealwire: key \S+: .*no such token is present$/);
    });

    it('with a key that may not derive', async () => {
      expect(await serve(token.uri('no derive'), 'no derive')).to.match(/^2 sealwire: key \S+: .*may not derive/);
    });

    it('with a wrong PIN', async () => {
      expect(await serve(token.uri('pin'), 'pin', '999999')).to.match(/^2 sealwire: key \S+: .*refuses the PIN$/);
    });

    it('with another key under the name', async () => {
      await writeTokenRing(dir, token, { object: 'mine' });
      await rm(join(dir, 'keys'), { recursive: true });
      await writeRing({ ...(await importKey(makePair('P-521').jwk)).jwk, sealwire: { custody: token.uri('mine') } });
      expect(await start(token.pin)).to.match(/^2 sealwire: key \S+: the token has another key under that name$/);
    });
  });
});
