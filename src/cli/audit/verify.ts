/** `sealwire audit verify` and `sealwire audit checkpoint`: are logs what was signed? What to keep? */
import { existsSync } from 'node:fs';
import type { Checkpoint } from '../../audit/format/checkpoint.js';
import { VERIFIER_KEY_FILE } from '../../audit/format/log-files.js';
import type { NoteVerifier } from '../../audit/format/note-keys.js';
import { readLatestCheckpoint } from '../../audit/read/checkpoint-queue.js';
import type { Finding } from '../../audit/read/findings.js';
import { type VerifyReport, verifyLog } from '../../audit/read/verify-log.js';
import { SealwireError } from '../../errors.js';
import { ExitCode, exitCodeOf, messageOf } from '../../host/process/exit.js';
import { writeKeyFile } from '../../keys/files.js';
import { Progress, paint, print } from '../output.js';
import { type KeptNote, openNote, readNotes, readVerifier } from './kept.js';
import { type LogFlags, openLogs } from './logs.js';
import { visible, visibleJson } from './record-text.js';

/** Flags of `verify`. */
export interface VerifyFlags extends LogFlags {
  readonly checkpoint?: readonly string[];
  readonly sinceCheckpoint?: boolean;
  readonly vkey?: readonly string[];
  readonly saveCheckpoint?: string;
  readonly format: 'table' | 'json';
}

/** A log and what it is compared with. */
interface Task {
  readonly dir: string;
  /** Undefined when nobody knows its key. */
  readonly verifier: NoteVerifier | undefined;
  readonly notes: readonly KeptNote[];
}

/** What became of a log: a report, or why there is none. */
interface Outcome {
  readonly dir: string;
  readonly hasKept: boolean;
  readonly report: VerifyReport | undefined;
  readonly error: SealwireError | undefined;
}

/** @returns exit code: 1 when anything is wrong with a log, else 3 when one cannot be read */
export async function verify(flags: VerifyFlags): Promise<number> {
  const { sinceCheckpoint = false, saveCheckpoint } = flags;
  if (sinceCheckpoint && flags.checkpoint === undefined) {
    throw new SealwireError('OPTIONS_INVALID', '--since-checkpoint needs --checkpoint FILE');
  }
  const paths = [...(flags.checkpoint ?? [])];
  // The kept checkpoint is about to be replaced: one of an older copy of the log must not take its place.
  if (saveCheckpoint !== undefined && existsSync(saveCheckpoint) && !paths.includes(saveCheckpoint)) {
    paths.push(saveCheckpoint);
  }
  const keys = flags.vkey?.map((vkey) => readVerifier('', vkey));
  const notes = paths.flatMap(readNotes);
  const { tasks, strays } = assign(flags, keys, notes);
  const outcomes = tasks.map((task) => attempt(task, tasks, sinceCheckpoint));
  await (tasks.length === 1 ? tellOne : tellMany)(outcomes, strays, flags);
  const code = codeOf(outcomes, strays);
  if (code === ExitCode.DONE && saveCheckpoint !== undefined) await save(saveCheckpoint, outcomes);
  return code;
}

