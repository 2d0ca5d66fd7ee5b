/** One tolerance for every text file: what people's editors and shells do to it must not change what is read. */
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { expect } from 'chai';
import { signCheckpoint } from '../../src/audit/format/checkpoint.js';
import { createSignerKey, parseSignerKey } from '../../src/audit/format/note-keys.js';
import { openLogKey } from '../../src/audit/write/log-key.js';
import { openNote, readNotes, readVerifier } from '../../src/cli/audit/kept.js';
import { readOne } from '../../src/cli/json/messages-in.js';
import { readPemFile } from '../../src/cli/target/credentials.js';
import { decodeText, readPem, tidyPem } from '../../src/files/file-text.js';
import { servicePaths } from '../../src/files/service-paths.js';
import { loadConfig } from '../../src/host/config.js';
import { encryptKeyFile } from '../../src/keys/encryption.js';
import { importKey } from '../../src/keys/import.js';
import { readSecretFile } from '../../src/keys/passphrase.js';
import { loadPublicKeys } from '../../src/keys/public-keys.js';
import { loadReviewerKey, loadReviewerPrivateKey } from '../../src/keys/reviewer-keys.js';
import { KeyRing } from '../../src/keys/ring.js';
import { signDelegation } from '../../src/keys/signed-set/delegation.js';
import { readDelegation } from '../../src/keys/signed-set/set-signer.js';
import { loadVerificationKey, SigningKey } from '../../src/keys/signed-set/signing-key.js';
import { CURVES, makeNestedPair, makePair, publicPart, refusal, type TestPair } from '../keys/helpers.js';
import { TestCa } from '../support/certificates.js';

const BOM = '\uFEFF';
const crlf = (text: string) => text.replaceAll('\n', '\r\n');
const utf8 = (text: string) => Buffer.from(text);

/** What may have happened to a file. */
const ODDITIES: Readonly<Record<string, (text: string) => Buffer>> = {
  'nothing odd': utf8,
  'a byte order mark': (text) => utf8(`${BOM}${text}`),
  CRLF: (text) => utf8(crlf(text)),
  'a byte order mark and CRLF': (text) => utf8(`${BOM}${crlf(text)}`),
  'no newline at its end': (text) => utf8(text.trimEnd()),
  'more newlines at its end': (text) => utf8(`${text}\n\n\n`),
  'more CRLFs at its end': (text) => utf8(crlf(`${text}\n\n`)),
  'spaces and a tab on a last line': (text) => utf8(`${text}  \t\n`),
  'UTF-16 with CRLF, as PowerShell writes': (text) => Buffer.from(`${BOM}${crlf(text)}`, 'utf16le'),
};

interface Kind {
  readonly text: string;
  readonly read: (path: string) => unknown;
}

