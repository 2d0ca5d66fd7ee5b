/** `sealwire serve`: runs the service until it is told to stop. */
import { setLogger } from '@grpc/grpc-js';
import { HSM_PIN_VARIABLE, loadConfig, type ServiceConfigInput } from '../host/config.js';
import { createGrpcLogger } from '../host/grpc-logger.js';
import { startService } from '../host/host.js';
import { createApplicationLogger } from '../host/logger.js';
import { ExitCode } from './exit.js';
import { readSecret } from './secret-input.js';
import { onStopSignals } from './stop-signals.js';

/** Flags of the command. */
export interface ServeFlags {
  readonly listen?: string;
  readonly dir?: string;
  readonly policy?: string;
  readonly config?: string;
  readonly logLevel?: string;
}

/** Resolves when the service has stopped. @throws SealwireError for configuration and files */
export async function serve({ config: file, ...flags }: ServeFlags): Promise<void> {
  const config = loadConfig(flags as Partial<ServiceConfigInput>, file);
  // Before anything is announced: a signal may come right after.
  const stopping = onStopSignals({ exit: () => process.exit(ExitCode.DONE) });
  const askPin = ({ token = '', serial = '' }: { readonly token?: string; readonly serial?: string }) =>
    readSecret({ name: `PIN of the token ${token || serial}`, variable: HSM_PIN_VARIABLE });
  const logger = createApplicationLogger(config.logLevel);
  setLogger(createGrpcLogger(logger));
  const service = await startService(config, logger, askPin);
  process.stdout.write(`listening on ${service.address}\n`);
  await stopping;
  await service.stop();
  process.exit(ExitCode.DONE);
}
