/** Whether and how the service describes itself to callers. */
import { isIP } from 'node:net';
import type { Server } from '@grpc/grpc-js';
import { hostDescriptors } from '../gen/descriptors.js';
import { KEY_SERVICE_NAME } from '../server/key-service.js';
import { addReflection } from '../server/reflection.js';
import type { HostConfig } from './config.js';

/** What the host itself adds to the services of an app. */
const OWN_SERVICES = [KEY_SERVICE_NAME, 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'];

/** What {@link reflectIfConfigured} needs. */
export interface ReflectOptions extends Pick<HostConfig, 'reflection' | 'listen'> {
  /** Full names of the app's services. */
  readonly services: readonly string[];
  /** Descriptor set of the app's protos. Without it only the host's own services are described. */
  readonly descriptors: Uint8Array | undefined;
}

/** @throws SealwireError `PLAN_INVALID` for the app's descriptors */
export function reflectIfConfigured(server: Server, options: ReflectOptions): void {
  const { reflection, listen, services, descriptors = new Uint8Array() } = options;
  if (reflection === 'off' || (reflection === 'loopback' && !isLoopback(listen))) return;
  // Two serialized sets behind each other are one set (protobuf's encoding merges repeated fields).
  const set = Buffer.concat([Buffer.from(hostDescriptors, 'base64'), descriptors]);
  addReflection(server, { descriptors: set, services: [...services, ...OWN_SERVICES] });
}

/** @param listen `HOST:PORT` */
export function isLoopback(listen: string): boolean {
  const host = listen.slice(0, listen.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
