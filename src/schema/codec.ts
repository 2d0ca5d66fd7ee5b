/** Inner messages from and to bytes; proto3 JSON is decoded against the descriptor. */
import {
  createFileRegistry,
  type DescFile,
  type FileRegistry,
  fromBinary,
  fromJsonString,
  toBinary,
} from '@bufbuild/protobuf';
import { base64Decode } from '@bufbuild/protobuf/wire';
import {
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';
import { SealwireError } from '../errors.js';
import { findFault } from './checks/find-fault.js';
import { isNeededByTsProto } from './checks/presence.js';
import { canHaveTwoMembers, findTwoMembers } from './checks/two-members.js';
import type { InnerCodec } from './plan.js';
import { MAX_INNER_MESSAGES, scanMessage } from './wire-scan.js';

/** The part of a ts-proto message object that is needed here. */
export interface MessageFns<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** Descriptors, parsed at first use. */
export type Descriptors = () => FileRegistry;

/** The files of the well-known types that can be inner messages, and what they need. */
export const wellKnownFiles: readonly DescFile[] = [
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
];

/** Names of the files that {@link embeddedDescriptors} adds by itself. */
export const wellKnownFileNames: readonly string[] = wellKnownFiles.map((file) => file.proto.name);

/**
 * Descriptors embedded in generated code.
 *
 * @param base64 a serialized `google.protobuf.FileDescriptorSet` without the well-known files
 * @returns a function that parses it once
 */
export function embeddedDescriptors(base64: string): Descriptors {
  let registry: FileRegistry | undefined;
  return () => {
    if (registry === undefined) {
      const set = fromBinary(FileDescriptorSetSchema, base64Decode(base64));
      set.file.unshift(...wellKnownFiles.map((file) => file.proto));
      registry = createFileRegistry(set);
    }
    return registry;
  };
}

/**
 * @param typeName full name of the message
 * @param fns ts-proto's object of that message
 * @param descriptors where its descriptor is
 */
export function createInnerCodec<T>(typeName: string, fns: MessageFns<T>, descriptors: Descriptors): InnerCodec<T> {
  const find = () => {
    const schema = descriptors().getMessage(typeName);
    if (schema === undefined) throw new SealwireError('PLAN_INVALID', `no descriptor of ${typeName}`);
    return schema;
  };
  const decode = (bytes: Uint8Array) => {
    scanMessage(find(), bytes, MAX_INNER_MESSAGES);
    return fns.decode(bytes);
  };
  return {
    typeName,
    encode(value) {
      const bytes = fns.encode(value).finish();
      const two = canHaveTwoMembers(find()) ? findTwoMembers(find(), bytes) : undefined;
      if (two === undefined) return bytes;
      throw new SealwireError('SEAL_INPUT', two);
    },
    findFault: (value) => findFault(find(), value as object, isNeededByTsProto),
    decode,
    decodeJson: (json) => decode(toBinary(find(), fromJsonString(find(), json, { registry: descriptors() }))),
  };
}
