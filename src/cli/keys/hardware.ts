/** Keys in PKCS#11 tokens for `sealwire keys`: makes or finds them; the ring gets the public half and a URI. */
import { SealwireError } from '../../errors.js';
import { HSM_PIN_VARIABLE } from '../../host/config.js';
import type { PublicJwk } from '../../keys/import.js';
import { Pkcs11Custody } from '../../keys/pkcs11/pkcs11-custody.js';
import { formatPkcs11Uri, type Pkcs11Uri, parsePkcs11Uri } from '../../keys/pkcs11/pkcs11-uri.js';
import { importRingKey, type RingKey } from '../../keys/ring-file.js';
import type { Curve } from '../../profile/algorithms.js';
import { readSecret } from '../secret-input.js';
import type { HardwareFlags } from './keys-options.js';

/** A key in a token on its way into a ring. */
export interface TokenKey {
  readonly key: RingKey;
  /** The URI that the ring holds. */
  readonly uri: string;
}

/**
 * Makes a key pair on the token that `--custody` names; without a name it is named after the current time.
 *
 * @throws SealwireError `OPTIONS_INVALID`, `KEY_INVALID`, `CUSTODY_FAILED`
 */
export function makeTokenKey(custody: string, curve: Curve, flags: HardwareFlags): Promise<TokenKey> {
  const uri = resolve(custody, flags);
  const isNamed = uri.object !== undefined || uri.id !== undefined;
  const named = isNamed ? uri : { ...uri, object: `sealwire-${new Date().toISOString()}` };
  return ask(formatPkcs11Uri(named), flags, (tokens, text) => tokens.generate(text, curve));
}

/**
 * Finds a key on a token. It must not be extractable, must be allowed to derive, and must be on one of our curves.
 *
 * @throws SealwireError `OPTIONS_INVALID`, `KEY_INVALID`, `CUSTODY_FAILED`
 */
export function findTokenKey(custody: string, flags: HardwareFlags): Promise<TokenKey> {
  return ask(formatPkcs11Uri(resolve(custody, flags)), flags, (tokens, text) => tokens.describe(text));
}

/** Writes the ring. If that fails, the error names the key that was made and is in no ring. */
export async function orTellWhere<T>(made: TokenKey | undefined, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (made === undefined || !(error instanceof SealwireError)) throw error;
    const kept = `the new key is on the token and in no ring: sealwire keys import --custody '${made.uri}'`;
    throw new SealwireError(error.code, `${error.message}; ${kept}`);
  }
}

/** The service has to know the library later. */
function resolve(custody: string, { module }: HardwareFlags): Pkcs11Uri {
  const uri = parsePkcs11Uri(custody);
  return module === undefined ? uri : { ...uri, modulePath: module };
}

async function ask(
  uri: string,
  { pinFile }: HardwareFlags,
  work: (tokens: Pkcs11Custody, uri: string) => Promise<PublicJwk>,
): Promise<TokenKey> {
  const tokens = new Pkcs11Custody({
    readPin: ({ token = '', serial = '', pinSource }) =>
      readSecret({
        name: `PIN of the token ${token || serial}`,
        file: pinFile ?? pinSource,
        variable: HSM_PIN_VARIABLE,
      }),
  });
  try {
    const jwk = await work(tokens, uri);
    return { key: await importRingKey({ ...jwk, sealwire: { custody: uri } }), uri };
  } finally {
    await tokens.close();
  }
}
