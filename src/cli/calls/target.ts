/** What the shared flags mean: credentials, keys and schema. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';
import { promisify } from 'node:util';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { KeyDirectory } from '../../client/key-directory.js';
import { SealwireError } from '../../errors.js';
import { fileKeySource, type KeySource } from '../../keys/key-source.js';
import { loadVerificationKey } from '../../keys/signed-set/signing-key.js';
import { JsonSchema, splitMethod } from '../json/json-messages.js';
import { readSchema } from './read-schema.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from './target-options.js';

const MAX_SCHEMA_BYTES = 67_108_864;
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/** @throws SealwireError `OPTIONS_INVALID` for files that cannot be used */
export function readCredentials({ tls, tlsCa, tlsCert, tlsKey }: Omit<TargetFlags, 'address'>): ChannelCredentials {
  if (tlsCa === undefined && tlsCert === undefined && tlsKey === undefined) {
    return tls === true ? credentials.createSsl() : credentials.createInsecure();
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new SealwireError('OPTIONS_INVALID', '--tls-cert and --tls-key belong together');
  }
  const read = (path: string | undefined) => (path === undefined ? null : readFileSync(path));
  try {
    const ca = read(tlsCa);
    // Without a certificate in it nothing would be trusted, and each handshake fail.
    if (ca !== null && !ca.includes('-----BEGIN CERTIFICATE-----')) {
      throw Object.assign(new Error(), { path: tlsCa, code: 'no certificate in PEM' });
    }
    return credentials.createSsl(ca, read(tlsKey), read(tlsCert));
  } catch (error) {
    const { path = 'certificate or key', code } = error as NodeJS.ErrnoException;
    throw new SealwireError('OPTIONS_INVALID', `TLS: ${path}: ${code ?? 'not PEM'}`);
  }
}

/** A key source that may hold a channel. */
export interface OpenKeySource extends KeySource {
  close(): void;
}

/**
 * @returns a source that fails when it is asked, if the flags name no keys: not every method needs one
 * @throws SealwireError `OPTIONS_INVALID`; `KEY_FILE_MISSING`, `KEY_FILE_INVALID` for a root's file
 */
export async function openKeySource(flags: TargetFlags & KeyFlags): Promise<OpenKeySource> {
  if (flags.keys !== undefined && flags.root !== undefined) {
    throw new SealwireError('OPTIONS_INVALID', 'give --root or --keys, not both');
  }
  if (flags.keys !== undefined) return { ...fileSource(flags.keys), close() {} };
  if (flags.root === undefined) {
    const how = '--root THUMBPRINT (or the file root.pub.json), or --keys FILE';
    const current = () => {
      throw new SealwireError('OPTIONS_INVALID', `whom to seal to is not known: give ${how}`);
    };
    return { current, close() {} };
  }
  return new KeyDirectory({
    address: flags.address,
    credentials: readCredentials(flags),
    roots: await readRoots(flags.root),
    issuer: flags.name,
    // Failures come back to whoever asked for a key.
    onProblem() {},
  });
}

/** @param values thumbprints, or files with the public JWK of a root */
export function readRoots(values: readonly string[]): Promise<string[]> {
  return Promise.all(
    values.map(async (value) => (THUMBPRINT.test(value) ? value : (await loadVerificationKey(value)).kid)),
  );
}

function fileSource(path: string): KeySource {
  const source = fileKeySource(path);
  return {
    current: (recipient) => source.current(recipient),
    ...(source.refresh && {
      refresh: (recipient) => (source.refresh as NonNullable<typeof source.refresh>)(recipient),
    }),
  };
}

/**
 * @param services full names of the services that are needed
 * @returns a serialized `FileDescriptorSet`
 * @throws SealwireError `OPTIONS_INVALID`, `SCHEMA_UNAVAILABLE`
 */
export async function loadDescriptors(
  flags: TargetFlags & SchemaFlags,
  services: readonly string[] | undefined,
): Promise<Uint8Array> {
  if (flags.descriptors !== undefined && flags.proto !== undefined) {
    throw new SealwireError('OPTIONS_INVALID', 'give --descriptors or --proto, not both');
  }
  if (flags.descriptors !== undefined) return readDescriptorFile(flags.descriptors);
  if (flags.proto !== undefined) return compileProto(flags.proto, flags.importPath ?? ['.']);
  const { descriptors } = await readSchema({
    address: flags.address,
    credentials: readCredentials(flags),
    ...(services && { services }),
  }).catch((error: unknown) => {
    if (!(error instanceof SealwireError) || error.code !== 'SCHEMA_UNAVAILABLE') throw error;
    throw new SealwireError(error.code, `${error.message}; sealwire doctor ${flags.address} looks closer`);
  });
  return descriptors;
}

/** A method and the descriptors it came from. */
export async function loadMethod(flags: TargetFlags & SchemaFlags, name: string) {
  const { service } = splitMethod(name);
  const descriptors = await loadDescriptors(flags, [service]);
  return { descriptors, method: new JsonSchema(descriptors).method(name) };
}

async function readDescriptorFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new SealwireError('OPTIONS_INVALID', `${path}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`);
  }
}

/** By `buf`, which knows one root, or `protoc`, whichever is there. */
async function compileProto(file: string, roots: readonly string[]): Promise<Uint8Array> {
  const attempts: [string, string[]][] = [];
  const [root] = roots;
  if (roots.length === 1 && root !== undefined) {
    attempts.push(['buf', ['build', root, '--path', file, '--as-file-descriptor-set', '-o', '-']]);
  }
  const imports = roots.flatMap((path) => ['-I', path]);
  attempts.push(['protoc', [...imports, '--include_imports', '--descriptor_set_out=/dev/stdout', file]]);
  // Where npm puts the programs of a project.
  const env = { ...process.env, PATH: `${resolve('node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}` };
  for (const [command, args] of attempts) {
    try {
      const { stdout } = await promisify(execFile)(command, args, {
        env,
        encoding: 'buffer',
        maxBuffer: MAX_SCHEMA_BYTES,
      });
      return stdout;
    } catch (error) {
      const { code, stderr } = error as NodeJS.ErrnoException & { readonly stderr?: Buffer };
      if (code === 'ENOENT') continue;
      const [said = ''] = String(stderr ?? '')
        .trim()
        .split('\n', 1);
      throw new SealwireError('OPTIONS_INVALID', `--proto: ${command}: ${said === '' ? 'failed' : said}`);
    }
  }
  throw new SealwireError(
    'SCHEMA_UNAVAILABLE',
    '--proto needs buf or protoc (1 import path: either one; more: protoc)',
  );
}
