/** `sealwire serve`: runs the payments service until it is told to stop. */
import { HSM_PIN_VARIABLE } from '../host/config.js';
import { type HostFlags, sourcesOf } from '../host/process/flags.js';
import { runUntilStopped } from '../host/process/run-host.js';
import type { Stopping } from '../host/process/stop-signals.js';
import { createPaymentsApp } from '../payments/app.js';
import { readSecret } from './secret-input.js';

/** Ends the process. @throws SealwireError for configuration and files */
export function serve(flags: HostFlags, stopping: Stopping): Promise<never> {
  const askPin = ({ token = '', serial = '' }: { readonly token?: string; readonly serial?: string }) =>
    readSecret({ name: `PIN of the token ${token || serial}`, variable: HSM_PIN_VARIABLE });
  return runUntilStopped(createPaymentsApp(), sourcesOf(flags), { askPin, stopping });
}
