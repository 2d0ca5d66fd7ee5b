/** The logs that a command was given, as one. */
import { join } from 'node:path';
import { VERIFIER_KEY_FILE } from '../../audit/format/log-files.js';
import { type NoteVerifier, parseVerifierKey } from '../../audit/format/note-keys.js';
import { listLog, readSmallFile, withoutRemoved } from '../../audit/read/line-blocks.js';
import type { LogFilter } from '../../audit/read/log-filter.js';
import { mergeLogs } from '../../audit/read/merge-logs.js';
import { searchLog } from '../../audit/read/read-records.js';
import { SealwireError } from '../../errors.js';
import { decodeText } from '../../files/file-text.js';
import { exitCodeOf, messageOf } from '../../host/process/exit.js';
import { Progress } from '../output.js';
import { type NamedRecord, visible } from './record-text.js';

const DEFAULT_DIR = './var/audit';

/** Where logs are; the default is that of a service in the working directory. */
export interface LogFlags {
  readonly dir?: readonly string[];
}

/** A log, as its folder says. */
export interface GivenLog {
  readonly dir: string;
  /** The key that lies in the folder; undefined when there is none. */
  readonly key: NoteVerifier | undefined;
  /** Tells it from the others: its origin, or its folder as well where several logs have that. */
  readonly name: string;
}

/** Finds out which logs these are, and says on stderr what two of them have in common that they should not. */
export function openLogs({ dir: dirs = [DEFAULT_DIR] }: LogFlags): readonly GivenLog[] {
  const logs = dirs.map((dir) => ({ dir, key: readOwnKey(dir) }));
  return logs.map((log, index) => {
    const { dir, key } = log;
    if (key === undefined) return { ...log, name: dir };
    const others = logs.filter((other) => other !== log && other.key?.name === key.name);
    const earlier = others.find((other) => logs.indexOf(other) < index);
    if (earlier !== undefined) {
      const isCopy = earlier.key?.vkey === key.vkey;
      const what = isCopy ? 'copies of one log, whose records come twice' : 'two logs with one origin, by two keys';
      process.stderr.write(`${earlier.dir} and ${dir} are ${what}: ${visible(key.name)}\n`);
    }
    return { ...log, name: others.length === 0 ? key.name : `${key.name} (${dir})` };
  });
}

function readOwnKey(dir: string): NoteVerifier | undefined {
  try {
    return parseVerifierKey(decodeText(readSmallFile(join(dir, VERIFIER_KEY_FILE))).trim());
  } catch (error) {
    if (error instanceof SealwireError) return undefined;
    throw error;
  }
}

/** One reading of all logs. What goes wrong is told on stderr, and does not hide what can be read. */
export class LogReading {
  readonly logs: readonly GivenLog[];
  readonly #progress = new Progress((lines) => `${lines} records`);
  #damaged = 0;
  readonly #failed = new Set<GivenLog>();
  #failure: number | undefined;

  constructor(flags: LogFlags) {
    this.logs = openLogs(flags);
  }

  /** Records by time. */
  *search(filter: LogFilter): Generator<NamedRecord> {
    const lines = new Map<GivenLog, number>();
    const progressOf = (log: GivenLog) => (count: number) => {
      lines.set(log, count);
      this.#progress.update([...lines.values()].reduce((sum, each) => sum + each, 0));
    };
    const readers = this.logs.map((log) => {
      return { log, records: searchLog(log.dir, filter, { progress: progressOf(log) }) };
    });
    for (const merged of mergeLogs(readers, this.onFailed)) {
      if (merged.found.record === undefined) this.#damaged++;
      this.#progress.end();
      yield merged;
    }
    this.#progress.end();
    for (const log of this.logs) if (!this.#failed.has(log)) this.#tellRemoved(log);
  }

  /** What was removed was not read. */
  #tellRemoved({ dir, name }: GivenLog): void {
    const first =
      listLog(dir)
        .map(withoutRemoved)
        .find(({ lines }) => lines !== undefined)?.first ?? 0;
    if (first > 0) process.stderr.write(`${visible(name)}: records 0 to ${first - 1} were removed and not read\n`);
  }

  /** Tells of a log that cannot be read on. */
  readonly onFailed = (log: GivenLog, error: SealwireError): void => {
    this.#progress.end();
    this.#failed.add(log);
    this.#failure ??= exitCodeOf(error);
    process.stderr.write(`sealwire: ${messageOf(error)}\n`);
  };

  /** @param code what the command would end with @returns 3 when a log could not be read, whatever the others have */
  end(code: number): number {
    this.#progress.end();
    if (this.#damaged > 0) {
      process.stderr.write(`${this.#damaged} lines are not records; run sealwire audit verify\n`);
    }
    return this.#failure ?? code;
  }

  /** Whether all logs could be read. */
  get isWhole(): boolean {
    return this.#failure === undefined;
  }
}
