/** The flags of a service. */
import { parseArgs } from 'node:util';
import { SealwireError } from '../../errors.js';
import type { ConfigSources, HostConfigInput } from '../config.js';

/** By the name of the option that they set, `config` apart: the flag, and what help says of it. */
export const HOST_FLAGS = {
  listen: ['--listen <host:port>', 'address to listen on; port 0 picks a free one (default: 127.0.0.1:50051)'],
  dir: ['--dir <folder>', 'keys and audit log; created if missing (default: ./var)'],
  instance: ['--instance <name>', 'which process of the service it is (default: the host name when its log began)'],
  policy: ['--policy <name>', 'strict, or interop for stock JOSE clients (default: strict)'],
  config: ['--config <file>', 'JSON file with more options; see docs/configuration.md'],
  logLevel: ['--log-level <level>', 'error, warn, info or debug (default: info)'],
  logFormat: ['--log-format <form>', 'text, or json for one object per line of the log (default: text)'],
} as const;

/** What was given as flags. */
export type HostFlags = { readonly [F in keyof typeof HOST_FLAGS]?: string };

/** @throws SealwireError `OPTIONS_INVALID` for what is no flag */
export function readFlags(args: readonly string[]): HostFlags {
  const nameOf = (option: keyof typeof HOST_FLAGS) => (/[\w-]+/.exec(HOST_FLAGS[option][0].slice(2)) as [string])[0];
  const options = Object.keys(HOST_FLAGS) as (keyof typeof HOST_FLAGS)[];
  try {
    const config = Object.fromEntries(options.map((option) => [nameOf(option), { type: 'string' }] as const));
    const { values } = parseArgs({ args: [...args], options: config });
    return Object.fromEntries(options.map((option) => [option, (values as Record<string, string>)[nameOf(option)]]));
  } catch (error) {
    throw new SealwireError('OPTIONS_INVALID', (error as Error).message);
  }
}

/** @returns where the options come from */
export function sourcesOf({ config: configFile, ...flags }: HostFlags): ConfigSources {
  return { config: flags as HostConfigInput, configFile };
}
