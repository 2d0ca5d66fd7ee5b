/** `sealwire audit verify` and `sealwire audit checkpoint`: is the log what was signed? What to keep? */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint, parseCheckpoint, splitCheckpoints } from '../../audit/format/checkpoint.js';
import { VERIFIER_KEY_FILE } from '../../audit/format/log-files.js';
import { type NoteVerifier, parseVerifierKey } from '../../audit/format/note-keys.js';
import { parseNote } from '../../audit/format/signed-note.js';
import { readLatestCheckpoint } from '../../audit/read/checkpoint-queue.js';
import type { Finding } from '../../audit/read/findings.js';
import { readOrThrow, readSmallFile } from '../../audit/read/line-blocks.js';
import { type VerifyReport, verifyLog } from '../../audit/read/verify-log.js';
import { SealwireError } from '../../errors.js';
import { decodeText } from '../../files/file-text.js';
import { ExitCode, messageOf } from '../../host/process/exit.js';
import { writeKeyFile } from '../../keys/files.js';
import { Progress, paint, print } from '../output.js';
import { visible, visibleJson } from './record-text.js';

/** Flags of `verify`. */
export interface VerifyFlags {
  readonly dir: string;
  readonly checkpoint?: readonly string[];
  readonly sinceCheckpoint?: boolean;
  readonly vkey?: string;
  readonly saveCheckpoint?: string;
  readonly format: 'table' | 'json';
}

/** @returns exit code: 1 when anything is wrong with the log */
export async function verify(flags: VerifyFlags): Promise<number> {
  const { dir, format, saveCheckpoint } = flags;
  if (flags.sinceCheckpoint && flags.checkpoint === undefined) {
    throw new SealwireError('OPTIONS_INVALID', '--since-checkpoint needs --checkpoint FILE');
  }
  const paths = [...(flags.checkpoint ?? [])];
  // The kept checkpoint is about to be replaced: one of an older copy of the log must not take its place.
  if (saveCheckpoint !== undefined && existsSync(saveCheckpoint) && !paths.includes(saveCheckpoint)) {
    paths.push(saveCheckpoint);
  }
  const verifier = readVerifier(dir, flags.vkey);
  const kept = paths.flatMap((path) => readKept(path, verifier));
  const good = kept.flatMap(({ checkpoint }) => (checkpoint === undefined ? [] : [checkpoint]));
  const progress = new Progress((records) => `${records} records`);
  const report = verifyLog({
    dir,
    verifier,
    kept: good,
    sinceKept: flags.sinceCheckpoint === true,
    progress: (records) => progress.update(records),
  });
  progress.end();
  const findings = [...kept.flatMap(({ finding }) => (finding === undefined ? [] : [finding])), ...report.findings];
  const result = { ...report, ok: findings.length === 0, findings };
  // An empty log verifies nothing. With a kept checkpoint that covers records it is a finding instead.
  if (result.ok && report.records === 0)
    throw new SealwireError('AUDIT_FILE_INVALID', `${dir}: no log, or an empty one`);
  if (format === 'json') {
    const { latestNote: _, ...facts } = result;
    await print(`${visibleJson(facts, 2)}\n`);
  } else {
    await print(describe(result, { ...flags, checkpoint: paths }));
  }
  if (!result.ok) return ExitCode.NEGATIVE;
  if (saveCheckpoint !== undefined) await save(saveCheckpoint, report);
  return ExitCode.DONE;
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

/**
 * @param vkey a file, or the key itself; default: the one in the log
 * @throws SealwireError `OPTIONS_INVALID` when it is not a key, `AUDIT_FILE_INVALID` when there is none
 */
export function readVerifier(dir: string, vkey: string | undefined): NoteVerifier {
  const isText = vkey !== undefined && !existsSync(vkey) && vkey.includes('+');
  const path = vkey ?? join(dir, VERIFIER_KEY_FILE);
  const read = () => (vkey === undefined ? readSmallFile(path) : readOrThrow(path, () => readFileSync(path)));
  const text = isText ? vkey : decodeText(read());
  return asInput(isText ? 'the key' : path, () => parseVerifierKey(text.trim()));
}

/** A checkpoint from a file, or why it does not belong to this log. */
export interface KeptCheckpoint {
  readonly checkpoint: Checkpoint | undefined;
  readonly note: string;
  readonly finding: Finding | undefined;
}

/**
 * @param path of a file with one or more checkpoints
 * @throws SealwireError `OPTIONS_INVALID` when it holds none
 */
export function readKept(path: string, verifier: NoteVerifier): KeptCheckpoint[] {
  const text = readOrThrow(path, () => decodeText(readFileSync(path))).trim();
  const { notes, torn } = splitCheckpoints(`${text}\n\n`);
  if (notes.length === 0 || torn !== '') throw new SealwireError('OPTIONS_INVALID', `${path}: not a checkpoint`);
  return notes.map((note) => {
    asInput(path, () => parseCheckpoint(parseNote(note).text));
    try {
      return { checkpoint: openCheckpoint(note, verifier), note, finding: undefined };
    } catch (error) {
      const detail = `the kept checkpoint in ${path}: ${messageOf(error)}`;
      return { checkpoint: undefined, note, finding: { kind: 'bad-signature', seq: undefined, detail } };
    }
  });
}

/** An error in the user's own file is wrong use, not a finding about the log. */
export function asInput<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new SealwireError('OPTIONS_INVALID', `${path}: ${messageOf(error)}`);
  }
}

async function save(path: string, { latestNote }: VerifyReport): Promise<void> {
  if (latestNote === undefined) throw new SealwireError('AUDIT_FILE_INVALID', 'the log has no checkpoint to keep');
  await writeKeyFile(path, latestNote, 0o644);
  process.stderr.write(`kept the checkpoint in ${path}\n`);
}

function describe(report: VerifyReport, { vkey, checkpoint: paths = [] }: VerifyFlags): string {
  const { ok, findings, origin, records, removed, unsigned, checkpoints, kept } = report;
  const lines = findings.map(({ kind, seq, last, detail }) => {
    const place = seq === undefined ? '' : last === undefined ? `record ${seq}: ` : `records ${seq} to ${last}: `;
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
  if (paths.length === 0) lines.push('no kept checkpoint: whoever has the signing key could have rewritten all of it');
  lines.push(ok ? paint('verified', 'green') : paint(`NOT VERIFIED${firstBad(findings)}`, 'red'));
  return `${lines.join('\n')}\n`;
}

function firstBad(findings: readonly Finding[]): string {
  const seq = findings.find((finding) => finding.seq !== undefined)?.seq;
  return seq === undefined ? '' : `: the first bad record is ${seq}`;
}

function count(value: number, name: string): string {
  return `${value} ${name}${value === 1 ? '' : 's'}`;
}
