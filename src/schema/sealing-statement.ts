/**
 * The sealing statement: what a service has sealed, as canonical text. Whoever takes a schema from somebody else's
 * hands compares it with the statement of the service, which is signed. docs/key-sets.md describes it byte by byte.
 */
import type { DescField, DescMessage, DescMethod, FileRegistry } from '@bufbuild/protobuf';
import { SealwireError } from '../errors.js';
import { Analysis, messageOf, type SealedField } from './analysis.js';
import { boundKind } from './descriptor-facts.js';

/** Longest statement, in characters. */
const MAX_STATEMENT_CHARS = 524_288;

/** Makes the statements of a schema's services. */
export class SealingStatements {
  readonly #registry: FileRegistry;
  readonly #analysis: Analysis;

  /** @param analysis of all files of the registry */
  constructor(registry: FileRegistry, analysis = new Analysis([...registry.files])) {
    this.#registry = registry;
    this.#analysis = analysis;
  }

  /**
   * @param services full names of the services; those that the schema lacks are left out
   * @returns one line for each method and each field on the way to something sealed, sorted, each with a newline
   * @throws SealwireError `PLAN_INVALID` when it is longer than 524,288 characters, or for a name that is no name in
   *   proto files
   */
  ofServices(services: readonly string[]): string {
    const methods = services.flatMap((name) => this.#registry.getService(name)?.methods ?? []);
    const text = join(methods.flatMap((method) => this.#linesOf(method)));
    if (text.length <= MAX_STATEMENT_CHARS) return text;
    throw new SealwireError('PLAN_INVALID', `the sealing statement is longer than ${MAX_STATEMENT_CHARS} characters`);
  }

  /**
   * @returns the lines of one method; empty when the schema has no such method
   * @throws SealwireError `PLAN_INVALID` for a name that is no name in proto files
   */
  ofMethod(service: string, name: string): string {
    const method = this.#registry.getService(service)?.methods.find((candidate) => candidate.name === name);
    return method === undefined ? '' : join(this.#linesOf(method));
  }

  #linesOf(method: DescMethod): string[] {
    const path = `/${word(method.parent.typeName)}/${word(method.name)}`;
    return [
      `${path} ${word(method.input.typeName)} ${word(method.output.typeName)}`,
      ...this.#fieldsBelow(method.input).map((line) => `${path} > ${line}`),
      ...this.#fieldsBelow(method.output).map((line) => `${path} < ${line}`),
    ];
  }

  /** Sealed fields, and the fields that lead to them: another type there would hide what is sealed below it. */
  #fieldsBelow(root: DescMessage): string[] {
    const lines: string[] = [];
    const types = new Set([root]);
    // A set grows while it is walked.
    for (const type of types) {
      const { sealed, nested } = this.#analysis.describe(type) ?? { sealed: [], nested: [] };
      lines.push(...sealed.map(sealedLine));
      for (const field of nested) {
        const child = messageOf(field) as DescMessage;
        types.add(child);
        lines.push(`${place(field)} ${word(child.typeName)}`);
      }
    }
    return lines;
  }
}

function place({ parent, name, number, jsonName }: DescField): string {
  return `${word(parent.typeName)}.${word(name)} ${number} ${encodeURIComponent(jsonName)}`;
}

/** What is bound are bytes: under another number or of another kind they would mean something else to the service. */
function boundText(field: DescField): string {
  const values = field.enum?.values.map(({ name, number }) => `:${word(name)}=${number}`).sort() ?? [];
  return `${word(field.name)}:${field.number}:${boundKind(field)}${values.join('')}`;
}

/**
 * protoc lets no other names pass; a stranger's schema may have a name that reads like the rest of a line, or like more
 * lines.
 *
 * @throws SealwireError `PLAN_INVALID`
 */
function word(name: string): string {
  if (/^[\w.]+$/.test(name)) return name;
  throw new SealwireError('PLAN_INVALID', 'the schema has a name that is not a name');
}

function sealedLine({ desc, option, bound }: SealedField): string {
  const { type, recipient, required, transient, maxBytes = 0 } = option;
  const flags = [
    `recipient=${encodeURIComponent(recipient)}`,
    `required=${Number(required)}`,
    `transient=${Number(transient)}`,
    `max_bytes=${maxBytes}`,
    `bind=${bound.map(boundText).sort().join(',')}`,
  ];
  return `${place(desc)} ${word(type)} ${flags.join(' ')}`;
}

function join(lines: readonly string[]): string {
  return [...new Set(lines)]
    .sort()
    .map((line) => `${line}\n`)
    .join('');
}

/**
 * Compares a schema with what the service states of one method.
 *
 * @param statement the whole statement of the service
 * @param lines what {@link SealingStatements.ofMethod} says of the schema
 * @param path `/payments.v1.PaymentService/Authorize`
 * @returns the stated lines that the schema lacks or says differently; undefined when the method is not stated at all
 */
export function missingFromSchema(statement: string, lines: string, path: string): readonly string[] | undefined {
  const stated = statement.split('\n').filter((line) => line.startsWith(`${path} `));
  if (stated.length === 0) return undefined;
  const known = new Set(lines.split('\n'));
  return stated.filter((line) => !known.has(line));
}
