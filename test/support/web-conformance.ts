/**
 * What the browser client must make of the vectors, of hostile key sets and of hostile replies. Runs wherever WebCrypto
 * is: nothing here is Node's. What the cases need is made elsewhere and comes as JSON.
 */
import { expect } from 'chai';
import { type ErrorCode, SealwireError } from '../../src/errors.js';
import { SEALING_PARTIES } from '../../src/profile/concat-kdf.js';
import { parseHeaderPart } from '../../src/profile/header-members.js';
import { type KeySetChecks, verifyKeySet } from '../../src/profile/key-sets/verify-key-set.js';
import { resolveLimits } from '../../src/profile/limits.js';
import { splitToken } from '../../src/profile/token-form.js';
import { encodeBound } from '../../src/schema/binding.js';
import type { BoundKind, SealedFieldPlan } from '../../src/schema/plan.js';
import { deriveKey } from '../../src/web/crypto/agreement.js';
import { WebReplyOpener } from '../../src/web/crypto/reply.js';
import { decodeBase64url, sha256, utf8 } from '../../src/web/crypto/subtle.js';
import { webVerifier } from '../../src/web/keys/verifier.js';

/** A test of whatever platform runs it. */
export interface WebCase {
  readonly name: string;
  run(): Promise<void>;
}

type Result = ErrorCode | 'valid';

/** test/vectors/jwe-p521.json. */
interface TokenVectors {
  readonly plaintext: string;
  readonly field: string;
  readonly key: {
    readonly kty: string;
    readonly crv: string;
    readonly x: string;
    readonly y: string;
    readonly d: string;
  };
  readonly vectors: readonly { readonly comment: string; readonly jwe: string; readonly strict: Result }[];
}

/** test/vectors/replies.json. */
interface ReplyVectors
  extends Readonly<Record<'field' | 'plaintext' | 'req' | 'request' | 'replyKey' | 'replyKid' | 'replyToken', string>> {
  readonly key: TokenVectors['key'];
  readonly calls: readonly {
    readonly comment: string;
    readonly replies: readonly { readonly jwe: string; readonly result: Result }[];
  }[];
}

/** test/vectors/bnd.json. */
interface BndVectors {
  readonly vectors: readonly {
    readonly comment: string;
    readonly fields: readonly {
      readonly name: string;
      readonly number: number;
      readonly kind: BoundKind;
      readonly explicitPresence: boolean;
    }[];
    readonly values: Readonly<Record<string, string | number | boolean>>;
    readonly encoded: string;
    readonly bnd: string;
  }[];
}

/** Replies in the order in which a client gets them. */
interface RepliesInOrder {
  readonly name: string;
  readonly steps: readonly { readonly token: string; readonly result: Result; readonly bound?: string }[];
}

/** Everything that the cases are given. */
export interface ConformanceInput {
  readonly tokens: TokenVectors;
  readonly replies: ReplyVectors;
  readonly bnd: BndVectors;
  /** One for each signed set. */
  readonly sets: readonly {
    readonly name: string;
    readonly result: Result;
    readonly given: readonly { readonly text: string; readonly checks: KeySetChecks }[];
  }[];
  /** Replies by one key; `key` is hexadecimal. */
  readonly calls: {
    readonly key: string;
    readonly kid: string;
    readonly replyToken: string;
    readonly field: string;
    readonly inOrder: readonly RepliesInOrder[];
  };
}

const limits = resolveLimits();

/** `valid`, or the code of the refusal. */
async function judge(action: () => unknown): Promise<Result> {
  try {
    await action();
    return 'valid';
  } catch (error) {
    expect(error).to.be.instanceOf(SealwireError);
    return (error as SealwireError).code;
  }
}

const fromHex = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
const toHex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

async function openerWith(key: string, kid: string, replyToken: string): Promise<WebReplyOpener> {
  const unwrapping = await crypto.subtle.importKey('raw', fromHex(key), 'AES-KW', false, ['unwrapKey']);
  return WebReplyOpener.create({ key: unwrapping, kid }, replyToken);
}

/** Z of a token's `epk` and a private JWK. */
async function agreeAsRecipient(token: string, { kty, crv, x, y, d }: TokenVectors['key']): Promise<Uint8Array> {
  const { subtle } = crypto;
  const curve = { name: 'ECDH', namedCurve: crv };
  const header = parseHeaderPart(token.split('.')[0] as string, limits.headerBytes, decodeBase64url);
  const epk = header['epk'] as { readonly x: string; readonly y: string };
  const theirs = await subtle.importKey('jwk', { kty, crv, x: epk.x, y: epk.y }, curve, false, []);
  const mine = await subtle.importKey('jwk', { kty, crv, x, y, d }, curve, false, ['deriveBits']);
  return new Uint8Array(await subtle.deriveBits({ name: 'ECDH', public: theirs }, mine, 528));
}

