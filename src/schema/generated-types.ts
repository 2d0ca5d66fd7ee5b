/** Type-level helpers that generated code uses; nothing of this exists at run time. */

/** A repeated field's or map's type with other elements, whatever container the generator chose. */
export type ReplaceElements<C, V> =
  C extends Map<infer K, unknown> ? Map<K, V> : C extends readonly unknown[] ? V[] : { [K in keyof C]: V };

/** A union-style oneof with one member replaced. */
export type ReplaceCase<U, C extends string, R> = Exclude<U, { $case: C } | undefined> | R;

/**
 * Some of a service's handlers. A method may have the name of a function that every object has, which then stands where
 * its handler was left out. As a `Function` it leaves parameter types to the handler.
 */
export type SomeHandlers<S> = {
  [K in keyof S]?: K extends keyof typeof Object.prototype ? S[K] | (typeof Object.prototype)['constructor'] : S[K];
};

/** Compiles only when ts-proto made a sealed field of what the plan was generated for. */
export type AssertSealed<
  T extends string | readonly string[] | ReadonlyMap<unknown, string> | { readonly [key: string]: string } | undefined,
> = T;

/** Compiles only when ts-proto gave a bound sibling the type the plan was generated for. */
export type AssertBound<T extends E | undefined, E> = T;
