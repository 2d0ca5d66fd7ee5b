/**
 * Sealed calls from browsers, workers and other runtimes with WebCrypto, over any Connect transport.
 *
 * @module sealwire/web
 */

export {
  type ErrorCode,
  type KeySetCode,
  type LocalCode,
  type Reason,
  SealwireError,
  type StepCode,
  type Violation,
} from '../errors.js';
export type { Curve } from '../profile/algorithms.js';
export type { ErrorDetails } from '../profile/error-details.js';
export type { KeySetVersion, SeenSet } from '../profile/key-sets/version.js';
export type { ContentType } from '../profile/replies.js';
export { isOpened, type SealedToken } from '../schema/opened.js';
export { errorDetails } from './call-errors.js';
export { SealedWebClient, type SealedWebClientOptions } from './client.js';
export { importWebRecipientKey, type WebKeySource, type WebRecipientKey } from './crypto/recipient.js';
export type { OpenedWebReply } from './crypto/reply.js';
export {
  type WebCall,
  type WebSealedField,
  WebSealer,
  type WebSealerOptions,
  type WebSealingCall,
} from './crypto/sealer.js';
export type { WebCryptoKey } from './crypto/subtle.js';
export { createIndexedDbMemory } from './keys/indexed-db-memory.js';
export {
  type KeySetMemory,
  type KeySetOptions,
  type KeySetProblem,
  type RememberedSet,
  WebKeyDirectory,
  type WebKeyDirectoryOptions,
} from './keys/key-directory.js';
export type { OpenedInit } from './messages/opened-types.js';
