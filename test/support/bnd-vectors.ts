/** test/vectors/bnd.json, and a descriptor set with one message and one method for each of its vectors. */
import { readFileSync } from 'node:fs';
import { create, type DescExtension, setExtension, toBinary } from '@bufbuild/protobuf';
import {
  DescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import type { BoundKind } from '../../src/schema/plan.js';
import { completeDescriptorSet, descriptorRegistry } from './descriptor-set.js';

/** A value in proto3 JSON. */
export type JsonScalar = string | number | boolean;

/** One vector. */
export interface BndVector {
  readonly comment: string;
  readonly fields: readonly {
    readonly name: string;
    readonly number: number;
    readonly kind: BoundKind;
    readonly explicitPresence: boolean;
  }[];
  readonly values: Readonly<Record<string, JsonScalar>>;
  readonly encoded: string;
  readonly bnd: string;
}

export const bndVectors = (
  JSON.parse(readFileSync('test/vectors/bnd.json', 'utf8')) as { readonly vectors: readonly BndVector[] }
).vectors;

/** Number of the sealed field, one that no vector has. */
const SEALED_NUMBER = 1000;

/** Messages `bnd.M0`, `bnd.M1`, … by position; each has a sealed field `token` that binds all others. */
export function vectorDescriptorSet(): Buffer {
  const option = descriptorRegistry().getExtension('sealwire.v1.sealed') as DescExtension;
  const names = bndVectors.map((_vector, index) => `M${index}`);
  const file = create(FileDescriptorProtoSchema, {
    name: 'bnd.proto',
    package: 'bnd',
    syntax: 'proto3',
    dependency: ['sealwire/v1/sealed.proto', 'google/protobuf/wrappers.proto'],
    enumType: [
      {
        name: 'Kind',
        value: [
          { name: 'ZERO', number: 0 },
          { name: 'ONE', number: 1 },
          { name: 'MINUS_ONE', number: -1 },
        ],
      },
    ],
    messageType: bndVectors.map((vector, index) => messageOf(names[index]!, vector, option)),
    service: [
      {
        name: 'Vectors',
        method: names.map((name) => ({ name: `Call${name}`, inputType: `.bnd.${name}`, outputType: '.bnd.M0' })),
      },
    ],
  });
  const set = completeDescriptorSet();
  set.file.push(file);
  return Buffer.from(toBinary(FileDescriptorSetSchema, set));
}

function messageOf(name: string, { fields }: BndVector, option: DescExtension) {
  const options = create(FieldOptionsSchema);
  const bind = fields.map((field) => field.name);
  const value = create(option.message!, { type: 'google.protobuf.StringValue', bind } as never);
  (setExtension as (message: object, extension: DescExtension, value: object) => void)(options, option, value);
  let oneofs = 0;
  return create(DescriptorProtoSchema, {
    name,
    field: [
      create(FieldDescriptorProtoSchema, {
        name: 'token',
        jsonName: 'token',
        number: SEALED_NUMBER,
        label: FieldDescriptorProto_Label.OPTIONAL,
        type: FieldDescriptorProto_Type.STRING,
        options,
      }),
      ...fields.map((field) =>
        create(FieldDescriptorProtoSchema, {
          name: field.name,
          jsonName: field.name,
          number: field.number,
          label: FieldDescriptorProto_Label.OPTIONAL,
          type: FieldDescriptorProto_Type[field.kind.toUpperCase() as 'BOOL'],
          ...(field.kind === 'enum' && { typeName: '.bnd.Kind' }),
          ...(field.explicitPresence && { proto3Optional: true, oneofIndex: oneofs++ }),
        }),
      ),
    ],
    oneofDecl: fields.filter((field) => field.explicitPresence).map((field) => ({ name: `_${field.name}` })),
  });
}
