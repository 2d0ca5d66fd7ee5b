/** The browser client in Node: keys of a ring, transports straight to a service's own port. */
import { createGrpcTransport } from '@connectrpc/connect-node';
import type { KeyRing } from '../../src/keys/ring.js';
import { importWebRecipientKey, type WebKeySource, type WebRecipientKey } from '../../src/web/crypto/recipient.js';

/** The ring's current key as the browser client has it. */
export function webKey(ring: KeyRing): Promise<WebRecipientKey> {
  return importWebRecipientKey(ring.current().publicKey.export({ format: 'jwk' }));
}

/** A source of one key for all recipients. */
export function webKeys(ring: KeyRing): WebKeySource {
  return { current: () => webKey(ring), refresh: async () => {} };
}

/** gRPC as a browser's gateway speaks it to the service. */
export function grpcTransport(address: string) {
  return createGrpcTransport({ baseUrl: `http://${address}` });
}
