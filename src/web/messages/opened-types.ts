/** Types of opened messages; nothing of this exists at run time. */
import type { Message } from '@bufbuild/protobuf';
import type { SealedToken } from '../../schema/opened.js';

/**
 * What a client takes for an opened message: the message itself, or an object in which everything but required sealed
 * fields may be left out, as protobuf-es's `create` takes one.
 */
export type OpenedInit<T extends Message> =
  | T
  | ({ [K in RequiredSealed<T>]: ValueInit<T[K]> } & {
      [K in Exclude<keyof T, RequiredSealed<T> | '$typeName' | '$unknown'>]?: ValueInit<T[K]> | undefined;
    });

/** Messages can be left out, unless they are required inner messages. */
type RequiredSealed<T> = keyof {
  [K in keyof T as undefined extends T[K] ? never : T[K] extends Message | SealedToken ? K : never]: T[K];
};

/** `object`: text would pass for a message of which everything can be left out. */
type ValueInit<V> = V extends Message
  ? OpenedInit<V> & object
  : V extends { readonly case: infer C extends string; readonly value: infer M extends Message }
    ? { case: C; value: ValueInit<M> }
    : V extends readonly (infer E)[]
      ? ValueInit<E>[]
      : V extends { [key: string | number]: infer M extends Message }
        ? { [K in keyof V]: ValueInit<M> }
        : V;
