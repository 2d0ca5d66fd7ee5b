import { createPublicKey, diffieHellman } from 'node:crypto';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import { CompactEncrypt, compactDecrypt, importJWK } from 'jose';
import { createLogger, transports } from 'winston';
import { loadPublicKeys } from '../../src/keys/public-keys.js';
import { KeyRing } from '../../src/keys/ring.js';
import { CURVES, inFolder, makePair, printed, publicPart, refusal } from './helpers.js';

async function privateParts(ring: KeyRing): Promise<string[]> {
  return inFolder(async (dir) => {
    await ring.save(join(dir, 'ring.json'));
    const { keys } = JSON.parse(await readFile(join(dir, 'ring.json'), 'utf8')) as { keys: { d: string }[] };
    return keys.map(({ d }) => d);
  });
}

describe('KeyRing', () => {
  for (const crv of CURVES) {
    it(`creates a ${crv} key, saves it and loads the same one`, () =>
      inFolder(async (dir) => {
        const ring = await KeyRing.create(crv);
        const path = join(dir, 'ring.json');
        await ring.save(path);
        const loaded = await KeyRing.load(path);
        expect(loaded.currentKid).to.equal(ring.currentKid);
        expect(loaded.current().crv).to.equal(crv);
        expect(loaded.publicJwks()).to.deep.equal(ring.publicJwks());
        expect(loaded.current().publicKey.equals(ring.current().publicKey)).to.equal(true);
      }));
  }

  it('makes P-521 keys unless told otherwise', async () => {
    expect((await KeyRing.create()).current().crv).to.equal('P-521');
  });

  it('writes a JWK Set that other libraries can open tokens with', () =>
    inFolder(async (dir) => {
      const ring = await KeyRing.create();
      await ring.save(join(dir, 'ring.json'));
      const { keys } = JSON.parse(await readFile(join(dir, 'ring.json'), 'utf8')) as { keys: [object] };
      const [jwk] = ring.publicJwks().keys;
      const token = await new CompactEncrypt(Buffer.from('hi'))
        .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM' })
        .encrypt(await importJWK({ ...jwk } as never));
      const { plaintext } = await compactDecrypt(token, await importJWK(keys[0] as never));
      expect(Buffer.from(plaintext).toString()).to.equal('hi');
    }));

  it('exports exactly what senders may use', async () => {
    const [jwk] = (await KeyRing.create('P-256')).publicJwks().keys;
    expect(Object.keys(jwk as object).sort()).to.deep.equal(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    expect(jwk).to.include({ kty: 'EC', crv: 'P-256', use: 'enc', alg: 'ECDH-ES+A256KW' });
  });

  it('writes a public set without private parts that senders can load', () =>
    inFolder(async (dir) => {
      const ring = await KeyRing.fromKeys([makePair('P-384').jwk, makePair('P-256').jwk]);
      const path = join(dir, 'public.jwks.json');
      await ring.savePublic(path);
      const text = await readFile(path, 'utf8');
      expect(text).not.to.contain('"d"');
      for (const d of await privateParts(ring)) expect(text).not.to.contain(d);
      const keys = await loadPublicKeys(path);
      expect(keys.map(({ kid }) => kid)).to.deep.equal(ring.publicJwks().keys.map(({ kid }) => kid));
      expect(keys[0]?.kid).to.equal(ring.currentKid);
    }));

  it('finds its keys by kid and nothing else', async () => {
    const ring = await KeyRing.fromKeys([makePair('P-256').jwk, makePair('P-384').jwk]);
    for (const { kid, crv } of ring.publicJwks().keys) expect(ring.find(kid)).to.include({ kid, crv });
    for (const kid of ['', 'constructor', '__proto__', 'A'.repeat(43)]) expect(ring.find(kid)).to.equal(undefined);
  });

  it('agrees through its custody on the private key of the kid', async () => {
    const asked: unknown[] = [];
    const mine = makePair('P-256');
    const pool = {
      agree: async (key: unknown, point: unknown) => {
        asked.push(key, point);
        return Buffer.alloc(32);
      },
    };
    const ring = await KeyRing.fromKeys([mine.jwk, makePair('P-256').jwk], { pool });
    const epk = { crv: 'P-256', x: Buffer.alloc(32, 1), y: Buffer.alloc(32, 2) } as const;
    await ring.custody.agree(ring.currentKid, epk);
    expect((asked[0] as typeof mine.privateKey).equals(mine.privateKey)).to.equal(true);
    expect(asked[1]).to.equal(epk);
    await refusal(() => ring.custody.agree('A'.repeat(43), epk), 'CUSTODY_FAILED');
    expect(asked).to.have.length(2);
  });

  it('gives the same Z as node:crypto through the worker pool', async () => {
    const ring = await KeyRing.create('P-521');
    const sender = makePair('P-521');
    const { x, y } = sender.jwk;
    const epk = { crv: 'P-521', x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') } as const;
    const z = await ring.custody.agree(ring.currentKid, epk);
    const publicKey = createPublicKey({ key: { ...ring.publicJwks().keys[0] }, format: 'jwk' });
    expect(z.equals(diffieHellman({ privateKey: sender.privateKey, publicKey }))).to.equal(true);
  });

  it('refuses no key, the same key twice and a public key', async () => {
    const { jwk } = makePair('P-256');
    await refusal(() => KeyRing.fromKeys([]), 'KEY_FILE_INVALID');
    await refusal(() => KeyRing.fromKeys([jwk, jwk]), 'KEY_FILE_INVALID');
    await refusal(() => KeyRing.fromKeys([publicPart(jwk)]), 'KEY_INVALID');
  });
});

describe('the key ring file', () => {
  it('has mode 0600 under any umask, and leaves no temporary file', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const umask = process.umask(0);
      try {
        await (await KeyRing.create('P-256')).save(path);
      } finally {
        process.umask(umask);
      }
      expect((await stat(path)).mode & 0o777).to.equal(0o600);
      expect(await readdir(dir)).to.deep.equal(['ring.json']);
    }));

  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666]) {
    it(`is refused with mode ${mode.toString(8)}`, () =>
      inFolder(async (dir) => {
        const path = join(dir, 'ring.json');
        await (await KeyRing.create('P-256')).save(path);
        await chmod(path, mode);
        await refusal(() => KeyRing.load(path), 'KEY_FILE_MODE');
        await chmod(path, 0o400);
        await KeyRing.load(path);
      }));
  }

  it('is replaced as a whole: a new file takes its place', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      await writeFile(path, 'x'.repeat(100_000), { mode: 0o644 });
      const before = await stat(path);
      const ring = await KeyRing.create('P-256');
      await ring.save(path);
      const after = await stat(path);
      expect(after.ino).not.to.equal(before.ino);
      expect(after.mode & 0o777).to.equal(0o600);
      expect((await KeyRing.load(path)).currentKid).to.equal(ring.currentKid);
    }));

  it('stays as it was when writing fails, and the failure names no key', () =>
    inFolder(async (dir) => {
      const ring = await KeyRing.create('P-256');
      const error = await refusal(() => ring.save(join(dir, 'missing', 'ring.json')), 'KEY_FILE_WRITE');
      for (const d of await privateParts(ring)) expect(printed(error)).not.to.contain(d);
      // A folder cannot be renamed over: the last step fails, and what was written goes away.
      await refusal(() => ring.save(dir), 'KEY_FILE_WRITE');
      expect(await readdir(dir)).to.deep.equal([]);
    }));

  it('is not written so large that it could not be read', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      const ring = await KeyRing.fromKeys([{ ...makePair('P-256').jwk, comment: 'x'.repeat(1_048_576) }]);
      await refusal(() => ring.save(path), 'KEY_FILE_WRITE');
      expect(await readdir(dir)).to.deep.equal([]);
    }));

  it('is refused when missing, too large, or no JWK Set of private EC keys, without quoting it', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      await refusal(() => KeyRing.load(path), 'KEY_FILE_MISSING');
      const { jwk } = makePair('P-256');
      const { d } = jwk;
      const texts = [
        JSON.stringify({ d }),
        JSON.stringify([jwk]),
        JSON.stringify({ keys: [] }),
        JSON.stringify({ keys: [d] }),
        JSON.stringify({ keys: [null] }),
        JSON.stringify({ keys: [{ ...jwk, x: jwk.y }] }),
        JSON.stringify({ keys: [publicPart(jwk)] }),
        JSON.stringify({ keys: [{ ...jwk, d: makePair('P-256').jwk.d }] }),
        JSON.stringify({ keys: [jwk] }).padEnd(1_048_577),
      ];
      for (const text of texts) {
        await writeFile(path, text, { mode: 0o600 });
        const error = await refusal(() => KeyRing.load(path), 'KEY_FILE_INVALID');
        expect(printed(error)).not.to.contain(d.slice(0, 20));
      }
    }));
});

describe('a key ring that is printed', () => {
  it('shows no private part in util.inspect, JSON.stringify or as a string', async () => {
    const ring = await KeyRing.fromKeys([makePair().jwk, makePair('P-256').jwk]);
    const values = [
      ring,
      ring.custody,
      ring.current(),
      ring.find(ring.currentKid),
      { ring },
      [ring],
      ring.publicJwks(),
    ];
    const secrets = await privateParts(ring);
    for (const value of values) {
      const text = printed(value);
      for (const d of secrets) {
        expect(text).not.to.contain(d);
        expect(text).not.to.contain(Buffer.from(d, 'base64url').toString('hex'));
      }
    }
  });

  it('shows no private part in a log', async () => {
    let text = '';
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    });
    const ring = await KeyRing.create();
    const logger = createLogger({ transports: [new transports.Stream({ stream })] });
    logger.info('ring', { ring, key: ring.current(), custody: ring.custody });
    logger.end();
    await new Promise((resolve) => logger.on('finish', resolve));
    expect(text).to.contain('ring');
    for (const d of await privateParts(ring)) expect(text).not.to.contain(d);
  });
});
