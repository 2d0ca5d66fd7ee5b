/** The audit logger's only transport: hands records to the group writer and never blocks the stream. */
import Transport from 'winston-transport';
import type { GroupWriter, PendingRecord } from './group-writer.js';

/** The property in which a log entry carries its record; a symbol cannot come from a request. */
export const RECORD = Symbol('sealwire.audit.record');

/** A winston entry of the audit channel. */
export interface AuditLogEntry {
  readonly level: 'info';
  readonly message: string;
  readonly [RECORD]: {
    readonly record: PendingRecord;
    readonly settle?: ((result: Promise<void>) => void) | undefined;
  };
}

/** Writes audit entries durably. */
export class DurableTransport extends Transport {
  readonly #writer: GroupWriter;

  constructor(writer: GroupWriter) {
    super();
    this.#writer = writer;
  }

  override log(entry: AuditLogEntry, next: () => void): void {
    const { record, settle } = entry[RECORD];
    if (settle === undefined) this.#writer.note(record);
    else settle(this.#writer.commit(record));
    // Called at once: if the stream waited for a sync, calls could not share one.
    next();
  }
}
