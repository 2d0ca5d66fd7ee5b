/** protobufjs as proto-loader uses it: an implementation of its own to compare with. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { toBinary } from '@bufbuild/protobuf';
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { Options } from '@grpc/proto-loader';
import { completeDescriptorSet, PROTO_FILES, PROTO_FOLDERS } from './descriptor-set.js';

/** The part of a protobufjs type that is needed here. */
export interface LoadedType {
  decode(bytes: Uint8Array): object;
  toObject(message: object, options: Options): object;
  fromObject(object: object): object;
  encode(message: object): { finish(): Uint8Array };
}
interface Root {
  resolvePath(origin: string, target: string): string;
  loadSync(files: readonly string[], options: Options): Root;
  resolveAll(): Root;
  lookupType(name: string): LoadedType;
}
interface Protobufjs {
  readonly Root: { new (): Root; fromDescriptor(set: Uint8Array): Root };
  readonly util: { camelCase(name: string): string };
}

const require = createRequire(createRequire(import.meta.url).resolve('@grpc/proto-loader'));
export const protobufjs = require('protobufjs') as Protobufjs;
require('protobufjs/ext/descriptor');

/** The files of well-known inner types that nothing imports; protobufjs has them. */
const WELL_KNOWN = ['google/protobuf/struct.proto', 'google/protobuf/wrappers.proto'];

/** Protos in folders, and the same as a descriptor set. */
export interface ProtoFiles {
  readonly files: readonly string[];
  readonly folders: readonly string[];
  readonly set: FileDescriptorSet;
}

/** Loads protos from their files or from a descriptor set; by default all of the project and its tests. */
export function loadTypes(
  options: Options,
  fromSet: boolean,
  { files, folders, set }: ProtoFiles = { files: PROTO_FILES, folders: PROTO_FOLDERS, set: completeDescriptorSet() },
): (typeName: string) => LoadedType {
  if (fromSet) {
    const root = protobufjs.Root.fromDescriptor(Buffer.from(toBinary(FileDescriptorSetSchema, set))).resolveAll();
    return (typeName) => root.lookupType(typeName);
  }
  const root = new protobufjs.Root();
  root.resolvePath = (_origin, target) =>
    folders.map((folder) => `${folder}/${target}`).find((path) => existsSync(path)) ?? target;
  root.loadSync([...files, ...WELL_KNOWN], options).resolveAll();
  return (typeName) => root.lookupType(typeName);
}
