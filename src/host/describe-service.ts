/** Whether and how the service describes itself to callers. */
import { isIP } from 'node:net';
import type { Server } from '@grpc/grpc-js';
import { descriptorSet } from '../gen/descriptors.js';
import { addReflection } from '../server/reflection.js';
import type { ServiceConfig } from './config.js';

/** @param services full names of the services that the server has */
export function reflectIfConfigured(
  server: Server,
  { reflection, listen }: Pick<ServiceConfig, 'reflection' | 'listen'>,
  services: readonly string[],
): void {
  if (reflection === 'off' || (reflection === 'loopback' && !isLoopback(listen))) return;
  addReflection(server, { descriptors: Buffer.from(descriptorSet, 'base64'), services });
}

/** @param listen `HOST:PORT` */
export function isLoopback(listen: string): boolean {
  const host = listen.slice(0, listen.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
