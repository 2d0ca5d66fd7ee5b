/** The browser client in Node: keys of a ring, transports straight to a service's own port. */
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { createGrpcTransport } from '@connectrpc/connect-node';
import type { KeyRing } from '../../src/keys/ring.js';
import type { WebKeySource, WebRecipientKey } from '../../src/web/crypto/recipient.js';

/** The ring's current key as the browser client has it. */
export async function webKey(ring: KeyRing): Promise<WebRecipientKey> {
  const { kid, crv, publicKey } = ring.current() as unknown as WebRecipientKey & { publicKey: KeyObject };
  const jwk = publicKey.export({ format: 'jwk' });
  const algorithm = { name: 'ECDH', namedCurve: crv };
  return { kid, crv, publicKey: await crypto.subtle.importKey('jwk', jwk as JsonWebKey, algorithm, true, []) };
}

/** A source of one key for all recipients. */
export function webKeys(ring: KeyRing): WebKeySource {
  return { current: () => webKey(ring), refresh: async () => {} };
}

/** gRPC as a browser's gateway speaks it to the service. */
export function grpcTransport(address: string) {
  return createGrpcTransport({ baseUrl: `http://${address}` });
}
