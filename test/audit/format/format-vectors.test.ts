import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { openCheckpoint, signCheckpoint } from '../../../src/audit/format/checkpoint.js';
import { segmentFile } from '../../../src/audit/format/log-files.js';
import { HASH_BYTES, hashLeaf, MerkleFrontier } from '../../../src/audit/format/merkle-tree.js';
import { parseSignerKey } from '../../../src/audit/format/note-keys.js';
import { encodeRecord } from '../../../src/audit/format/record.js';
import { BLANK_INPUT } from '../../../src/audit/write/record-input.js';
import { recoverLog } from '../../../src/audit/write/recovery.js';
import { writeLog } from '../../support/log-builder.js';
import { field, inFolder, input } from '../helpers.js';
import { verify } from '../write/crashed-log.js';

describe('the vectors in docs/audit-format.md', () => {
  let skey: string;
  let vkey: string;
  let lines: string[];
  let note: string;
  let hashes: [leaf: string, root: string][];
  before(async () => {
    const page = await readFile('docs/audit-format.md', 'utf8');
    const section = page.slice(page.indexOf('## Vectors'));
    const blocks = [...section.matchAll(/```text\n(.*?)```/gs)].map(([, block = '']) => block);
    [skey = '', vkey = ''] = (blocks[0] ?? '').trim().split('\n');
    lines = (blocks[1] ?? '').trim().split('\n');
    note = blocks[2] ?? '';
    hashes = [...section.matchAll(/^\| \d \| `([0-9a-f]{64})` \| `([0-9a-f]{64})` \|$/gm)].map(
      ([, leaf = '', root = '']) => [leaf, root],
    );
    expect(lines).to.have.length(3);
    expect(hashes).to.have.length(3);
  });

  it('have the lines that the log writes', () => {
    const inputs = [
      BLANK_INPUT,
      { ...BLANK_INPUT, event: 'reject' as const, detail: '7 more refused calls' },
      { ...BLANK_INPUT, event: 'recover' as const, detail: 'cut 3 bytes of a line never acknowledged' },
    ];
    const time = (seq: number) => Date.UTC(2026, 0, 1) + seq * 1_000;
    const encoded = inputs.map((input, seq) =>
      encodeRecord(input, { seq, time: time(seq), origin: 'sealwire-payments' }),
    );
    expect(lines).to.deep.equal(encoded);
  });

  it('have the hashes of those lines', () => {
    const tree = MerkleFrontier.empty();
    lines.forEach((line, seq) => {
      const leaf = hashLeaf(Buffer.from(line));
      tree.append(leaf);
      expect([leaf, tree.root()].map((hash) => hash.toString('hex'))).to.deep.equal(hashes[seq]);
    });
    expect(tree.hashes.map((hash) => hash.toString('hex'))).to.deep.equal([hashes[1]?.[1], hashes[2]?.[0]]);
  });

  it('have the checkpoint that the key signs', () => {
    const signer = parseSignerKey(skey);
    expect(signer.verifier.vkey).to.equal(vkey);
    const root = Buffer.from(hashes[2]?.[1] ?? '', 'hex');
    expect(signCheckpoint({ size: 3, root }, signer)).to.equal(note);
    expect(openCheckpoint(note, signer.verifier)).to.include({ size: 3, origin: 'sealwire-payments' });
  });

  it('make a log that verifies, and that a writer goes on with', () =>
    inFolder(async (dir) => {
      const leaves = Buffer.from(hashes.map(([leaf]) => leaf).join(''), 'hex');
      expect(leaves).to.have.length(3 * HASH_BYTES);
      writeLog(
        dir,
        new Map([
          [segmentFile(0, 'jsonl'), Buffer.from(`${lines.join('\n')}\n`)],
          [segmentFile(0, 'leaves'), leaves],
          [segmentFile(0, 'frontier'), Buffer.alloc(0)],
          ['checkpoint', Buffer.from(note)],
          ['checkpoints', Buffer.from(`${note}\n`)],
          ['log.vkey', Buffer.from(`${vkey}\n`)],
        ]),
      );
      expect(verify(dir)).to.deep.include({ findings: [], records: 3, unsigned: 0, checkpoints: 1 });
      const { frontier, repairs } = await recoverLog(dir, openCheckpoint(note, parseSignerKey(skey).verifier));
      expect(frontier.size).to.equal(3);
      expect(repairs).to.deep.equal([]);
    }));

  it('show a reference as it is written', async () => {
    const page = await readFile('docs/audit-format.md', 'utf8');
    const [, shown = ''] = /```json\n(\{"digest".*\})\n```/.exec(page) ?? [];
    const ref = { origin: 'sealwire-payments', seq: 17 };
    const record = input({ event: 'openStored', fields: [field({ token: 'a.b.c.d', ref, grant: 'h.k' })] });
    const line = encodeRecord(record, { seq: 18, time: 0, origin: ref.origin });
    expect(line).to.include(`"token":${shown},"bound":`).and.to.include('"grant":null');
  });
});
