/**
 * Wycheproof's JWS, JWK and ECDSA files: what this code accepts is valid there, and what it refuses beyond that is
 * listed.
 */
import { expect } from 'chai';
import type { ErrorCode } from '../../../src/errors.js';
import { SealwireError } from '../../../src/errors.js';
import { importKey } from '../../../src/keys/import.js';
import { isSignedBy, parseJws, toJoseKey } from '../../../src/keys/signed-set/jws.js';
import { importVerificationKey } from '../../../src/keys/signed-set/signing-key.js';
import { readVectors } from '../../support/vectors.js';

interface Case {
  readonly tcId: number;
  readonly comment: string;
  readonly result: 'valid' | 'invalid';
  readonly jws: unknown;
}

type Jwk = Readonly<Record<string, unknown>>;

interface Group {
  readonly comment: string;
  readonly public?: Jwk | { readonly keys: readonly Jwk[] };
  readonly private?: Jwk | { readonly keys: readonly Jwk[] } | string;
  readonly tests: readonly Case[];
}

interface File {
  readonly numberOfTests: number;
  readonly testGroups: readonly Group[];
}

/** The keys of a group that a verifier would be given; symmetric ones are under `private` only. */
function keysOf({ public: given, private: secret }: Group): readonly Jwk[] {
  const keys = given ?? (typeof secret === 'string' ? (JSON.parse(secret) as Jwk) : (secret as Jwk));
  return Array.isArray(keys['keys']) ? (keys['keys'] as Jwk[]) : [keys as Jwk];
}

/** What is peculiar to key sets, their `typ`, is left to the set's own tests: here it is whatever the text says. */
function typOf(text: string): string {
  try {
    const header: unknown = JSON.parse(Buffer.from(text.split('.')[0] ?? '', 'base64url').toString());
    return String((header as { typ?: unknown }).typ);
  } catch {
    return 'none';
  }
}

/** `valid`, or the code of the refusal. */
async function judge(jws: unknown, keys: readonly Jwk[]): Promise<'valid' | ErrorCode> {
  try {
    // JSON serialization is an object in the file.
    const text = typeof jws === 'string' ? jws : JSON.stringify(jws);
    const parsed = parseAnyType(text);
    const [jwk] = keys.filter(({ kid }) => kid === parsed.kid);
    if (jwk === undefined) throw new SealwireError('KEY_NOT_FOUND', 'no such key');
    const { kid: _, ...members } = jwk;
    const { key } = await importVerificationKey(members);
    return (await isSignedBy(parsed, key)) ? 'valid' : 'KEY_SET_SIGNATURE';
  } catch (error) {
    expect(error).to.be.instanceOf(SealwireError);
    return (error as SealwireError).code;
  }
}

/**
 * The vectors have no `typ`, which ours must have: it is checked after everything that can be wrong with the others.
 */
function parseAnyType(text: string) {
  const form = { headerNames: [], maxChars: 65_536 };
  try {
    return parseJws(text, { ...form, typ: typOf(text) });
  } catch (error) {
    if (!(error instanceof SealwireError) || error.code !== 'KEY_SET_TYPE') throw error;
    const [head = '', payload = '', signature = ''] = text.split('.');
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as Jwk;
    const typed = Buffer.from(JSON.stringify({ ...header, typ: 'x' })).toString('base64url');
    // A payload that is text rather than claims; the signature is over what was signed.
    const empty = Buffer.from('{}').toString('base64url');
    const parsed = parseJws(`${typed}.${empty}.${signature}`, { ...form, typ: 'x' });
    return { ...parsed, signed: Buffer.from(`${head}.${payload}`) };
  }
}

/**
 * Judges a whole file. @returns of what is valid there, the numbers of what is refused here, by code; nothing invalid
 * may be accepted
 */
async function findRefusedValid({
  testGroups,
  numberOfTests,
}: File): Promise<Readonly<Record<string, readonly number[]>>> {
  const refused: Record<string, number[]> = {};
  let judged = 0;
  for (const group of testGroups) {
    for (const { tcId, comment, result, jws } of group.tests) {
      const verdict = await judge(jws, keysOf(group));
      judged++;
      if (result === 'invalid') expect(verdict, `${tcId} ${comment}`).not.to.equal('valid');
      else if (verdict !== 'valid') refused[verdict] = [...(refused[verdict] ?? []), tcId];
    }
  }
  expect(judged).to.equal(numberOfTests);
  return refused;
}

