/** Finding the sealed fields of a message and putting values in their place, without touching the message. */
import { SealwireError } from '../errors.js';
import { elements, isObject, rebuild } from './containers.js';
import type { MessagePlan, NestedFieldPlan, OneofLocator, SealedFieldPlan } from './plan.js';

/** One present sealed field of one message. */
export interface SealedSite {
  readonly field: SealedFieldPlan;
  /** Proto names from the outer message: `items[3].card`, of a map `cards["eu"]`. */
  readonly path: string;
  /** The token, or the inner message before sealing. */
  readonly value: unknown;
  /** The message that directly holds the field: its bound siblings are there. */
  readonly holder: object;
  /** Position in a repeated field, or key in a map. */
  readonly index?: number | string;
}

/** Options of {@link replaceSealed}. */
export interface ReplaceOptions {
  /**
   * What an absent field becomes: `''` in a message for the wire, where it is a string field;
   * `undefined` in an opened one, where it is a message.
   */
  readonly absent: '' | undefined;
  /** Told of each site whose value was replaced, with the copy of its holder. */
  readonly observe?: (copy: object, site: SealedSite) => void;
}

/** protobuf's own limit for nested messages. */
const MAX_DEPTH = 100;
/** Longest map key in a path. */
const MAX_KEY_CHARACTERS = 64;

type Fields = Record<string, unknown>;
type AnyField = SealedFieldPlan | NestedFieldPlan;

/**
 * Lists the sealed fields that are present, in the plan's order.
 *
 * @param plan the message type's plan
 * @param message tokens or inner messages in their fields
 * @param most how many there may be: the walk ends with the first that is too many. Default: any number
 * @param mostMessages how many messages it may look into, likewise
 * @returns one entry per token; empty when nothing is sealed
 * @throws SealwireError `TOO_MANY_TOKENS`; `TOO_MANY_MESSAGES`; `FIELD_REQUIRED`; `TOKEN_EMPTY` for an empty element of
 *   a repeated field or map; `NESTED_TOO_DEEP` for nesting deeper than 100; `MAP_KEY_FORBIDDEN`
 */
export function collectSealed(
  plan: MessagePlan,
  message: object,
  most = Number.POSITIVE_INFINITY,
  mostMessages = Number.POSITIVE_INFINITY,
): SealedSite[] {
  const found: Found = { sites: [], trail: [], most, messagesLeft: mostMessages, isSent: false };
  collect(plan, message, found, 0);
  return found.sites;
}

/**
 * As {@link collectSealed}, of a message that is about to be sealed.
 *
 * @throws SealwireError `SEAL_INPUT` where two members of a oneof are set: encoders write both, and readers take either
 */
export function collectToSeal(plan: MessagePlan, message: object): SealedSite[] {
  const most = Number.POSITIVE_INFINITY;
  const found: Found = { sites: [], trail: [], most, messagesLeft: most, isSent: true };
  collect(plan, message, found, 0);
  return found.sites;
}

interface Found {
  readonly sites: SealedSite[];
  /** Fields and positions on the way to the message that is looked into. */
  readonly trail: (string | number | undefined)[];
  readonly most: number;
  messagesLeft: number;
  readonly isSent: boolean;
}

function add({ sites, most }: Found, site: SealedSite): void {
  if (sites.length >= most) throw new SealwireError('TOO_MANY_TOKENS', 'too many tokens');
  sites.push(site);
}

function collect(plan: MessagePlan, message: object, found: Found, depth: number): void {
  checkDepth(depth);
  if (--found.messagesLeft < 0) throw new SealwireError('TOO_MANY_MESSAGES', 'a message holds too many messages');
  if (found.isSent && plan.oneofs !== undefined) checkOneofs(plan.oneofs, message, found);
  for (const field of plan.sealed) {
    const value = read(message, field);
    if (isAbsent(value)) {
      if (field.required) throw missing(found, field);
    } else if (field.shape === 'repeated' || field.shape === 'map') {
      checkContainer(field, value, found);
      const before = found.sites.length;
      for (const [index, element] of elements(value, field.shape === 'map')) {
        const path = pathTo(found, field.name, index);
        if (isAbsent(element)) throw new SealwireError('TOKEN_EMPTY', 'an element is empty', { path });
        add(found, { field, path, value: element, holder: message, index });
      }
      if (field.required && found.sites.length === before) throw missing(found, field);
    } else {
      add(found, { field, path: pathTo(found, field.name), value, holder: message });
    }
  }
  for (const field of plan.nested) {
    const value = read(message, field);
    if (isAbsent(value)) continue;
    checkContainer(field, value, found);
    if (!isObject(value)) continue;
    found.trail.push(field.name, undefined);
    if (field.shape === 'repeated' || field.shape === 'map') {
      for (const [index, element] of elements(value, field.shape === 'map')) {
        if (!isObject(element)) continue;
        found.trail[found.trail.length - 1] = index;
        collect(field.plan(), element, found, depth + 1);
      }
    } else {
      collect(field.plan(), value, found, depth + 1);
    }
    found.trail.length -= 2;
  }
}

