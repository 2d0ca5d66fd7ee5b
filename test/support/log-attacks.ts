/** What somebody who can write to a log's folder, but not sign, can do to it; and where it must be noticed. */
import type { FindingKind } from '../../src/audit/read/findings.js';
import type { LogFiles } from './log-builder.js';

/** A change that a verifier must notice. */
export interface Attack {
  readonly name: string;
  readonly files: LogFiles;
  /** What it may be called. */
  readonly kinds: readonly FindingKind[];
  /** First bad record; undefined when the change is about no record. */
  readonly seq: number | undefined;
}

/** Lines of a one-segment log. */
export interface Lines {
  readonly name: string;
  readonly lines: readonly string[];
  /** Byte at which each line begins. */
  readonly starts: readonly number[];
}

export function linesOf(files: LogFiles): Lines {
  const name = `${'0'.repeat(20)}.jsonl`;
  const lines = (files.get(name) as Buffer).toString('utf8').split('\n').slice(0, -1);
  let at = 0;
  const starts = lines.map((line) => {
    const start = at;
    at += Buffer.byteLength(line) + 1;
    return start;
  });
  return { name, lines, starts };
}

function withFile(files: LogFiles, name: string, bytes: Buffer): LogFiles {
  return new Map([...files, [name, bytes]]);
}

function withLines(files: LogFiles, { name }: Lines, lines: readonly string[]): LogFiles {
  return withFile(files, name, Buffer.from(lines.map((line) => `${line}\n`).join('')));
}

/** Flips one bit of the lines. */
export function flipLineByte(files: LogFiles, log: Lines, at: number, bit: number): Attack {
  const bytes = Buffer.from(files.get(log.name) as Buffer);
  bytes[at] = (bytes[at] as number) ^ (1 << bit);
  const seq = log.starts.findLastIndex((start) => start <= at);
  // The last newline lost, the last line is no line any more.
  const kinds: FindingKind[] = at === bytes.length - 1 ? ['truncated'] : ['changed'];
  return { name: `flip bit ${bit} of byte ${at}`, files: withFile(files, log.name, bytes), kinds, seq };
}

export function deleteLine(files: LogFiles, log: Lines, seq: number): Attack {
  const lines = log.lines.toSpliced(seq, 1);
  const kinds: FindingKind[] = seq === log.lines.length - 1 ? ['truncated'] : ['missing'];
  return { name: `delete ${seq}`, files: withLines(files, log, lines), kinds, seq };
}

/** @param to where the copy stands */
export function duplicateLine(files: LogFiles, log: Lines, seq: number, to: number): Attack {
  const lines = log.lines.toSpliced(to, 0, log.lines[seq] as string);
  // Before the record itself, its copy takes its place.
  const first = to === seq ? seq + 1 : to;
  const kinds: FindingKind[] = ['duplicated', 'inserted', 'reordered'];
  return { name: `duplicate ${seq} at ${to}`, files: withLines(files, log, lines), kinds, seq: first };
}

export function swapLines(files: LogFiles, log: Lines, one: number, other: number): Attack {
  const lines = [...log.lines];
  [lines[one], lines[other]] = [lines[other] as string, lines[one] as string];
  const [seq] = [one, other].sort((a, b) => a - b);
  return { name: `swap ${one} and ${other}`, files: withLines(files, log, lines), kinds: ['reordered'], seq };
}

/** Puts in a line that looks like the record whose place it takes. */
export function insertLine(files: LogFiles, log: Lines, seq: number): Attack {
  const model = log.lines[Math.min(seq, log.lines.length - 1)] as string;
  const lines = log.lines.toSpliced(seq, 0, model.replace('127.0.0.1:1', '127.0.0.1:2'));
  return { name: `insert at ${seq}`, files: withLines(files, log, lines), kinds: ['inserted'], seq };
}

/** Cuts the lines after a byte. */
export function truncateAt(files: LogFiles, log: Lines, at: number): Attack {
  const bytes = (files.get(log.name) as Buffer).subarray(0, at);
  const seq = log.starts.findLastIndex((start) => start <= at);
  return { name: `cut at byte ${at}`, files: withFile(files, log.name, bytes), kinds: ['truncated'], seq };
}

/** Flips one bit of any other file. */
export function flipOtherByte(files: LogFiles, name: string, at: number, bit: number): Attack {
  const bytes = Buffer.from(files.get(name) as Buffer);
  bytes[at] = (bytes[at] as number) ^ (1 << bit);
  const isLeaf = name.endsWith('.leaves');
  const kinds: FindingKind[] = isLeaf
    ? ['bad-leaf']
    : name === 'log.vkey'
      ? ['bad-key']
      : name.endsWith('.frontier')
        ? ['bad-frontier']
        : ['bad-signature', 'bad-checkpoint', 'changed'];
  const seq = isLeaf ? Math.floor(at / 32) : undefined;
  return { name: `flip bit ${bit} of byte ${at} of ${name}`, files: withFile(files, name, bytes), kinds, seq };
}
