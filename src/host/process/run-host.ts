/** A service as a process: from its flags to its exit code. */
import { setLogger } from '@grpc/grpc-js';
import { type ConfigSources, loadConfig } from '../config.js';
import { startService } from '../host.js';
import type { HostApp, RunningApp } from '../host-app.js';
import type { AskPin } from '../hsm.js';
import { createGrpcLogger } from '../log/grpc-logger.js';
import { createApplicationLogger } from '../log/logger.js';
import { tolerateErrors } from '../log/lossy-lines.js';
import { ExitCode, exitCodeOf, messageOf } from './exit.js';
import { readFlags, sourcesOf } from './flags.js';
import { findLogFormat } from './log-format.js';
import { catchStopSignals, type Stopping } from './stop-signals.js';

/**
 * Runs an app until it is told to stop, as `sealwire serve` does: takes the flags `--listen`, `--dir`, `--instance`,
 * `--policy`, `--config`, `--log-level` and `--log-format`, prints `listening on HOST:PORT` on stdout and its log on
 * stderr, drains on SIGTERM, SIGINT or SIGHUP, and ends the process: with 0, with 2 for wrong use, or with 3 when
 * something that is needed is unavailable.
 *
 * @param args default: those of the process
 *
 * @example
 * ```ts
 * import { type HostApp, runHost } from 'sealwire/host';
 * import { addSealedPaymentService, SealedPaymentService } from './gen/payments/v1/payments_sealed.js';
 *
 * const app: HostApp = {
 *   name: 'payments',
 *   services: [SealedPaymentService],
 *   start(host) {
 *     host.add(addSealedPaymentService, {
 *       authorize: ({ request }, callback) =>
 *         callback(null, { paymentId: 'p-1', status: 'authorized', cardLast4: request.card.number.slice(-4) }),
 *     });
 *     return {};
 *   },
 * };
 * await runHost(app);
 * ```
 */
export async function runHost<R extends RunningApp, O>(
  app: HostApp<R, O>,
  args: readonly string[] = process.argv.slice(2),
): Promise<never> {
  try {
    return await runUntilStopped(app, sourcesOf(readFlags(args)));
  } catch (error) {
    process.stderr.write(`${app.name}: ${messageOf(error)}\n`);
    process.exit(exitCodeOf(error));
  }
}

/** What {@link runUntilStopped} may be given. */
export interface RunOptions {
  readonly askPin?: AskPin;
  /** Default: signals are caught from the call on. */
  readonly stopping?: Stopping;
}

/** As {@link runHost}; what goes wrong at the start is thrown, unless the log tells it to programs. */
export async function runUntilStopped<R extends RunningApp, O>(
  app: HostApp<R, O>,
  sources: ConfigSources,
  { askPin, stopping = catchStopSignals() }: RunOptions = {},
): Promise<never> {
  tolerateErrors(process.stdout);
  const { signal } = stopping;
  let logger = createApplicationLogger('error', process.stderr, findLogFormat(sources));
  const start = async () => {
    const config = loadConfig(app, sources);
    logger = createApplicationLogger(config.logLevel, process.stderr, config.logFormat);
    setLogger(createGrpcLogger(logger));
    // At once, though the start may take some time yet.
    stopping.asked.then((name) => logger.info(`${name}: stopping`));
    stopping.onSecond = (name) => logger.warn(`${name} again: calls under way are cut`);
    return startService(app, { config, logger, askPin, signal });
  };
  const service = await start().catch((error: unknown) => {
    if (signal.aborted) {
      logger.info('stopped before it served');
      process.exit(ExitCode.DONE);
    }
    if (findLogFormat(sources) === 'text') throw error;
    // Programs that read the log find the reason in it.
    logger.error(`cannot start: ${messageOf(error)}`);
    process.exit(exitCodeOf(error));
  });
  if (!signal.aborted) process.stdout.write(`listening on ${service.address}\n`);
  await stopping.asked;
  await service.stop();
  process.exit(ExitCode.DONE);
}
