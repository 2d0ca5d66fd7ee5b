import { createHash } from 'node:crypto';
import { expect } from 'chai';
import {
  encodeRecord,
  type RecordFieldInput,
  type RecordInput,
  tokenDigest,
} from '../../../src/audit/format/record.js';
import { field, input, type Line, reject, TOKEN } from '../helpers.js';

const FRAME = { seq: 7, time: Date.UTC(2030, 0, 2, 3, 4, 5, 6), origin: 'payments' };
const encode = (value: Parameters<typeof encodeRecord>[0]) => JSON.parse(encodeRecord(value, FRAME)) as Line;

describe('encodeRecord', () => {
  it('holds a grant only beside the token that it opens', () => {
    const grantOf = (changes: Partial<RecordFieldInput>, event: RecordInput['event'] = 'open') => {
      const fields = [field({ grant: 'header.key', ...changes })];
      const line = encodeRecord(input({ event, fields }), FRAME);
      return (JSON.parse(line) as { fields: { grant: unknown }[] }).fields[0]?.grant;
    };
    expect(grantOf({})).to.equal('header.key');
    expect(grantOf({ grant: undefined })).to.equal(null);
    expect(grantOf({ keep: false })).to.equal(null);
    expect(grantOf({ outcome: 'refused' })).to.equal(null);
    expect(grantOf({}, 'reject')).to.equal(null);
  });

  it('writes the fixed keys in their fixed order', () => {
    const record = encode(input());
    const keys = 'v seq time event origin method peer principal requestId traceparent fields durationUs detail';
    expect(Object.keys(record)).to.deep.equal(keys.split(' '));
    expect(Object.keys(record.fields[0] as object)).to.deep.equal(
      'field path kid alg enc token bound outcome reason grant'.split(' '),
    );
    expect(record).to.include({ v: 1, seq: 7, time: '2030-01-02T03:04:05.006Z', event: 'open', origin: 'payments' });
  });

  it('takes no key from the input beyond the fixed ones', () => {
    const strange = { ...input(), pan: '4111', ['__proto__x']: 1, fields: [{ ...field(), plaintext: '4111' }] };
    const line = encodeRecord(strange as never, FRAME);
    expect(line).not.to.contain('4111');
    expect(line).not.to.contain('__proto__x');
  });

  it('keeps an opened token exactly as received, with the header values that were checked', () => {
    const header = { kid: 'checked', alg: 'ECDH-ES', enc: 'A256CBC-HS512' };
    const [opened] = encode(input({ fields: [field({ header })] })).fields;
    expect(opened).to.include({ token: TOKEN, ...header, outcome: 'opened', reason: '', grant: null });
  });

  it('shows what the header claims when nothing was checked', () => {
    const [refused] = encode(reject()).fields;
    expect(refused).to.include({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: 'k'.repeat(43) });
  });

  it('keeps digest, length and header only of a token that must not be stored', () => {
    const line = encodeRecord(input({ fields: [field({ keep: false })] }), FRAME);
    expect(line).not.to.contain('ciphertext');
    expect(line).not.to.contain(TOKEN);
    const [transient] = (JSON.parse(line) as Line).fields;
    expect(transient?.['token']).to.deep.equal(tokenDigest(TOKEN));
  });

  it('lists bound siblings as name and value, in order, and cuts long ones', () => {
    const bound = [
      ['order_id', 'x'.repeat(10_000)],
      ['amount', 5],
      ['test', true],
    ] as const;
    const [opened] = encode(input({ fields: [field({ bound })] })).fields;
    const [first, ...rest] = (opened?.['bound'] ?? []) as [string, string][];
    expect(first?.[0]).to.equal('order_id');
    expect(String(first?.[1]).length).to.be.below(300);
    expect(rest).to.deep.equal([
      ['amount', 5],
      ['test', true],
    ]);
  });

  for (const name of ['method', 'peer', 'principal', 'requestId', 'traceparent', 'detail'] as const) {
    it(`bounds the length of ${name}`, () => {
      const line = encodeRecord(input({ [name]: 'A'.repeat(100_000) }), FRAME);
      expect(line.length).to.be.below(3_000);
      expect((JSON.parse(line) as Line)[name]).to.match(/^A{512}…$/);
    });

    it(`keeps ${name} on one line and inside its string`, () => {
      const text = 'a\n{"v":1}\r\u0000","event":"retire","x":"';
      const line = encodeRecord(input({ [name]: text }), FRAME);
      expect(line).not.to.match(/[\n\r\0]/);
      expect(JSON.parse(line)).to.include({ [name]: text, event: 'open' });
    });
  }

  it('bounds a path made of map keys, and what a header claims', () => {
    const header = Buffer.from(JSON.stringify({ kid: 'K'.repeat(1_500), alg: '\n', enc: {} })).toString('base64url');
    const refused = field({ path: `cards["${'p'.repeat(100_000)}"]`, token: `${header}....`, keep: false });
    const [entry] = encode(input({ fields: [refused] })).fields;
    expect(String(entry?.['path']).length).to.be.below(600);
    expect(String(entry?.['kid']).length).to.be.below(200);
    expect(entry).to.include({ alg: '\n', enc: '' });
  });

  it('is short for the largest token when that is refused', () => {
    const token = `${Buffer.from('"'.repeat(50_000)).toString('base64url')}.${'A'.repeat(98_304)}`;
    const line = encodeRecord(input({ event: 'reject', fields: [field({ token, keep: false })] }), FRAME);
    expect(line.length).to.be.below(6_000);
  });
});

describe('tokenDigest', () => {
  it('is the base64url SHA-256, the length and the decoded header', () => {
    const { digest, length, header } = tokenDigest(TOKEN);
    expect(digest).to.equal(createHash('sha256').update(TOKEN).digest('base64url'));
    expect(length).to.equal(TOKEN.length);
    expect(JSON.parse(header)).to.include({ alg: 'ECDH-ES+A256KW' });
  });

  for (const token of ['', '.', '....', 'not a token', '\u0000\ud800', 'A'.repeat(200_000), 'e30.e30.e30.e30.e30']) {
    it(`takes any text: ${JSON.stringify(token.slice(0, 20))}`, () => {
      const { length, header } = tokenDigest(token);
      expect(length).to.equal(token.length);
      expect(header.length).to.be.at.most(2_048);
    });
  }
});
