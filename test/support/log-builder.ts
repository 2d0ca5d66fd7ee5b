/** Writes log folders by their format's words, apart from the writer: what verifiers are tested with. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signCheckpoint } from '../../src/audit/format/checkpoint.js';
import { hashLeaf, MerkleFrontier } from '../../src/audit/format/merkle-tree.js';
import { createSignerKey, type NoteSigner, parseSignerKey } from '../../src/audit/format/note-keys.js';
import { encodeRecord, type RecordInput } from '../../src/audit/format/record.js';

/** Options of {@link buildLog}. */
export interface LogBuilderOptions {
  readonly records: number;
  /** Records per segment. Default: all in one. */
  readonly segmentRecords?: number;
  /** A checkpoint after every so many records, and one at the end. Default 100. */
  readonly checkpointRecords?: number;
  readonly signer?: NoteSigner;
  /** What record `seq` says. Default: a small reject. */
  readonly input?: (seq: number) => RecordInput;
  /** Time of record `seq`, ms since 1970. Default: one per second from 2026-01-01. */
  readonly time?: (seq: number) => number;
}

/** With an instance, as services have it. */
export const ORIGIN = 'sealwire-payments/a';

/** A signing key for tests. */
export function createTestSigner(origin = ORIGIN): NoteSigner {
  return parseSignerKey(createSignerKey(origin));
}

/** What a log folder holds, by file name. */
export type LogFiles = Map<string, Buffer>;

/** @returns the files of a log */
export function buildLog(options: LogBuilderOptions): LogFiles {
  const {
    time = (seq) => Date.UTC(2026, 0, 1) + seq * 1000,
    input = smallInput,
    signer = createTestSigner(),
  } = options;
  const lines = Array.from({ length: options.records }, (_, seq) =>
    encodeRecord(input(seq), { seq, time: time(seq), origin: signer.verifier.name }),
  );
  return buildFromLines(lines, { ...options, signer });
}

/** Like {@link buildLog}, of lines that need not be records. */
export function buildFromLines(lines: readonly string[], options: Omit<LogBuilderOptions, 'records'> = {}): LogFiles {
  const { segmentRecords = Number.POSITIVE_INFINITY, checkpointRecords = 100, signer = createTestSigner() } = options;
  const files = new Map<string, string | Buffer>();
  const tree = MerkleFrontier.empty();
  const checkpoints: string[] = [];
  let segment = { first: 0, lines: [] as string[], leaves: [] as Buffer[], frontier: [] as readonly Buffer[] };
  const sign = () => checkpoints.push(signCheckpoint({ size: tree.size, root: tree.root() }, signer));
  const put = () => {
    const name = String(segment.first).padStart(20, '0');
    files.set(`${name}.jsonl`, segment.lines.map((line) => `${line}\n`).join(''));
    files.set(`${name}.leaves`, Buffer.concat(segment.leaves));
    files.set(`${name}.frontier`, Buffer.concat(segment.frontier));
  };
  sign();
  lines.forEach((line, seq) => {
    if (seq - segment.first === segmentRecords) {
      put();
      segment = { first: seq, lines: [], leaves: [], frontier: tree.hashes };
    }
    const leaf = hashLeaf(Buffer.from(line));
    segment.lines.push(line);
    segment.leaves.push(leaf);
    tree.append(leaf);
    if (tree.size % checkpointRecords === 0 || tree.size === lines.length) sign();
  });
  put();
  files.set('checkpoint', checkpoints.at(-1) as string);
  files.set('checkpoints', checkpoints.map((note) => `${note}\n`).join(''));
  files.set('log.vkey', `${signer.verifier.vkey}\n`);
  return new Map([...files].map(([name, content]) => [name, Buffer.from(content as string)]));
}

export function writeLog(dir: string, files: LogFiles): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  for (const [name, bytes] of files) writeFileSync(join(dir, name), bytes, { mode: 0o600 });
}

export function readLog(dir: string): LogFiles {
  return new Map(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name))]));
}

function smallInput(seq: number): RecordInput {
  return {
    event: 'reject',
    method: '/payments.v1.PaymentService/Authorize',
    peer: '127.0.0.1:1',
    principal: `p-${seq % 7}`,
    requestId: `r-${seq}`,
    traceparent: '',
    durationUs: 12,
    detail: 'DECRYPTION_FAILED at card',
    fields: [],
  };
}