describe('text files', () => {
  let dir: string;
  const kinds: Record<string, Kind> = {};
  const NAMES = [
    'configuration',
    'ring',
    'encrypted ring',
    'set of public keys',
    "reviewer's public key",
    "reviewer's private key",
    'private key in PEM',
    'public key in PEM',
    'root',
    'delegation',
    'passphrase',
    'key of a log',
    'verifier key',
    'kept checkpoint',
    'two kept checkpoints',
    'message for -d',
  ] as const;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-text-'));
    const pair = makePair('P-256');
    const set = (key: object) => `${JSON.stringify({ keys: [key] }, null, 2)}\n`;
    const root = await SigningKey.generate();
    const signer = await SigningKey.generate();
    const paths = servicePaths(dir);
    await mkdir(paths.keys);
    await root.savePublic(paths.rootPublic);
    const nowMs = Date.now();
    const recipient = 'payments';
    const logKey = createSignerKey('log.example/1');
    const log = parseSignerKey(logKey);
    const note = (size: number) => signCheckpoint({ size, root: Buffer.alloc(32, size) }, log);
    const kept = (path: string) => {
      const opened = readNotes(path).map((each) => openNote(each, log.verifier));
      return opened.map(({ checkpoint, finding }) => [checkpoint?.size, finding]);
    };
    const make: Record<(typeof NAMES)[number], Kind> = {
      configuration: {
        text: `${JSON.stringify({ listen: '127.0.0.1:7', policy: 'interop' }, null, 2)}\n`,
        read: (configFile) => loadConfig({ name: 'text' }, { configFile, environment: {} }),
      },
      ring: { text: set(pair.jwk), read: async (path) => (await KeyRing.load(path)).currentKid },
      'encrypted ring': {
        text: await encryptKeyFile(set(pair.jwk), 'secret', 'jwk-set+json'),
        read: async (path) => (await KeyRing.load(path, { passphrase: () => 'secret' })).currentKid,
      },
      'set of public keys': {
        text: set(publicPart(pair.jwk)),
        read: async (path) => (await loadPublicKeys(path)).map(({ kid }) => kid),
      },
      "reviewer's public key": {
        text: `${JSON.stringify(publicPart(pair.jwk))}\n`,
        read: async (path) => (await loadReviewerKey(path)).kid,
      },
      "reviewer's private key": {
        text: set(pair.jwk),
        read: async (path) => (await loadReviewerPrivateKey(path, () => '')).kid,
      },
      'private key in PEM': {
        text: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        read: async (path) => (await loadReviewerPrivateKey(path, () => '')).kid,
      },
      'public key in PEM': {
        text: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
        read: async (path) => (await loadReviewerKey(path)).kid,
      },
      root: {
        text: `${JSON.stringify(root.publicJwk, null, 2)}\n`,
        read: async (path) => (await loadVerificationKey(path)).kid,
      },
      delegation: {
        text: `${await signDelegation(root, { recipient, signer: signer.publicJwk, days: 9, nowMs })}\n`,
        read: async (delegation) =>
          (await readDelegation({ ...paths, delegation }, signer, { recipient, nowMs })).details,
      },
      passphrase: { text: 'a secret of words\n', read: (path) => readSecretFile(path, 'passphrase') },
      'key of a log': {
        text: `${logKey}\n`,
        read: async (path) => (await openLogKey(path, 'log.example/1', true)).signer.verifier.vkey,
      },
      'verifier key': { text: `${log.verifier.vkey}\n`, read: (path) => readVerifier('', path).vkey },
      'kept checkpoint': { text: note(7), read: kept },
      'two kept checkpoints': { text: `${note(7)}\n${note(9)}\n`, read: kept },
      'message for -d': { text: '{"orderId": "o-1"}\n', read: (path) => readOne('-d', `@${path}`) },
    };
    Object.assign(kinds, make);
  });
  after(() => rm(dir, { recursive: true, force: true }));

  for (const name of NAMES) {
    let expected: unknown;
    for (const [oddity, change] of Object.entries(ODDITIES)) {
      it(`reads a ${name} with ${oddity}`, async () => {
        const { text, read } = kinds[name] as Kind;
        const path = join(dir, 'odd');
        writeFileSync(path, change(text), { mode: 0o600 });
        const value = await read(path);
        // The first row is the file as it was written.
        expected ??= value;
        expect([value !== undefined, value]).to.deep.equal([true, expected]);
      });
    }
  }

  it('counts the spaces of a passphrase, and takes no empty line for one', async () => {
    const path = join(dir, 'passphrase');
    const read = (text: string) => {
      writeFileSync(path, text, { mode: 0o600 });
      return readSecretFile(path, 'passphrase');
    };
    expect(await read(` ${BOM}two words \r\nmore\r\n`)).to.equal(` ${BOM}two words `);
    for (const text of ['', '\n', '\r\nsecret', BOM]) await refusal(() => read(text), 'OPTIONS_INVALID');
  });
});

