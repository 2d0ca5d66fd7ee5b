import { expect } from 'chai';
import fc from 'fast-check';
import { createSignerKey, parseSignerKey, parseVerifierKey } from '../../../src/audit/format/note-keys.js';
import { formatNote, openNote, parseNote, signNote } from '../../../src/audit/format/signed-note.js';
import { SealwireError } from '../../../src/errors.js';

// The example of Go's golang.org/x/mod/sumdb/note: a key pair, and a note signed with it.
const PETER_VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const PETER_SKEY = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz';
const PETER_TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_NOTE = `${PETER_TEXT}\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;

function expectInvalid(work: () => unknown): SealwireError {
  try {
    work();
  } catch (error) {
    expect(error).to.be.instanceOf(SealwireError);
    expect((error as SealwireError).code).to.equal('AUDIT_NOTE_INVALID');
    return error as SealwireError;
  }
  return expect.fail('nothing was refused');
}

describe('keys of signed notes', () => {
  it('have the text forms and the IDs of Go', () => {
    const { verifier } = parseSignerKey(PETER_SKEY);
    expect(verifier.vkey).to.equal(PETER_VKEY);
    expect(verifier.keyId).to.equal(0xc74f20a3);
    expect(parseVerifierKey(PETER_VKEY)).to.include({ name: 'PeterNeumann', keyId: 0xc74f20a3, vkey: PETER_VKEY });
  });

  it('are made fresh, and read back', () => {
    const secret = createSignerKey('log.example/payments');
    expect(createSignerKey('log.example/payments')).not.to.equal(secret);
    const { verifier, sign } = parseSignerKey(secret);
    expect(parseVerifierKey(verifier.vkey).verify('text\n', sign('text\n'))).to.equal(true);
  });

  for (const name of ['', 'a b', 'a+b', 'a\nb', 'a\u00a0b', 'a\u0085b', 'a\u0000b', '\ud800']) {
    it(`are not made with the name ${JSON.stringify(name)}`, () => {
      expect(() => createSignerKey(name))
        .to.throw(SealwireError)
        .with.property('code', 'OPTIONS_INVALID');
    });
  }

  const wrongKeys: Readonly<Record<string, string>> = {
    empty: '',
    'without parts': 'PeterNeumann',
    'of another name': PETER_VKEY.replace('Peter', 'Meter'),
    'of another ID': PETER_VKEY.replace('c74f20a3', 'c74f20a4'),
    'with an ID in capitals': PETER_VKEY.replace('c74f20a3', 'C74F20A3'),
    'with white space in the name': PETER_VKEY.replace('PeterN', 'Peter N'),
    'of another type': PETER_VKEY.replace('+ARpc', '+BBpc'),
    'that is too short': `${PETER_VKEY.slice(0, -4)}`,
    'without padding where it is due': 'n+00000000+AQ',
    'with white space behind': `${PETER_VKEY}\n`,
    'in base64url': PETER_VKEY.replace('qq/L', 'qq_L'),
    'that is enormous': `${PETER_VKEY}${'A'.repeat(4_096)}`,
  };
  for (const [what, text] of Object.entries(wrongKeys)) {
    it(`are refused ${what}`, () => {
      expectInvalid(() => parseVerifierKey(text));
      const error = expectInvalid(() => parseSignerKey(`PRIVATE+KEY+${text}`));
      expect(error.message).not.to.contain('ARpc');
    });
  }

  it('are not mixed up: a verifier key does not sign, a signing key does not verify', () => {
    expectInvalid(() => parseSignerKey(PETER_VKEY));
    expectInvalid(() => parseVerifierKey(PETER_SKEY));
  });
});

describe('signed notes', () => {
  const signer = parseSignerKey(PETER_SKEY);

  it('are signed as Go signs them, byte by byte', () => {
    expect(signNote(PETER_TEXT, [signer])).to.equal(PETER_NOTE);
    expect(openNote(PETER_NOTE, [signer.verifier])).to.equal(PETER_TEXT);
    expect(openNote(Buffer.from(PETER_NOTE), [parseVerifierKey(PETER_VKEY)])).to.equal(PETER_TEXT);
  });

  it('may hold empty lines, and signatures of others', () => {
    const other = parseSignerKey(createSignerKey('witness'));
    const text = 'a\n\nb\n\n\n';
    const note = signNote(text, [other, signer]);
    expect(openNote(note, [signer.verifier])).to.equal(text);
    expect(openNote(note, [other.verifier, signer.verifier])).to.equal(text);
    expect(parseNote(note).signatures.map(({ name }) => name)).to.deep.equal(['witness', 'PeterNeumann']);
  });

  it('need a known key, and each known key to be right', () => {
    const other = parseSignerKey(createSignerKey('witness'));
    expectInvalid(() => openNote(PETER_NOTE, [other.verifier]));
    expectInvalid(() => openNote(PETER_NOTE, []));
    const forged = formatNote({
      text: PETER_TEXT,
      signatures: [...parseNote(PETER_NOTE).signatures, { ...other.verifier, signature: Buffer.alloc(64) }],
    });
    expect(openNote(forged, [signer.verifier])).to.equal(PETER_TEXT);
    expectInvalid(() => openNote(forged, [signer.verifier, other.verifier]));
  });

  it('are refused with any other text or signature', () => {
    fc.assert(
      fc.property(fc.nat(Buffer.from(PETER_NOTE).length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(PETER_NOTE);
        bytes[at] = (bytes[at] as number) ^ change;
        expectInvalid(() => openNote(bytes, [signer.verifier]));
      }),
      { numRuns: 500 },
    );
  });

  it('give the same bytes when they are formatted again, or are refused', () => {
    const part = fc.constantFrom(
      '\n',
      '\n\n',
      '\u2014 ',
      'name ',
      'x08go/ZJ',
      'AAAAAA==',
      'AAAAAAA=',
      ' ',
      '\u00a0',
      'text',
      '+',
      '\r',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const whole = `text\n\n\u2014 name AAAAAAE=\n${parts.join('')}`;
        try {
          expect(formatNote(parseNote(whole))).to.equal(whole);
        } catch (error) {
          expect((error as SealwireError).code).to.equal('AUDIT_NOTE_INVALID');
        }
      }),
      { numRuns: 2_000 },
    );
    expect(formatNote(parseNote(PETER_NOTE))).to.equal(PETER_NOTE);
  });

  const [, signature = ''] = PETER_NOTE.split('\n\n');
  const malformed: Readonly<Record<string, string | Buffer>> = {
    'are empty': '',
    'have no signature': PETER_TEXT,
    'have no signature behind the empty line': `${PETER_TEXT}\n`,
    'do not end with a newline': PETER_NOTE.slice(0, -1),
    'have something behind the signatures': `${PETER_NOTE}x`,
    'have no empty line': PETER_NOTE.replace('\n\n', '\n'),
    'have a hyphen for the dash': PETER_NOTE.replace('\u2014', '-'),
    'have two spaces': PETER_NOTE.replace('\u2014 ', '\u2014  '),
    'have no name': PETER_NOTE.replace('PeterNeumann ', ''),
    'have a signature of four bytes': `${PETER_TEXT}\n\u2014 PeterNeumann x08gow==\n`,
    'have padding left out': PETER_NOTE.replace('=\n', '\n'),
    'have other bits in the last character': PETER_NOTE.replace('nAM=', 'nAN='),
    'have a carriage return': PETER_NOTE.replace('\n', '\r\n'),
    'have a tab': PETER_NOTE.replace(' ', '\t'),
    'are not UTF-8': Buffer.concat([Buffer.of(0xff), Buffer.from(PETER_NOTE)]),
    'are too long': `${'x'.repeat(1_000_001)}\n\n${signature}`,
    'are too long in bytes': Buffer.from(`${'x'.repeat(1_000_001)}\n\n${signature}`),
    'have too many signatures': `${PETER_TEXT}\n${signature.repeat(101)}`,
  };
  for (const [what, note] of Object.entries(malformed)) {
    it(`are refused when they ${what}`, () => {
      expectInvalid(() => parseNote(note));
      expectInvalid(() => openNote(note, [signer.verifier]));
    });
  }

  for (const text of ['', 'no newline', 'a\rb\n', 'a\u0000\n', '\ud800\n']) {
    it(`are not made of the text ${JSON.stringify(text)}`, () => {
      expect(() => signNote(text, [signer]))
        .to.throw(SealwireError)
        .with.property('code', 'OPTIONS_INVALID');
    });
  }
});
