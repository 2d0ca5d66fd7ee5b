/**
 * Metrics of a client's sealed calls, by the OpenTelemetry API: without a meter provider they cost next to nothing.
 * Attributes are method paths and reasons, all of our own making.
 */
import { status } from '@grpc/grpc-js';
import { type Counter, type Histogram, type MeterProvider, metrics } from '@opentelemetry/api';
import { statusByReason } from '../schema/error-status.js';
import { MethodAttributeTable } from '../schema/method-attributes.js';

/** Bounds in seconds: sealing with a running session takes some 20 µs, a new one milliseconds. */
const DURATION_BOUNDS = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1];

const CALL_ENDS: readonly string[] = [
  ...Object.keys(statusByReason),
  ...Object.keys(status).filter((name) => !/^\d/.test(name)),
];

/** Counts and times what the seal interceptor does. */
export class ClientMetrics {
  readonly #seal: Histogram;
  readonly #open: Histogram;
  readonly #calls: Counter;
  readonly #attributes = new MethodAttributeTable();

  /** @param provider default: the global one */
  constructor(provider: MeterProvider = metrics.getMeterProvider()) {
    const meter = provider.getMeter('sealwire');
    const advice = { explicitBucketBoundaries: DURATION_BOUNDS };
    this.#seal = meter.createHistogram('sealwire.client.seal.duration', {
      description: 'Sealing one request message, waiting for an agreement included.',
      unit: 's',
      advice,
    });
    this.#open = meter.createHistogram('sealwire.client.open.duration', {
      description: 'Opening one response message.',
      unit: 's',
      advice,
    });
    this.#calls = meter.createCounter('sealwire.client.calls', {
      description: 'Calls of methods with sealed fields, by outcome.',
    });
  }

  /** Begins a method's counts at 0: a count that begins at its first failure shows no rise. @param method its path */
  begin(method: string): void {
    for (const end of CALL_ENDS) this.#calls.add(0, this.#attributes.find(method, end));
  }

  /** @param startedAt of `performance.now()` */
  recordSeal(method: string, startedAt: number): void {
    this.#seal.record((performance.now() - startedAt) / 1_000, this.#attributes.find(method));
  }

  /** @param startedAt of `performance.now()` */
  recordOpen(method: string, startedAt: number): void {
    this.#open.record((performance.now() - startedAt) / 1_000, this.#attributes.find(method));
  }

  /** @param end `OK`, a reason of the service's, or the name of a gRPC status code */
  countCall(method: string, end: string): void {
    this.#calls.add(1, this.#attributes.find(method, end));
  }
}
