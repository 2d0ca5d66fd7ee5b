/** The service's audit log, by its configuration. */
import { join } from 'node:path';
import { AuditLog } from '../audit/audit-log.js';
import type { ServiceConfig } from './config.js';
import { keyPaths } from './key-files.js';

/**
 * @param dir the service's folder
 * @throws SealwireError `AUDIT_FILE_INVALID`, `AUDIT_FAILED`
 */
export function openAuditLog({ origin, audit }: ServiceConfig, dir: string): Promise<AuditLog> {
  const { reviewerKey: _, ...options } = audit;
  return AuditLog.open({ ...options, origin, dir: join(dir, 'audit'), keyFile: keyPaths(dir).log });
}
