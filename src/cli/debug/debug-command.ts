/** Declares `sealwire seal`, `open`, `inspect`, `explain` and `doctor`. */
import type { Command } from 'commander';
import { addPlaceOptions } from '../keys/keys-options.js';
import { endWithReader } from '../output.js';
import {
  addKeyOptions,
  addSchemaOptions,
  addTargetOptions,
  DATA_HELP,
  DEFAULT_NAME,
  readAddress,
} from '../target/target-options.js';
import type { DoctorFlags } from './doctor.js';
import type { ExplainFlags } from './explain.js';
import type { InspectFlags } from './inspect.js';
import type { OpenFlags, SealFlags } from './seal.js';

/** Adds the commands; their code is loaded when they run. */
export function registerDebug(program: Command): void {
  registerSeal(program);
  registerOpen(program);
  registerInspect(program);
  program
    .command('explain [reason]')
    .hook('preAction', endWithReader)
    .description('explain a reason of a refused call, a step of an audit record, or the code of a local failure')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
@ in place of a reason reads what grpcurl, buf curl, sealwire call or an audit record has said from stdin.

Examples:
  sealwire explain
  sealwire explain SEALED_FIELD_STALE
  sealwire explain BINDING_MISMATCH
  sealwire explain KEY_SET_EXPIRED
  grpcurl … 2>&1 | sealwire explain @`,
    )
    .action(async (reason: string | undefined, flags: ExplainFlags) =>
      (await import('./explain.js')).explain(reason, flags),
    );
  const declared = program.command('doctor').hook('preAction', endWithReader);
  addSchemaOptions(addKeyOptions(addTargetOptions(declared)))
    .argument('[address]', 'the service, as in --address', readAddress)
    .description('check a service from here: reachability, TLS, clock, reflection, key set, a round trip')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Nothing is changed at the service. Exit code 1: something is bad; 3: the service cannot be reached.

Examples:
  sealwire doctor 127.0.0.1:50051 --root var/keys/root.pub.json
  sealwire doctor dns:payments.example --tls-ca ca.pem --tls-cert me.pem --tls-key me.key --descriptors schema.binpb`,
    )
    .action(async (address: string | undefined, flags: DoctorFlags) =>
      (await import('./doctor.js')).doctor({ ...flags, ...(address && { address }) }, program.version() ?? ''),
    );
}

function registerSeal(program: Command): void {
  addSchemaOptions(addKeyOptions(addTargetOptions(program.command('seal <field>').hook('preAction', endWithReader))))
    .description('seal one inner message for a field: prints one token')
    .requiredOption('-d, --data <json>', 'the inner message as JSON; @ reads stdin, @FILE a file')
    .option('--bound <json>', 'the sibling fields that it is bound to, in the same forms')
    .addHelpText(
      'after',
      `${DATA_HELP}

Example:
  sealwire seal payments.v1.Payment.card --root var/keys/root.pub.json -d @card.json \\
    --bound '{"payment_id": "p-1", "order_id": "A-3001"}'`,
    )
    .action(async (field: string, flags: SealFlags) => (await import('./seal.js')).seal(field, flags));
}

function registerOpen(program: Command): void {
  addPlaceOptions(program.command('open [token]').hook('preAction', endWithReader))
    .description('open a token with the key ring and print the inner message; recorded in the audit log')
    .requiredOption('--reason <text>', 'why: written to the audit log before anything is printed')
    .option('--audit <folder>', "audit log to record it in (default: the service's, which must not be running)")
    .option('--name <name>', "origin of the record: the service's", DEFAULT_NAME)
    .option('--field <name>', 'full name of the field, for tokens that do not name it')
    .option('--descriptors <file>', 'FileDescriptorSet of the protos (default: those of the payments service)')
    .option('--module <file>', 'PKCS#11 library, for keys in hardware')
    .option('--pin-file <file>', 'file with its PIN')
    .option('--json', 'print field and type too')
    .addHelpText(
      'after',
      `
The token is an argument, or comes on stdin. Its age and earlier use do not matter, nor does what it is bound to.
Exit code 1: it does not open.

Example:
  sealwire open --reason "ticket 4711" --audit ./reveals < token`,
    )
    .action(async (token: string | undefined, flags: OpenFlags) => (await import('./seal.js')).open(token, flags));
}

function registerInspect(program: Command): void {
  addSchemaOptions(addKeyOptions(addTargetOptions(program.command('inspect [token]').hook('preAction', endWithReader))))
    .description(
      'explain a token without any key: header, sizes, age, and each rule of the strict policy that it breaks',
    )
    .option('--field <name>', 'full name of the field in which it is sent')
    .option('-d, --data <json>', 'the message around it, to compare its binding; @ reads stdin, @FILE a file')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
The token is an argument, or comes on stdin, also within other text, such as log lines and audit records: then each is
explained. It is ciphertext and no secret. Exit code 1: it breaks a rule.

Examples:
  sealwire inspect < token
  jq -r .card request.json | sealwire inspect --keys var/keys/public.jwks.json --field payments.v1.AuthorizeRequest.card -d @request.json`,
    )
    .action(async (token: string | undefined, flags: InspectFlags) =>
      (await import('./inspect.js')).inspect(token, flags),
    );
}
