/** The payments service in this process. */
import type { Logger } from 'winston';
import { createConfigSchema, type HostConfig, type HostConfigInput } from '../../src/host/config.js';
import { type RunningService, startService } from '../../src/host/host.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';
import { createPaymentsApp, type RunningPayments } from '../../src/payments/app.js';

export type PaymentsService = RunningService<RunningPayments>;

/** What a configuration of the payments service may be. */
export const paymentsSchema = createConfigSchema(createPaymentsApp());

/** With defaults in place, a free port, and no web gateway. */
export function paymentsConfig(options: HostConfigInput): HostConfig {
  return paymentsSchema.parse({ listen: '127.0.0.1:0', web: { listen: 'off' }, ...options });
}

/** @param logger default: errors on stderr */
export function startPayments(
  config: HostConfig,
  logger: Logger = createApplicationLogger('error'),
): Promise<PaymentsService> {
  return startService(createPaymentsApp(), { config, logger });
}
