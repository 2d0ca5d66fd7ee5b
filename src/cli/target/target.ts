/** Makes credentials, keys and schema from the shared flags. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { KeyDirectory } from '../../client/key-directory.js';
import { SealwireError } from '../../errors.js';
import { fileKeySource, type KeySource } from '../../keys/key-source.js';
import { JsonSchema, splitMethod } from '../json/json-messages.js';
import { withHint } from './call-failure.js';
import { checkSchema } from './check-schema.js';
import { readRoots, readTarget } from './credentials.js';
import { readSchema } from './read-schema.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from './target-options.js';

const MAX_SCHEMA_BYTES = 67_108_864;

/** A key source that may own a channel. */
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
      throw new SealwireError('OPTIONS_INVALID', `no recipient key: give ${how}`);
    };
    return { current, close() {} };
  }
  return new KeyDirectory({
    ...readTarget(flags),
    roots: await readRoots(flags.root),
    issuer: flags.name,
    // Failures reach whoever asks for a key.
    onProblem() {},
  });
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
  const { descriptors } = await readSchema({ ...readTarget(flags), ...(services && { services }) }).catch(
    (error: unknown) => {
      throw withHint(error, flags);
    },
  );
  return descriptors;
}

/**
 * A method and the descriptors it came from, which may say what is sealed.
 *
 * @throws SealwireError `SCHEMA_UNTRUSTED` and what {@link loadDescriptors} throws
 */
export async function loadMethod(flags: TargetFlags & KeyFlags & SchemaFlags, name: string) {
  const { service, method: methodName } = splitMethod(name);
  const descriptors = await loadDescriptors(flags, [service]);
  const schema = new JsonSchema(descriptors);
  const method = schema.method(name);
  await checkSchema(schema, name, flags);
  return { descriptors, method, statements: schema.statements.ofMethod(service, methodName).split('\n') };
}

async function readDescriptorFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new SealwireError('OPTIONS_INVALID', `${path}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`);
  }
}

/** Uses `buf`, which knows one root, or `protoc`, whichever is installed. */
async function compileProto(given: string, roots: readonly string[]): Promise<Uint8Array> {
  // protoc and grpcurl take names within an import path.
  const file = [given, ...roots.map((path) => join(path, given))].find((path) => existsSync(path)) ?? given;
  const attempts: [string, string[]][] = [];
  const [root] = roots;
  if (roots.length === 1 && root !== undefined) {
    attempts.push(['buf', ['build', root, '--path', file, '--as-file-descriptor-set', '-o', '-']]);
  }
  const imports = roots.flatMap((path) => ['-I', path]);
  attempts.push(['protoc', [...imports, '--include_imports', '--descriptor_set_out=/dev/stdout', file]]);
  // Where npm puts a project's programs.
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
  throw new SealwireError('SCHEMA_UNAVAILABLE', '--proto needs buf or protoc; with several import paths, protoc');
}
