import { randomBytes } from 'node:crypto';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { decryptKeyFile, encryptKeyFile, MAX_ITERATIONS, MIN_ITERATIONS } from '../../src/keys/encryption.js';
import { readProtectedFile, writeProtectedFile } from '../../src/keys/protected-file.js';
import { KeyRing } from '../../src/keys/ring.js';
import { RingStore } from '../../src/keys/ring-store.js';
import { inFolder, makePair, printed, refusal } from './helpers.js';

const PASSPHRASE = 'correct horse battery staple';
const SET = 'jwk-set+json';
const { jwk } = makePair('P-256');
const TEXT = `${JSON.stringify({ keys: [jwk] })}\n`;

/** Encrypts as another tool would: `jose`, with whatever header is asked for. */
function encryptElsewhere(header: object, p2c = MIN_ITERATIONS, p2s = randomBytes(16)): Promise<string> {
  return new CompactEncrypt(Buffer.from(TEXT))
    .setProtectedHeader({ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', cty: SET, ...header })
    .setKeyManagementParameters({ p2c, p2s })
    .encrypt(Buffer.from(PASSPHRASE));
}

/** Replaces members of the header of a token; its tag is then wrong, but what comes before the tag is not. */
function withHeader(token: string, members: object): string {
  const [header = '', ...rest] = token.split('.');
  const changed = { ...(JSON.parse(Buffer.from(header, 'base64url').toString()) as object), ...members };
  return [Buffer.from(JSON.stringify(changed)).toString('base64url'), ...rest].join('.');
}

describe('encrypted key files', () => {
  it('are compact JWEs that another library opens, with 210,000 iterations and without a hash of the passphrase', async () => {
    const token = await encryptKeyFile(TEXT, PASSPHRASE, SET);
    const { plaintext, protectedHeader } = await compactDecrypt(token.trimEnd(), Buffer.from(PASSPHRASE), {
      keyManagementAlgorithms: ['PBES2-HS512+A256KW'],
      maxPBES2Count: MIN_ITERATIONS,
    });
    expect(Buffer.from(plaintext).toString()).to.equal(TEXT);
    const { p2s, ...header } = protectedHeader;
    expect(header).to.deep.equal({ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', cty: SET, p2c: 210_000 });
    expect(Buffer.from(String(p2s), 'base64url')).to.have.length(16);
    expect(token).to.match(/^[A-Za-z0-9_.-]+\n$/);
  });

  it('are read when another library made them', async () => {
    expect(await decryptKeyFile('ring', await encryptElsewhere({}), PASSPHRASE, SET)).to.equal(TEXT);
  });

  it('have a salt, a key and an IV of their own each time', async () => {
    const tokens = await Promise.all([1, 2].map(() => encryptKeyFile(TEXT, PASSPHRASE, SET)));
    const [first, second] = tokens.map((token) => token.split('.'));
    for (const part of [0, 1, 2, 3, 4]) expect(first?.[part]).not.to.equal(second?.[part]);
  });

  it('take a passphrase in either Unicode form', async () => {
    const token = await encryptKeyFile(TEXT, 'Zo\u00eb', SET);
    expect(await decryptKeyFile('ring', token, 'Zoe\u0308', SET)).to.equal(TEXT);
  });

  it('are refused with another passphrase, and told nothing of either', async () => {
    const token = await encryptKeyFile(TEXT, PASSPHRASE, SET);
    const error = await refusal(
      () => decryptKeyFile('/k/ring.json', token, 'correct horse', SET),
      'KEY_PASSPHRASE_WRONG',
    );
    expect(error.message).to.equal('/k/ring.json: the passphrase is wrong, or the file was changed');
    expect(printed(error)).not.to.contain('correct');
    await refusal(() => decryptKeyFile('ring', token, '', SET), 'OPTIONS_INVALID');
    await refusal(() => encryptKeyFile(TEXT, '', SET), 'OPTIONS_INVALID');
  });

  for (const part of [0, 1, 2, 3, 4]) {
    it(`are refused when part ${part} was changed`, async () => {
      const parts = (await encryptKeyFile(TEXT, PASSPHRASE, SET)).trimEnd().split('.');
      const text = parts[part] as string;
      parts[part] = `${text.slice(0, 8)}${text[8] === 'A' ? 'B' : 'A'}${text.slice(9)}`;
      const code = part === 0 ? 'KEY_FILE_INVALID' : 'KEY_PASSPHRASE_WRONG';
      await refusal(() => decryptKeyFile('ring', parts.join('.'), PASSPHRASE, SET), code);
    });
  }

  it('are refused as incomplete wherever they end too early', async () => {
    const token = (await encryptKeyFile(TEXT, PASSPHRASE, SET)).trimEnd();
    for (const length of [
      2,
      10,
      token.indexOf('.') + 1,
      Math.floor(token.length / 2),
      token.length - 23,
      token.length - 1,
    ]) {
      await refusal(() => decryptKeyFile('ring', token.slice(0, length), PASSPHRASE, SET), 'KEY_FILE_INCOMPLETE');
    }
  });

  it('are refused when they ask for too little work, or for far too much, before any is done', async () => {
    const token = await encryptElsewhere({});
    const table: readonly [unknown, string][] = [
      [MIN_ITERATIONS - 1, 'ring: its passphrase is protected by less than 210000 iterations'],
      [8_192, 'ring: its passphrase is protected by less than 210000 iterations'],
      ['210000', 'ring: its passphrase is protected by less than 210000 iterations'],
      [undefined, 'ring: its passphrase is protected by less than 210000 iterations'],
      [MAX_ITERATIONS + 1, 'ring: it asks for more than 10000000 iterations'],
      [2 ** 53, 'ring: it asks for more than 10000000 iterations'],
    ];
    for (const [p2c, message] of table) {
      const error = await refusal(
        () => decryptKeyFile('ring', withHeader(token, { p2c }), PASSPHRASE, SET),
        'KEY_FILE_INVALID',
      );
      expect(error.message).to.equal(message);
    }
    // Whole and with the right passphrase all the same.
    const weak = await encryptElsewhere({}, 8_192);
    await refusal(() => decryptKeyFile('ring', weak, PASSPHRASE, SET), 'KEY_FILE_INVALID');
    for (const iterations of [MIN_ITERATIONS - 1, MAX_ITERATIONS + 1, 210_000.5]) {
      await refusal(() => encryptKeyFile(TEXT, PASSPHRASE, SET, iterations), 'OPTIONS_INVALID');
    }
  });

  it('are refused when they are of another kind', async () => {
    const token = await encryptElsewhere({});
    const table: readonly [string, string][] = [
      [withHeader(token, { alg: 'PBES2-HS256+A128KW' }), 'ring: not encrypted with PBES2-HS512+A256KW and A256GCM'],
      [withHeader(token, { alg: 'dir' }), 'ring: not encrypted with PBES2-HS512+A256KW and A256GCM'],
      [withHeader(token, { enc: 'A128CBC-HS256' }), 'ring: not encrypted with PBES2-HS512+A256KW and A256GCM'],
      [withHeader(token, { cty: 'jwk+json' }), 'ring: encrypted, but not a JWK Set'],
      [withHeader(token, { cty: undefined }), 'ring: encrypted, but not a JWK Set'],
      [withHeader(token, { p2s: 'c2hvcnQ' }), 'ring: its salt is unfit'],
      [withHeader(token, { p2s: 5 }), 'ring: its salt is unfit'],
      [`${token}.${token}`, 'ring: more in it than one encrypted key file'],
      [`ey=${token}`, 'ring: neither a JWK Set nor an encrypted one'],
      [`eyJ${token}`, 'ring: its header cannot be read'],
    ];
    for (const [text, message] of table) {
      const error = await refusal(() => decryptKeyFile('ring', text, PASSPHRASE, SET), 'KEY_FILE_INVALID');
      expect(error.message).to.equal(message);
    }
    const single = await encryptElsewhere({ cty: 'jwk+json' });
    const error = await refusal(() => decryptKeyFile('ring', single, PASSPHRASE, SET), 'KEY_FILE_INVALID');
    expect(error.message).to.equal('ring: encrypted, but not a JWK Set');
    expect(await decryptKeyFile('root', single, PASSPHRASE, 'jwk+json')).to.equal(TEXT);
  });
});

describe('a private key file that cannot be used', () => {
  const encrypted = encryptKeyFile(TEXT, PASSPHRASE, SET);
  const table: readonly [string, () => Promise<string>, string][] = [
    ['is empty', async () => '', 'KEY_FILE_INCOMPLETE'],
    ['is zeros, as a lost write leaves it', async () => '\0'.repeat(TEXT.length), 'KEY_FILE_INCOMPLETE'],
    ['ends in zeros', async () => `${TEXT.slice(0, 40)}${'\0'.repeat(40)}`, 'KEY_FILE_INCOMPLETE'],
    ['is half written, within a text', async () => TEXT.slice(0, TEXT.indexOf(jwk.d) + 5), 'KEY_FILE_INCOMPLETE'],
    ['is half written, between keys', async () => TEXT.slice(0, TEXT.lastIndexOf(']')), 'KEY_FILE_INCOMPLETE'],
    ['is an encrypted one cut short', async () => (await encrypted).slice(0, -20), 'KEY_FILE_INCOMPLETE'],
    ['is JSON of another kind', async () => JSON.stringify(jwk), 'KEY_FILE_INVALID'],
    ['is no JSON', async () => 'keys: []', 'KEY_FILE_INVALID'],
    ['is a PEM file', async () => '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', 'KEY_FILE_INVALID'],
    ['is encrypted under another passphrase', () => encryptKeyFile(TEXT, 'another', SET), 'KEY_PASSPHRASE_WRONG'],
    [
      'is an encrypted single key',
      () => encryptKeyFile(JSON.stringify(jwk), PASSPHRASE, 'jwk+json'),
      'KEY_FILE_INVALID',
    ],
  ];
  for (const [title, make, code] of table) {
    it(`${title}: ${code}, and it stays as it is`, () =>
      inFolder(async (dir) => {
        const path = join(dir, 'ring.json');
        const content = await make();
        await writeFile(path, content, { mode: 0o600 });
        const before = await stat(path);
        const store = new RingStore({ path, passphrase: () => PASSPHRASE });
        for (const work of [() => store.load(), () => store.update((keys) => keys), () => store.protect(undefined)]) {
          const error = await refusal(work, code as 'KEY_FILE_INVALID');
          expect(printed(error)).not.to.contain(jwk.d.slice(0, 20));
          expect(error.message).to.contain(path);
        }
        await refusal(() => store.create([]), 'KEY_FILE_WRITE');
        expect(await readFile(path, 'utf8')).to.equal(content);
        const { ino, mtimeMs } = await stat(path);
        expect([ino, mtimeMs]).to.deep.equal([before.ino, before.mtimeMs]);
      }));
  }

  it('is readable by others, or encrypted without a passphrase', () =>
    inFolder(async (dir) => {
      const path = join(dir, 'ring.json');
      await writeProtectedFile(path, TEXT, SET, () => PASSPHRASE);
      expect((await stat(path)).mode & 0o777).to.equal(0o600);
      const error = await refusal(() => KeyRing.load(path), 'KEY_FILE_ENCRYPTED');
      expect(error.message).to.equal(`${path}: encrypted; a passphrase is needed to read it`);
      expect(await readProtectedFile(path, SET, () => PASSPHRASE)).to.deep.equal({ text: TEXT, encrypted: true });
      await chmod(path, 0o644);
      await refusal(() => readProtectedFile(path, SET, () => PASSPHRASE), 'KEY_FILE_MODE');
    }));
});
