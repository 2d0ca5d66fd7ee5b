/** Attributes of a metric: one object for each method and end, since they are looked up for every call. */

/** By OpenTelemetry's names. */
export interface MethodAttributes {
  readonly 'rpc.method': string;
  readonly reason?: string;
  /** OpenTelemetry's own type is open. */
  readonly [name: string]: string | undefined;
}

/** Finds the attributes of a method's metrics; both names must be of our own making, as each pair is kept. */
export class MethodAttributeTable {
  readonly #byMethod = new Map<string, Map<string, MethodAttributes>>();

  /**
   * @param method path of the method
   * @param end how a call ended. Default: not said
   */
  find(method: string, end = ''): MethodAttributes {
    let byEnd = this.#byMethod.get(method);
    if (byEnd === undefined) {
      byEnd = new Map();
      this.#byMethod.set(method, byEnd);
    }
    let attributes = byEnd.get(end);
    if (attributes === undefined) {
      attributes = { 'rpc.method': method, ...(end !== '' && { reason: end }) };
      byEnd.set(end, attributes);
    }
    return attributes;
  }
}
