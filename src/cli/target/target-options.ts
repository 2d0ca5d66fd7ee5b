/** Flags that several commands share: which service, whose keys, which schema. Nothing is loaded here. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CALLER_VARIABLES } from '../../host/process/caller-variables.js';
import { collect } from '../flag-values.js';

/** How to reach a service. */
export interface ConnectionFlags {
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Name to call the service by, in place of that of the address. */
  readonly authority?: string;
  /** `name: value` or `@FILE`. */
  readonly header?: readonly string[];
}

/** Which service. */
export interface TargetFlags extends ConnectionFlags {
  readonly address: string;
}

/** Whose keys to seal to. */
export interface KeyFlags {
  readonly keys?: string;
  readonly root?: readonly string[];
  readonly name: string;
}

/** Which schema; without these flags the service is asked. */
export interface SchemaFlags {
  readonly descriptors?: string;
  readonly proto?: string;
  readonly importPath?: readonly string[];
  /** Send what the schema says, though no sealing statement proves it. */
  readonly trustSchema?: boolean;
}

/** Where `npm start` listens. */
const DEFAULT_ADDRESS = '127.0.0.1:50051';
/** The default `name` of a service. */
export const DEFAULT_NAME = 'sealwire-payments';

/** `--address` and what else says how to reach the service. */
export function addTargetOptions(command: Command): Command {
  const address = new Option('--address <host:port>', 'the service; also dns:HOST and unix:PATH')
    .env(CALLER_VARIABLES.address)
    .argParser(readAddress)
    .default(DEFAULT_ADDRESS);
  return addConnectionOptions(command.addOption(address));
}

/** What says how to reach the service, but for its address. */
export function addConnectionOptions(command: Command): Command {
  const file = (flags: string, description: string, variable: string) => new Option(flags, description).env(variable);
  return command
    .option('--authority <name>', 'name to call the service by, and to expect in its certificate (default: its host)')
    .option(
      '-H, --header <line>',
      "metadata, 'name: value' (base64 for names in -bin), or @FILE with such lines; can be repeated",
      collect,
    )
    .option('--tls', 'use TLS (implied by the other TLS flags)')
    .addOption(file('--tls-ca <file>', 'PEM file of the CAs to trust (default: those of Node)', CALLER_VARIABLES.tlsCa))
    .addOption(file('--tls-cert <file>', 'PEM file of a client certificate, for mTLS', CALLER_VARIABLES.tlsCert))
    .addOption(file('--tls-key <file>', 'PEM file of its private key', CALLER_VARIABLES.tlsKey));
}

/** For an address as a flag or an argument. @throws InvalidArgumentError */
export function readAddress(text: string): string {
  if (text !== '' && !/^https?:/i.test(text)) return text;
  throw new InvalidArgumentError('must be HOST:PORT; use --tls for TLS.');
}

/** `--root`, `--name` and `--keys`. */
export function addKeyOptions(command: Command): Command {
  const root = "thumbprint of the service's signing root, or its root.pub.json: fetch signed keys; can be repeated";
  const name = "the service's name in its key set (its option `name`)";
  return command
    .addOption(new Option('--root <thumbprint>', root).env(CALLER_VARIABLES.root).argParser(collect))
    .addOption(new Option('--name <name>', name).env(CALLER_VARIABLES.name).default(DEFAULT_NAME))
    .option('--keys <file>', 'JWK Set file of the service (keys/public.jwks.json), instead of --root')
    .hook('preAction', (_command, action) => {
      // What is given on the command line wins.
      const isFromEnvironment = action.getOptionValueSource('root') === 'env';
      if (isFromEnvironment && action.getOptionValue('keys') !== undefined) action.setOptionValue('root', undefined);
    });
}

/** `--descriptors`, `--proto` and `--import-path`. */
export function addSchemaOptions(command: Command): Command {
  return command
    .option('--descriptors <file>', 'schema from a FileDescriptorSet (buf build -o FILE); default: server reflection')
    .option('--proto <file>', 'schema from a proto file; needs buf or protoc')
    .option('--import-path <folder>', 'folder with the imports of --proto; can be repeated (default: .)', collect);
}

/** `--trust-schema`, for commands that send. */
export function addTrustOption(command: Command): Command {
  return command.option(
    '--trust-schema',
    'believe the schema where the service gives no sealing statement; what it does not mark as sealed goes in clear',
  );
}

/** Help text of every command that reads `-d`. */
export const DATA_HELP = `
JSON is proto3 JSON with the inner messages written in place: names in camelCase or snake_case, enums by name, 64-bit integers as
strings or numbers, several messages one after the other for streams. A sealed field that holds a token is sent as it is.
Arguments of a command can be seen by others on this machine: real data goes through -d @ (stdin) or -d @FILE.`;
