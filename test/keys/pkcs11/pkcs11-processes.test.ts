/** What becomes of the processes that talk to a PKCS#11 module, and what they are given. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { buildSync } from 'esbuild';
import type { PublicJwk } from '../../../src/keys/import.js';
import { CK } from '../../../src/keys/pkcs11/cryptoki.js';
import { Pkcs11Custody, type Pkcs11CustodyOptions } from '../../../src/keys/pkcs11/pkcs11-custody.js';
import { readProcess, sessionPids, untilGone } from '../../support/session-pids.js';
import { createSoftToken, importToToken, onToken, type SoftToken } from '../../support/softhsm.js';
import { makePair, refusal } from '../helpers.js';

describe('processes of Pkcs11Custody', () => {
  let token: SoftToken;
  let jwk: PublicJwk;
  const custodies: Pkcs11Custody[] = [];
  before(async function () {
    token = await createSoftToken(this);
    jwk = await open().generate(token.uri('k'), 'P-256');
    await closeAll();
  });
  afterEach(closeAll);
  after(() => token?.remove());

  async function closeAll(): Promise<void> {
    const pids = sessionPids();
    for (const custody of custodies.splice(0)) await custody.close();
    await untilGone(pids);
  }

  function open(options: Partial<Pkcs11CustodyOptions> = {}): Pkcs11Custody {
    const custody = new Pkcs11Custody({ readPin: async () => token.pin, sessions: 1, ...options });
    custodies.push(custody);
    return custody;
  }

  async function untilServing(custody: Pkcs11Custody): Promise<void> {
    while ((await custody.describe(token.uri('k')).catch(() => undefined))?.kid !== jwk.kid) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it('end with the custody', async () => {
    const custody = open();
    await custody.describe(token.uri('k'));
    const pids = sessionPids();
    expect(pids).to.have.length(1);
    await custody.close();
    await untilGone(pids);
    await refusal(() => custody.describe(token.uri('k')), 'CUSTODY_FAILED');
    expect(sessionPids()).to.deep.equal([]);
  });

  it('are not killed while they log in', async () => {
    // SoftHSM2 writes the token's file at each log-in: a process killed meanwhile leaves an empty one, for good.
    const children: ChildProcess[] = [];
    const onSpawn = (message: unknown) => children.push((message as { readonly process: ChildProcess }).process);
    subscribe('child_process', onSpawn);
    try {
      const custody = open({ sessions: 3 });
      await custody.describe(token.uri('k'));
      // With the first answer, the other sessions began.
      expect(children).to.have.length(3);
      await custody.close();
    } finally {
      unsubscribe('child_process', onSpawn);
    }
    expect(children.map(({ exitCode, signalCode }) => signalCode ?? exitCode)).to.deep.equal([0, 0, 0]);
  });

  it('do not get the PIN, nor any secret of ours, by environment or arguments', async () => {
    process.env['SEALWIRE_HSM_PIN'] = token.pin;
    process.env['SEALWIRE_KEY_PASSPHRASE'] = 'a passphrase of ours';
    try {
      await open().describe(token.uri('k'));
    } finally {
      delete process.env['SEALWIRE_HSM_PIN'];
      delete process.env['SEALWIRE_KEY_PASSPHRASE'];
    }
    const [pid = 0] = sessionPids();
    expect(readProcess(pid, 'environ')).to.include('SOFTHSM2_CONF=');
    const seen = readProcess(pid, 'environ') + readProcess(pid, 'cmdline');
    for (const secret of [token.pin, 'a passphrase of ours']) expect(seen).not.to.include(secret);
  });

  it('live on when a service manager asks all processes of the service to end', async () => {
    const custody = open();
    await custody.describe(token.uri('k'));
    const pids = sessionPids();
    for (const pid of pids) for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.kill(pid, signal);
    await custody.describe(token.uri('k'));
    expect(sessionPids()).to.deep.equal(pids);
  });

  it('that die before their first message fail the call that waits, and are replaced', async () => {
    const custody = open();
    const failed = refusal(() => custody.describe(token.uri('k')), 'CUSTODY_FAILED');
    while (sessionPids().length === 0) await new Promise((resolve) => setImmediate(resolve));
    for (const pid of sessionPids()) process.kill(pid, 'SIGKILL');
    expect((await failed).message).to.match(/the session ended \(SIGKILL\)/);
    await untilServing(custody);
  });

  for (const [what, path] of [
    ['at once', '/usr/bin/no\0de'],
    ['later', '/nonexistent/node'],
  ] as const) {
    it(`that cannot be started, which Node says ${what}, fail the call, and are started later`, async () => {
      const custody = open();
      const { execPath } = process;
      process.execPath = path;
      try {
        const { message } = await refusal(() => custody.describe(token.uri('k')), 'CUSTODY_FAILED');
        expect(message).to.match(/could not be started/);
      } finally {
        process.execPath = execPath;
      }
      await untilServing(custody);
    });
  }

  it('are started from a bundle too, which finds pkcs11js beside the program', () => {
    const program = `import { Pkcs11Custody } from './dist/src/keys/pkcs11/index.js';
      const custody = new Pkcs11Custody({ readPin: async () => '${token.pin}' });
      custody.describe('${token.uri('k')}').then(({ kid }) => kid, ({ message }) => message).then(async (said) => {
        console.log(said);
        await custody.close();
      });`;
    const outfile = join(token.dir, 'bundle.cjs');
    const stdin = { contents: program, resolveDir: resolve('.') };
    buildSync({ stdin, bundle: true, platform: 'node', format: 'cjs', logLevel: 'error', outfile });
    const run = () => execFileSync(process.execPath, [outfile], { encoding: 'utf8' }).trim();
    expect(run()).to.equal("PKCS#11 needs the package 'pkcs11js': run npm install pkcs11js");
    mkdirSync(join(token.dir, 'node_modules'));
    symlinkSync(resolve('node_modules/pkcs11js'), join(token.dir, 'node_modules/pkcs11js'));
    expect(run()).to.equal(jwk.kid);
  });

  it('end when the ring has no key on their token any more', async () => {
    const changes: boolean[] = [];
    const custody = open({ onChange: (available) => changes.push(available) });
    custody.add(jwk.kid, token.uri('k'));
    await custody.describe(token.uri('k'));
    const pids = sessionPids();
    custody.retain(new Set([jwk.kid]));
    await custody.describe(token.uri('k'));
    expect(sessionPids()).to.deep.equal(pids);
    custody.retain(new Set());
    await untilGone(pids);
    const { x, y } = jwk;
    const epk = { crv: jwk.crv, x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') };
    expect((await refusal(() => custody.agree(jwk.kid, epk), 'CUSTODY_FAILED')).message).to.match(/no such key/);
    // And it serves again when a ring brings the key back.
    custody.add(jwk.kid, token.uri('k'));
    expect(await custody.agree(jwk.kid, epk)).to.have.length(32);
    expect(changes).to.deep.equal([]);
  });

  it('refuse a private key whose public one is of another pair', async () => {
    const [ours, others] = [makePair('P-256').jwk, makePair('P-256').jwk];
    importToToken(token, 'pair', { ...others, d: ours.d });
    const { message } = await refusal(() => open().describe(token.uri('pair')), 'KEY_INVALID');
    expect(message).to.match(/does not belong to the public key beside it/);
    onToken(token, (module, session) => {
      module.C_FindObjectsInit(session, [{ type: CK.CKA_LABEL, value: 'pair' }]);
      const found = module.C_FindObjects(session, 2);
      module.C_FindObjectsFinal(session);
      for (const each of found) module.C_DestroyObject(session, each);
    });
  });
});
