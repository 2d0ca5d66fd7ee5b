/** Sealing with one agreement: many tokens, each with its own random CEK and IV. */
import { type KeyObject, randomFillSync } from 'node:crypto';
import { SealwireError } from '../errors.js';
import type { JwkPoint } from '../profile/jwk-rules.js';
import { fixedHeader, type SealLimits, type SealParameters } from '../profile/seal-parameters.js';
import type { SealObserver } from '../profile/sessions.js';
import { encryptGcm, headerAad } from './content.js';
import { GRANT_TYPE, Grant } from './grant.js';
import { KeyWrapper } from './key-wrap.js';
import type { ReplyKey } from './reply-key.js';

/** Seals tokens for one recipient key. */
export interface AgreementSession {
  readonly kid: string;
  /** The reply key of this agreement, for calls that sent a reply token made by {@link seal}. */
  readonly replyKey: ReplyKey;
  /**
   * @param plaintext the encoded inner message
   * @param grant given the token's content encryption key
   * @returns a compact JWE by the token profile
   * @throws SealwireError `INNER_TOO_LARGE`, `TOKEN_TOO_LARGE`, `HEADER_TOO_LARGE`
   */
  seal(plaintext: Uint8Array, parameters: SealParameters, grant?: Grant): string;
  /** A grant to this session's key for one token, to be filled where the token is sealed or opened. */
  createGrant(): Grant;
}

/** What an agreement gave. */
export interface SessionKeys {
  readonly kek: KeyObject;
  readonly replyKey: ReplyKey;
  readonly epk: JwkPoint;
}

interface HeaderPrefix {
  /** base64url of as many prefix bytes as encode without a remainder. */
  readonly encoded: string;
  /** The remaining characters of the prefix. */
  readonly rest: string;
  readonly bytes: number;
}

const CEK_BYTES = 32;
const SECRET_BYTES = CEK_BYTES + 12;
/** One call of the generator serves many tokens; each piece is used once and wiped. */
const randomness = Buffer.alloc(SECRET_BYTES * 64);
let randomnessUsed = randomness.length;

/** A fresh CEK and IV, never given out twice. */
function nextSecrets(): Buffer {
  if (randomnessUsed === randomness.length) {
    randomFillSync(randomness);
    randomnessUsed = 0;
  }
  randomnessUsed += SECRET_BYTES;
  return randomness.subarray(randomnessUsed - SECRET_BYTES, randomnessUsed);
}

/** One agreement. The key-encryption key wraps CEKs only: direct `ECDH-ES` would repeat the CEK. */
export class WrappingSession implements AgreementSession {
  readonly kid: string;
  readonly replyKey: ReplyKey;
  readonly #wrapper: KeyWrapper;
  readonly #epk: JwkPoint;
  readonly #limits: SealLimits;
  readonly #observe: SealObserver;
  /** Most of a header is the same for all tokens of a field, and for all reply tokens of a method: encoded once. */
  readonly #prefixes: Readonly<Record<SealParameters['cty'], Map<string, HeaderPrefix>>> = {
    'application/protobuf': new Map(),
    'application/json': new Map(),
  };
  #grantHeader: string | undefined;

  constructor(kid: string, { kek, replyKey, epk }: SessionKeys, limits: SealLimits, observe: SealObserver) {
    this.kid = kid;
    this.replyKey = replyKey;
    this.#wrapper = new KeyWrapper(kek);
    this.#epk = epk;
    this.#limits = limits;
    this.#observe = observe;
  }

  createGrant(): Grant {
    return new Grant((cek) => {
      const header = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: this.kid, epk: this.#epk, typ: GRANT_TYPE };
      this.#grantHeader ??= Buffer.from(JSON.stringify(header)).toString('base64url');
      this.#observe(0);
      return `${this.#grantHeader}.${this.#wrapper.wrap(cek).toString('base64url')}`;
    });
  }

  seal(plaintext: Uint8Array, parameters: SealParameters, grant?: Grant): string {
    if (plaintext.length > this.#limits.innerBytes) {
      throw new SealwireError('INNER_TOO_LARGE', `the inner message exceeds ${this.#limits.innerBytes} bytes`);
    }
    const header = this.#encodeHeader(parameters);
    const secrets = nextSecrets();
    const cek = secrets.subarray(0, CEK_BYTES);
    const iv = secrets.subarray(CEK_BYTES);
    const wrapped = this.#wrapper.wrap(cek);
    const [ciphertext, tag] = encryptGcm(cek, iv, headerAad(header), plaintext);
    const token = `${header}.${wrapped.toString('base64url')}.${iv.toString('base64url')}.${ciphertext.toString('base64url')}.${tag.toString('base64url')}`;
    grant?.take(cek);
    secrets.fill(0);
    this.#observe(plaintext.length);
    return token;
  }

  #encodeHeader({ field, cty, bound, iat, call }: SealParameters): string {
    const prefix = this.#prefix(field, cty, call?.mth);
    const bnd = bound === undefined ? '' : `,"bnd":"${bound}"`;
    const req = call?.req === undefined ? '' : `,"req":"${call.req}"`;
    const tail = `${iat}${bnd}${req}}`;
    if (prefix.bytes + tail.length > this.#limits.headerBytes) {
      throw new SealwireError('HEADER_TOO_LARGE', `the header exceeds ${this.#limits.headerBytes} bytes`);
    }
    return prefix.encoded + Buffer.from(prefix.rest + tail, 'latin1').toString('base64url');
  }

  #prefix(field: string, cty: SealParameters['cty'], mth: string | undefined): HeaderPrefix {
    const prefixes = this.#prefixes[cty];
    // A path begins with a slash, which no field has.
    const name = mth === undefined ? field : field + mth;
    const known = prefixes.get(name);
    if (known !== undefined) return known;
    const fixed = fixedHeader({ kid: this.kid, epk: this.#epk }, { field, cty }, mth);
    const text = `${JSON.stringify(fixed).slice(0, -1)},"iat":`;
    const whole = text.length - (text.length % 3);
    const prefix = {
      encoded: Buffer.from(text.slice(0, whole), 'latin1').toString('base64url'),
      rest: text.slice(whole),
      bytes: text.length,
    };
    prefixes.set(name, prefix);
    return prefix;
  }
}
