/** Where a service keeps its files, below the folder that `--dir` names. */
import { join } from 'node:path';

/**
 * @param dir the service's folder
 * @param given a folder of key files that were made elsewhere and are only read; what is derived from them stays in
 *   `dir`
 */
export function servicePaths(dir: string, given = join(dir, 'keys')) {
  const keys = join(dir, 'keys');
  return {
    /** The folder of key files. */
    keys,
    /** Private keys, mode 0600. */
    ring: join(given, 'ring.json'),
    /** Plain JWK Set of what senders may use. */
    publicKeys: join(keys, 'public.jwks.json'),
    /** Private JWK of the root, mode 0600; may be kept elsewhere. */
    root: join(keys, 'root.json'),
    /** Public JWK of the root. */
    rootPublic: join(keys, 'root.pub.json'),
    /** Private JWK of the set-signing key, mode 0600. */
    signer: join(keys, 'set-signing.json'),
    /** Public JWK of the set-signing key, to be carried to the root. */
    signerPublic: join(keys, 'set-signing.pub.json'),
    /** Compact JWS. */
    delegation: join(keys, 'delegation.jws'),
    /** The latest signed key set, a compact JWS. */
    keySet: join(keys, 'key-set.jws'),
    /** Signs the checkpoints of the audit log. */
    log: join(keys, 'log.key'),
    /** The audit log. */
    audit: join(dir, 'audit'),
  } as const;
}

/** What {@link servicePaths} gives. */
export type ServicePaths = Readonly<ReturnType<typeof servicePaths>>;
