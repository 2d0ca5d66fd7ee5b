/** A large signed log of records as a service writes them, written without holding it in memory. */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { signCheckpoint } from '../../src/audit/format/checkpoint.js';
import { hashLeaf, MerkleFrontier } from '../../src/audit/format/merkle-tree.js';
import { encodeRecord } from '../../src/audit/format/record.js';
import { createTestSigner, ORIGIN } from './log-builder.js';

const BATCH = 1_000;
const METHOD = '/payments.v1.PaymentService/Authorize';

/** A token as long as that of a card on P-521. */
function makeToken(): string {
  const header = {
    alg: 'ECDH-ES+A256KW',
    enc: 'A256GCM',
    kid: randomBytes(32).toString('base64url'),
    epk: {
      kty: 'EC',
      crv: 'P-521',
      x: randomBytes(66).toString('base64url'),
      y: randomBytes(66).toString('base64url'),
    },
    typ: 'sealed-field+jwe',
    cty: 'application/protobuf',
    fld: 'payments.v1.AuthorizeRequest.card',
    iat: 1_767_225_600,
    bnd: randomBytes(32).toString('base64url'),
  };
  const parts = [
    Buffer.from(JSON.stringify(header)),
    randomBytes(40),
    randomBytes(12),
    randomBytes(48),
    randomBytes(16),
  ];
  return parts.map((part) => part.toString('base64url')).join('.');
}

/**
 * @param records one segment of so many, with a checkpoint after every 10,000
 * @returns its size, and the path of its lines
 */
export function writeSampleLog(dir: string, records: number): { readonly bytes: number; readonly lines: string } {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const signer = createTestSigner();
  const tree = MerkleFrontier.empty();
  const checkpoints: string[] = [];
  const sign = () => checkpoints.push(signCheckpoint({ size: tree.size, root: tree.root() }, signer));
  const lines = join(dir, `${'0'.repeat(20)}.jsonl`);
  const [lineFile, leafFile] = [lines, lines.replace('.jsonl', '.leaves')].map((path) => openSync(path, 'w', 0o600));
  const tokens = Array.from({ length: 64 }, makeToken);
  let bytes = 0;
  for (let first = 0; first < records; first += BATCH) {
    const batch: string[] = [];
    for (let seq = first; seq < Math.min(first + BATCH, records); seq++) batch.push(sampleLine(seq, tokens));
    const hashes = batch.map((line) => hashLeaf(Buffer.from(line)));
    for (const hash of hashes) tree.append(hash);
    const block = Buffer.from(`${batch.join('\n')}\n`);
    bytes += writeSync(lineFile as number, block);
    writeSync(leafFile as number, Buffer.concat(hashes));
    if (tree.size % 10_000 === 0 || tree.size === records) sign();
  }
  for (const file of [lineFile, leafFile]) closeSync(file as number);
  writeFileSync(join(dir, 'checkpoint'), checkpoints.at(-1) as string);
  writeFileSync(join(dir, 'checkpoints'), checkpoints.map((note) => `${note}\n`).join(''));
  writeFileSync(join(dir, 'log.vkey'), `${signer.verifier.vkey}\n`);
  return { bytes, lines };
}

function sampleLine(seq: number, tokens: readonly string[]): string {
  const input = {
    event: 'open',
    method: METHOD,
    peer: `10.1.2.${seq % 250}:50${seq % 100}`,
    principal: `shop-${seq % 7}`,
    requestId: `req-${seq}`,
    traceparent: '',
    durationUs: 180 + (seq % 40),
    detail: '',
    fields: [
      {
        field: 'payments.v1.AuthorizeRequest.card',
        path: 'card',
        token: tokens[seq % tokens.length] as string,
        keep: true,
        bound: [
          ['order_id', `o-${seq}`],
          ['amount_minor', '1999'],
          ['currency_code', 'EUR'],
        ],
        outcome: 'opened',
        reason: '',
      },
    ],
  } as const;
  return encodeRecord(input, { seq, time: Date.UTC(2026, 0, 1) + seq * 10, origin: ORIGIN });
}
