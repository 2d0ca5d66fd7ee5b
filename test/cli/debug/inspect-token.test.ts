import { expect } from 'chai';
import { inspectToken } from '../../../src/cli/debug/inspect-token.js';
import { SealingSessions } from '../../../src/jwe/sender.js';
import { recipientKey } from '../../../src/keys/public-keys.js';
import { KeyRing } from '../../../src/keys/ring.js';

const NOW = 1_800_000_000;
const FIELD = 'payments.v1.Payment.card';
const context = { nowMs: NOW * 1000 };

describe('inspectToken', () => {
  const sessions = new SealingSessions();
  let token: string;
  let header: Record<string, unknown>;
  before(async () => {
    const ring = await KeyRing.create('P-256');
    const session = await sessions.acquire(await recipientKey(ring.publicJwks().keys[0] as object));
    token = session.seal(Buffer.from('canary'), { field: FIELD, cty: 'application/protobuf', iat: NOW, bound: 'B' });
    header = JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString()) as Record<string, unknown>;
  });
  after(() => sessions.close());

  /** The token with other parts. */
  function change(members: Record<string, unknown>, at?: number, part = ''): string {
    const parts = token.split('.');
    parts[0] = Buffer.from(JSON.stringify({ ...header, ...members })).toString('base64url');
    if (at !== undefined) parts[at] = part;
    return parts.join('.');
  }
  const rules = (text: string, more: object = {}) =>
    inspectToken(text, { ...context, ...more }).findings.map(({ rule }) => rule);

  it('finds nothing wrong with a good token, and tells sizes and age', () => {
    const found = inspectToken(token, { ...context, field: FIELD, bound: 'B' });
    expect(found).to.deep.include({ kind: 'sealed field', ageSeconds: 0, findings: [] });
    expect(found.sizes).to.include({ encryptedKey: 40, iv: 12, ciphertext: 6, tag: 16, token: token.length });
  });

  it('names every rule that a plain JOSE client breaks, with what to do', () => {
    const { alg, enc, epk } = header;
    const plain = change({}, 0, Buffer.from(JSON.stringify({ alg, enc, epk })).toString('base64url'));
    const { findings } = inspectToken(plain, { ...context, field: FIELD, bound: 'B' });
    expect(findings.map(({ rule }) => rule)).to.deep.equal(['kid', 'typ', 'cty', 'fld', 'iat', 'bnd']);
    for (const { fix } of findings) expect(fix).to.match(/^set /);
  });

  const cases: readonly (readonly [string, () => string, string[], object?])[] = [
    ['an algorithm that is not accepted', () => change({ alg: 'ECDH-ES+A128KW' }), ['alg']],
    ['an encryption that is not accepted', () => change({ enc: 'A128GCM' }), ['enc']],
    ['a forbidden member', () => change({ zip: 'DEF' }), ['header']],
    ['a kid that is no thumbprint', () => change({ kid: 'key-1' }), ['kid']],
    ['no epk', () => change({ epk: undefined }), ['epk']],
    ['an epk off the curve', () => change({ epk: { ...(header['epk'] as object), x: 'A'.repeat(43) } }), ['epk']],
    ['an epk with more members', () => change({ epk: { ...(header['epk'] as object), d: 'A' } }), ['epk']],
    ['another type', () => change({ typ: 'JWE' }), ['typ']],
    ['another content type', () => change({ cty: 'text/plain' }), ['cty']],
    ['a time that is none', () => change({ iat: '1' }), ['iat']],
    ['a short tag', () => change({}, 4, 'AAAA'), ['tag']],
    ['an encrypted key of another length', () => change({}, 1, 'AAAA'), ['encrypted key']],
    ['an IV of another length', () => change({}, 2, 'AAAA'), ['iv']],
    ['padding', () => `${token}==`, ['base64url']],
    ['an old token', () => change({ iat: NOW - 301 }), ['age']],
    ['one from the future', () => change({ iat: NOW + 61 }), ['age']],
    ['one for another field', () => token, ['fld'], { field: 'payments.v1.AuthorizeRequest.card' }],
    ['one for other bound values', () => token, ['bnd'], { bound: 'C' }],
    ['one with a binding where there is none', () => token, ['bnd'], { bound: null }],
    ['a header over 2 KiB', () => change({ apu: 'A'.repeat(2_000) }), ['header']],
    ['what only the parser knows', () => change({ apu: 'A'.repeat(200) }), ['HEADER_VALUE']],
  ];
  for (const [name, make, expected, more] of cases) {
    it(`names ${name}`, () => expect(rules(make(), more)).to.deep.equal(expected));
  }

  it('explains replies and reply tokens', () => {
    expect(inspectToken(change({ fld: 'sealwire.v1.reply' }), context).kind).to.equal('reply token');
    const reply = change({ alg: 'A256KW', rto: 'R', seq: 0, iat: NOW - 9_999 });
    expect(inspectToken(reply, context)).to.deep.include({ kind: 'reply', findings: [] });
    expect(rules(change({ alg: 'A256KW', seq: 0 }))).to.deep.equal(['reply']);
  });

  for (const [text, said] of [
    ['-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----', 'this is PEM, not a token'],
    ['{"card": "x"}', 'this is JSON, not a compact token'],
    ['eyJhbGciOiJFQ0RILUVTIiwia2', `the token was cut within its header, which begins "{'alg':'ECDH-ES','k`],
    ['eyJ.AAAA', 'not a token: 2 parts, not 5'],
    ['canary', 'not a token: 1 part, not 5'],
    ['a.b.c.d.e', 'its first part is not a JSON object'],
  ] as const) {
    it(`says what ${text.slice(0, 20)} is`, () => {
      expect(() => inspectToken(text, context))
        .to.throw(said)
        .with.property('code', 'SEAL_INPUT');
    });
  }

  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  for (const [name, make, kind, problem] of [
    ['a token without its end', () => token.split('.', 4).join('.'), 'cut token', 'the token has 4 of its 5 parts'],
    ['a token of three parts', () => token.split('.', 3).join('.'), 'cut token', 'the token has 3 of its 5 parts'],
    ['a header alone', () => token.split('.', 1).join('.'), 'cut token', 'the token has 1 of its 5 parts'],
    ['two tokens in one', () => `${token}.AAAA`, 'cut token', '6 parts, not 5'],
    ['a JWT', () => `${encode({ alg: 'ES256', typ: 'JWT' })}.e30.AAAA`, 'signed token', 'a signed token (a JWS,'],
  ] as const) {
    it(`shows the header of ${name}, and says what it is`, () => {
      const found = inspectToken(make(), context);
      expect(found.kind).to.equal(kind);
      expect(found.header).to.have.property('alg');
      expect(found.findings.map(({ rule }) => rule)).to.deep.equal(['parts']);
      expect(found.findings[0]?.problem).to.include(problem);
    });
  }

  it('shows nothing that could steer a terminal', () => {
    const { findings } = inspectToken(change({ typ: 'x\u001b[31m\u202e' }), context);
    expect(findings[0]?.problem).to.not.match(/\p{C}/u);
  });
});
