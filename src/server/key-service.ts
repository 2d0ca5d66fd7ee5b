/** `sealwire.v1.KeyService`: serves signed key sets that are at hand; no call makes it sign. */
import { type handleUnaryCall, type Server, type ServerErrorResponse, status } from '@grpc/grpc-js';
import { type GetKeySetRequest, type GetKeySetResponse, KeyServiceService } from '../gen/sealwire/v1/keys.js';
import { addSmallService } from './receive/small-requests.js';

/** One recipient's current set; a `KeySetPublisher` is one. */
export interface KeySetProvider {
  /** Name of the recipient. */
  readonly issuer: string;
  /** The set to serve now; undefined when there is no valid one. */
  current(): KeySetAnswer | undefined;
}

/** What is answered. */
export interface KeySetAnswer {
  /** Compact JWS of the set. */
  readonly jws: string;
  readonly maxAgeSeconds: number;
  /** Compact JWS of the sealing statement. Default: none. */
  readonly statementJws?: string;
}

/** Full name of the service, e.g. for health checks. */
export const KEY_SERVICE_NAME = 'sealwire.v1.KeyService';

/**
 * Adds the key service. A recipient that is not served is `NOT_FOUND`; a set that cannot be signed is `UNAVAILABLE`; a
 * request of more than 2,048 bytes is `RESOURCE_EXHAUSTED`.
 *
 * @param server the grpc-js server
 * @param sets the service's own set first, which an empty recipient means; then those of other recipients
 */
export function addKeyService(server: Server, sets: readonly [KeySetProvider, ...KeySetProvider[]]): void {
  const byName = new Map([['', sets[0]], ...sets.map((set): [string, KeySetProvider] => [set.issuer, set])]);
  const getKeySet: handleUnaryCall<GetKeySetRequest, GetKeySetResponse> = ({ request }, callback) => {
    const provider = byName.get(request.recipient);
    if (provider === undefined)
      return callback(failure(status.NOT_FOUND, 'no key set of this recipient is served here'));
    const set = provider.current();
    if (set === undefined) return callback(failure(status.UNAVAILABLE, 'there is no valid key set at the moment'));
    const { jws, statementJws = '', maxAgeSeconds } = set;
    const maxAge = { seconds: String(maxAgeSeconds), nanos: 0 };
    return callback(null, { keySetJws: jws, maxAge, sealingStatement: statementJws });
  };
  addSmallService(server, KeyServiceService, { getKeySet });
}

function failure(code: status, details: string): ServerErrorResponse {
  return { name: 'Error', message: details, code, details };
}
