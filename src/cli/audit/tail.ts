/** `sealwire audit tail`: the last records, and with `-f` each new one. */
import { followLog } from '../../audit/read/follow-log.js';
import { compileFilter } from '../../audit/read/log-filter.js';
import { ExitCode } from '../../host/process/exit.js';
import { onStopSignals } from '../../host/process/stop-signals.js';
import { type FilterFlags, type RecordFormat, toFilter } from './audit-options.js';
import { RecordPrinter } from './record-text.js';

/** Flags of `tail`. */
export interface TailFlags extends FilterFlags {
  readonly dir: string;
  readonly format: RecordFormat;
  readonly lines: number;
  readonly follow?: boolean;
}

/** @returns exit code, at the end of the log or, when following, after a stop signal */
export async function tail(flags: TailFlags): Promise<number> {
  const { dir, format, lines, follow = false } = flags;
  const stop = new AbortController();
  if (follow) void onStopSignals({ exit: () => process.exit(ExitCode.DONE) }).then(() => stop.abort());
  const printer = new RecordPrinter(format);
  const records = followLog(dir, compileFilter(toFilter(flags)), {
    last: lines,
    ...(follow && { signal: stop.signal }),
  });
  let shown = 0;
  for await (const found of records) {
    await printer.add(found);
    // New records show at once; the first ones share their columns.
    if (follow && ++shown >= lines) await printer.flush();
  }
  await printer.end();
  return ExitCode.DONE;
}
