/** Opens the service's audit log as configured. */
import type { Logger } from 'winston';
import { AuditLog } from '../../audit/write/audit-log.js';
import { servicePaths } from '../../files/service-paths.js';
import type { HostConfig } from '../config.js';
import { createTransports } from './audit-transports.js';
import { chooseOrigin } from './log-origin.js';

/** What {@link openAuditLog} needs. */
export interface OpenAuditLogOptions {
  readonly config: Pick<HostConfig, 'name' | 'instance' | 'audit'>;
  /** The service's folder. */
  readonly dir: string;
  /** Told of repairs, a full disk and troubles of transports. */
  readonly logger: Logger;
  /** Told whether records can be written, whenever that changes. */
  readonly onWritable: (isWritable: boolean) => void;
  /** Ends waiting for the log's lock. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * @throws SealwireError `AUDIT_FILE_INVALID`, `AUDIT_FAILED`, `OPTIONS_INVALID`
 */
export async function openAuditLog({
  config,
  dir,
  logger,
  onWritable,
  signal,
}: OpenAuditLogOptions): Promise<AuditLog> {
  const { name, instance, audit } = config;
  const { reviewerKey: _, retainMs, retainBytes, transports, ...limits } = audit;
  const log = await AuditLog.open({
    ...limits,
    ...(signal && { signal }),
    ...(retainMs !== undefined && { retainMs }),
    ...(retainBytes !== undefined && { retainBytes }),
    origin: chooseOrigin(name, instance),
    dir: servicePaths(dir).audit,
    keyFile: servicePaths(dir).log,
    transports: await createTransports(transports),
    onState: (state) => onWritable(state === 'room'),
    report: ({ level, message, facts }) => logger.log(level, message, facts),
  });
  if (instance !== undefined && log.origin === name) {
    logger.warn('the audit log began without an instance and keeps its origin: let no other log have it', { name });
  }
  return log;
}
