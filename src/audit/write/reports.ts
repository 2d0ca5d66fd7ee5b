/** Reports of the audit log to operators. Records are for reviewers. */

/** One report. Contains nothing of any call. */
export interface AuditReport {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly facts: Readonly<Record<string, string | number>>;
}

/** Takes reports; must not throw. */
export type Reporter = (report: AuditReport) => void;

/** Lets one report through, and within a time after it only counts. */
export class QuietReporter {
  readonly #report: Reporter;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #held: AuditReport | undefined;

  constructor(report: Reporter, intervalMs: number) {
    this.#report = report;
    this.#intervalMs = intervalMs;
  }

  /** @param make makes the report, of how things stand when it is let through */
  tell(make: () => AuditReport): void {
    if (this.#timer !== undefined) {
      this.#held = make();
      return;
    }
    this.#report(make());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const held = this.#held;
      this.#held = undefined;
      if (held !== undefined) this.tell(() => held);
    }, this.#intervalMs);
    this.#timer.unref();
  }

  /** Tells what was held back. */
  close(): void {
    clearTimeout(this.#timer);
    if (this.#held !== undefined) this.#report(this.#held);
    this.#held = undefined;
  }
}
