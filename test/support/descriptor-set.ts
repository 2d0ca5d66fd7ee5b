/** All protos of the project and its tests, serialized as one `google.protobuf.FileDescriptorSet`. */
import { execFileSync } from 'node:child_process';
import { createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import {
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';

/** Folders of protos and the files that proto-loader is given. */
export const PROTO_FOLDERS = ['proto', 'test/protos'];
export const PROTO_FILES = [
  'payments/v1/payments.proto',
  'clinic/v1/clinic.proto',
  'games/v1/games.proto',
  'shop/v1/shop.proto',
  'shapes/v1/shapes.proto',
  'shapes/v1/inner.proto',
  'matrix/v1/matrix.proto',
  'old/v1/old.proto',
  'plain/v1/plain.proto',
  'edition/v1/edition.proto',
];

let built: Buffer | undefined;

/** Built once per process. */
export function descriptorSet(): Buffer {
  const args = ['node_modules/@bufbuild/buf/bin/buf', 'build', '--as-file-descriptor-set', '-o', '-'];
  built ??= execFileSync(process.execPath, args, { maxBuffer: 2 ** 26, stdio: ['ignore', 'pipe', 'ignore'] });
  return built;
}

/** The same with the well-known types that inner messages may be, though no file imports them. */
export function completeDescriptorSet(): FileDescriptorSet {
  const set = fromBinary(FileDescriptorSetSchema, descriptorSet());
  set.file.unshift(file_google_protobuf_struct.proto, file_google_protobuf_wrappers.proto);
  return set;
}

/** The complete set, parsed. */
export function descriptorRegistry(): FileRegistry {
  return createFileRegistry(completeDescriptorSet());
}
