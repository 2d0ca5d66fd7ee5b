/** What printing one file needs: names, imports as namespaces, and lines. */
import type { DescFile, DescMessage } from '@bufbuild/protobuf';
import type { DeclaredNames } from './declared-names.js';
import { modulePath, type NameScope, typeScriptName } from './names.js';
import type { GeneratorOptions } from './options.js';

/** Collects one generated file. Imports are namespaces with a `$`, so that no proto name can collide with one. */
export class FileContext {
  readonly file: DescFile;
  readonly options: GeneratorOptions;
  readonly scope: NameScope;
  readonly #names: DeclaredNames;
  readonly #lines: string[] = [];
  readonly #imports = new Map<string, string>();

  constructor(file: DescFile, names: DeclaredNames, options: GeneratorOptions) {
    this.file = file;
    this.options = options;
    this.#names = names;
    this.scope = names.scopeOf(file);
    for (const own of ['$grpc', '$sealwire', '$descriptors']) this.scope.claim(own);
  }

  print(...lines: string[]): void {
    this.#lines.push(...lines);
  }

  /** ts-proto's type (and object of functions) of a message. */
  typeOf(message: DescMessage): string {
    return `${this.#module(message.file, '')}.${this.nameOf(message)}`;
  }

  /** ts-proto's name of a message, without its module. */
  nameOf(message: DescMessage): string {
    return typeScriptName(message, this.options);
  }

  /** The opened type of a message, of this file or another's. */
  openedName(message: DescMessage): string {
    return `${this.#sealedModule(message.file)}${this.#names.of(message).opened}`;
  }

  /** The plan of a message, of this file or another's. */
  planName(message: DescMessage): string {
    return `${this.#sealedModule(message.file)}${this.#names.of(message).plan}`;
  }

  /** ts-proto's module of this file. */
  get own(): string {
    return this.#module(this.file, '');
  }

  /** The finished text, imports first. */
  toLines(): string[] {
    const { runtimeImport } = this.options;
    const up = '../'.repeat(this.file.name.split('/').length - 1);
    const runtime = runtimeImport.startsWith('.')
      ? `${up === '' ? './' : up}${runtimeImport.replace(/^\.\//, '')}`
      : runtimeImport;
    // Imported only where used: projects may compile with `noUnusedLocals`.
    const usesGrpc = this.#lines.some((line) => line.includes('$grpc.'));
    const imports = [...this.#imports].map(([path, name]) => `import * as ${name} from ${JSON.stringify(path)};`);
    return [
      ...(usesGrpc ? ['import type * as $grpc from "@grpc/grpc-js";'] : []),
      `import * as $sealwire from ${JSON.stringify(runtime)};`,
      ...imports,
      '',
      ...this.#lines,
    ];
  }

  #sealedModule(file: DescFile): string {
    return file === this.file ? '' : `${this.#module(file, '_sealed')}.`;
  }

  #module(file: DescFile, ending: string): string {
    const path = modulePath(this.file, file, ending, this.options);
    const known = this.#imports.get(path);
    if (known !== undefined) return known;
    const name = this.scope.claim(`$${file.name.split('/').pop()?.replace(/\W/g, '_')}${ending}`);
    this.#imports.set(path, name);
    return name;
  }
}