/** Gives each log its key and its checkpoints. Strays are those that belong to none, which must not go unnoticed. */
function assign(flags: LogFlags, keys: readonly NoteVerifier[] | undefined, notes: readonly KeptNote[]) {
  const opened = openLogs(flags).map(({ dir, key }) => {
    const fitting = keys?.find(({ vkey }) => vkey === key?.vkey) ?? keys?.find(({ name }) => name === key?.name);
    return { dir, key, fitting };
  });
  // A folder that names no key that was given, or another one, is held against one that nothing else is signed with.
  const left = keys?.find((key) => !opened.some(({ fitting }) => fitting === key)) ?? keys?.[0];
  const logs = opened.map(({ dir, key, fitting }) => ({ dir, verifier: fitting ?? left ?? key }));
  if (logs.length === 1) return { tasks: logs.map((log) => ({ ...log, notes })), strays: [] };
  const opens = (note: KeptNote, verifier: NoteVerifier | undefined) =>
    verifier !== undefined && openNote(note, verifier).checkpoint !== undefined;
  const tasks = logs.map(({ dir, verifier }): Task => {
    const own = notes.filter((note) => note.origin === verifier?.name);
    // What another log of this name has signed says nothing of this one.
    const mine = own.filter((note) => opens(note, verifier) || !logs.some((other) => opens(note, other.verifier)));
    return { dir, verifier, notes: mine };
  });
  const strays = [
    ...(keys ?? [])
      .filter((key) => !logs.some(({ verifier }) => verifier === key))
      .map(({ name }) => `a key of ${name}`),
    ...notes
      .filter((note) => !tasks.some((task) => task.notes.includes(note)))
      .map(({ path, origin }) => `a checkpoint of ${origin}, in ${path}`),
  ];
  // Whose log cannot be read is not known.
  return { tasks, strays: tasks.some(({ verifier }) => verifier === undefined) ? [] : strays };
}

/** One log's trouble is no reason to say nothing of the others. */
function attempt(task: Task, tasks: readonly Task[], sinceKept: boolean): Outcome {
  const about = { dir: task.dir, hasKept: task.notes.length > 0 };
  try {
    return { ...about, report: check(task, tasks, sinceKept), error: undefined };
  } catch (error) {
    if (error instanceof SealwireError) return { ...about, report: undefined, error };
    throw error;
  }
}

function check({ dir, verifier: known, notes }: Task, tasks: readonly Task[], sinceKept: boolean): VerifyReport {
  const verifier = known ?? readVerifier(dir, undefined);
  const kept = notes.map((note) => openNote(note, verifier));
  const good = kept.flatMap(({ checkpoint }) => checkpoint ?? []);
  const copies = tasks.filter((other) => other.dir !== dir && other.verifier?.vkey === verifier.vkey);
  const size = readLatest(dir, verifier)?.size ?? 0;
  // A copy is as good as a kept checkpoint: one key must not have signed two histories.
  const copied = copies.flatMap((copy) => readLatest(copy.dir, verifier) ?? []).filter((other) => other.size <= size);
  const progress = new Progress((records) => `${records} records`);
  const report = verifyLog({
    dir,
    verifier,
    kept: [...good, ...copied],
    sinceKept: sinceKept && good.length > 0,
    progress: (records) => progress.update(records),
  });
  progress.end();
  const findings = [...kept.flatMap(({ finding }) => finding ?? []), ...report.findings];
  // An empty log verifies nothing. With a kept checkpoint that covers records it is a finding instead.
  if (findings.length === 0 && report.records === 0)
    throw new SealwireError('AUDIT_FILE_INVALID', `${dir}: no log, or an empty one`);
  return { ...report, ok: findings.length === 0, findings };
}

function readLatest(dir: string, verifier: NoteVerifier): Checkpoint | undefined {
  try {
    return readLatestCheckpoint(dir, verifier)?.checkpoint;
  } catch (error) {
    // Verification says it better.
    if (error instanceof SealwireError) return undefined;
    throw error;
  }
}

function codeOf(outcomes: readonly Outcome[], strays: readonly string[]): number {
  if (outcomes.some(({ report }) => report?.ok === false)) return ExitCode.NEGATIVE;
  const failed = outcomes.find(({ error }) => error !== undefined);
  if (failed !== undefined) return exitCodeOf(failed.error);
  return strays.length > 0 ? ExitCode.NEGATIVE : ExitCode.DONE;
}

async function tellOne([outcome]: readonly Outcome[], _strays: readonly string[], flags: VerifyFlags): Promise<void> {
  const { report, error, hasKept } = outcome as Outcome;
  if (report === undefined) throw error;
  if (flags.format === 'json') await print(`${visibleJson(factsOf(report), 2)}\n`);
  else await print(`${describe(report, flags, hasKept).join('\n')}\n`);
}

