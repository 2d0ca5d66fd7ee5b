import { expect } from 'chai';
import fc from 'fast-check';
import {
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
  splitCheckpoints,
} from '../../../src/audit/format/checkpoint.js';
import { EMPTY_ROOT, hashLeaf } from '../../../src/audit/format/merkle-tree.js';
import { createSignerKey, parseSignerKey } from '../../../src/audit/format/note-keys.js';
import { signNote } from '../../../src/audit/format/signed-note.js';
import { SealwireError } from '../../../src/errors.js';

const ROOT = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=';
// The example of the C2SP specification tlog-checkpoint.
const TEXT = `example.com/behind-the-sofa\n20852163\n${ROOT}\n`;
const signer = parseSignerKey(createSignerKey('example.com/behind-the-sofa'));
const refusal = (work: () => unknown) =>
  expect(work).to.throw(SealwireError).with.property('code', 'AUDIT_NOTE_INVALID');

describe('checkpoints', () => {
  it('are an origin, a size, a root and further lines', () => {
    const root = Buffer.from(ROOT, 'base64');
    expect(parseCheckpoint(TEXT)).to.deep.equal({
      origin: 'example.com/behind-the-sofa',
      size: 20852163,
      root,
      extensions: [],
    });
    expect(parseCheckpoint(`${TEXT}one\ntwo\n`).extensions).to.deep.equal(['one', 'two']);
  });

  it('give the same text when they are formatted again, or are refused', () => {
    const line = fc.constantFrom(
      'origin',
      '0',
      '12',
      '007',
      '9007199254740991',
      '9007199254740993',
      ROOT,
      ROOT.replace('I=', 'J='),
      '',
      ' ',
      '-1',
      '1e3',
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
        const text = lines.map((each) => `${each}\n`).join('');
        try {
          expect(formatCheckpoint(parseCheckpoint(text))).to.equal(text);
        } catch (error) {
          expect((error as SealwireError).code).to.equal('AUDIT_NOTE_INVALID');
        }
      }),
      { numRuns: 2_000 },
    );
  });

  const malformed: Readonly<Record<string, string>> = {
    'are empty': '',
    'lack the last newline': TEXT.slice(0, -1),
    'lack an origin': TEXT.slice(TEXT.indexOf('\n')),
    'lack a root': TEXT.slice(0, TEXT.indexOf(ROOT)),
    'lack a size': TEXT.replace('20852163\n', ''),
    'have zeros before the size': TEXT.replace('20852163', '020852163'),
    'have a sign before the size': TEXT.replace('20852163', '+1'),
    'have a negative size': TEXT.replace('20852163', '-1'),
    'have a size in another base': TEXT.replace('20852163', '0x10'),
    'have a size beyond 2^53 - 1': TEXT.replace('20852163', '9007199254740992'),
    'have an enormous size': TEXT.replace('20852163', '9'.repeat(400)),
    'have white space at the size': TEXT.replace('20852163', '20852163 '),
    'have a short root': TEXT.replace(ROOT, Buffer.alloc(31).toString('base64')),
    'have a long root': TEXT.replace(ROOT, Buffer.alloc(33).toString('base64')),
    'have a root that is not canonical': TEXT.replace('q2I=', 'q2J='),
    'have a root in hex': TEXT.replace(ROOT, Buffer.alloc(32).toString('hex')),
    'have an empty line': `${TEXT}\n`,
    'have an empty line between others': `${TEXT}one\n\ntwo\n`,
  };
  for (const [what, text] of Object.entries(malformed)) {
    it(`are refused when they ${what}`, () => {
      refusal(() => parseCheckpoint(text));
    });
  }

  it('are signed with the name of their log, and opened with its key', () => {
    const note = signCheckpoint({ size: 3, root: EMPTY_ROOT }, signer);
    expect(note.startsWith('example.com/behind-the-sofa\n3\n')).to.equal(true);
    expect(openCheckpoint(note, signer.verifier)).to.include({ origin: 'example.com/behind-the-sofa', size: 3 });
  });

  it('are refused when another key signed them, or they name another log', () => {
    const other = parseSignerKey(createSignerKey('example.com/behind-the-sofa'));
    refusal(() => openCheckpoint(signCheckpoint({ size: 3, root: EMPTY_ROOT }, other), signer.verifier));
    refusal(() => openCheckpoint(signNote(TEXT.replace('sofa', 'chair'), [signer]), signer.verifier));
    refusal(() => openCheckpoint(signNote('not a checkpoint\n', [signer]), signer.verifier));
  });
});

describe('splitCheckpoints', () => {
  const notes = [0, 1, 2].map((size) => signCheckpoint({ size, root: hashLeaf(Buffer.of(size)) }, signer));
  const file = notes.map((note) => `${note}\n`).join('');

  it('gives the notes of a file, oldest first', () => {
    expect(splitCheckpoints('')).to.deep.equal({ notes: [], torn: '' });
    expect(splitCheckpoints(file)).to.deep.equal({ notes, torn: '' });
  });

  it('gives the complete notes of a file that was cut anywhere, and the rest', () => {
    for (let end = 0; end < file.length; end++) {
      const { notes: found, torn } = splitCheckpoints(file.slice(0, end));
      expect(found.map((note) => `${note}\n`).join('') + torn).to.equal(file.slice(0, end));
      const complete = notes.filter((_, index) => notes.slice(0, index + 1).join('\n').length + 1 <= end);
      expect(found).to.deep.equal(complete);
    }
  });
});
