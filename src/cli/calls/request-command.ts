/** Declares `sealwire request`, `sealwire response` and `sealwire call`. */
import type { Command } from 'commander';
import { wholeNumber } from '../flag-values.js';
import { endWithReader } from '../output.js';
import {
  addKeyOptions,
  addSchemaOptions,
  addTargetOptions,
  addTrustOption,
  DATA_HELP,
} from '../target/target-options.js';
import type { CallFlags } from './call.js';
import type { RequestFlags, ResponseFlags } from './request.js';

const DATA = ['-d, --data <json>', 'message as JSON; @ reads stdin, @FILE a file (default: an empty message)'] as const;

/** Adds the commands; their code is loaded when they run. */
export function registerRequest(program: Command): void {
  const declare = (usage: string) => {
    const command = program.command(usage).hook('preAction', endWithReader);
    return addTrustOption(addSchemaOptions(addKeyOptions(addTargetOptions(command))));
  };
  declare('request <method>')
    .description('seal a JSON request; prints input for grpcurl -d @ and buf curl')
    .option(...DATA)
    .option('--session <file>', 'save the key to the replies of one call there (mode 0600), for sealwire response')
    .option('--session-life <seconds>', 'how long the file is valid; 1 to 86400', wholeNumber(1, 86_400), 900)
    .option(
      '--print-header',
      'print the header for grpcurl -H instead of the request; if --session has one not printed yet, that one',
    )
    .addHelpText(
      'after',
      `${DATA_HELP}

Examples:
  sealwire request payments.v1.PaymentService/Authorize --root var/keys/root.pub.json -d @order.json |
    grpcurl -plaintext -d @ 127.0.0.1:50051 payments.v1.PaymentService/Authorize
  sealwire request payments.v1.PaymentService/GetPayment --root var/keys/root.pub.json --session get.session --print-header`,
    )
    .action(async (method: string, flags: RequestFlags) => (await import('./request.js')).request(method, flags));
  program
    .command('response')
    .hook('preAction', endWithReader)
    .description('open the sealed fields in the output of grpcurl or buf curl, message by message')
    .requiredOption('--session <file>', 'file that sealwire request --session wrote')
    .addHelpText(
      'after',
      `
A session is good for one call. Exit code 1: a sealed field does not belong to the call, or has been changed.

Example:
  grpcurl -plaintext -H "$(cat header)" -d '{"payment_id": "…"}' 127.0.0.1:50051 payments.v1.PaymentService/GetPayment |
    sealwire response --session get.session`,
    )
    .action(async (flags: ResponseFlags) => (await import('./request.js')).response(flags));
  declare('call <method>')
    .description('make a sealed call and print the opened responses')
    .option(...DATA)
    .option('--max-time <seconds>', 'time limit of each call; 1 to 86400 (default: none)', wholeNumber(1, 86_400))
    .option('--each', 'make one call for each message of -d, and print a line of JSON for each')
    .option('--parallel <calls>', 'with --each: calls at a time; 1 to 100', wholeNumber(1, 100), 8)
    .option('-v, --verbose', 'show what is sealed, to which key, and the metadata of the answer on stderr')
    .addHelpText(
      'after',
      `${DATA_HELP}
Exit code 1: the service refused a call; the line on stderr says why. With --each, the lines on stdout do:
{"request": 1, "response": {…}} or {"request": 2, "error": {"code": …, "message": …, "reason": …, "field": …}}.

Examples:
  sealwire call payments.v1.PaymentService/Authorize --root var/keys/root.pub.json -d @order.json
  sealwire call payments.v1.PaymentService/WatchPayments --root var/keys/root.pub.json -d '{"order_id": "A-3001"}'
  sealwire call payments.v1.PaymentService/Authorize --root var/keys/root.pub.json --each -d @orders.jsonl > results.jsonl`,
    )
    .action(async (method: string, flags: CallFlags) => (await import('./call.js')).call(method, flags));
}
