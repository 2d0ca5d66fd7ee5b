/** Request objects for any service, made from its descriptor: a canary in every text inside a sealed field. */
import { execFileSync } from 'node:child_process';
import {
  createFileRegistry,
  type DescExtension,
  type DescField,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  getOption,
  ScalarType,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** Descriptors of all protos of the project and its tests, with the sealed option. */
export function loadDescriptors(): FileRegistry {
  const args = ['node_modules/@bufbuild/buf/bin/buf', 'build', '--as-file-descriptor-set', '-o', '-'];
  const bytes = execFileSync(process.execPath, args, { maxBuffer: 2 ** 26, stdio: ['ignore', 'pipe', 'ignore'] });
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
}

/** Makes ts-proto objects (`forceLong` string or bigint, oneofs as properties). */
export class SampleMaker {
  readonly #registry: FileRegistry;
  readonly #option: DescExtension;
  readonly #canary: string;
  readonly #long: 'string' | 'bigint';
  /** How many sealed positions the last message had. */
  sealedPositions = 0;

  constructor(registry: FileRegistry, canary: string, long: 'string' | 'bigint') {
    this.#registry = registry;
    this.#canary = canary;
    this.#long = long;
    this.#option = registry.getExtension('sealwire.v1.sealed') as DescExtension;
  }

  /** @param choice which member each oneof has */
  make(typeName: string, choice: number): object {
    this.sealedPositions = 0;
    return this.#message(this.#registry.getMessage(typeName) as DescMessage, choice, 'clear', 0);
  }

  #message(desc: DescMessage, choice: number, text: string, depth: number): object {
    const object: Record<string, unknown> = {};
    for (const field of desc.fields) {
      const members = field.oneof?.fields;
      if (members !== undefined && members[choice % members.length] !== field) continue;
      object[camel(field.name)] = this.#field(field, choice, text, depth);
    }
    return object;
  }

  #field(field: DescField, choice: number, text: string, depth: number): unknown {
    const one = () => this.#value(field, choice, text, depth);
    const tooDeep = depth >= 3 && field.message !== undefined;
    if (field.fieldKind === 'list') return tooDeep ? [] : [one(), one()];
    if (field.fieldKind === 'map') return tooDeep ? {} : { first: one(), second: one() };
    return tooDeep ? undefined : one();
  }

  #value(field: DescField, choice: number, text: string, depth: number): unknown {
    const sealed = field.proto.options?.$unknown?.some(({ no }) => no === this.#option.number)
      ? (getOption(field as never, this.#option as never) as { type: string })
      : undefined;
    if (sealed !== undefined) {
      this.sealedPositions++;
      if (sealed.type === 'google.protobuf.Struct') return { fields: { hidden: this.#canary } };
      const known = this.#registry.getMessage(sealed.type);
      if (known === undefined) return { value: this.#canary };
      return this.#message(known, choice, this.#canary, depth + 1);
    }
    if (field.message?.typeName === 'google.protobuf.Timestamp') {
      return { seconds: this.#long === 'bigint' ? 1_700_000_000n : '1700000000', nanos: 5 };
    }
    if (field.message !== undefined) return this.#message(field.message, choice, text, depth + 1);
    if (field.enum !== undefined) return field.enum.values[1]?.number ?? 0;
    return this.#scalar(field.scalar as ScalarType, text);
  }

  #scalar(scalar: ScalarType, text: string): unknown {
    switch (scalar) {
      case ScalarType.STRING:
        return text;
      case ScalarType.BOOL:
        return true;
      case ScalarType.BYTES:
        return Buffer.from(text);
      case ScalarType.DOUBLE:
      case ScalarType.FLOAT:
        return 37.5;
      case ScalarType.INT64:
      case ScalarType.UINT64:
      case ScalarType.SINT64:
      case ScalarType.FIXED64:
      case ScalarType.SFIXED64:
        return this.#long === 'bigint' ? 1_234_567_890_123_456_789n : '1234567890123456789';
      default:
        return 42;
    }
  }
}

function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}
