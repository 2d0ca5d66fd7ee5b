/** Calls that go on until told, and what became of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import type { AuditLine } from './harness.js';
import { validRequest } from './harness.js';

/** Pays orders of its own, several at a time. */
export class PaymentsLoad {
  /** Orders whose payment was acknowledged. */
  readonly acknowledged: string[] = [];
  /** Names of the statuses of calls that failed. */
  readonly failures: string[] = [];
  readonly #client: SealedPaymentServiceClient;
  readonly #prefix: string;
  readonly #lanes: Promise<void>[] = [];
  readonly #waiting = new Set<() => void>();
  #next = 0;
  #isStopped = false;

  /** @param prefix of its order ids, which must not repeat */
  constructor(client: SealedPaymentServiceClient, prefix: string) {
    this.#client = client;
    this.#prefix = prefix;
  }

  /** @param endAtFailure each lane ends when a call of its fails. Default false */
  start(inFlight: number, endAtFailure = false): void {
    for (let lane = 0; lane < inFlight; lane++) this.#lanes.push(this.#run(endAtFailure));
  }

  /** Waits until something is so; looked at after each call. */
  until(isSo: (load: PaymentsLoad) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!isSo(this)) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Lets the calls under way end. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#lanes);
  }

  async #run(endAtFailure: boolean): Promise<void> {
    while (!this.#isStopped) {
      const orderId = `${this.#prefix}-${this.#next++}`;
      try {
        await this.#client.authorize({ ...validRequest, orderId });
        this.acknowledged.push(orderId);
      } catch (error) {
        this.failures.push(status[(error as { code: status }).code] ?? String(error));
        if (endAtFailure) return;
      } finally {
        for (const check of [...this.#waiting]) check();
      }
    }
  }
}

/** All records of a service's log. */
export function readRecords(dir: string): AuditLine[] {
  const audit = join(dir, 'audit');
  const names = readdirSync(audit).filter((name) => name.endsWith('.jsonl'));
  return names.sort().flatMap((name) =>
    readFileSync(join(audit, name), 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as AuditLine),
  );
}

/** @returns the acknowledged orders whose card was opened without a record */
export function findUnrecorded(records: readonly AuditLine[], acknowledged: Iterable<string>): string[] {
  const recorded = new Set<unknown>();
  for (const { event, fields } of records) {
    if (event !== 'open') continue;
    for (const { bound } of fields) for (const [name, value] of bound) if (name === 'order_id') recorded.add(value);
  }
  return [...acknowledged].filter((order) => !recorded.has(order));
}
