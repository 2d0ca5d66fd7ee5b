/** Which fields of a set of files are sealed, and whether each is sealed in a way that can work. */

import type { DescExtension } from '@bufbuild/protobuf';
import { type DescField, type DescFile, type DescMessage, getOption, ScalarType } from '@bufbuild/protobuf';
import { boundKind, shapeOf } from './descriptor-facts.js';
import type { FieldShape } from './plan.js';
import { lineOf } from './source-line.js';
import { wellKnownCodecs } from './well-known.js';

/** Full name of our field option. */
const OPTION_NAME = 'sealwire.v1.sealed';
const WELL_KNOWN_PREFIX = 'google.protobuf.';

/** The option's value, as `sealwire.v1.SealedField` says. */
interface SealedOption {
  readonly type: string;
  readonly recipient: string;
  readonly required: boolean;
  readonly bind: readonly string[];
  readonly transient: boolean;
  /** 0: the general limit. Undefined of an option that was declared before there was one. */
  readonly maxBytes?: number;
}

/** A sealed field that passed all rules. */
export interface SealedField {
  readonly desc: DescField;
  readonly shape: FieldShape;
  readonly option: SealedOption;
  /** The inner message; undefined for well-known types that the files do not import. */
  readonly inner: DescMessage | undefined;
  readonly bound: readonly DescField[];
}

/** A message's sealed fields and the fields below which there are some. */
export interface SealedMessage {
  readonly desc: DescMessage;
  readonly sealed: readonly SealedField[];
  readonly nested: readonly DescField[];
}

/** The general limit of the token profile. */
const MOST_BYTES = 65_536;

/** Reads and checks the sealed fields of a set of files: what the generator and run-time plans are made from. */
export class Analysis {
  readonly #option: DescExtension | undefined;
  readonly #hidesPresence: (field: DescField) => boolean;
  readonly #messages = new Map<string, DescMessage>();
  readonly #sealed = new Map<DescMessage, SealedField[]>();
  readonly #problems: string[] = [];