describe('Wycheproof json_web_signature', () => {
  /**
   * Valid in the file and refused here, by reason:
   * - another algorithm: sets are signed with ES512 and nothing else, so that nothing can be talked down;
   * - `alg: "ES521"` in the JWK: there is no such algorithm (RFC 7518 §3.1 has ES512); it is a slip of the file, and a
   *   key that says it is for something else is not used. Without that member the same two signatures are valid, see
   *   below;
   * - characters that are not base64url inside a part: the file takes them for noise, RFC 7515 §2 does not allow them.
   */
  const DEVIATIONS: Readonly<Record<string, readonly [code: ErrorCode, ids: readonly number[]]>> = {
    'another algorithm': [
      'KEY_SET_ALGORITHM',
      [
        1, 18, 33, 259, 260, 261, 262, 263, 264, 265, 266, 267, 268, 269, 270, 271, 272, 273, 274, 275, 287, 288, 320,
        321, 322, 323, 325, 326, 327, 328, 345, 346, 348, 349, 350, 352, 357, 358, 359, 376, 377, 378,
      ],
    ],
    'a JWK for ES521': ['KEY_INVALID', [347, 351]],
    'noise in base64url': ['KEY_SET_FORM', [372, 373]],
  };

  it('accepts nothing that is invalid, and refuses of what is valid only what is listed', async function () {
    const file = readVectors<File>(this, 'wycheproof', 'json_web_signature_test.json');
    expect(await findRefusedValid(file)).to.deep.equal(Object.fromEntries(Object.values(DEVIATIONS)));
  });

  it('accepts both ES512 signatures when the JWK does not claim to be for ES521, and no changed one', async function () {
    const { testGroups } = readVectors<File>(this, 'wycheproof', 'json_web_signature_test.json');
    const found = testGroups.filter((group) => keysOf(group)[0]?.['crv'] === 'P-521');
    expect(found.flatMap(({ tests }) => tests.map(({ tcId }) => tcId))).to.deep.equal([347, 351]);
    for (const group of found) {
      const [{ alg, ...jwk } = {} as Jwk] = keysOf(group);
      expect(alg).to.equal('ES521');
      for (const { jws } of group.tests) {
        expect(await judge(jws, [jwk])).to.equal('valid');
        const [head, body, signature] = String(jws).split('.') as [string, string, string];
        const changed = `${head}.${body.slice(0, -4)}AAAA.${signature}`;
        expect(await judge(changed, [jwk])).to.equal('KEY_SET_SIGNATURE');
        expect(await judge(jws, [{ ...jwk, use: 'enc' }])).to.equal('KEY_INVALID');
        expect(await judge(jws, [{ ...jwk, use: undefined, key_ops: ['encrypt'] }])).to.equal('KEY_INVALID');
      }
    }
  });

  it('refuses what is not canonical base64url for that reason, before it looks at the algorithm', async function () {
    const { testGroups } = readVectors<File>(this, 'wycheproof', 'json_web_signature_test.json');
    const group = testGroups.find(({ comment }) => comment === 'base64') as Group;
    const byForm: number[] = [];
    for (const { tcId, jws } of group.tests) {
      if ((await judge(jws, keysOf(group))) === 'KEY_SET_FORM') byForm.push(tcId);
    }
    expect(byForm).to.deep.equal([360, 361, 362, 363, 364, 365, 366, 368, 369, 371, 372, 373, 374, 375]);
  });
});

describe('Wycheproof json_web_key', () => {
  /** Valid in the file and refused here: symmetric and RSA keys neither sign sets nor stand in them. */
  const DEVIATIONS = [2, 5, 13, 14, 15];

  it('accepts nothing that is invalid as a signing key, and refuses of what is valid only what is listed', async function () {
    const file = readVectors<File>(this, 'wycheproof', 'json_web_key_test.json');
    expect(Object.values(await findRefusedValid(file)).flat()).to.deep.equal(DEVIATIONS);
  });

  it('refuses every one of its keys as a key to sign sets with, or to seal to', async function () {
    const { testGroups } = readVectors<File>(this, 'wycheproof', 'json_web_key_test.json');
    for (const group of testGroups) {
      for (const jwk of keysOf(group)) {
        // Not by the kid, which none of them has as a thumbprint.
        const { kid: _, ...members } = jwk;
        for (const read of [importVerificationKey, importKey]) {
          const code = await read(members).then(
            () => 'accepted',
            (error: SealwireError) => error.code,
          );
          expect(code, `${group.comment}: ${JSON.stringify(jwk['alg'])}`).to.equal('KEY_INVALID');
        }
      }
    }
  });
});

interface EcdsaFile {
  readonly numberOfTests: number;
  readonly testGroups: readonly {
    readonly publicKey: { readonly wx: string; readonly wy: string };
    readonly tests: readonly {
      readonly tcId: number;
      readonly msg: string;
      readonly sig: string;
      readonly result: string;
    }[];
  }[];
}

describe('Wycheproof ecdsa_secp521r1_sha512_p1363', () => {
  it('agrees about every signature', async function () {
    const file = readVectors<EcdsaFile>(this, 'wycheproof', 'ecdsa_secp521r1_sha512_p1363_test.json');
    const coordinate = (hex: string) => Buffer.from(hex.slice(-132).padStart(132, '0'), 'hex').toString('base64url');
    let judged = 0;
    for (const { publicKey, tests } of file.testGroups) {
      const [x, y] = [coordinate(publicKey.wx), coordinate(publicKey.wy)];
      const key = await toJoseKey({ kty: 'EC', crv: 'P-521', x, y });
      for (const { tcId, msg, sig, result } of tests) {
        const signature = Buffer.from(sig, 'hex');
        const parsed = { kid: '', header: {}, payload: {}, signature, signed: Buffer.from(msg, 'hex') };
        // Parsing a JWS lets no other length pass.
        const verdict = signature.length === 132 && (await isSignedBy(parsed, key));
        expect(verdict ? 'valid' : 'invalid', String(tcId)).to.equal(result);
        judged++;
      }
    }
    expect(judged).to.equal(file.numberOfTests);
  });
});