describe('PEM', () => {
  const CERTIFICATE = '-----BEGIN CERTIFICATE-----\nMIIBszCCARmgAwIBAgIU\n-----END CERTIFICATE-----\n';
  const PARAMETERS = '-----BEGIN EC PARAMETERS-----\nBgUrgQQAIw==\n-----END EC PARAMETERS-----\n';
  const oneLine = (pem: string) =>
    readPem(pem)
      .map(({ label, body }) => `-----BEGIN ${label}-----${body}-----END ${label}-----`)
      .join(' ');
  const forms: Readonly<Record<string, (pem: string) => string>> = {
    'behind a certificate': (pem) => CERTIFICATE + pem,
    'before a certificate': (pem) => pem + CERTIFICATE,
    'behind curve parameters, as openssl ecparam writes': (pem) => PARAMETERS + pem,
    'on one line': oneLine,
    'on one line with a certificate': (pem) => oneLine(CERTIFICATE + pem),
    'with literal spaces for newlines': (pem) => pem.replaceAll('\n', ' '),
    indented: (pem) => pem.replace(/^/gm, '    '),
    'with CRLF and a byte order mark': (pem) => BOM + crlf(pem),
    'with text before it': (pem) => `Bag Attributes\n    friendlyName: payments\n${pem}`,
    'in lines of 76': (pem) =>
      readPem(pem)
        .map(
          ({ label, body }) => `-----BEGIN ${label}-----\n${body.replace(/.{76}/g, '$&\n')}\n-----END ${label}-----\n`,
        )
        .join(''),
  };
  const pairs: Readonly<Record<string, () => TestPair>> = {
    ...Object.fromEntries(CURVES.map((crv) => [crv, () => makePair(crv)])),
    // One key in 256, which some parsers take for something else.
    'P-256, x like a length': () => makeNestedPair('P-256'),
    'P-384, x like a length': () => makeNestedPair('P-384'),
  };

  for (const [which, make] of Object.entries(pairs)) {
    let made: TestPair | undefined;
    const pair = () => (made ??= make());
    for (const [how, change] of Object.entries(forms)) {
      it(`reads a ${which} key ${how}`, async () => {
        const { privateKey, publicKey, jwk } = pair();
        for (const type of ['pkcs8', 'sec1'] as const) {
          const key = await importKey(change(privateKey.export({ type, format: 'pem' }).toString()));
          expect([key.jwk.x, key.privateKey?.equals(privateKey)]).to.deep.equal([jwk.x, true]);
        }
        const spki = await importKey(change(publicKey.export({ type: 'spki', format: 'pem' }).toString()));
        expect([spki.jwk.x, spki.privateKey]).to.deep.equal([jwk.x, undefined]);
      });
    }

    it(`refuses a ${which} key for the same reason as any other`, async () => {
      const { privateKey } = pair();
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
      const legacy = privateKey.export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
      const why = async (text: string) => (await refusal(() => importKey(text), 'KEY_INVALID')).message;
      expect(await why(CERTIFICATE)).to.equal('the PEM has a certificate and no key');
      expect(await why(pem + pem)).to.equal('the PEM has more than one key');
      expect(await why(encrypted.toString())).to.equal('the key in the PEM is encrypted');
      expect(await why(legacy.toString())).to.equal('the key in the PEM is encrypted');
      expect(await why(pem.replace(/-----END.*/s, ''))).to.equal('the PEM has no key, or its END line is missing');
    });
  }

  it('keeps the headers of an encrypted key in a file for TLS, and text that is no PEM', () => {
    const { privateKey } = makePair('P-256');
    const legacy = privateKey
      .export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
      .toString();
    expect(tidyPem(legacy)).to.equal(legacy);
    expect(tidyPem('not PEM')).to.equal('not PEM');
    expect(decodeText(utf8(`${BOM}a\r\nb`))).to.equal('a\nb');
  });

  describe('of certificates', () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'sealwire-pem-'));
    });
    after(() => rm(folder, { recursive: true, force: true }));

    it('is read by TLS in every form, with the key in the same file too', function () {
      const ca = new TestCa(join(folder, 'ca'), this);
      ca.sign('server');
      const [cert, key] = [readPemFile(ca.at('server.pem')), readPemFile(ca.at('server.key'))];
      for (const [how, change] of Object.entries(forms)) {
        // A second certificate of nobody's would be read as part of the chain.
        if (how.includes('certificate')) continue;
        const both = join(folder, 'both.pem');
        writeFileSync(both, change(`${cert}${key}`));
        const read = readPemFile(both);
        expect(() => createSecureContext({ cert: read, key: read, ca: read }), how).not.to.throw();
      }
    });
  });
});