async function tellMany(outcomes: readonly Outcome[], strays: readonly string[], flags: VerifyFlags): Promise<void> {
  const ok = codeOf(outcomes, strays) === ExitCode.DONE;
  if (flags.format === 'json') {
    const logs = outcomes.map(({ dir, report, error }) => {
      return report === undefined ? { dir, ok: false, error: messageOf(error) } : { dir, ...factsOf(report) };
    });
    await print(`${visibleJson({ ok, logs, strays }, 2)}\n`);
    return;
  }
  for (const { dir, report, error, hasKept } of outcomes) {
    const lines = report === undefined ? [paint(messageOf(error), 'red')] : describe(report, flags, hasKept);
    await print(`${visible(dir)}\n${lines.map((line) => `  ${line}\n`).join('')}`);
  }
  for (const stray of strays) await print(`${paint('no log', 'red')} was given for ${visible(stray)}\n`);
  const bad = outcomes.filter(({ report }) => report?.ok !== true);
  const names = bad.map(({ dir, report }) => visible(report === undefined ? dir : `${dir} (${report.origin})`));
  const verdict = ['NOT VERIFIED', ...(names.length === 0 ? [] : [names.join(', ')])].join(': ');
  await print(`${ok ? paint(`verified: ${outcomes.length} logs`, 'green') : paint(verdict, 'red')}\n`);
}

/** Prints the latest checkpoint, for keeping. @returns exit code: 1 when it is not signed by the key */
export async function checkpoint({ dir, vkey }: { readonly dir: string; readonly vkey?: string }): Promise<number> {
  const latest = readLatestCheckpoint(dir, readVerifier(dir, vkey));
  if (latest?.checkpoint === undefined) {
    process.stderr.write(`${latest?.finding?.detail ?? 'the log has no checkpoint'}\n`);
    return ExitCode.NEGATIVE;
  }
  await print(latest.note);
  return ExitCode.DONE;
}

async function save(path: string, outcomes: readonly Outcome[]): Promise<void> {
  const notes = outcomes.map(({ dir, report }) => {
    if (report?.latestNote !== undefined) return report.latestNote;
    throw new SealwireError('AUDIT_FILE_INVALID', `${dir}: the log has no checkpoint to keep`);
  });
  await writeKeyFile(path, notes.join('\n'), 0o644);
  process.stderr.write(`kept the checkpoint${notes.length === 1 ? '' : 's'} in ${path}\n`);
}

function factsOf({ latestNote: _, ...facts }: VerifyReport): Omit<VerifyReport, 'latestNote'> {
  return facts;
}

function describe(report: VerifyReport, { vkey }: VerifyFlags, hasKept: boolean): string[] {
  const { ok, findings, origin, records, removed, unsigned, checkpoints, kept } = report;
  const lines = findings.map(({ kind, seq, last, detail }) => {
    const place = seq === undefined ? '' : (last ?? seq) === seq ? `record ${seq}: ` : `records ${seq} to ${last}: `;
    return `${place}${paint(kind, 'red')}: ${visible(detail)}`;
  });
  lines.push(
    `${visible(origin)}: ${count(records, 'record')}, ${count(checkpoints, 'checkpoint')} of its own, ${kept} kept`,
  );
  if (removed > 0)
    lines.push(`${count(removed, 'record')} removed by retention, as a signed record tells; their hashes fit`);
  if (unsigned > 0) lines.push(`${count(unsigned, 'record')} after the latest checkpoint: not signed yet`);
  if (vkey === undefined)
    lines.push(`the key came with the log: keep ${VERIFIER_KEY_FILE} elsewhere and give it with --vkey`);
  if (!hasKept) lines.push('no kept checkpoint: whoever has the signing key could have rewritten all of it');
  lines.push(ok ? paint('verified', 'green') : paint(`NOT VERIFIED${firstBad(findings)}`, 'red'));
  return lines;
}

function firstBad(findings: readonly Finding[]): string {
  const seq = findings.find((finding) => finding.seq !== undefined)?.seq;
  return seq === undefined ? '' : `: the first bad record is ${seq}`;
}

function count(value: number, name: string): string {
  return `${value} ${name}${value === 1 ? '' : 's'}`;
}
