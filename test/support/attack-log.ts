/** Attacks a log in every way of {@link log-attacks}, and counts what a verifier with a kept checkpoint misses. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpoint } from '../../src/audit/format/checkpoint.js';
import { verifyLog } from '../../src/audit/read/verify-log.js';
import {
  type Attack,
  deleteLine,
  duplicateLine,
  flipLineByte,
  flipOtherByte,
  insertLine,
  linesOf,
  swapLines,
  truncateAt,
} from './log-attacks.js';
import { buildLog, createTestSigner, type LogFiles, writeLog } from './log-builder.js';

/** Options of {@link attackLog}. */
export interface AttackOptions {
  readonly records: number;
  /** Attacks of each kind, at places spread over the log. Default 0. */
  readonly perKind?: number;
  /** Also one bit of every byte of every file, and a cut at every byte. Default false. */
  readonly everyByte?: boolean;
}

/** @returns how many attacks were made, and the names of those that were not noticed at the right record */
export function attackLog(options: AttackOptions): { readonly attacks: number; readonly missed: string[] } {
  const signer = createTestSigner();
  const files = buildLog({ records: options.records, checkpointRecords: 1_000, signer });
  const dir = mkdtempSync(join(tmpdir(), 'sealwire-attack-'));
  try {
    writeLog(dir, files);
    const kept = [openCheckpoint(files.get('checkpoint') as Buffer, signer.verifier)];
    const missed: string[] = [];
    let attacks = 0;
    for (const attack of listAttacks(files, options)) {
      attacks++;
      const changed = [...attack.files].filter(([name, bytes]) => files.get(name) !== bytes);
      for (const [name, bytes] of changed) writeFileSync(join(dir, name), bytes);
      const [finding] = verifyLog({ dir, verifier: signer.verifier, kept }).findings;
      const isRight = finding?.seq === attack.seq && attack.kinds.includes(finding?.kind as never);
      if (!isRight) missed.push(`${attack.name}: ${finding?.kind ?? 'nothing'} at ${finding?.seq}, not ${attack.seq}`);
      for (const [name] of changed) writeFileSync(join(dir, name), files.get(name) as Buffer);
    }
    return { attacks, missed };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function* listAttacks(files: LogFiles, { perKind = 0, everyByte = false }: AttackOptions): Generator<Attack> {
  const log = linesOf(files);
  const { length } = log.lines;
  const size = (files.get(log.name) as Buffer).length;
  for (let index = 0; index < perKind; index++) {
    // Both ends, and places between them that do not repeat a pattern.
    const seq = index === 0 ? 0 : index === 1 ? length - 1 : (index * 7_919) % length;
    const other = (seq + 1 + ((index * 104_729) % (length - 1))) % length;
    const byte = (index * 15_485_863) % size;
    yield flipLineByte(files, log, byte, index % 8);
    yield deleteLine(files, log, seq);
    yield duplicateLine(files, log, seq, seq + 1);
    yield duplicateLine(files, log, seq, other);
    yield swapLines(files, log, seq, other);
    yield swapLines(files, log, seq === 0 ? 0 : seq - 1, seq === 0 ? 1 : seq);
    yield insertLine(files, log, seq);
    yield truncateAt(files, log, byte);
    yield flipOtherByte(files, log.name.replace('jsonl', 'leaves'), (seq * 32 + index) % (length * 32), index % 8);
  }
  if (!everyByte) return;
  for (let at = 0; at < size; at++) {
    yield flipLineByte(files, log, at, at % 8);
    yield truncateAt(files, log, at);
  }
  for (const [name, bytes] of files) {
    if (name === log.name) continue;
    for (let at = 0; at < bytes.length; at++) yield flipOtherByte(files, name, at, at % 8);
  }
}
