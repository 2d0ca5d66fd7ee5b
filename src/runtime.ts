/**
 * What generated code imports. Nothing here is for application code.
 *
 * @module sealwire/runtime
 */

export { type SealedCallOptions, SealedClient, type SealedClientOptions } from './client/client.js';
export type { CredentialFunction } from './client/seal-interceptor.js';
export type { RecipientKey } from './jwe/recipient.js';
export type { SealingSessions, SealingSessionsOptions, SessionBounds } from './jwe/sender.js';
export type { KeySource } from './keys/key-source.js';
export type { Curve } from './profile/algorithms.js';
export { createInnerCodec, type Descriptors, embeddedDescriptors, type MessageFns } from './schema/codec.js';
export type {
  AssertBound,
  AssertSealed,
  ReplaceCase,
  ReplaceElements,
  SomeHandlers,
} from './schema/generated-types.js';
export { guardDefinition, type MethodCodecs } from './schema/guarded-messages.js';
export type { SealedToken } from './schema/opened.js';
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
export type { Validator, Violation } from './schema/validation.js';
export { type WellKnown, wellKnownCodecs } from './schema/well-known.js';
export { addSealedService, type HandlerErrorReport, type SealedHandler } from './server/add-service.js';
