#!/usr/bin/env node
/** The `sealwire` command. Commands load their code when they run, so that `--help` is quick. */
import { Command, CommanderError } from 'commander';
import { ExitCode, exitCodeOf, messageOf } from '../host/process/exit.js';
import { VERSION } from '../host/process/version.js';
import { registerAudit } from './audit/audit-command.js';
import { registerRequest } from './calls/request-command.js';
import { registerDebug } from './debug/debug-command.js';
import { registerKeys } from './keys/keys-command.js';
import { endWithReader } from './output.js';
import { registerServe } from './serve-command.js';

/** In the order in which `--help` lists them. */
const commands: readonly ((program: Command) => void)[] = [
  registerServe,
  registerRequest,
  registerDebug,
  registerKeys,
  registerAudit,
];

const program = new Command('sealwire')
  .description('gRPC messages with sealed fields')
  .version(VERSION)
  .option('--debug', 'print stack traces')
  .showHelpAfterError('(see sealwire --help)')
  .exitOverride()
  .addHelpText('beforeAll', () => {
    endWithReader();
    return '';
  })
  .addHelpText(
    'after',
    '\nExit codes: 0 done, 1 negative result, 2 wrong use or bad input, 3 something needed is unavailable',
  );
// Deprecations of libraries do not concern whoever runs a command.
process.noDeprecation = true;

for (const register of commands) register(program);

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
