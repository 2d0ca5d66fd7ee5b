/** What printing one file for browsers needs: symbols, and names of its own. */
import type { DescFile, DescMessage } from '@bufbuild/protobuf';
import type { GeneratedFile, Printable } from '@bufbuild/protoplugin';
import { type SealedField, wellKnownName } from '../../schema/analysis.js';
import type { DeclaredNames } from '../declared-names.js';
import type { NameScope } from '../names.js';

/** A name that is printed, and imported or left to this file. */
export type ImportedName = ReturnType<GeneratedFile['import']>;

/** One generated file. */
export interface WebFile {
  readonly output: GeneratedFile;
  /** Names that this file declares. */
  readonly scope: NameScope;
  /** The opened type of a message, of this file or another's. */
  opened(message: DescMessage): ImportedName;
  /** A type or value of `sealwire/web`. */
  runtime(name: string, typeOnly?: boolean): ImportedName;
  /** A name that TypeScript has built in: a message of that name gets another here. */
  builtIn(name: string): ImportedName;
}

/** @param runtimeImport module or path */
export function createWebFile(
  file: DescFile,
  output: GeneratedFile,
  names: DeclaredNames,
  runtimeImport: string,
): WebFile {
  return {
    output,
    scope: names.scopeOf(file),
    opened: (message) => output.import(names.of(message).opened, modulePath(message.file), true),
    runtime: (name, typeOnly = true) => output.import(name, runtimeImport, typeOnly),
    builtIn: (name) => output.import(name, modulePath(file), true),
  };
}

/** What is imported from the file itself is not imported, but its name is taken. */
function modulePath(file: DescFile): string {
  return `./${file.name}_sealed_web.js`;
}

/** The name of a message without its package: nested ones are `Outer_Inner`, as in protobuf-es. */
export function nameInProto(message: DescMessage): string {
  const prefix = message.file.proto.package;
  return message.typeName.slice(prefix === '' ? 0 : prefix.length + 1).replaceAll('.', '_');
}

/** The type of an inner message. */
export function innerShape({ output }: WebFile, { inner, option }: SealedField): Printable {
  // Well-known types need not be imported by the proto.
  return inner === undefined
    ? output.import(wellKnownName(option.type) as string, WELL_KNOWN, true)
    : output.importShape(inner);
}

/** The descriptor of an inner message. */
export function innerSchema({ output }: WebFile, { inner, option }: SealedField): Printable {
  return inner === undefined
    ? output.import(`${wellKnownName(option.type)}Schema`, WELL_KNOWN)
    : output.importSchema(inner);
}
const WELL_KNOWN = '@bufbuild/protobuf/wkt';
