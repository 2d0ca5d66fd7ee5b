/** Declares `sealwire serve`. */
import type { Command } from 'commander';
import type { ServeFlags } from './serve.js';

/** Adds the command; its code is loaded when it runs. */
export function registerServe(program: Command): void {
  program
    .command('serve')
    .description('run the payments service')
    .option('--listen <host:port>', 'address to listen on; port 0 picks a free one (default: 127.0.0.1:50051)')
    .option('--dir <folder>', 'keys and audit log; created if missing (default: ./var)')
    .option('--policy <name>', 'strict, or interop for stock JOSE clients (default: strict)')
    .option('--config <file>', 'JSON file with more options; see docs/configuration.md')
    .option('--log-level <level>', 'error, warn, info or debug (default: info)')
    .addHelpText(
      'after',
      `
Environment: SEALWIRE_LISTEN, SEALWIRE_DIR, SEALWIRE_POLICY, SEALWIRE_ORIGIN, SEALWIRE_LOG_LEVEL, and SEALWIRE_KEY_PASSPHRASE;
flags win over the environment, the environment over the file.
Stops on SIGTERM or SIGINT after calls have finished; a second signal stops at once.

Examples:
  sealwire serve
  sealwire serve --listen 0.0.0.0:8443 --dir /srv/payments --config payments.json`,
    )
    .action(async (flags: ServeFlags) => {
      const { serve } = await import('./serve.js');
      await serve(flags);
    });
}
