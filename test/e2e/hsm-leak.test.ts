/** A private key with a known value, in a token: nothing that the project writes or prints has it, nor the PIN. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { CK } from '../../src/keys/pkcs11/cryptoki.js';
import { Pkcs11Custody } from '../../src/keys/pkcs11/pkcs11-custody.js';
import { KeyRing } from '../../src/keys/ring.js';
import { exportRingKey } from '../../src/keys/ring-file.js';
import { makePair } from '../keys/helpers.js';
import { environment, finishSealwire } from '../support/command.js';
import { validRequest } from '../support/harness.js';
import { scrape } from '../support/prometheus.js';
import { startServiceProcess, stopServiceProcess } from '../support/service-process.js';
import { createSoftToken, importToToken, onToken, type SoftToken, tokenConfig } from '../support/softhsm.js';

/** Forms of a private value, in text and in bytes read as latin1; base64 in each of its alignments. */
function formsOf(d: string): string[] {
  const bytes = Buffer.from(d, 'base64url');
  const shifted = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(4, 80),
  );
  const texts = [bytes.toString('hex').slice(2), ...shifted].flatMap((text) => [text, text.toUpperCase()]);
  return [...texts, ...shifted.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')), bytes.toString('latin1')];
}

const found = (text: string, forms: readonly string[]) => forms.filter((form) => text.includes(form));

async function readAll(dir: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return (await Promise.all(files.map((file) => readFile(file, 'latin1')))).join('\n');
}

describe('a private key in a PKCS#11 token', function () {
  this.timeout(60_000);
  const { jwk } = makePair('P-521');
  const forms = formsOf(jwk.d);
  let token: SoftToken;
  let dir: string;
  let env: NodeJS.ProcessEnv;
  before(async function () {
    token = await createSoftToken(this, '7319-canary-pin');
    dir = await mkdtemp(join(tmpdir(), 'sealwire-hsm-leak-'));
    env = { ...environment, SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'], SEALWIRE_HSM_PIN: token.pin };
    importToToken(token, 'canary', jwk);
  });
  after(async () => {
    await token?.remove();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });

  async function command(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await finishSealwire(args, { env });
    return `${code}\n${stdout}\n${stderr}`;
  }

  it('would be found by this test, were it in a file', async () => {
    const ring = await KeyRing.fromKeys([jwk]);
    await ring.save(join(dir, 'local.json'));
    expect(found(await readAll(dir), forms)).not.to.deep.equal([]);
    expect(found(Buffer.from(jwk.d, 'base64url').toString('hex'), forms)).not.to.deep.equal([]);
    await rm(join(dir, 'local.json'));
  });

  it('is in no file and no output of commands and service', async () => {
    const uri = token.uri('canary');
    const place = ['--dir', dir];
    const seen = [
      await command('keys', 'init', ...place),
      await command('keys', 'import', '--now', '--custody', uri, ...place),
      await command('keys', 'list', ...place),
      await command('keys', 'list', '--json', ...place),
      await command('keys', 'export', ...place),
      await command('keys', 'export', '--public', ...place),
      await command('--debug', 'keys', 'import', '--custody', uri, ...place),
    ];
    const config = { logLevel: 'debug', metrics: { listen: '127.0.0.1:0' }, ...(await tokenConfig(token)) } as const;
    const service = await startServiceProcess({ dir, env, config });
    const { paymentId } = await service.client.authorize(validRequest);
    await service.client.getPayment({ paymentId });
    const [, metrics = ''] = /metrics on http:\/\/([\d.:]+)\/metrics/.exec(service.running.stderr()) ?? [];
    const { text, samples } = await scrape(metrics);
    expect(samples.get('sealwire_hsm_calls_total{outcome="done"}')).to.be.greaterThan(1);
    seen.push(text, await command('keys', 'verify', ...place), await command('keys', 'passphrase', ...place));
    expect(await stopServiceProcess(service)).to.equal(0);
    seen.push(service.running.stdout(), service.running.stderr(), await command('audit', 'search', ...place));
    seen.push(await readAll(dir));
    const all = seen.join('\n');
    expect(found(all, forms)).to.deep.equal([]);
    expect(all).not.to.include(token.pin);
    // It was there to be read, all the time.
    expect(all).to.include(uri);
  });

  it('is in no object of ours, printed or exported', async () => {
    const custody = new Pkcs11Custody({ readPin: async () => token.pin });
    try {
      const { kid, ...rest } = await custody.describe(token.uri('canary'));
      const ring = await KeyRing.fromKeys([{ kid, ...rest, sealwire: { custody: token.uri('canary') } }], {
        hardware: custody,
      });
      const values = [custody, ring, ring.keys(), ring.describe(), ring.keys().map(exportRingKey)];
      const all = values.map((value) => `${inspect(value, { depth: 12, showHidden: true })}${JSON.stringify(value)}`);
      await ring.save(join(dir, 'backup.json'));
      all.push(await readFile(join(dir, 'backup.json'), 'utf8'));
      const failed = await custody.describe(token.uri('none')).catch((error: unknown) => error);
      expect(failed).to.be.instanceOf(SealwireError);
      all.push(inspect(failed, { depth: 12, showHidden: true }));
      expect(found(all.join('\n'), forms)).to.deep.equal([]);
      expect(all.join('\n')).not.to.include(token.pin);
      expect(ring.keys().map(({ privateKey }) => privateKey)).to.deep.equal([undefined]);
    } finally {
      await custody.close();
    }
  });

  it('is refused by the token itself', () => {
    expect(() =>
      onToken(token, (module, session) => {
        module.C_FindObjectsInit(session, [
          { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
          { type: CK.CKA_LABEL, value: 'canary' },
        ]);
        const [key] = module.C_FindObjects(session, 1);
        module.C_FindObjectsFinal(session);
        return module.C_GetAttributeValue(session, key as Buffer, [{ type: CK.CKA_VALUE }]);
      }),
    ).to.throw('CKR_ATTRIBUTE_SENSITIVE');
  });
});
