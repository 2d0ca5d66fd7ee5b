/**
 * Whether calls of a service pass an open interceptor at all. Without one, handlers would get tokens where their types
 * say messages, unchecked and unrecorded, and nobody would notice.
 */
import type { ServerInterceptor } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';

type Definition = Parameters<ServerInterceptor>[0];
type Deserialize = Definition['requestDeserialize'];

const opened = new WeakSet<Deserialize>();

/** Takes note that an open interceptor sees the calls of a method. */
export function noteOpened({ requestDeserialize }: Definition): void {
  opened.add(requestDeserialize);
}

/**
 * @param requestDeserialize made for this method of one server alone
 * @throws SealwireError `OPTIONS_INVALID`
 */
export function checkOpened(requestDeserialize: Deserialize | undefined): void {
  if (requestDeserialize !== undefined && opened.has(requestDeserialize)) return;
  const remedy = 'give new Server({ interceptors }) the one of createOpenInterceptor({ services }), with this service';
  throw new SealwireError('OPTIONS_INVALID', `no open interceptor has seen the call: ${remedy}`);
}
