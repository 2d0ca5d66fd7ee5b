/** Keys, a custody in this thread and a maker of arbitrary tokens, good and bad, for the tests of this folder. */
import {
  createCipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import type { EphemeralPoint } from '../../src/jwe/header.js';
import type { Custody, OpeningKey, OpeningKeys } from '../../src/jwe/recipient.js';
import type { ContentEncryption, Curve, KeyAlgorithm } from '../../src/profile/algorithms.js';

/** The time at which forged tokens are made, in seconds. */
export const IAT = 1_700_000_000;
export const FIELD = 'payments.v1.AuthorizeRequest.card';
export const PLAINTEXT = Buffer.from('the inner message');

const OPENSSL = { 'P-521': 'secp521r1', 'P-384': 'secp384r1', 'P-256': 'prime256v1' } as const;

export interface TestKey extends OpeningKey {
  readonly privateKey: KeyObject;
}

export function makeKey(crv: Curve = 'P-256'): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: OPENSSL[crv] });
  return toKey(crv, privateKey, publicKey);
}

export function toKey(crv: Curve, privateKey: KeyObject, publicKey = createPublicKey(privateKey)): TestKey {
  const { x, y } = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256')
    .update(JSON.stringify({ crv, kty: 'EC', x, y }))
    .digest('base64url');
  return { kid, crv, publicKey, privateKey };
}

/** A recipient whose custody counts what it is asked. */
export class TestKeys implements OpeningKeys {
  readonly #keys = new Map<string, TestKey>();
  readonly retired = new Set<string>();
  agreements = 0;
  /** Awaited before each agreement. */
  gate: Promise<void> = Promise.resolve();

  constructor(...keys: TestKey[]) {
    for (const key of keys) this.#keys.set(key.kid, key);
  }

  readonly custody: Custody & { concurrency?: number } = {
    agree: async (kid: string, epk: EphemeralPoint) => {
      this.agreements++;
      await this.gate;
      const key = this.#keys.get(kid) as TestKey;
      try {
        return diffieHellman({ privateKey: key.privateKey, publicKey: importPoint(epk) });
      } catch {
        throw new SealwireError('DECRYPTION_FAILED', 'decryption failed');
      }
    },
  };

  find(kid: string): OpeningKey | undefined {
    return this.retired.has(kid) ? undefined : this.#keys.get(kid);
  }

  isRetired(kid: string): boolean {
    return this.retired.has(kid);
  }
}

function importPoint({ crv, x, y }: EphemeralPoint): KeyObject {
  const key = { kty: 'EC', crv, x: x.toString('base64url'), y: y.toString('base64url') };
  return createPublicKey({ key, format: 'jwk' });
}

/** An ephemeral key of a forger; one can be used for many tokens. */
export interface Ephemeral {
  readonly privateKey: KeyObject;
  readonly jwk: { kty: string; crv: string; x: string; y: string };
}

export function makeEphemeral(crv: Curve): Ephemeral {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: OPENSSL[crv] });
  const { x, y } = publicKey.export({ format: 'jwk' }) as { x: string; y: string };
  return { privateKey, jwk: { kty: 'EC', crv, x, y } };
}

export interface Forgery {
  readonly key: Pick<TestKey, 'kid' | 'crv' | 'publicKey'>;
  readonly alg?: KeyAlgorithm;
  readonly enc?: ContentEncryption;
  readonly plaintext?: Uint8Array;
  readonly ephemeral?: Ephemeral;
  /** Members that replace or, when undefined, remove those of the profile. */
  readonly header?: Record<string, unknown>;
  /** The header's bytes instead of the JSON of its members. */
  readonly headerBytes?: (json: string) => Uint8Array | string;
  readonly kek?: Buffer;
}

