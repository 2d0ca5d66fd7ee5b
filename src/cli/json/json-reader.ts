/**
 * JSON as people type it for grpcurl: many values in a row, each error with its line and column, and integers of any
 * size.
 * `JSON.parse` would round an int64, and its errors quote the text.
 */
import { SealwireError } from '../../errors.js';

/** A place in the text; line and column count from 1. */
export interface TextPosition {
  readonly line: number;
  readonly column: number;
}

/** One member of an object. */
export interface JsonMember {
  readonly name: string;
  readonly at: TextPosition;
  readonly value: JsonNode;
}

/** A value with its place. A number is its text. */
export type JsonNode = { readonly at: TextPosition } & (
  | { readonly kind: 'object'; readonly members: readonly JsonMember[] }
  | { readonly kind: 'array'; readonly items: readonly JsonNode[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'literal'; readonly value: boolean | null }
);

/** A value as `JSON.parse` would give it. */
export type PlainJson = string | number | boolean | null | PlainJson[] | { [name: string]: PlainJson };

/** Deepest nesting: proto3 JSON of the deepest protobuf message fits. */
const MAX_DEPTH = 200;
/** Longest message, in UTF-16 units. */
const MAX_CHARACTERS = 16_777_216;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING_PART = /[^"\\]+/y;
const SPACE = /[ \t\r\n]*/y;
const WHOLE = /^-?\d+$/;
const LITERALS = { true: true, false: false, null: null } as const;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** @returns an error for a place in the input; exit code 2 */
export function inputError({ line, column }: TextPosition, what: string): SealwireError {
  return new SealwireError('SEAL_INPUT', `line ${line}, column ${column}: ${what}`);
}

/**
 * @param text exactly one JSON value (RFC 8259)
 * @param start where the text begins in its file
 * @throws SealwireError `SEAL_INPUT` with line and column; nothing of the text is quoted
 */
export function readJson(text: string, start: TextPosition = { line: 1, column: 1 }): JsonNode {
  return new Reader(text, start).readAll();
}

/**
 * @param numbers `exact`: whole numbers that a double cannot hold become strings, as proto3 JSON may write any integer;
 *   `double`: as `JSON.parse` has them, for `google.protobuf.Value`
 */
export function toPlain(node: JsonNode, numbers: 'exact' | 'double' = 'exact'): PlainJson {
  switch (node.kind) {
    case 'object': {
      const object: { [name: string]: PlainJson } = {};
      for (const { name, value } of node.members) define(object, name, toPlain(value, numbers));
      return object;
    }
    case 'array':
      return node.items.map((item) => toPlain(item, numbers));
    case 'number': {
      const number = Number(node.text);
      return numbers === 'exact' && WHOLE.test(node.text) && !Number.isSafeInteger(number) ? node.text : number;
    }
    default:
      return node.value;
  }
}

/** A name may be `__proto__`. */
export function define(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
}

/** Finds the values of a stream of text, each as soon as it is complete. */
export class JsonSplitter {
  #text = '';
  /** How far {@link #text} was scanned, and what is open there. */
  #scanned = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #position: TextPosition = { line: 1, column: 1 };

  /** @returns the objects and arrays that are complete now. @throws SealwireError `SEAL_INPUT` */
  push(chunk: string): JsonNode[] {
    this.#text += chunk;
    const nodes: JsonNode[] = [];
    for (let end = this.#findEnd(); end !== undefined; end = this.#findEnd()) nodes.push(this.#take(end));
    if (this.#text.length > MAX_CHARACTERS) throw inputError(this.#position, 'the message is too long');
    return nodes;
  }

  /** @returns what is left. @throws SealwireError `SEAL_INPUT` for half a value */
  end(): JsonNode[] {
    return this.#text.trim() === '' ? [] : [this.#take(this.#text.length)];
  }

  #findEnd(): number | undefined {
    while (this.#scanned < this.#text.length) {
      if (this.#isEnd(this.#text.charAt(this.#scanned++))) return this.#scanned;
    }
    return undefined;
  }

  /** Whether the character closes the outermost brace or bracket. */
  #isEnd(character: string): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (character === '\\') this.#escaped = true;
      else if (character === '"') this.#inString = false;
      return false;
    }
    if (character === '"') this.#inString = true;
    else if (character === '{' || character === '[') this.#depth++;
    else if (character === '}' || character === ']') return --this.#depth <= 0;
    return false;
  }

  #take(end: number): JsonNode {
    const text = this.#text.slice(0, end);
    const value = text.trimStart();
    const start = movePast(this.#position, text.slice(0, text.length - value.length));
    this.#text = this.#text.slice(end);
    this.#scanned = 0;
    this.#depth = 0;
    this.#position = movePast(start, value);
    return readJson(value, start);
  }
}

function movePast({ line, column }: TextPosition, text: string): TextPosition {
  const lastBreak = text.lastIndexOf('\n');
  if (lastBreak < 0) return { line, column: column + text.length };
  return { line: line + text.split('\n').length - 1, column: text.length - lastBreak };
}

/** Recursive descent over RFC 8259's grammar. */
class Reader {
  readonly #text: string;
  #index = 0;
  /** The last place computed. Counting from the start each time would take quadratic time. */
  #known: { readonly index: number; readonly at: TextPosition };

  constructor(text: string, start: TextPosition) {
    this.#text = text;
    this.#known = { index: 0, at: start };
  }

  readAll(): JsonNode {
    const node = this.#value(0);
    this.#space();
    if (this.#index < this.#text.length) throw this.#error('more text after the value');
    return node;
  }

  #value(depth: number): JsonNode {
    if (depth > MAX_DEPTH) throw this.#error('nested too deep');
    this.#space();
    const at = this.#at();
    const character = this.#text.charAt(this.#index);
    if (character === '{') return { at, kind: 'object', members: this.#members(depth) };
    if (character === '[') return { at, kind: 'array', items: this.#items(depth) };
    if (character === '"') return { at, kind: 'string', value: this.#string() };
    const number = this.#match(NUMBER);
    if (number !== '') return { at, kind: 'number', text: number };
    for (const [word, value] of Object.entries(LITERALS)) {
      if (!this.#text.startsWith(word, this.#index)) continue;
      this.#index += word.length;
      return { at, kind: 'literal', value };
    }
    throw this.#error(character === '' ? 'the text ends where a value should be' : 'not a JSON value');
  }

  #members(depth: number): JsonMember[] {
    const members: JsonMember[] = [];
    const names = new Set<string>();
    this.#index++;
    if (this.#takeIf('}')) return members;
    do {
      this.#space();
      const at = this.#at();
      if (this.#text.charAt(this.#index) !== '"') throw this.#error('expected a name in double quotes');
      const name = this.#string();
      if (names.has(name)) throw inputError(at, 'the name occurs twice');
      names.add(name);
      if (!this.#takeIf(':')) throw this.#error("expected ':'");
      members.push({ name, at, value: this.#value(depth + 1) });
    } while (this.#takeIf(','));
    if (!this.#takeIf('}')) throw this.#error("expected ',' or '}'");
    return members;
  }

  #items(depth: number): JsonNode[] {
    const items: JsonNode[] = [];
    this.#index++;
    if (this.#takeIf(']')) return items;
    do items.push(this.#value(depth + 1));
    while (this.#takeIf(','));
    if (!this.#takeIf(']')) throw this.#error("expected ',' or ']'");
    return items;
  }

  #string(): string {
    let value = '';
    this.#index++;
    for (;;) {
      value += this.#plainText();
      const character = this.#text.charAt(this.#index);
      if (character === '"') {
        this.#index++;
        return value;
      }
      if (character !== '\\') throw this.#error('the text ends within a string');
      value += this.#escape();
    }
  }

  #plainText(): string {
    const begun = this.#index;
    const text = this.#match(STRING_PART);
    for (let index = 0; index < text.length; index++) {
      if (text.charCodeAt(index) >= 0x20) continue;
      this.#index = begun + index;
      throw this.#error('a line break or another control character in a string');
    }
    return text;
  }

  #escape(): string {
    const kind = this.#text.charAt(this.#index + 1);
    const simple = Object.hasOwn(ESCAPES, kind) ? ESCAPES[kind] : undefined;
    if (simple !== undefined) {
      this.#index += 2;
      return simple;
    }
    const digits = this.#text.slice(this.#index + 2, this.#index + 6);
    if (kind !== 'u' || !/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#error('not a JSON escape');
    this.#index += 6;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #takeIf(character: string): boolean {
    this.#space();
    if (this.#text.charAt(this.#index) !== character) return false;
    this.#index++;
    return true;
  }

  #space(): void {
    this.#match(SPACE);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#index;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#index += found.length;
    return found;
  }

  #at(): TextPosition {
    const { index, at } = this.#known;
    this.#known = { index: this.#index, at: movePast(at, this.#text.slice(index, this.#index)) };
    return this.#known.at;
  }

  #error(what: string): SealwireError {
    return inputError(this.#at(), what);
  }
}
