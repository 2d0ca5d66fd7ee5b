/** Declares `sealwire serve`. */
import type { Command } from 'commander';
import { HOST_FLAGS, type HostFlags } from '../host/process/flags.js';

/** Adds the command; its code is loaded when it runs. */
export function registerServe(program: Command): void {
  const command = program.command('serve').description('run the payments service');
  for (const [flag, description] of Object.values(HOST_FLAGS)) command.option(flag, description);
  command
    .addHelpText(
      'after',
      `
Environment: SEALWIRE_LISTEN, SEALWIRE_DIR, SEALWIRE_POLICY, SEALWIRE_ORIGIN, SEALWIRE_LOG_LEVEL, SEALWIRE_LOG_FORMAT,
SEALWIRE_WEB_LISTEN, and SEALWIRE_KEY_PASSPHRASE; flags win over the environment, the environment over the file.
Serves the checkout page of examples/browser-checkout on http://127.0.0.1:8080/ (this machine only); SEALWIRE_WEB_LISTEN=off
for none.
Stops on SIGTERM, SIGINT or SIGHUP after calls have finished; a second SIGTERM or SIGINT stops at once.

Examples:
  sealwire serve
  sealwire serve --listen 0.0.0.0:8443 --dir /srv/payments --config payments.json`,
    )
    .action(async (flags: HostFlags) => {
      const { serve } = await import('./serve.js');
      await serve(flags);
    });
}
