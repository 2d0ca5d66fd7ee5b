#!/usr/bin/env node
/** The `sealwire` command. Commands load what they need when they run, so that `--help` is quick. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { ExitCode, exitCodeOf, messageOf } from './exit.js';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('sealwire')
  .description('gRPC messages with sealed fields')
  .version(version)
  .option('--debug', 'print stack traces')
  .showHelpAfterError('(sealwire --help tells more)')
  .exitOverride()
  .addHelpText(
    'after',
    '\nExit codes: 0 done, 1 negative result, 2 wrong use or bad input, 3 something needed is unavailable',
  );

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
Environment: SEALWIRE_LISTEN, SEALWIRE_DIR, SEALWIRE_POLICY, SEALWIRE_ORIGIN, SEALWIRE_LOG_LEVEL;
flags win over the environment, the environment over the file.
Stops on SIGTERM or SIGINT after calls have finished; a second signal stops at once.

Examples:
  sealwire serve
  sealwire serve --listen 0.0.0.0:8443 --dir /srv/payments --config payments.json`,
  )
  .action(async (options: { listen?: string; dir?: string; policy?: string; config?: string; logLevel?: string }) => {
    const { serve } = await import('./serve.js');
    await serve(options);
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? ExitCode.DONE : ExitCode.WRONG_USE;
  } else {
    process.stderr.write(`sealwire: ${messageOf(error)}\n`);
    if (program.opts<{ debug?: boolean }>().debug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exitCode = exitCodeOf(error);
  }
}