function checkOneofs(oneofs: NonNullable<MessagePlan['oneofs']>, message: object, found: Found): void {
  for (const members of oneofs) {
    const [first, second] = members.filter((member) => (read(message, member) ?? undefined) !== undefined);
    if (first === undefined || second === undefined) continue;
    const path = pathTo(found, second.name);
    throw new SealwireError('SEAL_INPUT', `${path} cannot be set together with ${first.name}`, { path });
  }
}

/** An encoder takes more for a list than arrays, and text too: what the walk does not see would go out in clear. */
function checkContainer({ name, shape }: AnyField, value: unknown, found: Found): void {
  const fits = shape === 'repeated' ? Array.isArray(value) : isObject(value);
  if (fits || !found.isSent) return;
  const path = pathTo(found, name);
  const what = shape === 'repeated' ? 'list' : shape === 'map' ? 'map' : 'message';
  throw new SealwireError('SEAL_INPUT', `${path} is not a ${what}`, { path });
}

function missing(found: Found, { name }: SealedFieldPlan): SealwireError {
  return new SealwireError('FIELD_REQUIRED', 'a required sealed field is empty', { path: pathTo(found, name) });
}

/** Made for sites only: a message may hold many others without any. */
function pathTo({ trail }: Found, name: string, index?: number | string): string {
  let path = '';
  for (let at = 0; at < trail.length; at += 2) path += `${trail[at]}${formatIndex(trail[at + 1])}.`;
  return `${path}${name}${formatIndex(index)}`;
}

/**
 * Copies a message with other values at its sites. Only what lies on the way to a site is copied.
 *
 * @param plan the message type's plan
 * @param message what the sites were collected from; never modified
 * @param sites all of the message's sites, as {@link collectSealed} gave them
 * @param values one for each site
 * @returns the message itself when nothing differs
 */
export function replaceSealed(
  plan: MessagePlan,
  message: object,
  sites: readonly SealedSite[],
  values: readonly unknown[],
  options: ReplaceOptions,
): object {
  return new Replacement(sites, values, options).copy(plan, message);
}

/** Walks in the same order as {@link collect}, so that sites come up one after the other. */
class Replacement {
  readonly #sites: readonly SealedSite[];
  readonly #values: readonly unknown[];
  readonly #options: ReplaceOptions;
  #next = 0;

  constructor(sites: readonly SealedSite[], values: readonly unknown[], options: ReplaceOptions) {
    this.#sites = sites;
    this.#values = values;
    this.#options = options;
  }

  copy(plan: MessagePlan, message: object): object {
    let copy: Fields | undefined;
    for (const field of plan.sealed) {
      const value = read(message, field);
      if (this.#isNext(field, message)) {
        copy ??= copyOf(message);
        write(copy, field, this.#takeAll(field, message, copy, value));
      } else if (this.#mustClear(field, value)) {
        copy ??= copyOf(message);
        clear(copy, field, this.#options.absent);
      }
    }
    for (const field of plan.nested) {
      const value = read(message, field);
      if (!isObject(value)) continue;
      const replaced = this.#copyNested(field, value);
      if (replaced === value) continue;
      copy ??= copyOf(message);
      write(copy, field, replaced);
    }
    return copy ?? message;
  }

  #takeAll(field: SealedFieldPlan, holder: object, copy: object, container: unknown): unknown {
    if (field.shape !== 'repeated' && field.shape !== 'map') return this.#take(copy);
    const taken: unknown[] = [];
    while (this.#isNext(field, holder)) taken.push(this.#take(copy));
    return rebuild(container as object, field.shape === 'map', taken);
  }

  #take(copy: object): unknown {
    const site = this.#sites[this.#next] as SealedSite;
    const value = this.#values[this.#next];
    this.#next++;
    this.#options.observe?.(copy, site);
    return value;
  }

  #isNext(field: SealedFieldPlan, holder: object): boolean {
    const site = this.#sites[this.#next];
    return site !== undefined && site.field === field && site.holder === holder;
  }

