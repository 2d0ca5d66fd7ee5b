/** Folders, keys and what a refusal looks like, for the tests of this folder. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { type ErrorCode, SealwireError } from '../../src/errors.js';
import type { Curve } from '../../src/profile/algorithms.js';

const OPENSSL = { 'P-521': 'secp521r1', 'P-384': 'secp384r1', 'P-256': 'prime256v1' } as const;
export const CURVES = Object.keys(OPENSSL) as Curve[];

export interface TestJwk {
  readonly kty: 'EC';
  readonly crv: Curve;
  readonly x: string;
  readonly y: string;
  readonly d: string;
}

export interface TestPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly jwk: TestJwk;
}

export function makePair(crv: Curve = 'P-521'): TestPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: OPENSSL[crv] });
  return { privateKey, publicKey, jwk: privateKey.export({ format: 'jwk' }) as TestJwk };
}

/**
 * A P-521 key whose `member` starts with nine zero bits or more: its first byte is lost when it passes through a
 * number.
 */
export function makePaddedPair(member: 'x' | 'y' | 'd'): TestPair {
  for (;;) {
    const pair = makePair();
    const bytes = Buffer.from(pair.jwk[member], 'base64url');
    if (bytes.length === 66 && bytes[0] === 0 && (bytes[1] as number) < 0x80) return pair;
  }
}

/**
 * A key whose x begins with the length of what follows it in the encoded point: one in 256, and a DER value by chance.
 */
export function makeNestedPair(crv: 'P-384' | 'P-256'): TestPair {
  for (;;) {
    const pair = makePair(crv);
    const x = Buffer.from(pair.jwk.x, 'base64url');
    if (x[0] === 2 * x.length - 1) return pair;
  }
}

/** SEC1 PEM of a P-521 key whose d is written without its leading zero bytes, as old encoders do. */
export function stripPrivatePart({ privateKey, jwk }: TestPair): string {
  const der = privateKey.export({ type: 'sec1', format: 'der' });
  const d = Buffer.from(jwk.d, 'base64url');
  const at = der.indexOf(Buffer.concat([Buffer.from([0x04, 66]), d]));
  const short = d.subarray(d.findIndex((byte) => byte !== 0));
  // The outer SEQUENCE has a two-byte header `30 81` and a length that the change shortens (X.690 §8.1.3.5).
  const body = Buffer.concat([der.subarray(3, at), Buffer.from([0x04, short.length]), short, der.subarray(at + 68)]);
  const stripped = Buffer.concat([Buffer.from([0x30, 0x81, body.length]), body]).toString('base64');
  return `-----BEGIN EC PRIVATE KEY-----\n${stripped.match(/.{1,64}/g)?.join('\n')}\n-----END EC PRIVATE KEY-----\n`;
}

export function publicPart({ kty, crv, x, y }: TestJwk): Omit<TestJwk, 'd'> {
  return { kty, crv, x, y };
}

/** Runs `work` in a new folder that is removed afterwards. */
export async function inFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-keys-'));
  try {
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** @returns the error, after checking its code */
export async function refusal(work: () => unknown, code: ErrorCode): Promise<SealwireError> {
  try {
    await work();
  } catch (error) {
    expect(error).to.be.instanceOf(SealwireError);
    expect((error as SealwireError).code).to.equal(code);
    return error as SealwireError;
  }
  throw new Error(`nothing was refused; expected ${code}`);
}

/** Every way in which a value gets printed. */
export function printed(value: unknown): string {
  const seen = [
    inspect(value, { depth: Infinity, showHidden: true, getters: true }),
    JSON.stringify(value) ?? '',
    String(value),
    `${value}`,
  ];
  if (value instanceof Error) seen.push(value.stack ?? '', printed(value.cause));
  return seen.join('\n');
}
