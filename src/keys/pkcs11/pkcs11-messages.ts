/** Messages between the service and the processes that talk to a PKCS#11 module. */
import type { Curve } from '../../profile/algorithms.js';
import type { Pkcs11Uri } from './pkcs11-uri.js';

/** The token to open; the first message a process gets. */
export interface OpenRequest {
  /** Main file of `pkcs11js`. */
  readonly cryptoki: string;
  readonly modulePath: string;
  readonly token: Pkcs11Uri;
  readonly pin: string;
  /** For making keys. */
  readonly write: boolean;
}

/** A key by label, id or both. */
export interface KeyName {
  readonly object?: string;
  /** Hexadecimal. */
  readonly id?: string;
}

/** Work for an opened token. */
export type Pkcs11Task =
  | {
      readonly kind: 'agree';
      readonly key: KeyName;
      readonly crv: Curve;
      readonly x: Uint8Array;
      readonly y: Uint8Array;
    }
  | { readonly kind: 'describe'; readonly key: KeyName }
  | { readonly kind: 'generate'; readonly key: KeyName; readonly crv: Curve };

/** The public half of a key on the token; coordinates in hexadecimal. */
export interface TokenKey {
  readonly crv: Curve;
  readonly x: string;
  readonly y: string;
}

/** Why work was not done. */
export type Pkcs11Problem =
  /** The point is not on the curve; the sender is at fault. */
  | 'point'
  /** No such key, two of that name, or one that may not do this; the operator is at fault. */
  | 'key'
  /** A wrong or locked PIN. Nobody may try again, because tokens lock after a few tries. */
  | 'pin'
  /** The module or token is missing or gone. */
  | 'token';

/** The answer to {@link OpenRequest} and to each task. */
export type Pkcs11Reply =
  | { readonly problem?: never; readonly z?: Uint8Array; readonly key?: TokenKey; readonly serial?: string }
  | { readonly problem: Pkcs11Problem; readonly text: string };

/**
 * Whether a problem ends the session. A module remembers what was present when it began: only a new process sees a
 * token, or a key that served before, when it comes back.
 */
export function endsSession(task: Pkcs11Task | undefined, problem: Pkcs11Problem): boolean {
  if (problem === 'point') return false;
  return problem !== 'key' || task === undefined || task.kind === 'agree';
}
