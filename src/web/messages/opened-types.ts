/** Types of opened messages; nothing of this exists at run time. */
import type { Message } from '@bufbuild/protobuf';
import type { SealedToken } from '../../schema/opened.js';

/**
 * What a client takes for an opened message: the message itself, or an object in which everything but required inner
 * messages may be left out, as protobuf-es's `create` takes one.
 *
 * Where none is required it is a type of optional properties only, for which a `Date` or a number does not pass. Nor do
 * text and lists, by their iterator, whatever properties they have in common with the message.
 */
export type OpenedInit<V> = V extends Message
  ?
      | V
      // The keys of required inner messages: all other messages can be left out.
      | (keyof {
          [K in keyof V as undefined extends V[K] ? never : V[K] extends Message | SealedToken ? K : never]: V[K];
        } extends infer R extends keyof V
          ? {
              [K in Exclude<keyof V, R>]?: K extends '$typeName' | '$unknown' ? never : OpenedInit<V[K]> | undefined;
            } & { readonly [Symbol.iterator]?: never } & ([R] extends [never]
                ? unknown
                : { [K in R]: OpenedInit<V[K]> })
          : never)
  : V extends { readonly case: infer C extends string; readonly value: infer M extends Message }
    ? { case: C; value: OpenedInit<M> }
    : V extends readonly (infer E)[]
      ? OpenedInit<E>[]
      : V extends { [key: string | number]: infer M extends Message }
        ? { [K in keyof V]: OpenedInit<M> }
        : V;
