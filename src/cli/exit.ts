/** Exit codes of commands: those of a service. */
export { ExitCode, exitCodeOf, messageOf } from '../host/process/exit.js';
