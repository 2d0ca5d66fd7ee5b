/**
 * Decoding of what comes from the wire. Messages that hold many others are decoded when somebody looks into them, not
 * when they arrive: by then it is known whom the work is charged to. To all who look it is the same object.
 */
import type { DescMessage } from '@bufbuild/protobuf';
import { SealwireError } from '../errors.js';
import type { Descriptors } from './codec.js';
import { MAX_MESSAGES, scanMessage } from './wire-scan.js';

type Deserialize = (bytes: Uint8Array) => unknown;
/**
 * The part of a grpc-js service definition that is needed here. Its functions take a Buffer: no more is known of them.
 */
export interface MethodCodecs {
  readonly path: string;
  readonly requestDeserialize: (bytes: never) => unknown;
  readonly responseDeserialize: (bytes: never) => unknown;
}

/** Messages in one message that are decoded at once: not worth counting beside the rest of a call. */
const FREE_MESSAGES = 64;
/** The only limit in responses is that of their bytes: who has them made is trusted with more. */
const ANY_NUMBER = Number.MAX_SAFE_INTEGER;

const waiting = new WeakMap<object, WaitingMessage>();

/** What a scan found: how many messages, or why they are refused. */
type Found = number | SealwireError;

/** A message that was received and not yet decoded. */
export interface WaitingMessage {
  readonly bytes: Uint8Array;
  readonly found: Found;
  /** Counts again under another limit. */
  readonly count: (most: number) => Found;
  readonly decode: () => object;
}

/** @returns what waits to be decoded behind this object; undefined for a message like any other */
export function waitingMessage(message: object): WaitingMessage | undefined {
  return waiting.get(message);
}

/**
 * Takes a received message for a caller that is charged for it.
 *
 * @param message as it was deserialized
 * @param most nested messages and map entries it may hold
 * @param charge told how many it holds before it is decoded; not told of a few. May throw
 * @returns the decoded message
 * @throws SealwireError `TOO_MANY_MESSAGES`, `NESTED_TOO_DEEP`, `MAP_KEY_FORBIDDEN`; what `charge` throws
 */
export function takeMessage(message: object, most: number, charge: (messages: number) => void): object {
  const held = waiting.get(message);
  if (held === undefined) return message;
  const found = most === MAX_MESSAGES ? held.found : held.count(most);
  if (typeof found !== 'number') throw found;
  charge(found);
  return held.decode();
}

/**
 * Makes a service's deserializers look over messages before they decode them.
 *
 * @param definition grpc-js service definition; never modified
 * @param descriptors where the service's descriptor is
 * @returns a definition whose messages cannot be made to cost a thousand times what their bytes cost
 */
export function guardDefinition<D extends Readonly<Record<string, MethodCodecs>>>(
  definition: D,
  descriptors: Descriptors,
): D {
  const guarded = Object.entries(definition).map(([key, method]) => {
    const { path, requestDeserialize, responseDeserialize } = method;
    const find = (side: 'input' | 'output') => {
      let type: DescMessage | undefined;
      return () => {
        type ??= findType(descriptors, path, side);
        return type;
      };
    };
    const own = {
      requestDeserialize: guardDeserializer(
        find('input'),
        requestDeserialize as Deserialize,
        FREE_MESSAGES,
        MAX_MESSAGES,
      ),
      responseDeserialize: guardDeserializer(
        find('output'),
        responseDeserialize as Deserialize,
        ANY_NUMBER,
        ANY_NUMBER,
      ),
    };
    return [key, { ...method, ...own }];
  });
  return Object.fromEntries(guarded) as D;
}

function guardDeserializer(findType: () => DescMessage, decode: Deserialize, free: number, most: number): Deserialize {
  return (bytes) => {
    const count = (limit: number): Found => {
      try {
        return scanMessage(findType(), bytes, limit);
      } catch (error) {
        if (error instanceof SealwireError) return error;
        throw error;
      }
    };
    const found = count(most);
    if (typeof found === 'number' && found <= free) return decode(bytes);
    return createLazy({ bytes, found, count, decode: () => decode(bytes) as object });
  };
}

/** An object that is the message as soon as it is looked at, or throws why there is none. */
function createLazy(held: WaitingMessage): object {
  let message: object | undefined;
  const look = (): object => {
    if (typeof held.found !== 'number') throw held.found;
    message ??= held.decode();
    return message;
  };
  const traps = Object.getOwnPropertyNames(Reflect).map((name) => {
    const act = Reflect[name as keyof typeof Reflect] as (...values: unknown[]) => unknown;
    return [name, (_target: object, ...values: unknown[]) => act(look(), ...values)];
  });
  const lazy = new Proxy({}, Object.fromEntries(traps) as ProxyHandler<object>);
  waiting.set(lazy, held);
  return lazy;
}

function findType(descriptors: Descriptors, path: string, side: 'input' | 'output'): DescMessage {
  const [, service = '', name = ''] = path.split('/');
  const method = descriptors()
    .getService(service)
    ?.methods.find((candidate) => candidate.name === name);
  if (method === undefined) throw new SealwireError('PLAN_INVALID', `no descriptor of ${path}`);
  return method[side];
}
