/**
 * Run a service of your own with all that `sealwire serve` has.
 *
 * @module sealwire/host
 */

export type { SealedToken } from '../schema/opened.js';
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
} from '../schema/plan.js';
export type { Validator, Validators, Violation } from '../schema/validation.js';
export type { HandlerErrorReport } from '../server/add-service.js';
export type { OpenStored, StoredTokenCall, StoredTokenPlace } from '../server/stored/open-stored.js';
export type { ResealStored } from '../server/stored/reseal-stored.js';
export type { ConfigSources, HostConfigInput } from './config.js';
export { type HostOptions, type RunningHost, startHost } from './host.js';
export type { AddService, AppHost, AppLogger, AppWeb, HostApp, RunningApp } from './host-app.js';
export { runHost } from './process/run-host.js';
