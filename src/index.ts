/** Sealwire's public API: for applications, and for generated code. */

export {
  errorDetails,
  type SealedCallOptions,
  SealedClient,
  type SealedClientOptions,
} from './client/client.js';
export { KeyDirectory, type KeyDirectoryOptions, type KeySetProblem } from './client/key-directory.js';
export {
  type CredentialFunction,
  createSealInterceptor,
  type SealInterceptorOptions,
} from './client/seal-interceptor.js';
export {
  type ErrorCode,
  KEY_SET_CODES,
  type KeySetCode,
  type LocalCode,
  type Reason,
  reasonByStep,
  SealwireError,
  type StepCode,
} from './errors.js';
export { type AgreementCacheOptions, type CallerRateOptions, TokenOpener } from './jwe/opener.js';
export { AgreementPool, type AgreementPoolOptions } from './jwe/pool.js';
export type { Custody, OpeningKey, OpeningKeys, RecipientKey } from './jwe/recipient.js';
export { type AgreementSession, SealingSessions, type SealingSessionsOptions } from './jwe/sender.js';
export { LocalCustody } from './keys/custody.js';
export { importKey, type PublicJwk } from './keys/import.js';
export { type FileKeySourceOptions, fileKeySource, type KeySource, staticKeySource } from './keys/key-source.js';
export { type KeyDates, type KeyState, keyState } from './keys/lifecycle.js';
export { Pkcs11Custody, type Pkcs11CustodyOptions } from './keys/pkcs11/pkcs11-custody.js';
export type { Pkcs11Uri } from './keys/pkcs11/pkcs11-uri.js';
export type { PassphraseSource } from './keys/protected-file.js';
export { loadPublicKeys, recipientKey } from './keys/public-keys.js';
export {
  type KeyChange,
  type KeyDescription,
  KeyRing,
  type KeyRingOptions,
  type RingChange,
  type RingListener,
} from './keys/ring.js';
export { RingFollower, type RingFollowerOptions } from './keys/ring-follower.js';
export { type DelegationOptions, signDelegation } from './keys/signed-set/delegation.js';
export {
  KeySetPublisher,
  type KeySetPublisherOptions,
  type PublishedKeys,
  type ServedKeySet,
  type SetSigner,
} from './keys/signed-set/key-set-publisher.js';
export { SigningKey } from './keys/signed-set/signing-key.js';
export { createPlans, type Plans } from './loader/create-plans.js';
export type { LoadedService } from './loader/definition-check.js';
export type { LoaderOptions } from './loader/loader-form.js';
export type { ContentEncryption, Curve, KeyAlgorithm } from './profile/algorithms.js';
export type { OpenLimits } from './profile/limits.js';
export type { PolicyName } from './profile/policy.js';
export { createInnerCodec, embeddedDescriptors } from './schema/codec.js';
export type { ErrorDetails } from './schema/error-status.js';
export type { AssertBound, AssertSealed, ReplaceCase, ReplaceElements } from './schema/generated-types.js';
export { guardDefinition } from './schema/guarded-messages.js';
export { isOpened, type SealedToken, tokenOf } from './schema/opened.js';
export type {
  InnerCodec,
  MessagePlan,
  MethodPlan,
  SealedFieldPlan,
  SealedServiceDefinition,
  ServicePlan,
} from './schema/plan.js';
export type { Validator, Validators, Violation } from './schema/validation.js';
export { type WellKnown, wellKnownCodecs } from './schema/well-known.js';
export { addSealedService, type HandlerErrorReport, type SealedHandler } from './server/add-service.js';
export type { AuditSink, CallRecord, CallRecordField } from './server/audit-sink.js';
export {
  type Caller,
  type CallerContext,
  type CallerFunction,
  type CallerKind,
  type CallerOptions,
  createCaller,
} from './server/caller.js';
export { addKeyService, type KeySetProvider } from './server/key-service.js';
export { createOpenInterceptor, type OpenInterceptor, type OpenInterceptorOptions } from './server/open-interceptor.js';
export { limitReceiving, type ReceiveLimitOptions, type ReceiveLimits } from './server/receive-limits.js';
export { MemoryReplayStore, type MemoryReplayStoreOptions } from './server/replay/memory-replay-store.js';
export {
  REPLAY_WINDOW_MS,
  ReplayGuard,
  type ReplayGuardOptions,
  type UsedToken,
} from './server/replay/replay-guard.js';
export type { ReplayEntry, ReplayLife, ReplayResult, ReplayStats, ReplayStore } from './server/replay/replay-store.js';
export type { AuthenticateCaller, CallerCredential } from './server/reply-token.js';
export type { OpenStored, StoredTokenPlace } from './server/stored/open-stored.js';
export type { ResealStored } from './server/stored/reseal-stored.js';
