/** Compiles protos, runs both generators over them, and type-checks what comes out. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CodeGeneratorRequestSchema,
  type CodeGeneratorResponse,
  CodeGeneratorResponseSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { plugin } from '../../src/codegen/plugin.js';

export const FIXTURES = 'test/codegen/fixtures';

/** File names with their texts. */
export type Files = ReadonlyMap<string, string>;

/**
 * @param folders folders of protos, relative to the project; our own option is always there
 * @returns their descriptors, with source info
 */
export function buildProtos(...folders: string[]): FileDescriptorSet {
  const modules = ['proto/sealwire', ...folders];
  const config = {
    version: 'v2',
    modules: [{ path: 'proto', includes: ['proto/sealwire'] }, ...modules.slice(1).map((path) => ({ path }))],
  };
  const buf = resolve('node_modules/@bufbuild/buf/bin/buf');
  const built = spawnSync(
    process.execPath,
    [buf, 'build', '--config', JSON.stringify(config), '-o', '-#format=binpb'],
    {
      maxBuffer: 1 << 26,
    },
  );
  if (built.status !== 0) throw new Error(`buf build: ${built.stderr}`);
  return fromBinary(FileDescriptorSetSchema, built.stdout);
}

/** A request for all files but the well-known ones and our own, with comments kept. */
export function createRequest(set: FileDescriptorSet, options: readonly string[], only?: readonly string[]) {
  const names = set.file.map((file) => file.name);
  return create(CodeGeneratorRequestSchema, {
    fileToGenerate: only ? [...only] : names.filter((name) => !/^(google|sealwire)\//.test(name)),
    protoFile: set.file,
    sourceFileDescriptors: set.file,
    parameter: options.join(','),
  });
}

/** Our generator, in this process. */
export function generateSealed(set: FileDescriptorSet, options: readonly string[], only?: readonly string[]): Files {
  return toFiles(plugin.run(createRequest(set, options, only)));
}

/** ts-proto, with the well-known types and our option's file. */
export function generateTsProto(set: FileDescriptorSet, options: readonly string[]): Files {
  const names = set.file.map((file) => file.name);
  const input = toBinary(CodeGeneratorRequestSchema, createRequest(set, options, names));
  const ran = spawnSync(process.execPath, ['node_modules/ts-proto/protoc-gen-ts_proto'], { input, maxBuffer: 1 << 26 });
  if (ran.status !== 0) throw new Error(`ts-proto: ${ran.stderr}`);
  return toFiles(fromBinary(CodeGeneratorResponseSchema, ran.stdout));
}

/** protoc-gen-es, with our option's file. */
export function generateEs(set: FileDescriptorSet, options: readonly string[]): Files {
  const names = set.file.map((file) => file.name).filter((name) => !name.startsWith('google/'));
  const input = toBinary(CodeGeneratorRequestSchema, createRequest(set, options, names));
  const program = 'node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es';
  const ran = spawnSync(process.execPath, [program], { input, maxBuffer: 1 << 26 });
  if (ran.status !== 0) throw new Error(`protoc-gen-es: ${ran.stderr}`);
  return toFiles(fromBinary(CodeGeneratorResponseSchema, ran.stdout));
}

/** Options of both generators that all tests here give. */
export const BASE = ['outputServices=grpc-js', 'esModuleInterop=true', 'importSuffix=.js', 'env=node'];
const RUNTIME = fileURLToPath(new URL('../../src/runtime.js', import.meta.url));

/**
 * Writes the code of both generators into a folder inside the project.
 *
 * @param ours options of our generator, where they differ
 */
export function generateBoth(
  set: FileDescriptorSet,
  folder: string,
  theirs: readonly string[],
  ours: readonly string[] = theirs,
): void {
  const runtime = `runtime_import=./${relative(folder, RUNTIME)}`;
  writeFiles(folder, generateTsProto(set, [...BASE, ...theirs]));
  writeFiles(folder, generateSealed(set, [...BASE, ...ours, runtime]));
}

function toFiles(response: CodeGeneratorResponse): Files {
  if (response.error) throw new Error(response.error);
  return new Map(response.file.map(({ name, content }) => [name ?? '', content ?? '']));
}

/** Makes a folder inside the project, so that `sealwire` and other packages are found from it. */
export function makeFolder(): { readonly path: string; remove(): void } {
  mkdirSync('dist', { recursive: true });
  const path = mkdtempSync(resolve('dist/codegen-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function writeFiles(folder: string, ...sets: Files[]): void {
  for (const files of sets) {
    for (const [name, text] of files) {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
  }
}

/**
 * Type-checks a folder under a user's strict settings and writes JavaScript beside the sources.
 *
 * @returns the compiler's complaints, one a line, without the folder's name; empty when it compiles
 */
export function compile(folder: string, compilerOptions: Readonly<Record<string, unknown>> = {}): string[] {
  const config = {
    compilerOptions: {
      target: 'es2023',
      lib: ['es2023'],
      module: 'nodenext',
      moduleResolution: 'nodenext',
      types: ['node'],
      typeRoots: [resolve('node_modules/@types')],
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      verbatimModuleSyntax: true,
      isolatedModules: true,
      skipLibCheck: true,
      ...compilerOptions,
    },
    include: ['.'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module", "name": "sealwire-user" }');
  const tsc = resolve('node_modules/typescript-7/bin/tsc');
  const ran = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], { encoding: 'utf8' });
  const lines = ran.stdout.split('\n').filter((line) => /error TS\d+/.test(line));
  if (ran.status !== 0 && lines.length === 0) throw new Error(`tsc: ${ran.stdout}${ran.stderr}`);
  return lines.map((line) => line.replace(/^.*?([\w./-]+\.ts\()/, '$1'));
}