/** Makes a token with `node:crypto` alone: what it encrypts is right, whatever its header says. */
export function forge(forgery: Forgery): string {
  const { key, alg = 'ECDH-ES+A256KW', enc = 'A256GCM', plaintext = PLAINTEXT } = forgery;
  const ephemeral = forgery.ephemeral ?? makeEphemeral(key.crv);
  const profile = { typ: 'sealed-field+jwe', cty: 'application/protobuf', fld: FIELD, iat: IAT };
  const header: Record<string, unknown> = { alg, enc, kid: key.kid, epk: ephemeral.jwk, ...profile, ...forgery.header };
  const json = JSON.stringify(header);
  const part = Buffer.from(forgery.headerBytes?.(json) ?? json).toString('base64url');
  const cekBytes = enc === 'A256CBC-HS512' ? 64 : 32;
  const z = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: key.publicKey });
  const party = (name: string) => Buffer.from((header[name] as string | undefined) ?? '', 'base64url');
  const direct = alg === 'ECDH-ES';
  const derived = kdf(z, direct ? enc : alg, party('apu'), party('apv'), direct ? cekBytes : 32);
  const cek = direct ? derived : randomBytes(cekBytes);
  const wrap = () => createCipheriv('id-aes256-wrap', forgery.kek ?? derived, Buffer.alloc(8, 0xa6)).update(cek);
  const parts = [direct ? Buffer.alloc(0) : wrap(), ...encrypt(enc, cek, Buffer.from(part), plaintext)];
  return [part, ...parts.map((bytes) => bytes.toString('base64url'))].join('.');
}

function kdf(z: Buffer, algorithm: string, apu: Buffer, apv: Buffer, size: number): Buffer {
  const u32 = (n: number) => Buffer.from([n >>> 24, n >>> 16, n >>> 8, n]);
  const info = [Buffer.from(algorithm), apu, apv].flatMap((bytes) => [u32(bytes.length), bytes]);
  const round = (n: number) =>
    createHash('sha256')
      .update(Buffer.concat([u32(n), z, ...info, u32(size * 8)]))
      .digest();
  return Buffer.concat([round(1), round(2)]).subarray(0, size);
}

function encrypt(enc: ContentEncryption, cek: Buffer, aad: Buffer, plaintext: Uint8Array): Buffer[] {
  if (enc === 'A256GCM') {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', cek, iv).setAAD(aad);
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    return [iv, ciphertext, cipher.getAuthTag()];
  }
  const half = cek.length / 2;
  const iv = randomBytes(16);
  const cipher = createCipheriv(half === 16 ? 'aes-128-cbc' : 'aes-256-cbc', cek.subarray(half), iv);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const bits = Buffer.alloc(8);
  bits.writeUInt32BE(aad.length * 8, 4);
  const mac = createHmac(half === 16 ? 'sha256' : 'sha512', cek.subarray(0, half));
  return [
    iv,
    ciphertext,
    mac
      .update(Buffer.concat([aad, iv, ciphertext, bits]))
      .digest()
      .subarray(0, half),
  ];
}

/** The token with one part replaced. */
export function withPart(token: string, index: number, change: (part: string) => string): string {
  return token
    .split('.')
    .map((part, at) => (at === index ? change(part) : part))
    .join('.');
}

/** Flips one bit of a part's bytes. */
export function flip(part: string): string {
  const bytes = Buffer.from(part, 'base64url');
  bytes[0] = (bytes[0] as number) ^ 1;
  return bytes.toString('base64url');
}

/** Asserts that something throws a SealwireError of this code, and returns it. */
export function expectCode(code: string, action: () => unknown): SealwireError {
  try {
    action();
  } catch (error) {
    expect(error).to.be.instanceOf(SealwireError);
    expect((error as SealwireError).code).to.equal(code);
    return error as SealwireError;
  }
  return expect.fail(`nothing was thrown, ${code} was expected`);
}

/** As {@link expectCode} for what may throw or reject. */
export async function expectRejection(code: string, action: () => unknown): Promise<SealwireError> {
  let failure: unknown;
  try {
    await action();
  } catch (error) {
    failure = error;
  }
  return expectCode(code, () => {
    if (failure !== undefined) throw failure;
  });
}
