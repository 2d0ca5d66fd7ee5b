/** The ways that a client has for a unary call. */
import { InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import type { SealedClientOptions } from '../../src/client/client.js';
import type { RecipientKey } from '../../src/jwe/recipient.js';
import { SealingSessions } from '../../src/jwe/sender.js';

type WayOptions = Pick<SealedClientOptions, 'sessions' | 'interceptors' | 'wireInterceptors'>;

const pass: Interceptor = (options, next) => new InterceptingCall(next(options));

/** The one whose reply tokens do not name the request. */
export const UNNAMED_WAY = 'sealed before wire interceptors';

/** Client options by way, given the keys that the client seals to. */
export const clientWays: Readonly<Record<string, (...keys: RecipientKey[]) => Promise<WayOptions>>> = {
  // With agreements at hand nothing has to be waited for.
  'sealed when they are made': async (...keys) => {
    const sessions = new SealingSessions();
    for (const key of keys) await sessions.acquire(key);
    return { sessions };
  },
  'sealed by the interceptor': async () => ({ interceptors: [pass] }),
  [UNNAMED_WAY]: async () => ({ wireInterceptors: [pass] }),
};
