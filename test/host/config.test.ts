import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { type HostConfigInput, loadConfig } from '../../src/host/config.js';

const app = { name: 'an-app' };

function load(config: HostConfigInput, configFile?: string, environment: NodeJS.ProcessEnv = {}) {
  return loadConfig(app, { config, configFile, environment });
}

/** The message of an `OPTIONS_INVALID`. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).to.be.instanceOf(SealwireError);
    expect((error as SealwireError).code).to.equal('OPTIONS_INVALID');
    return (error as SealwireError).message;
  }
  return expect.fail('nothing was thrown');
}

describe('loadConfig', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sealwire-config-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function file(content: unknown): Promise<string> {
    const path = join(folder, 'config.json');
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  }

  it('has a default for everything', () => {
    expect(load({})).to.deep.include({
      listen: '127.0.0.1:50051',
      dir: './var',
      policy: 'strict',
      origin: 'an-app',
      rate: { perSecond: 50, burst: 100 },
    });
    expect(load({}).audit).to.include({ mode: 'sync', deadlineMs: 5_000, checkpointMs: 10_000 });
  });

  it('takes the file before defaults, the environment before the file, flags before the environment', async () => {
    const path = await file({ listen: '127.0.0.1:1', dir: '/file', policy: 'interop', origin: 'file' });
    const environment = { SEALWIRE_LISTEN: '127.0.0.1:2', SEALWIRE_DIR: '/environment', HOME: '/root' };
    expect(load({ listen: '127.0.0.1:3' }, path, environment)).to.deep.include({
      listen: '127.0.0.1:3',
      dir: '/environment',
      policy: 'interop',
      origin: 'file',
    });
  });

  it('takes the address of the web gateway from the environment, and its origins from the file', async () => {
    const web = { listen: '127.0.0.1:1', origins: ['https://shop.example'] };
    const path = await file({ web });
    expect(load({}, path, {}).web).to.deep.equal(web);
    expect(load({}, path, { SEALWIRE_WEB_LISTEN: 'off' }).web).to.deep.equal({ ...web, listen: 'off' });
    for (const origin of ['shop.example', 'https://shop.example/', 'https://*.example', '*', 'null']) {
      expect(
        refusal(() => load({ web: { origins: [origin] } })),
        origin,
      ).to.include('web.origins');
    }
  });

  it('ignores flags that were not given', () => {
    const flags = { listen: undefined } as unknown as { listen: string };
    expect(load(flags).listen).to.equal('127.0.0.1:50051');
  });

  it('refuses a file in which a name stands twice, at any depth', async () => {
    for (const text of ['{"policy":"strict","policy":"interop"}', '{"rate":{"burst":1,"\\u0062urst":2}}']) {
      const path = await file(text);
      expect(() => load({}, path, {})).to.throw(SealwireError, 'a name stands twice in one object');
    }
    expect(load({}, await file('{ "rate": {"burst": 1}, "keySet": {} }'), {}).rate.burst).to.equal(1);
  });

  it('refuses an unknown key of the file by name', async () => {
    const path = await file({ polcy: 'strict' });
    expect(refusal(() => load({}, path))).to.include('polcy');
  });

  it('refuses an unknown key of a nested object by name', async () => {
    const path = await file({ audit: { mdoe: 'async' } });
    expect(refusal(() => load({}, path))).to.include('mdoe');
  });

  it('refuses an unknown variable by name', () => {
    expect(refusal(() => load({}, undefined, { SEALWIRE_POLCY: 'strict' }))).to.include('SEALWIRE_POLCY');
  });

  it('has no use for the variables of commands that call a service', () => {
    const caller = { SEALWIRE_ADDRESS: 'payments:443', SEALWIRE_ROOT: 'root.pub.json', SEALWIRE_NAME: 'payments' };
    expect(load({}, undefined, caller)).to.deep.equal(load({}));
  });

  const wrong: readonly [name: string, option: string, value: unknown][] = [
    ['an address without a port', 'listen', 'localhost'],
    ['an unknown policy', 'policy', 'lax'],
    ['an origin with white space', 'origin', 'a b'],
    ['an unknown audit mode', 'audit', { mode: 'none' }],
    ['a rate of zero', 'rate', { perSecond: 0 }],
    ['a fraction', 'drainMs', 1.5],
    ['a number as text', 'drainMs', '10'],
    ['TLS without a key', 'tls', { cert: 'a.pem' }],
    ['a caller header in capitals', 'callerHeader', 'X-Caller'],
  ];
  for (const [name, option, value] of wrong) {
    it(`refuses ${name} and names the option`, async () => {
      const path = await file({ [option]: value });
      expect(refusal(() => load({}, path))).to.include(option);
    });
  }

  it('names every wrong option at once', async () => {
    const path = await file({ policy: 'lax', drainMs: -1 });
    expect(refusal(() => load({}, path)))
      .to.include('policy')
      .and.include('drainMs');
  });

  for (const [name, text] of [
    ['that is not JSON', '{"dir": "secret'],
    ['that is a list', '[]'],
    ['that is null', 'null'],
  ] as const) {
    it(`refuses a file ${name}, without quoting it`, async () => {
      const path = await file(text);
      expect(refusal(() => load({}, path)))
        .to.include(path)
        .and.not.include('secret');
    });
  }

  it('refuses a file that is not there', () => {
    expect(refusal(() => load({}, join(folder, 'absent.json')))).to.include('ENOENT');
  });
});
