/**
 * Reviewer grants: the content encryption key of one token, wrapped to a reviewer's key. With the grant, and the
 * reviewer's private key alone, that one token opens. A grant is two parts of a compact JWE, header and encrypted key
 * (docs/audit-format.md); its agreement is a session of its own, used for grants only.
 */
import type { KeyObject } from 'node:crypto';
import { SealwireError } from '../errors.js';
import { encryptedKeyBytes, encryptions, isContentEncryption } from '../profile/algorithms.js';
import { resolveLimits } from '../profile/limits.js';
import { deriveKey, runAgreement } from './agreement.js';
import { decodeCanonical } from './base64url.js';
import { decryptContent, headerAad } from './content.js';
import { parseHeader, parseMembers } from './header.js';
import { KeyUnwrapper } from './key-wrap.js';
import { splitToken } from './token.js';

/** `typ` of a grant: its header is nobody else's. */
export const GRANT_TYPE = 'sealwire-grant';

const LIMITS = resolveLimits({}, 'interop');

/** Takes the key of one token where it is used, and gives out nothing but its wrapped form. */
export class Grant {
  readonly #wrap: (cek: Buffer) => string;
  #text: string | undefined;

  /** @param wrap gives the grant of a key */
  constructor(wrap: (cek: Buffer) => string) {
    this.#wrap = wrap;
  }

  /** Called by openers and sealers once the token is known to be good. */
  take(cek: Buffer | KeyObject): void {
    this.#text = this.#wrap(Buffer.isBuffer(cek) ? cek : cek.export());
  }

  /** The grant; undefined before there was a token. */
  get text(): string | undefined {
    return this.#text;
  }
}

/** @returns the kid that a grant is for; undefined when it is no grant */
export function grantKid(grant: string): string | undefined {
  try {
    return readGrant(grant).header.kid;
  } catch {
    return undefined;
  }
}

/** What a token held, and what its header says of the content. */
export interface GrantedContent {
  readonly plaintext: Buffer;
  /** Undefined in tokens of stock JOSE clients, which mean JSON. */
  readonly cty: string | undefined;
}

/**
 * Opens a token with its grant.
 *
 * @param token the compact JWE
 * @param privateKey the reviewer's, of the grant's kid
 * @throws SealwireError `DECRYPTION_FAILED` when the grant is not of this token or key; those of parsing
 */
export function openGranted(token: string, grant: string, privateKey: KeyObject): GrantedContent {
  const { header, encryptedKey } = readGrant(grant);
  const parts = splitToken(token, LIMITS);
  const { headerPart, iv, tag } = parts;
  const { enc, cty } = parseMembers(headerPart, LIMITS.headerBytes);
  if (!isContentEncryption(enc) || encryptedKey.length !== encryptedKeyBytes('ECDH-ES+A256KW', enc)) throw failed();
  const { ivBytes, tagBytes } = encryptions[enc];
  if (iv.length !== ivBytes || tag.length !== tagBytes) throw failed();
  const { crv, x, y } = header.epk;
  const agreed = runAgreement({ kind: 'agree', privateKey, crv, x, y });
  if (agreed === undefined) throw failed();
  const kek = deriveKey(Buffer.from(agreed.z), 'ECDH-ES+A256KW', 'A256GCM');
  const cek = new KeyUnwrapper(kek).unwrap(encryptedKey, enc);
  const plaintext = decryptContent(enc, cek, headerAad(headerPart), parts);
  cek.fill(0);
  return { plaintext, cty: typeof cty === 'string' ? cty : undefined };
}

function readGrant(grant: string) {
  const [part = '', wrapped = '', ...more] = grant.split('.');
  const encryptedKey = decodeCanonical(wrapped);
  const header = parseHeader(part);
  if (more.length > 0 || encryptedKey === undefined || header.typ !== GRANT_TYPE) {
    throw new SealwireError('TOKEN_ENCODING', 'not a grant');
  }
  if (header.alg !== 'ECDH-ES+A256KW') throw new SealwireError('ALGORITHM_NOT_ALLOWED', 'not the algorithm of a grant');
  return { header, encryptedKey };
}

function failed(): SealwireError {
  return new SealwireError('DECRYPTION_FAILED', 'decryption failed');
}
