/** ES512 keys of the signing root and of set signing: made, kept in files, and read with every check. */
import { createPrivateKey } from 'node:crypto';
import { SealwireError } from '../../errors.js';
import type { Members } from '../../profile/header-members.js';
import {
  checkCoordinate,
  checkKid,
  checkPublic,
  checkSigningJwk,
  type JwkPoint,
  SIGNATURE_ALGORITHM,
  SIGNING_CURVE,
} from '../../profile/jwk-rules.js';
import { readKeyFile, type WriteKeyFileOptions, writeKeyFile } from '../files.js';
import { generatePem } from '../generate-pem.js';
import { jwkThumbprint, toPrivateKey, toPublicKey } from '../import.js';
import { type PassphraseSource, readProtectedFile, writeProtectedFile } from '../protected-file.js';
import { inFile } from '../ring-file.js';
import { type JoseKey, signJws, toJoseKey } from './jws.js';

const FILE_TYPE = 'jwk+json';

/** A public signing key with its RFC 7638 thumbprint. */
export interface VerificationKey {
  readonly kid: string;
  readonly jwk: VerificationJwk;
  readonly key: JoseKey;
}

/** The public JWK of a signing key, as it stands in files and delegations. */
export type VerificationJwk = JwkPoint<typeof SIGNING_CURVE>;

/**
 * @param members a public JWK: P-521, for ES512 signatures (`use`, `alg`, `key_ops`, if there, say so), `kid`, if
 *   there, its thumbprint
 * @throws SealwireError `KEY_INVALID`
 */
export async function importVerificationKey(members: object): Promise<VerificationKey> {
  checkPublic(members);
  const jwk = checkPublicPart(members as Members);
  return { kid: jwkThumbprint(jwk), jwk, key: await toJoseKey(jwk) };
}

function checkPublicPart(members: Members): VerificationJwk {
  const jwk = checkSigningJwk(members);
  checkKid(members, jwkThumbprint(jwk));
  toPublicKey(jwk);
  return jwk;
}

/** A private signing key. No part of it prints. */
export class SigningKey {
  readonly kid: string;
  readonly publicJwk: VerificationJwk;
  readonly #key: JoseKey;
  readonly #d: string;

  private constructor(publicJwk: VerificationJwk, d: string, key: JoseKey) {
    this.kid = jwkThumbprint(publicJwk);
    this.publicJwk = publicJwk;
    this.#d = d;
    this.#key = key;
  }

  /** A new key. */
  static async generate(): Promise<SigningKey> {
    return SigningKey.fromJwk(createPrivateKey(generatePem(SIGNING_CURVE)).export({ format: 'jwk' }) as object);
  }

  /** @param members a private JWK: P-521, for ES512. @throws SealwireError `KEY_INVALID` */
  static async fromJwk(members: object): Promise<SigningKey> {
    const { d: given, key_ops: _, ...rest } = members as Members;
    const jwk = checkPublicPart(rest);
    const d = checkCoordinate(given, SIGNING_CURVE);
    toPrivateKey({ ...jwk, d });
    return new SigningKey(jwk, d, await toJoseKey({ ...jwk, d }));
  }

  /**
   * Reads a key file that only its owner can read, plain or encrypted.
   *
   * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_MODE`, `KEY_FILE_INVALID`, `KEY_FILE_INCOMPLETE`,
   *   `KEY_FILE_ENCRYPTED`, `KEY_PASSPHRASE_WRONG`
   */
  static async load(path: string, passphrase?: PassphraseSource): Promise<SigningKey> {
    const { text } = await readProtectedFile(path, FILE_TYPE, passphrase);
    const members = parseJwkFile(path, text);
    return SigningKey.fromJwk(members).catch((error: unknown) => {
      throw inFile(path, error);
    });
  }

  /**
   * Writes the private JWK atomically with mode 0600, encrypted if there is a passphrase. @throws SealwireError
   * `KEY_FILE_WRITE` @internal
   */
  async save(path: string, passphrase?: PassphraseSource, options?: WriteKeyFileOptions): Promise<void> {
    const text = `${JSON.stringify({ ...describe(this), d: this.#d }, null, 2)}\n`;
    await writeProtectedFile(path, text, FILE_TYPE, passphrase, options);
  }

  /** Writes the public JWK atomically with mode 0644. @throws SealwireError `KEY_FILE_WRITE` */
  async savePublic(path: string): Promise<void> {
    await writeKeyFile(path, `${JSON.stringify(describe(this), null, 2)}\n`, 0o644);
  }

  /** @param fields header members besides `alg` and `kid`. @returns a compact JWS @internal */
  sign(fields: Members, payload: object): Promise<string> {
    return signJws(this.#key, this.kid, fields, payload);
  }
}

function describe({ publicJwk, kid }: SigningKey) {
  return { ...publicJwk, kid, use: 'sig', alg: SIGNATURE_ALGORITHM };
}

/**
 * Reads a file with a public signing key.
 *
 * @throws SealwireError `KEY_FILE_MISSING`, `KEY_FILE_INVALID`
 */
export async function loadVerificationKey(path: string): Promise<VerificationKey> {
  const members = parseJwkFile(path, await readKeyFile(path, { secret: false }));
  return importVerificationKey(members).catch((error: unknown) => {
    throw inFile(path, error);
  });
}

function parseJwkFile(path: string, text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message quotes the text.
  }
  if (typeof value === 'object' && value !== null) return value;
  throw new SealwireError('KEY_FILE_INVALID', `${path}: not a JWK`);
}