  /**
   * @param files all files, those that are only imported too
   * @param hidesPresence whether the messages' codec presents a field that is not set as one that has its zero value
   */
  constructor(files: readonly DescFile[], hidesPresence: (field: DescField) => boolean = () => false) {
    this.#hidesPresence = hidesPresence;
    this.#option = files.flatMap((file) => file.extensions).find((extension) => extension.typeName === OPTION_NAME);
    const messages = files.flatMap(allMessages);
    for (const extension of files.flatMap(allExtensions)) {
      if (this.#read(extension)) this.#report(extension, 'extensions cannot be sealed');
    }
    for (const message of messages) this.#messages.set(message.typeName, message);
    for (const message of messages) {
      const fields = message.fields.flatMap((field) => this.#check(field) ?? []);
      this.#sealed.set(message, fields);
    }
    for (const [, fields] of this.#sealed) for (const field of fields) this.#checkInner(field);
  }

  /** One line `file:line: sentence` for each broken rule; only when there is none may the rest be used. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** The sealed option; undefined where the files do not declare it. */
  get option(): DescExtension | undefined {
    return this.#option;
  }

  /** The message's sealed parts; undefined when nothing sealed is reachable from it. */
  describe(message: DescMessage): SealedMessage | undefined {
    if (!this.#reaches(message, new Set())) return undefined;
    const nested = message.fields.filter((field) => {
      const child = messageOf(field);
      return child !== undefined && this.#reaches(child, new Set());
    });
    return { desc: message, sealed: this.#sealed.get(message) ?? [], nested };
  }

  #reaches(message: DescMessage, seen: Set<DescMessage>): boolean {
    if (seen.has(message)) return false;
    seen.add(message);
    if ((this.#sealed.get(message) ?? []).length > 0) return true;
    return message.fields.some((field) => {
      const child = messageOf(field);
      return child !== undefined && this.#reaches(child, seen);
    });
  }

  #check(field: DescField): SealedField | undefined {
    const option = this.#read(field);
    if (option === undefined) return undefined;
    const shape = sealedShape(field);
    if (shape === undefined) {
      this.#report(field, 'only string fields can be sealed (singular, optional, repeated, in a oneof or map values)');
      return undefined;
    }
    const inner = this.#messages.get(option.type);
    if (inner === undefined && !isWellKnown(option.type)) {
      const why =
        option.type === ''
          ? 'the sealed option names no inner type'
          : `the sealed option has the unknown or non-message type '${option.type}'; is its file imported?`;
      this.#report(field, why);
      return undefined;
    }
    const { maxBytes = 0 } = option;
    if (maxBytes < 0 || maxBytes > MOST_BYTES) {
      this.#report(field, `max_bytes: ${maxBytes} is not a number from 0 to ${MOST_BYTES}`);
    }
    if (option.required && shape === 'oneof') this.#report(field, 'a member of a oneof cannot be required');
    const bound = [...new Set(option.bind)].flatMap((name) => this.#checkBound(field, name) ?? []);
    if (new Set(option.bind).size < option.bind.length) this.#report(field, 'bind: a field is named twice');
    return { desc: field, shape, option, inner, bound: bound.sort((a, b) => a.number - b.number) };
  }

  #read(field: DescField | DescExtension): SealedOption | undefined {
    if (this.#option === undefined || field.proto.options === undefined) return undefined;
    const known = field.proto.options.$unknown?.some(({ no }) => no === this.#option?.number);
    return known ? (getOption(field as never, this.#option as never) as SealedOption) : undefined;
  }

  #checkBound(field: DescField, name: string): DescField | undefined {
    const sibling = field.parent.fields.find((candidate) => candidate.name === name);
    const refuse = (why: string) => this.#report(field, `bind: '${name}' ${why}`);
    if (sibling === undefined) return refuse('is not a field of this message');
    if (this.#read(sibling) !== undefined) return refuse('is sealed itself');
    if (sibling.fieldKind === 'list') return refuse('is repeated');
    if (sibling.fieldKind === 'map') return refuse('is a map');
    if (sibling.fieldKind === 'message') return refuse('is a message');
    if (boundKind(sibling) === undefined) return refuse('is a float or double, which has no one encoding');
    // ts-proto puts the default in place of an absent field; then the two ends would bind different values.
    if (sibling.proto.defaultValue !== undefined && sibling.proto.defaultValue !== '') {
      return refuse('has a default value');
    }
    if (this.#hidesPresence(sibling)) {
      return refuse(
        'looks the same unset and zero in ts-proto: put it in a oneof, or in editions set features.field_presence = IMPLICIT',
      );
    }
    return sibling;
  }

  /** Sealed fields inside an inner message would be opened by nobody; one called `toJSON` would print it. */
  #checkInner({ desc, option, inner }: SealedField): void {
    if (inner === undefined) return;
    if (this.#reaches(inner, new Set())) this.#report(desc, `the inner type '${option.type}' has sealed fields itself`);
    // An own property of that name would take the place of the method that redacts.
    if ([...inner.fields, ...inner.oneofs].some(({ name }) => /^to_?JSON$/.test(name))) {
      this.#report(desc, `the inner type '${option.type}' has a field 'toJSON', so it could not print redacted`);
    }
  }

  #report(field: DescField | DescExtension, sentence: string): undefined {
    const name = field.kind === 'extension' ? field.typeName : `${field.parent.typeName}.${field.name}`;
    const file = field.kind === 'extension' ? field.file : field.parent.file;
    this.#problems.push(`${file.proto.name}:${lineOf(field)}: ${name}: ${sentence}`);
    return undefined;
  }
}

/** The short name of a well-known type that can be an inner message, e.g. `StringValue`. */
export function wellKnownName(typeName: string): string | undefined {
  const name = typeName.startsWith(WELL_KNOWN_PREFIX) ? typeName.slice(WELL_KNOWN_PREFIX.length) : '';
  return Object.hasOwn(wellKnownCodecs, name) ? name : undefined;
}

function isWellKnown(typeName: string): boolean {
  return wellKnownName(typeName) !== undefined;
}

/** The message that a field holds, in a list or map too. */
export function messageOf(field: DescField): DescMessage | undefined {
  return field.message;
}

function sealedShape(field: DescField): FieldShape | undefined {
  return field.scalar === ScalarType.STRING ? shapeOf(field) : undefined;
}

/** All extensions that a file declares, in messages too. */
function allExtensions(file: DescFile): DescExtension[] {
  return [...file.extensions, ...allMessages(file).flatMap((message) => message.nestedExtensions)];
}

/** All messages of a file, nested ones too, without map entries. */
export function allMessages(file: DescFile): DescMessage[] {
  const nested = (message: DescMessage): DescMessage[] => [message, ...message.nestedMessages.flatMap(nested)];
  return file.messages.flatMap(nested).filter((message) => message.proto.options?.mapEntry !== true);
}