  /** For the wire only an implicit field needs its empty string; in an opened message no field may keep one. */
  #mustClear({ shape }: SealedFieldPlan, value: unknown): boolean {
    if (this.#options.absent === '') return shape === 'singular' && value !== '';
    return value === '';
  }

  #copyNested(field: NestedFieldPlan, value: object): object {
    if (field.shape !== 'repeated' && field.shape !== 'map') return this.copy(field.plan(), value);
    let changed = false;
    const copies: unknown[] = [];
    for (const [, element] of elements(value, field.shape === 'map')) {
      const copy = isObject(element) ? this.copy(field.plan(), element) : element;
      changed ||= copy !== element;
      copies.push(copy);
    }
    return changed ? rebuild(value, field.shape === 'map', copies) : value;
  }
}

/** Whether a message can hold a field that is sealed for the service itself or, in a response, for its caller. */
export function hasOwnFields(plan: MessagePlan | undefined): plan is MessagePlan {
  return plan !== undefined && recipientsOf(plan).includes('');
}

/** All recipients that a plan's sealed fields name; '' is the service itself. Computed once per plan. */
export function recipientsOf(plan: MessagePlan): readonly string[] {
  const known = recipientCache.get(plan);
  if (known !== undefined) return known;
  const recipients = new Set<string>();
  const seen = new Set<MessagePlan>();
  const visit = (current: MessagePlan) => {
    if (seen.has(current)) return;
    seen.add(current);
    for (const field of current.sealed) recipients.add(field.recipient);
    for (const field of current.nested) visit(field.plan());
  };
  visit(plan);
  const list = [...recipients];
  recipientCache.set(plan, list);
  return list;
}
const recipientCache = new WeakMap<MessagePlan, readonly string[]>();

/** Reads a field wherever the code generator has put it. */
export function read(message: object, field: { readonly key: string; readonly oneof?: OneofLocator }): unknown {
  // Own properties only: a field may be called `constructor`.
  if (field.oneof === undefined || field.oneof.style === 'named') {
    return Object.hasOwn(message, field.key) ? (message as Fields)[field.key] : undefined;
  }
  const { property, style } = field.oneof;
  const union = (message as Fields)[property];
  if (!isObject(union) || (union as Fields)[caseOf(style)] !== field.key) return undefined;
  return (union as Fields)[style === 'unions' ? field.key : 'value'];
}

function write(copy: Fields, field: AnyField, value: unknown): void {
  if (field.oneof === undefined || field.oneof.style === 'named') {
    copy[field.key] = value;
    return;
  }
  const { property, style } = field.oneof;
  copy[property] = { [caseOf(style)]: field.key, [style === 'unions' ? field.key : 'value']: value };
}

/** Empties a field; a oneof whose member is empty has no member. */
function clear(copy: Fields, { key, oneof }: SealedFieldPlan, absent: '' | undefined): void {
  if (oneof?.style === 'named') {
    copy[key] = absent;
    if (copy[oneof.property] === key) delete copy[oneof.property];
  } else if (oneof?.style === 'case') {
    copy[oneof.property] = { case: undefined };
  } else {
    copy[oneof?.property ?? key] = absent;
  }
}

/** The property of a union that names the member that is set. */
function caseOf(style: OneofLocator['style']): string {
  return style === 'case' ? 'case' : '$case';
}

/** A copy of a message to change. Of proto2, protobuf-es keeps defaults in the prototype. */
function copyOf(message: object): Fields {
  const prototype: unknown = Object.getPrototypeOf(message);
  if (prototype === Object.prototype) return { ...message };
  return Object.assign(Object.create(prototype as object | null) as Fields, message);
}

/** The end of a site's path: the field, and where in it. */
export function nameOf({ field, index }: SealedSite): string {
  return `${field.name}${formatIndex(index)}`;
}

/** Map keys are the caller's own text: cut, since paths go into trailers and records. */
function formatIndex(index: number | string | undefined): string {
  if (index === undefined) return '';
  if (typeof index === 'number') return `[${index}]`;
  const text = index.length <= MAX_KEY_CHARACTERS ? index : `${index.slice(0, MAX_KEY_CHARACTERS)}…`;
  return `[${JSON.stringify(text)}]`;
}

/** An empty string is an absent field; so are undefined and null. */
function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

function checkDepth(depth: number): void {
  if (depth > MAX_DEPTH) throw new SealwireError('NESTED_TOO_DEEP', `messages are nested deeper than ${MAX_DEPTH}`);
}
