/**
 * The files of a descriptor set by name, symbol and extension, each as the very bytes the set holds. What is parsed and
 * written again may lose what the writer does not know, custom options first of all.
 */
import {
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { SealwireError } from '../../errors.js';

/** Number of `FileDescriptorSet.file`. */
const FILE_FIELD = 1;

/** An indexed descriptor set. */
export class DescriptorFiles {
  /** Descriptors, parsed. */
  readonly registry: FileRegistry;
  readonly #bytes = new Map<string, Uint8Array>();
  /** Names of files by full name of what they declare. */
  readonly #symbols = new Map<string, string>();
  readonly #extensions = new Map<string, Map<number, string>>();
  readonly #messages = new Set<string>();

  /**
   * @param set a serialized `google.protobuf.FileDescriptorSet` with all imports; of files that are there twice the
   *   first counts
   * @throws SealwireError `PLAN_INVALID` for a malformed or incomplete set
   */
  constructor(set: Uint8Array) {
    try {
      const files = fromBinary(FileDescriptorSetSchema, set);
      const bytes = splitSet(set);
      files.file = files.file.filter((file, index) => {
        if (this.#bytes.has(file.name)) return false;
        this.#bytes.set(file.name, bytes[index] as Uint8Array);
        return true;
      });
      this.registry = createFileRegistry(files);
    } catch {
      throw new SealwireError('PLAN_INVALID', 'the descriptor set is malformed, or lacks a file that another imports');
    }
    for (const file of this.registry.files) this.#index(file);
  }

  /** Full names of all services. */
  get services(): readonly string[] {
    return [...this.registry.files].flatMap((file) => file.services.map(({ typeName }) => typeName));
  }

  /**
   * @param name e.g. `sealwire/v1/sealed.proto`
   * @returns the file and everything it imports, directly or not, itself first; undefined when there is no such file
   */
  withImports(name: string): readonly Uint8Array[] | undefined {
    const root = this.registry.getFile(name);
    if (root === undefined) return undefined;
    const found = new Set<DescFile>([root]);
    // A set grows while it is walked.
    for (const file of found) for (const imported of file.dependencies) found.add(imported);
    return [...found].map((file) => this.#bytes.get(file.proto.name) as Uint8Array);
  }

  /** @param symbol full name of anything declared. @returns the file's name */
  fileOfSymbol(symbol: string): string | undefined {
    return this.#symbols.get(symbol);
  }

  /** @param type full name of the extended message. @returns the name of the file that declares the extension */
  fileOfExtension(type: string, number: number): string | undefined {
    return this.#extensions.get(type)?.get(number);
  }

  /** @returns the numbers of all extensions of a message; undefined when there is no such message */
  extensionNumbers(type: string): readonly number[] | undefined {
    if (!this.#messages.has(type)) return undefined;
    return [...(this.#extensions.get(type)?.keys() ?? [])].sort((a, b) => a - b);
  }

  #index(file: DescFile): void {
    const { name } = file.proto;
    const add = (symbol: string) => this.#symbols.set(symbol, name);
    const addEnum = (desc: DescEnum) => {
      add(desc.typeName);
      // Values are siblings of their enum (C++ scoping).
      for (const value of desc.values) add(scoped(desc.typeName, value.name));
    };
    const addExtension = (desc: DescExtension) => {
      add(desc.typeName);
      const numbers = this.#extensions.get(desc.extendee.typeName) ?? new Map<number, string>();
      this.#extensions.set(desc.extendee.typeName, numbers.set(desc.number, name));
    };
    const addMessage = (desc: DescMessage) => {
      add(desc.typeName);
      this.#messages.add(desc.typeName);
      for (const member of [...desc.fields, ...desc.oneofs]) add(`${desc.typeName}.${member.name}`);
      desc.nestedMessages.forEach(addMessage);
      desc.nestedEnums.forEach(addEnum);
      desc.nestedExtensions.forEach(addExtension);
    };
    file.messages.forEach(addMessage);
    file.enums.forEach(addEnum);
    file.extensions.forEach(addExtension);
    for (const service of file.services) {
      add(service.typeName);
      for (const method of service.methods) add(`${service.typeName}.${method.name}`);
    }
  }
}

function scoped(sibling: string, name: string): string {
  const end = sibling.lastIndexOf('.');
  return end < 0 ? name : `${sibling.slice(0, end)}.${name}`;
}

/** The bytes of each file, in order. */
function splitSet(set: Uint8Array): Uint8Array[] {
  const reader = new BinaryReader(set);
  const files: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === FILE_FIELD && type === WireType.LengthDelimited) files.push(reader.bytes());
    else reader.skip(type, field);
  }
  return files;
}
