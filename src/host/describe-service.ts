/** Whether and how the service describes itself to callers. */
import { isIP } from 'node:net';
import type { Server } from '@grpc/grpc-js';
import { hostDescriptors } from '../gen/descriptors.js';
import { readDescriptors } from '../schema/run-time/descriptor-plans.js';
import { SealingStatements } from '../schema/sealing-statement.js';
import type { CallerFunction } from '../server/caller.js';
import { KEY_SERVICE_NAME } from '../server/key-service.js';
import { addReflection } from '../server/reflection.js';
import type { HostConfig } from './config.js';
import type { HostApp } from './host-app.js';

/** What the host itself adds to the services of an app. */
const OWN_SERVICES = [KEY_SERVICE_NAME, 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'];

/** What a service says of itself. */
export interface ServiceDescription {
  /** Full names of all its services. */
  readonly services: readonly string[];
  /** Those that web clients may call: the key service, the app's sealed ones, and what its descriptors declare. */
  readonly forWeb: readonly string[];
  /** Descriptor set of all its protos. */
  readonly descriptors: Uint8Array;
  /** What it has sealed, see `SealingStatements`; undefined when the app has no descriptors. */
  readonly statement: string | undefined;
}

/** @throws SealwireError `PLAN_INVALID` for the app's descriptors */
export function describeApp({ services, descriptors }: Pick<HostApp, 'services' | 'descriptors'>): ServiceDescription {
  const own = Buffer.from(hostDescriptors, 'base64');
  // Two serialized sets behind each other are one set (protobuf's encoding merges repeated fields).
  const all = descriptors === undefined ? own : Buffer.concat([own, descriptors]);
  const sealed = services.map(({ plan }) => plan.typeName);
  const names = [...sealed, ...OWN_SERVICES];
  const registry = descriptors && readDescriptors(all);
  const statement = registry && new SealingStatements(registry).ofServices(names);
  const declared = [...(registry?.files ?? [])].flatMap((file) => file.services.map(({ typeName }) => typeName));
  const forWeb = [...new Set([...sealed, ...declared])].filter((name) => !OWN_SERVICES.includes(name));
  return { services: names, forWeb: [...forWeb, KEY_SERVICE_NAME], descriptors: all, statement };
}

export function reflectIfConfigured(
  server: Server,
  { reflection, listen }: Pick<HostConfig, 'reflection' | 'listen'>,
  { services, descriptors }: ServiceDescription,
  caller: CallerFunction,
): void {
  if (reflection === 'off' || (reflection === 'loopback' && !isLoopback(listen))) return;
  addReflection(server, { descriptors, services, caller });
}

/** @param listen `HOST:PORT` */
export function isLoopback(listen: string): boolean {
  const host = listen.slice(0, listen.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
