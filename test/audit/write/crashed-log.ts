/** A log as a crash leaves it: a copy of its folder, taken while it is written. */
import { readFileSync } from 'node:fs';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openCheckpoint } from '../../../src/audit/format/checkpoint.js';
import { listSegments, segmentFile } from '../../../src/audit/format/log-files.js';
import { hashLeaf } from '../../../src/audit/format/merkle-tree.js';
import { parseSignerKey, parseVerifierKey } from '../../../src/audit/format/note-keys.js';
import { type VerifyReport, verifyLog } from '../../../src/audit/read/verify-log.js';
import { type LogFiles, readLog, writeLog } from '../../support/log-builder.js';
import { inFolder, input, settle, withLog } from '../helpers.js';

/** A log of three segments with records in the last one before and behind its latest checkpoint. */
export interface CrashedLog {
  readonly dir: string;
  /** Its files by name, without the lock. */
  readonly files: LogFiles;
  /** First sequence number of each segment. */
  readonly segments: readonly number[];
  /** Records that the checkpoint covers. */
  readonly signed: number;
  readonly records: number;
}

interface Image {
  readonly files: LogFiles;
  readonly key: string;
}

let image: Promise<Image> | undefined;

/** Writes the log once; each test gets a copy. */
function makeImage(): Promise<Image> {
  return inFolder(async (dir) => {
    const crashed = `${dir}-crashed`;
    await withLog(dir, { segmentBytes: 8_192, checkpointRecords: 4, checkpointMs: 86_400_000 }, async (log) => {
      for (let record = 1; record < RECORDS; record++) {
        await log.commit(input({ requestId: `r-${record}` }));
        await settle();
      }
      await cp(dir, crashed, { recursive: true });
    });
    const files = readLog(crashed);
    files.delete('lock');
    // As if the crash had come in the middle of a checkpoint, the leaves written and the rest not.
    for (const seq of listSegments([...files.keys()], 'jsonl')) {
      const lines = (files.get(segmentFile(seq, 'jsonl')) as Buffer).toString('utf8').split('\n').slice(0, -1);
      const leaves = Buffer.concat(lines.map((line) => hashLeaf(Buffer.from(line))));
      const written = files.get(segmentFile(seq, 'leaves')) as Buffer;
      expect(leaves.subarray(0, written.length)).to.deep.equal(written);
      files.set(segmentFile(seq, 'leaves'), leaves);
    }
    return { files, key: await readFile(`${dir}.key`, 'utf8') };
  });
}

const RECORDS = 31;

/** Runs `work` with a log that was not closed; the folder and its key are removed afterwards. */
export async function withCrashedLog(work: (log: CrashedLog) => Promise<void>): Promise<void> {
  image ??= makeImage();
  const { files, key } = await image;
  await inFolder(async (parent) => {
    const dir = join(parent, 'crashed');
    writeLog(dir, files);
    await writeFile(`${dir}.key`, key, { mode: 0o600 });
    const { verifier } = parseSignerKey(key.trim());
    const { size } = openCheckpoint(files.get('checkpoint') as Buffer, verifier);
    const segments = listSegments([...files.keys()], 'jsonl');
    const log = { dir, files, segments, signed: size, records: RECORDS };
    // The tests count on it.
    expect(log.segments).to.have.length(3);
    expect(log.signed).to.be.within((log.segments[2] as number) + 2, log.records - 2);
    await work(log);
  });
}

/** Puts a log's files back, changed. */
export async function restore(
  { dir, files }: CrashedLog,
  changes: Readonly<Record<string, Buffer | undefined>>,
): Promise<void> {
  const changed: LogFiles = new Map(files);
  for (const [name, bytes] of Object.entries(changes)) {
    if (bytes === undefined) changed.delete(name);
    else changed.set(name, bytes);
  }
  await rm(dir, { recursive: true });
  writeLog(dir, changed);
}

export function verify(dir: string): VerifyReport {
  const vkey = readFileSync(join(dir, 'log.vkey'), 'utf8').trim();
  return verifyLog({ dir, verifier: parseVerifierKey(vkey) });
}
