/**
 * What services and clients on grpc-js call.
 *
 * @module sealwire
 */

export { errorDetails, type SealedCallOptions, type SealedClientOptions } from './client/client.js';
export {
  KeyDirectory,
  type KeyDirectoryOptions,
  type KeyServiceMetadata,
  type KeySetOptions,
  type KeySetProblem,
  type KeySetVersion,
} from './client/key-directory.js';
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
  SealwireError,
  type StepCode,
} from './errors.js';
export type { EphemeralPoint } from './jwe/header.js';
export type {
  AgreementCacheOptions,
  AgreementStats,
  CallerRateOptions,
  OpenerStats,
  RefusalKind,
} from './jwe/opener.js';
export type { Custody, OpeningKey, OpeningKeys, RecipientKey, TokenOrigin } from './jwe/recipient.js';
export { SealingSessions, type SealingSessionsOptions, type SessionBounds } from './jwe/sender.js';
export type { CustodyOptions, HardwareCustody } from './keys/custody.js';
export type { PublicJwk } from './keys/import.js';
export { type FileKeySourceOptions, fileKeySource, type KeySource, staticKeySource } from './keys/key-source.js';
export type { KeyDates, KeyState } from './keys/lifecycle.js';
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
export { createPlans, type Plans } from './loader/create-plans.js';
export type { LoadedService } from './loader/definition-check.js';
export type { LoaderOptions } from './loader/loader-form.js';
export type { ContentEncryption, Curve, KeyAlgorithm } from './profile/algorithms.js';
export type { ErrorDetails } from './profile/error-details.js';
export type { OpenLimits } from './profile/limits.js';
export type { PolicyName } from './profile/policy.js';
export { isOpened, type SealedToken, tokenOf } from './schema/opened.js';
export type {
  BoundFieldPlan,
  BoundKind,
  FieldShape,
  InnerCodec,
  MessagePlan,
  MethodPlan,
  NestedFieldPlan,
  OneofLocator,
  OneofMemberPlan,
  SealedFieldPlan,
  SealedServiceDefinition,
  ServicePlan,
} from './schema/plan.js';
export type { Validator, Validators, Violation } from './schema/validation.js';
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
export { createOpenInterceptor, type OpenInterceptor, type OpenInterceptorOptions } from './server/open-interceptor.js';
export type { TokenGuard } from './server/open-message.js';
export { limitReceiving, type ReceiveLimitOptions, type ReceiveLimits } from './server/receive/receive-limits.js';
export { addReflection, type ReflectionOptions } from './server/reflection.js';
export {
  type MemoryReplayStats,
  MemoryReplayStore,
  type MemoryReplayStoreOptions,
} from './server/replay/memory-replay-store.js';
export {
  type GuardedToken,
  REPLAY_WINDOW_MS,
  ReplayGuard,
  type ReplayGuardOptions,
  type UsedToken,
} from './server/replay/replay-guard.js';
export type { ReplayEntry, ReplayLife, ReplayResult, ReplayStats, ReplayStore } from './server/replay/replay-store.js';
export type { AuthenticateCaller, CallerCredential } from './server/reply-token.js';
export type { OpenStored, StoredTokenCall, StoredTokenPlace } from './server/stored/open-stored.js';
export type { ResealStored } from './server/stored/reseal-stored.js';
