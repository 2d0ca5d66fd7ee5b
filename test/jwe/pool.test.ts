import { spawnSync } from 'node:child_process';
import { createPublicKey, diffieHellman } from 'node:crypto';
import { expect } from 'chai';
import type { EphemeralPoint } from '../../src/jwe/header.js';
import { AgreementPool } from '../../src/jwe/pool.js';
import type { Curve } from '../../src/profile/algorithms.js';
import { expectCode, expectRejection, makeEphemeral, makeKey } from './helpers.js';

function toPoint(jwk: { crv: string; x: string; y: string }): EphemeralPoint {
  return { crv: jwk.crv as Curve, x: Buffer.from(jwk.x, 'base64url'), y: Buffer.from(jwk.y, 'base64url') };
}

describe('AgreementPool', () => {
  const pool = new AgreementPool();
  after(() => pool.close());

  for (const [crv, size] of [
    ['P-521', 66],
    ['P-384', 48],
    ['P-256', 32],
  ] as const) {
    it(`agrees on ${crv}: both sides have the same Z of ${size} bytes`, async () => {
      const key = makeKey(crv);
      const { epk, z } = await pool.generate(key.publicKey, crv);
      expect(Object.keys(epk)).to.deep.equal(['kty', 'crv', 'x', 'y']);
      expect([epk.x, epk.y].map((text) => Buffer.from(text, 'base64url').length)).to.deep.equal([size, size]);
      expect(z.length).to.equal(size);
      const publicKey = createPublicKey({ key: { ...epk }, format: 'jwk' });
      expect(z).to.deep.equal(diffieHellman({ privateKey: key.privateKey, publicKey }));
      expect(await pool.agree(key.privateKey, toPoint(epk))).to.deep.equal(z);
    });

    it(`refuses points that are not on ${crv}`, async () => {
      const key = makeKey(crv);
      const { x, y } = toPoint(makeEphemeral(crv).jwk);
      const flipped = Buffer.from(y);
      flipped[5] = (flipped[5] as number) ^ 1;
      const ones = Buffer.alloc(size, 0xff);
      const zeros = Buffer.alloc(size);
      for (const point of [
        { x, y: flipped },
        { x: y, y: x },
        { x: zeros, y: zeros },
        { x: ones, y },
        { x, y: ones },
      ]) {
        await expectRejection('DECRYPTION_FAILED', () => pool.agree(key.privateKey, { crv, ...point }));
      }
    });
  }

  it('never gives the same ephemeral key twice', async () => {
    const key = makeKey();
    const made = await Promise.all(Array.from({ length: 20 }, () => pool.generate(key.publicKey, key.crv)));
    expect(new Set(made.map(({ epk }) => epk.x)).size).to.equal(20);
  });

  it('gives up what takes too long, and goes on', async () => {
    const key = makeKey('P-521');
    const busy = new AgreementPool({ threads: 1, deadlineMs: 100 });
    const make = () =>
      busy.generate(key.publicKey, key.crv).then(
        () => 'made',
        ({ code }: { code: string }) => code,
      );
    // A thread makes some 200 in a second.
    const results = new Set(await Promise.all(Array.from({ length: 300 }, make)));
    expect([...results]).to.include('CUSTODY_FAILED');
    expect(busy.pending).to.equal(0);
    let later = '';
    while (later !== 'made') later = await make();
    await busy.close();
  });

  it('refuses a deadline out of range', () => {
    for (const deadlineMs of [99, 600_001]) expectCode('OPTIONS_INVALID', () => new AgreementPool({ deadlineMs }));
  });

  it('does its work on other threads than the event loop', async () => {
    const key = makeKey('P-521');
    const { epk } = await pool.generate(key.publicKey, 'P-521');
    const point = toPoint(epk);
    let turns = 0;
    let isOver = false;
    const count = () => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    await Promise.all(Array.from({ length: 100 }, () => pool.agree(key.privateKey, point)));
    isOver = true;
    // Made here, each would hold up the event loop for milliseconds: there would be a turn for each at most.
    expect(turns).to.be.above(1_000);
  });

  it('refuses what its queue cannot hold, and serves on afterwards', async () => {
    const small = new AgreementPool({ threads: 1, queue: 2 });
    const key = makeKey();
    const settled = await Promise.allSettled(Array.from({ length: 20 }, () => small.generate(key.publicKey, key.crv)));
    const refused = settled.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).to.be.within(17, 18);
    for (const { reason } of refused) expect(reason).to.have.property('code', 'POOL_FULL');
    expect((await small.generate(key.publicKey, key.crv)).z.length).to.equal(32);
    await small.close();
  });

  it('makes pairs of our own before agreements that others ask for, however many wait', async () => {
    const key = makeKey('P-521');
    const point = toPoint(makeEphemeral('P-521').jwk);
    const busy = new AgreementPool({ threads: 1 });
    let agreed = 0;
    const asked = Array.from({ length: 40 }, () => busy.agree(key.privateKey, point).then(() => agreed++));
    await busy.generate(key.publicKey, 'P-521');
    // Those that had begun, or were about to.
    expect(agreed).to.be.at.most(busy.concurrency + 1);
    await Promise.all(asked);
    expect(busy.pending).to.equal(0);
    await busy.close();
  });

  it('tells nothing of a key when a thread fails', async () => {
    const error = await expectRejection('CUSTODY_FAILED', () =>
      pool.agree(makeKey('P-384').publicKey, toPoint(makeEphemeral('P-384').jwk)),
    );
    expect(error).not.to.have.property('cause');
  });

  it('lets a process end that does not close it', () => {
    const url = new URL('../../src/jwe/pool.js', import.meta.url).href;
    const script = `
      import { generateKeyPairSync } from 'node:crypto';
      import { sharedPool } from ${JSON.stringify(url)};
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
      const { z } = await sharedPool().generate(publicKey, 'P-256');
      console.log(z.length);`;
    const ended = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 10_000,
      encoding: 'utf8',
    });
    expect(ended.signal).to.equal(null);
    expect([ended.status, ended.stdout.trim(), ended.stderr]).to.deep.equal([0, '32', '']);
  }).timeout(15_000);

  it('says why a thread cannot start, and nothing that its program says', async () => {
    const broken = new AgreementPool({ program: "throw new TypeError('of unknown making')" });
    const { message } = await expectRejection('CUSTODY_FAILED', () => broken.check());
    expect(message).to.equal('the worker thread for agreements cannot start (TypeError)');
    expect(broken.pending).to.equal(0);
    await broken.close();
  });

  it('replaces a thread that ends, and fails the one agreement that it had', async () => {
    const program = `
      const { parentPort } = require('node:worker_threads');
      parentPort.on('message', ({ kind }) => (kind === 'agree' ? process.exit() : parentPort.postMessage({ z: new Uint8Array(1), x: '', y: '' })));`;
    const dying = new AgreementPool({ threads: 1, program });
    const [key, point] = [makeKey(), toPoint(makeEphemeral('P-256').jwk)];
    const lost = expectRejection('CUSTODY_FAILED', () => dying.agree(key.privateKey, point));
    await dying.generate(key.publicKey, key.crv);
    expect((await lost).message).to.equal('the agreement could not be made');
    await dying.close();
    await expectRejection('CUSTODY_FAILED', () => dying.generate(key.publicKey, key.crv));
  });

  it('fails what waits when it is closed', async () => {
    const closing = new AgreementPool({ threads: 1 });
    const key = makeKey('P-521');
    const made = Array.from({ length: 3 }, () => closing.generate(key.publicKey, key.crv));
    const settled = Promise.allSettled(made);
    await closing.close();
    expect((await settled).map(({ status }) => status)).to.deep.equal(['rejected', 'rejected', 'rejected']);
    expect(closing.pending).to.equal(0);
  });

  for (const [who, make] of [
    ['a client', 'new SealingSessions()'],
    ['a service', "createOpenInterceptor({ services: [], keys: await KeyRing.create('P-256'), audit: {} })"],
  ] as const) {
    it(`lets ${who} say at its start that Node starts no thread`, () => {
      const url = new URL('../../src/index.js', import.meta.url).href;
      const script = `
        import { SealingSessions, createOpenInterceptor, KeyRing } from ${JSON.stringify(url)};
        try { ${make}; } catch (error) { console.log(error.code, error.message); }`;
      const permission = process.allowedNodeEnvironmentFlags.has('--permission')
        ? '--permission'
        : '--experimental-permission';
      const args = [permission, '--allow-fs-read=*', '--no-warnings', '--input-type=module', '-e', script];
      const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 30_000 });
      const expected = 'CUSTODY_FAILED the worker thread for agreements cannot start (ERR_ACCESS_DENIED)\n';
      expect([stdout, stderr]).to.deep.equal([expected, '']);
    }).timeout(30_000);
  }

  for (const options of [{ threads: 0 }, { threads: 65 }, { queue: 0 }, { queue: 1e9 }]) {
    it(`refuses ${JSON.stringify(options)}`, () =>
      void expectCode('OPTIONS_INVALID', () => new AgreementPool(options)));
  }
});
