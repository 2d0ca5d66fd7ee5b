/** Runs in a worker thread: fresh EC work costs milliseconds and `diffieHellman` is synchronous. */
import { createECDH, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { type Curve, curves } from '../profile/algorithms.js';

/** Work for a thread; private keys travel as handles, never as bytes. */
export type AgreementTask =
  | {
      readonly kind: 'agree';
      readonly privateKey: KeyObject;
      readonly crv: Curve;
      readonly x: Uint8Array;
      readonly y: Uint8Array;
    }
  | {
      readonly kind: 'generate';
      /** The recipient's, uncompressed. */
      readonly publicPoint: Uint8Array;
      readonly crv: Curve;
    };

/** A shared secret and, of a generated pair, the public half. The private half stays here and is dropped. */
export interface AgreementOutcome {
  readonly z: Uint8Array;
  readonly x?: string;
  readonly y?: string;
}

/** @returns undefined when the point is not on the curve */
export function runAgreement(task: AgreementTask): AgreementOutcome | undefined {
  if (task.kind === 'agree') {
    const { privateKey, crv, x, y } = task;
    let publicKey: KeyObject;
    try {
      // OpenSSL refuses points that are not on the curve here. From DER it does so in a seventh of the time
      // it takes from JWK, where it multiplies by the order too: our curves have cofactor 1.
      const key = Buffer.concat([Buffer.from(curves[crv].spkiPrefix, 'hex'), x, y]);
      publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
    } catch {
      return undefined;
    }
    return { z: pad(diffieHellman({ privateKey, publicKey }), crv) };
  }
  const { publicPoint, crv } = task;
  // Not generateKeyPairSync and export: when the garbage collector runs during an export and finds the job that made the
  // key, that job's end waits for the lock that the export holds, in the same thread, for good (Node 20.20).
  const pair = createECDH(curves[crv].openssl);
  const point = pair.generateKeys();
  const size = curves[crv].coordinateBytes;
  return {
    z: pad(pair.computeSecret(publicPoint), crv),
    x: point.toString('base64url', 1, 1 + size),
    y: point.toString('base64url', 1 + size),
  };
}

function pad(bytes: Buffer, crv: Curve): Buffer {
  const size = curves[crv].coordinateBytes;
  return bytes.length === size ? bytes : Buffer.concat([Buffer.alloc(size - bytes.length), bytes]);
}
