/** The service's audit log, by its configuration. */
import { join } from 'node:path';
import type { Logger } from 'winston';
import { AuditLog } from '../audit/write/audit-log.js';
import { createTransports } from './audit-transports.js';
import type { ServiceConfig } from './config.js';
import { keyPaths } from './key-files.js';

/**
 * @param dir the service's folder
 * @param logger told of repairs, a full disk and troubles of transports
 * @throws SealwireError `AUDIT_FILE_INVALID`, `AUDIT_FAILED`, `OPTIONS_INVALID`
 */
export async function openAuditLog({ origin, audit }: ServiceConfig, dir: string, logger: Logger): Promise<AuditLog> {
  const { reviewerKey: _, retainMs, retainBytes, transports, ...limits } = audit;
  return AuditLog.open({
    ...limits,
    ...(retainMs !== undefined && { retainMs }),
    ...(retainBytes !== undefined && { retainBytes }),
    origin,
    dir: join(dir, 'audit'),
    keyFile: keyPaths(dir).log,
    transports: await createTransports(transports),
    report: ({ level, message, facts }) => logger.log(level, message, facts),
  });
}
