/** Real log folders, inputs, and files that fail on demand, for the tests of this folder. */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { RecordFieldInput, RecordInput } from '../../src/audit/format/record.js';
import type { AppendFile } from '../../src/audit/write/append-file.js';
import { AuditLog, type AuditLogOptions } from '../../src/audit/write/audit-log.js';
import { MerkleLog } from '../../src/audit/write/merkle-log.js';
import type { WrittenFile } from '../../src/audit/write/open-log.js';

import { SealwireError } from '../../src/errors.js';

const HEADER = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: 'k'.repeat(43), fld: 'payments.v1.AuthorizeRequest.card' };
export const TOKEN = `${Buffer.from(JSON.stringify(HEADER)).toString('base64url')}.ek.iv.ciphertext.tag`;

export interface Line {
  readonly seq: number;
  readonly event: string;
  readonly detail: string;
  readonly fields: readonly Record<string, unknown>[];
  readonly [name: string]: unknown;
}

export function field(changes: Partial<RecordFieldInput> = {}): RecordFieldInput {
  return {
    field: 'payments.v1.AuthorizeRequest.card',
    path: 'card',
    token: TOKEN,
    keep: true,
    bound: [
      ['order_id', 'o-1'],
      ['amount', 1999],
    ],
    outcome: 'opened',
    reason: '',
    ...changes,
  };
}

export function input(changes: Partial<RecordInput> = {}): RecordInput {
  return {
    event: 'open',
    method: '/payments.v1.PaymentService/Authorize',
    peer: '127.0.0.1:1',
    principal: 'spiffe://shop/checkout',
    requestId: 'r-1',
    traceparent: '',
    durationUs: 12,
    detail: '',
    fields: [field()],
    ...changes,
  };
}

export function reject(detail = 'DECRYPTION_FAILED at card'): RecordInput {
  return input({
    event: 'reject',
    detail,
    fields: [field({ keep: false, outcome: 'refused', reason: 'DECRYPTION_FAILED' })],
  });
}

/** Runs `work` with a new folder that is removed afterwards, with the key file beside it. */
export async function inFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const parent = await mkdtemp(join(tmpdir(), 'sealwire-audit-'));
  try {
    const dir = join(parent, 'log');
    await mkdir(dir, { mode: 0o700 });
    return await work(dir);
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

/** Opens what is below an {@link AuditLog}. */
export async function openStore(dir: string): Promise<MerkleLog> {
  return (await MerkleLog.open({ dir, origin: 'test' })).log;
}

/** Opens a log in `dir`, and closes it whatever happens. */
export async function withLog<T>(
  dir: string,
  options: Partial<AuditLogOptions>,
  work: (log: AuditLog) => Promise<T>,
): Promise<T> {
  // Every file's work is counted, so that `settle` waits for it.
  const wrapFile = (file: AppendFile) => new TestFile(file);
  const log = await AuditLog.open({ dir, origin: 'test', wrapFile, ...options });
  try {
    return await work(log);
  } finally {
    await log.close();
  }
}

export async function segments(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.endsWith('.jsonl')).sort();
}

export async function readText(dir: string): Promise<string> {
  const texts = await Promise.all((await segments(dir)).map((name) => readFile(join(dir, name), 'utf8')));
  return texts.join('');
}

export async function readLines(dir: string): Promise<Line[]> {
  const text = await readText(dir);
  expect(text === '' || text.endsWith('\n')).to.equal(true);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

export async function expectAuditFailed(work: Promise<unknown>): Promise<void> {
  await expectCode(work, 'AUDIT_FAILED');
}

export async function expectCode(work: Promise<unknown>, code: string): Promise<SealwireError> {
  const error = await work.then(
    () => new Error(`nothing was refused; expected ${code}`),
    (reason: unknown) => reason,
  );
  expect(error).to.be.instanceOf(SealwireError, String(error));
  expect((error as SealwireError).code).to.equal(code);
  return error as SealwireError;
}

/** Work that the test files have with the disk; what waits at a gate is not in it. */
let busyFiles = 0;

async function busy<T>(work: Promise<T>): Promise<T> {
  busyFiles++;
  try {
    return await work;
  } finally {
    busyFiles--;
  }
}

/** Lets everything run that is ready: promises, the logger's stream, the first turn of a batch, and the disk's work. */
export async function settle(): Promise<void> {
  for (let idle = 0; idle < 20; idle = busyFiles > 0 ? 0 : idle + 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Waits until something is so; the test's timeout is the limit. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve));
}

/** A real file, in front of which a test can put failures and gates. */
export class TestFile implements AppendFile {
  readonly calls: string[] = [];
  readonly batches: number[] = [];
  failAppend: Error | undefined;
  failCut: Error | undefined;
  failSync: Error | undefined;
  /** Called before each append and sync. */
  onUse: () => void = () => {};
  /** Awaited before each sync. */
  gate: Promise<void> | undefined;
  readonly #real: AppendFile;

  constructor(real: AppendFile) {
    this.#real = real;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.calls.push('append');
    this.onUse();
    if (this.failAppend) {
      // A full disk takes what there is room for.
      await busy(this.#real.append(bytes.subarray(0, bytes.length / 2)));
      throw this.failAppend;
    }
    this.batches.push(Buffer.from(bytes).toString('utf8').split('\n').length - 1);
    await busy(this.#real.append(bytes));
  }

  async cut(size: number): Promise<void> {
    this.calls.push('cut');
    if (this.failCut) throw this.failCut;
    await busy(this.#real.cut(size));
  }

  async sync(): Promise<void> {
    this.calls.push('sync');
    this.onUse();
    if (this.gate) await this.gate;
    if (this.failSync) throw this.failSync;
    await busy(this.#real.sync());
  }

  async close(): Promise<void> {
    this.calls.push('close');
    await this.#real.close();
  }
}

/** A log with a {@link TestFile} for one of its files, by default the lines. */
export async function withTestFile<T>(
  dir: string,
  options: Partial<AuditLogOptions> & { readonly kind?: WrittenFile },
  work: (log: AuditLog, file: TestFile) => Promise<T>,
): Promise<T> {
  const { kind = 'jsonl', ...rest } = options;
  let file: TestFile | undefined;
  const wrapFile = (real: AppendFile, which: WrittenFile) => {
    const test = new TestFile(real);
    if (which === kind) file = test;
    return test;
  };
  return withLog(dir, { ...rest, wrapFile }, (log) => {
    const opened = file as TestFile;
    opened.calls.length = 0;
    opened.batches.length = 0;
    return work(log, opened);
  });
}

/** Opens a log whose lines cannot be synced. */
export function openBroken(dir: string): Promise<AuditLog> {
  const wrapFile = (real: AppendFile, kind: WrittenFile) => {
    const file = new TestFile(real);
    if (kind === 'jsonl') file.failSync = new Error('EIO');
    return file;
  };
  return AuditLog.open({ dir, origin: 'test', wrapFile });
}

/** A promise and its resolver. */
export function makeGate(): { readonly gate: Promise<void>; readonly open: () => void } {
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { gate, open };
}
