/** Audit records per second through the whole log: encoding, hashing, group commit, checkpoints. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RecordInput } from '../src/audit/format/record.js';
import { AuditLog } from '../src/audit/write/audit-log.js';
import { type Summary, summarize } from './stats.js';

const ROUNDS = 5;
const VARIANTS = ['durable', 'async'] as const;
type Variant = (typeof VARIANTS)[number];

/** What the log of one variant gave. */
export interface AuditResult {
  readonly recordsPerSecond: Summary;
  /** CPU time of the process per record. */
  readonly cpuUs: Summary;
  /** Records that shared one sync. */
  readonly recordsPerSync: Summary;
}

/** Results by variant, and what a record takes on disk. */
export interface AuditResults {
  readonly results: Readonly<Record<Variant, AuditResult>>;
  /** Of the line with its newline. */
  readonly lineBytes: number;
  /** Of leaves, frontier and checkpoints, per record. */
  readonly proofBytes: number;
}

/** A record like those of the calls bench: a card of 120 bytes, sealed, with three bound siblings. */
function makeInput(call: number): RecordInput {
  const header = {
    alg: 'ECDH-ES+A256KW',
    enc: 'A256GCM',
    kid: 'k'.repeat(43),
    epk: 'e'.repeat(214),
    fld: 'payments.v1.AuthorizeRequest.card',
  };
  const token = `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${'w'.repeat(54)}.${'i'.repeat(16)}.${'c'.repeat(160)}.${'t'.repeat(22)}`;
  return {
    event: 'open',
    method: '/payments.v1.PaymentService/Authorize',
    peer: '127.0.0.1:50000',
    principal: '127.0.0.1',
    requestId: `request-${call}`,
    traceparent: '',
    durationUs: 250,
    detail: '',
    fields: [
      {
        field: 'payments.v1.AuthorizeRequest.card',
        path: 'card',
        token,
        keep: true,
        header: { kid: header.kid, alg: header.alg, enc: header.enc },
        bound: [
          ['order_id', `order-${call}`],
          ['amount_minor', '1999'],
          ['currency_code', 'EUR'],
        ],
        outcome: 'opened',
        reason: '',
      },
    ],
  };
}

/** @param records per variant and round; 64 callers wait for their record before they bring the next */
export async function benchAudit(records = 10_000): Promise<AuditResults> {
  const parent = await mkdtemp(join(process.env['BENCH_AUDIT_DIR'] ?? tmpdir(), 'sealwire-bench-audit-'));
  try {
    const measured: Record<Variant, Measurement[]> = { durable: [], async: [] };
    let disk = { lineBytes: 0, proofBytes: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      for (const variant of round % 2 === 0 ? VARIANTS : [...VARIANTS].reverse()) {
        const dir = join(parent, `${variant}-${round}`);
        measured[variant].push(await measure(dir, variant, records));
        if (variant === 'durable') disk = await weigh(dir, records);
        await rm(dir, { recursive: true });
      }
    }
    const results = Object.fromEntries(VARIANTS.map((variant) => [variant, sum(measured[variant])]));
    return { results: results as Record<Variant, AuditResult>, ...disk };
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

interface Measurement {
  readonly recordsPerSecond: number;
  readonly cpuUs: number;
  readonly recordsPerSync: number;
}

async function measure(dir: string, variant: Variant, records: number): Promise<Measurement> {
  const log = await AuditLog.open({ dir, origin: 'bench', mode: variant === 'durable' ? 'sync' : 'async' });
  let call = 0;
  const caller = async () => {
    while (call < records) {
      await log.commit(makeInput(call++));
      // Nobody waits for the disk in async mode: without a bound of ours the log's own would refuse records.
      while (log.stats().queued >= 1_000) await turn();
    }
  };
  const before = log.stats();
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  await Promise.all(Array.from({ length: 64 }, caller));
  // Asynchronous records count once they are written too.
  while (log.stats().records < before.records + records) await turn();
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startedAt) / 1_000;
  const syncs = log.stats().syncs - before.syncs;
  await log.close();
  return { recordsPerSecond: records / seconds, cpuUs: (user + system) / records, recordsPerSync: records / syncs };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Bytes per record, by kind of file. */
async function weigh(dir: string, records: number): Promise<{ lineBytes: number; proofBytes: number }> {
  const names = await readdir(dir);
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(dir, name))).size));
  const total = (isCounted: (name: string) => boolean) =>
    sizes.reduce((bytes, size, index) => bytes + (isCounted(names[index] as string) ? size : 0), 0);
  const isLine = (name: string) => name.endsWith('.jsonl');
  return { lineBytes: total(isLine) / records, proofBytes: total((name) => !isLine(name)) / records };
}

function sum(measurements: readonly Measurement[]): AuditResult {
  return {
    recordsPerSecond: summarize(measurements.map(({ recordsPerSecond }) => recordsPerSecond)),
    cpuUs: summarize(measurements.map(({ cpuUs }) => cpuUs)),
    recordsPerSync: summarize(measurements.map(({ recordsPerSync }) => recordsPerSync)),
  };
}
