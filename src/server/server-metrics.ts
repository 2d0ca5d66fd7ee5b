/**
 * Metrics of sealed calls, by the OpenTelemetry API: without a meter provider they cost next to nothing. Attributes are
 * method paths, outcomes and reasons, all of our own making: nothing of a request becomes one.
 */
import { type Counter, type Histogram, type MeterProvider, metrics } from '@opentelemetry/api';
import { type ErrorCode, reasonByStep, SealwireError } from '../errors.js';
import { MethodAttributeTable } from '../schema/method-attributes.js';
import type { AuditSink, CallRecord } from './audit-sink.js';

/** Name of our meter. */
export const METER_NAME = 'sealwire';

/** Bounds in seconds: an opening with a cached agreement takes some 50 µs, a fresh one milliseconds. */
const DURATION_BOUNDS = [0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/** How a call ended: by a reason of ours, by the handler's own status, or well. */
export type CallEnd = 'OK' | 'HANDLER' | 'CANCELLED' | 'INTERNAL' | (typeof reasonByStep)[keyof typeof reasonByStep];

const CALL_ENDS: ReadonlySet<CallEnd> = new Set([
  'OK',
  'HANDLER',
  'CANCELLED',
  'INTERNAL',
  ...Object.values(reasonByStep),
]);

/** Counts and times what the open interceptor does. */
export class ServerMetrics {
  readonly #open: Histogram;
  readonly #seal: Histogram;
  readonly #commit: Histogram;
  readonly #calls: Counter;
  readonly #attributes = new MethodAttributeTable();

  /** @param provider default: the global one */
  constructor(provider: MeterProvider = metrics.getMeterProvider()) {
    const meter = provider.getMeter(METER_NAME);
    const duration = (description: string) => ({
      description,
      unit: 's',
      advice: { explicitBucketBoundaries: DURATION_BOUNDS },
    });
    this.#open = meter.createHistogram(
      'sealwire.server.open.duration',
      duration('From the receipt of a message to its audit record: checks, agreements, opening.'),
    );
    this.#seal = meter.createHistogram(
      'sealwire.server.seal.duration',
      duration('From the handler giving a response to its audit record: sealing.'),
    );
    this.#commit = meter.createHistogram(
      'sealwire.server.audit.duration',
      duration('Time until a record was durable.'),
    );
    this.#calls = meter.createCounter('sealwire.server.calls', {
      description: 'Calls of methods with sealed fields, by outcome.',
    });
  }

  /** Begins a method's counts at 0: a count that begins at its first failure shows no rise. @param method its path */
  begin(method: string): void {
    for (const end of CALL_ENDS) this.#calls.add(0, this.#attributes.find(method, end));
  }

  /** @param method path of the method */
  countCall(method: string, end: CallEnd): void {
    this.#calls.add(1, this.#attributes.find(method, end));
  }

  /** Every opening and sealing ends in a record, which has its time: so they are measured here. */
  meterAudit(sink: AuditSink): AuditSink {
    return {
      commit: (input) => {
        this.#recordWork(input);
        const startedAt = performance.now();
        const committed = sink.commit(input);
        const record = () => this.#commit.record((performance.now() - startedAt) / 1_000);
        committed.then(record, record);
        return committed;
      },
      note: (input) => sink.note(input),
    };
  }

  #recordWork({ event, method, durationUs }: CallRecord): void {
    const histogram = event === 'seal' ? this.#seal : this.#open;
    histogram.record(durationUs / 1_000_000, this.#attributes.find(method));
  }
}

/** @returns the reason a caller sees, `INTERNAL` for anything else */
export function endOf(error: unknown): CallEnd {
  if (!(error instanceof SealwireError)) return 'INTERNAL';
  return (reasonByStep as Partial<Record<ErrorCode, CallEnd>>)[error.code] ?? 'INTERNAL';
}