/** As a recipient opens what this client seals; the key is derived as the client derives it. */
async function openAsRecipient(token: string, key: TokenVectors['key']): Promise<string> {
  const { subtle } = crypto;
  const { headerPart, encryptedKey, iv, ciphertext, tag } = splitToken(token, limits, decodeBase64url);
  const kek = await deriveKey(await agreeAsRecipient(token, key), SEALING_PARTIES, 'unwrapKey');
  const cek = await subtle.unwrapKey('raw', encryptedKey, kek, 'AES-KW', 'AES-GCM', false, ['decrypt']);
  const algorithm = { name: 'AES-GCM', iv, additionalData: utf8.encode(headerPart) };
  const sealed = Uint8Array.from([...ciphertext, ...tag]);
  return new TextDecoder().decode(await subtle.decrypt(algorithm, cek, sealed));
}

/** What is refused for its form, by whoever gets it. */
const FORM_CODES: readonly Result[] = [
  'TOKEN_PART_COUNT',
  'TOKEN_PART_LENGTH',
  'TOKEN_ENCODING',
  'HEADER_FORBIDDEN_NAME',
  'HEADER_DUPLICATE_NAME',
  'HEADER_JSON',
];
const OURS = 'ECDH-ES+A256KW, A256GCM';

function tokenCases({ field, key, plaintext, vectors }: TokenVectors): WebCase[] {
  return vectors.flatMap(({ comment, jwe, strict }): WebCase[] => {
    const expected = FORM_CODES.includes(strict) ? strict : 'ALGORITHM_NOT_ALLOWED';
    const refuse: WebCase = {
      name: `token vector: ${comment}: ${expected} as a reply`,
      async run() {
        const opener = await openerWith('00'.repeat(32), 'kid', 'token');
        expect(await judge(() => opener.open(jwe, field, undefined))).to.equal(expected);
      },
    };
    if (!comment.startsWith(OURS)) return [refuse];
    const isGood = strict !== 'DECRYPTION_FAILED';
    const open: WebCase = {
      name: `token vector: ${comment}: ${isGood ? 'opens' : 'does not open'} with the key that is derived here`,
      async run() {
        const opened = await openAsRecipient(jwe, key).catch(() => undefined);
        expect(opened).to.equal(isGood ? plaintext : undefined);
      },
    };
    return [refuse, open];
  });
}

function replyVectorCases(vectors: ReplyVectors): WebCase[] {
  const { field, plaintext, replyKey, replyKid, replyToken } = vectors;
  const cases = vectors.calls.map(({ comment, replies }) => ({
    name: `reply vectors: ${comment}`,
    async run() {
      const opener = await openerWith(replyKey, replyKid, replyToken);
      for (const { jwe, result } of replies) {
        const open = async () => toHex((await opener.open(jwe, field, undefined)).plaintext);
        if (result === 'valid') expect(await open()).to.equal(plaintext);
        else expect(await judge(open)).to.equal(result);
      }
    },
  }));
  const digests = {
    name: 'reply vectors: digest of a request, and kid of the reply key',
    async run() {
      expect(await sha256(fromHex(vectors.request))).to.equal(vectors.req);
      const header = parseHeaderPart(replyToken.split('.')[0] as string, limits.headerBytes, decodeBase64url);
      const { x, y } = header['epk'] as { readonly x: string; readonly y: string };
      const point = [x, y].flatMap((text) => [...(decodeBase64url(text) as Uint8Array)]);
      expect(await sha256(Uint8Array.from(point))).to.equal(replyKid);
    },
  };
  return [...cases, digests];
}

function bndCases({ vectors }: BndVectors): WebCase[] {
  return vectors.map(({ comment, fields, values, encoded, bnd }) => ({
    name: `bnd vector: ${comment}`,
    async run() {
      const bind = fields.map((field) => ({ ...field, key: field.name })).sort((a, b) => a.number - b.number);
      const message = Object.fromEntries(
        fields.flatMap(({ name, kind }) => {
          const value = values[name];
          if (value === undefined) return [];
          return [[name, kind === 'bytes' ? decodeStandard(value as string) : value]];
        }),
      );
      const bytes = encodeBound({ bind } as unknown as SealedFieldPlan, message);
      expect(toHex(bytes)).to.equal(encoded);
      expect(await sha256(bytes)).to.equal(bnd);
    },
  }));
}

/** Bytes in proto3 JSON. */
function decodeStandard(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** All cases, one test each. */
export function conformanceCases(input: ConformanceInput): WebCase[] {
  const { sets, calls } = input;
  const setCases = sets.map(({ name, result, given }) => ({
    name: `key set: ${name}: ${result}`,
    async run() {
      for (const { text, checks } of given)
        expect(await judge(() => verifyKeySet(text, checks, webVerifier))).to.equal(result);
    },
  }));
  const callCases = calls.inOrder.map(({ name, steps }) => ({
    name: `reply: ${name}`,
    async run() {
      const opener = await openerWith(calls.key, calls.kid, calls.replyToken);
      for (const { token, result, bound } of steps) {
        const bytes = bound === undefined ? undefined : utf8.encode(bound);
        expect(await judge(() => opener.open(token, calls.field, bytes))).to.equal(result);
      }
    },
  }));
  return [
    ...tokenCases(input.tokens),
    ...replyVectorCases(input.replies),
    ...bndCases(input.bnd),
    ...setCases,
    ...callCases,
  ];
}
