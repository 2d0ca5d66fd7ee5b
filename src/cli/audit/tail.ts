/** `sealwire audit tail`: the last records, and with `-f` each new one. */
import { followLogs } from '../../audit/read/follow-log.js';
import { compileFilter } from '../../audit/read/log-filter.js';
import { ExitCode } from '../../host/process/exit.js';
import { onStopSignals } from '../../host/process/stop-signals.js';
import type { FilterFlags, RecordFormat } from './audit-options.js';
import { type LogFlags, LogReading } from './logs.js';
import { RecordPrinter } from './record-text.js';
import { toFilter } from './to-filter.js';

/** Flags of `tail`. */
export interface TailFlags extends FilterFlags, LogFlags {
  readonly format: RecordFormat;
  readonly lines: number;
  readonly follow?: boolean;
}

/** @returns exit code, at the end of the log or, when following, after a stop signal */
export async function tail(flags: TailFlags): Promise<number> {
  const { format, lines, follow = false } = flags;
  const stop = new AbortController();
  if (follow) void onStopSignals({ exit: () => process.exit(ExitCode.DONE) }).then(() => stop.abort());
  const reading = new LogReading(flags);
  const printer = new RecordPrinter(format, reading.logs.length);
  const records = followLogs(reading.logs, compileFilter(toFilter(flags)), {
    last: lines,
    onFailed: reading.onFailed,
    // New records show at once; those that are found together share their columns.
    onCaughtUp: () => printer.flush(),
    ...(follow && { signal: stop.signal }),
  });
  for await (const found of records) await printer.add(found);
  await printer.end();
  return reading.end(ExitCode.DONE);
}
