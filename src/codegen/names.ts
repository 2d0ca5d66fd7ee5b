/** Names as ts-proto makes them, and names of our own that do not collide. */
import type { DescFile, DescMessage, DescMethod } from '@bufbuild/protobuf';
import type { GeneratorOptions } from './options.js';

/** The property of a field: ts-proto's camel case keeps words that are mixed case already. */
export function propertyName(field: { readonly name: string }, options: GeneratorOptions): string {
  const { name } = field;
  if (!options.camelKeys || !name.includes('_')) return name;
  const hasLowerCase = /[a-z]/.test(name);
  return name
    .split('_')
    .map((word, index) => {
      const cased = hasLowerCase ? word : word.toLowerCase();
      return index === 0 ? cased : cased.slice(0, 1).toUpperCase() + cased.slice(1);
    })
    .join('');
}

/** Names that ts-proto does not declare, since generated code needs the built-in ones. */
const BUILT_IN = ['Date', 'Function'];

/** The TypeScript name of a message: nested ones are `Outer_Inner`, `Date` is `DateMessage`. */
export function typeScriptName(message: DescMessage, options: GeneratorOptions): string {
  const prefix = message.file.proto.package;
  const parts = message.typeName.slice(prefix === '' ? 0 : prefix.length + 1).split('.');
  const name = parts.map((part) => propertyName({ name: part }, options)).join('_');
  return BUILT_IN.includes(name) ? `${name}Message` : name;
}

/**
 * The key of a method in a grpc-js service definition: camel case by word, where digits are words of
 * their own. `GetAPIValue` is `getApiValue`, `V1beta1Get` is `v1Beta1Get`.
 */
export function methodKey(method: Pick<DescMethod, 'name'>): string {
  const words = method.name.match(/[A-Z]?[a-z]+|[0-9]+|[A-Z]+(?![a-z])/g) ?? [];
  return words
    .map((word, index) => {
      const lower = word.toLowerCase();
      return index === 0 ? lower : lower.slice(0, 1).toUpperCase() + lower.slice(1);
    })
    .join('');
}

/** A property access or key in code: quoted unless it is an identifier. */
export function quoteKey(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : JSON.stringify(key);
}

/** Path of a file's generated module relative to another's, with ts-proto's suffix. */
export function modulePath(from: DescFile, to: DescFile, ending: string, options: GeneratorOptions): string {
  const up = from.name.split('/').slice(0, -1);
  const down = to.name.split('/');
  while (up.length > 0 && down.length > 1 && up[0] === down[0]) {
    up.shift();
    down.shift();
  }
  const start = up.length === 0 ? './' : '../'.repeat(up.length);
  return `${start}${down.join('/')}${ending}${options.importSuffix}`;
}

/** Hands out declaration names of one file, each once. */
export class NameScope {
  readonly #taken: Set<string>;

  /** @param taken names that are in use already */
  constructor(taken: Iterable<string> = []) {
    this.#taken = new Set(taken);
  }

  /** Another scope with the same names taken. */
  copy(): NameScope {
    return new NameScope(this.#taken);
  }

  /** `wanted`, with underscores behind it until it is free. */
  claim(wanted: string): string {
    let name = wanted;
    while (this.#taken.has(name)) name += '_';
    this.#taken.add(name);
    return name;
  }
}
