/** What a page seals, and what it opens: by jose, on whatever platform this runs. Nothing here is Node's. */
import { expect } from 'chai';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { type ErrorCode, SealwireError } from '../../src/errors.js';
import type { Curve } from '../../src/profile/algorithms.js';
import { agree } from '../../src/web/crypto/agreement.js';
import { importPoint, importWebRecipientKey } from '../../src/web/crypto/recipient.js';
import {
  type WebSealedField,
  WebSealer,
  type WebSealerOptions,
  type WebSealingCall,
} from '../../src/web/crypto/sealer.js';
import type { WebCase } from './web-conformance.js';
import {
  deriveReplySecrets,
  digestOf,
  headerOf,
  makeRecipient,
  utf8,
  type WebReplySecrets,
  WebTestKeys,
  type WebTestRecipient,
} from './web-recipient.js';

const METHOD = '/payments.v1.PaymentService/Authorize';
const FIELD: WebSealedField = { fullName: 'payments.v1.AuthorizeRequest.card', recipient: '' };
const REPLY_PLACE = { fullName: 'payments.v1.Payment.card' };
const INNER = utf8.encode('an inner message');
const BOUND = utf8.encode('bound siblings');
const NOW_MS = 1_700_000_000_900;
const CALL = { recipient: '', method: METHOD };
const CALL_ID = 'BwcHBwcHBwcHBwcHBwcHBw';

async function start(recipient: WebTestRecipient, options: Partial<WebSealerOptions> = {}) {
  const keys = new WebTestKeys({ '': recipient.key });
  const sealer = new WebSealer({ keys, now: () => NOW_MS, ...options });
  return { keys, sealer, call: await sealer.startCall(CALL) };
}

async function codeOf(action: () => Promise<unknown>): Promise<ErrorCode | 'done'> {
  try {
    await action();
    return 'done';
  } catch (error) {
    expect(error).to.be.instanceOf(SealwireError);
    return (error as SealwireError).code;
  }
}

const epkOf = (token: string) => (headerOf(token)['epk'] as { readonly x: string }).x;
const sealOne = (call: WebSealingCall) => call.seal(FIELD, INNER, undefined);
const epkOfNext = async (sealer: WebSealer) => epkOf(await sealOne(await sealer.startCall(CALL)));

async function makeReply({ key, kid, rto }: WebReplySecrets, changes: object = {}): Promise<string> {
  const profile = { typ: 'sealed-field+jwe', cty: 'application/protobuf', fld: REPLY_PLACE.fullName, iat: 1 };
  const header = { alg: 'A256KW', enc: 'A256GCM', kid, ...profile, rto, cid: CALL_ID, seq: 0, ...changes };
  return new CompactEncrypt(INNER).setProtectedHeader(header).encrypt(key);
}

function curveCases(crv: Curve): WebCase[] {
  return [
    {
      name: `${crv}: jose opens its tokens, which say what the profile says and nothing else`,
      async run() {
        const recipient = await makeRecipient(crv);
        const { call } = await start(recipient);
        const token = await call.seal(FIELD, INNER, BOUND);
        const { plaintext, protectedHeader } = await compactDecrypt(token, recipient.privateKey);
        expect([...plaintext]).to.deep.equal([...INNER]);
        const { epk, ...header } = protectedHeader;
        expect(header).to.deep.equal({
          alg: 'ECDH-ES+A256KW',
          enc: 'A256GCM',
          kid: recipient.kid,
          typ: 'sealed-field+jwe',
          cty: 'application/protobuf',
          fld: FIELD.fullName,
          iat: 1_700_000_000,
          bnd: await digestOf(BOUND),
        });
        expect(epk).to.include({ kty: 'EC', crv }).and.to.have.keys('kty', 'crv', 'x', 'y');
        expect(headerOf(await sealOne(call))).not.to.have.property('bnd');
      },
    },
    {
      name: `${crv}: opens what jose encrypts with the reply key as documented`,
      async run() {
        const recipient = await makeRecipient(crv);
        const { call } = await start(recipient);
        const secrets = await deriveReplySecrets(await call.replyToken(undefined), recipient.privateKey);
        for (const [seq, bound] of [undefined, BOUND].entries()) {
          const reply = await makeReply(secrets, { seq, bnd: bound && (await digestOf(bound)) });
          const { plaintext, cty } = await call.openReply(reply, REPLY_PLACE, bound);
          expect([[...plaintext], cty]).to.deep.equal([[...INNER], 'application/protobuf']);
        }
      },
    },
  ];
}

const callCases: readonly WebCase[] = [
  {
    name: 'a call has one agreement per recipient, and each token a content key and IV of its own',
    async run() {
      const [service, fraud] = [await makeRecipient(), await makeRecipient()];
      const { keys, call, sealer } = await start(service);
      keys.byName['fraud'] = fraud.key;
      const toFraud = { ...FIELD, recipient: 'fraud' };
      const fields = [FIELD, FIELD, toFraud, toFraud];
      const tokens = await Promise.all(fields.map((field) => call.seal(field, INNER, undefined)));
      expect(new Set(tokens.slice(0, 2).map(epkOf)).size).to.equal(1);
      expect(new Set(tokens.slice(2).map(epkOf)).size).to.equal(1);
      expect(tokens.map((token) => headerOf(token)['kid'])).to.deep.equal(
        [service, service, fraud, fraud].map(({ kid }) => kid),
      );
      const parts = tokens.map((token) => token.split('.'));
      for (const part of [1, 2, 3, 4]) expect(new Set(parts.map((all) => all[part])).size).to.equal(4);
      expect(await epkOfNext(sealer), 'the next call goes on with it').to.equal(epkOf(tokens[0] as string));
    },
  },
  {
    name: 'a reply token says method and request, holds the credential, and is of the agreement of the call',
    async run() {
      const recipient = await makeRecipient();
      const asked: string[] = [];
      const credential = async (method: string) => {
        asked.push(method);
        return 'Bearer ä';
      };
      const { call, sealer } = await start(recipient, { credential });
      expect(sealer.hasCredential).to.equal(true);
      const request = utf8.encode('a request');
      const token = await call.replyToken(request);
      const { plaintext, protectedHeader } = await compactDecrypt(token, recipient.privateKey);
      expect(new TextDecoder().decode(plaintext)).to.equal('Bearer ä');
      const claims = { fld: 'sealwire.v1.reply', mth: METHOD, req: await digestOf(request) };
      expect(protectedHeader).to.deep.include({ ...claims, iat: 1_700_000_000, typ: 'sealed-field+jwe' });
      expect(epkOf(token)).to.equal(epkOf(await sealOne(call)));
      expect(asked).to.deep.equal([METHOD]);
    },
  },
  {
    name: 'without a credential or the bytes of a request, a reply token holds nothing and has no req',
    async run() {
      const recipient = await makeRecipient();
      const { call, sealer } = await start(recipient);
      expect(sealer.hasCredential).to.equal(false);
      const { plaintext, protectedHeader } = await compactDecrypt(
        await call.replyToken(undefined),
        recipient.privateKey,
      );
      expect(plaintext.length).to.equal(0);
      expect(protectedHeader).not.to.have.any.keys('req', 'bnd');
    },
  },
  {
    name: 'replies that are opened at once are checked in the order in which they were given',
    async run() {
      const recipient = await makeRecipient();
      const { call } = await start(recipient);
      const secrets = await deriveReplySecrets(await call.replyToken(undefined), recipient.privateKey);
      const open = (reply: string) => codeOf(() => call.openReply(reply, REPLY_PLACE, undefined));
      const replies = await Promise.all([0, 1, 1, 2].map((seq) => makeReply(secrets, { seq })));
      const mine = await Promise.all(replies.map(open));
      expect(mine).to.deep.equal(['done', 'done', 'REPLY_MISMATCH', 'done']);
    },
  },
  {
    name: 'a reply of another call with the same agreement is refused, and any before there is a reply token',
    async run() {
      const recipient = await makeRecipient();
      const { call, sealer } = await start(recipient);
      const other = await sealer.startCall(CALL);
      const [own, others] = [await call.replyToken(undefined), await other.replyToken(undefined)];
      expect(epkOf(own)).to.equal(epkOf(others));
      const reply = await makeReply(await deriveReplySecrets(others, recipient.privateKey));
      const open = (opening: WebSealingCall) => codeOf(() => opening.openReply(reply, REPLY_PLACE, undefined));
      expect(await open(call)).to.equal('REPLY_MISMATCH');
      expect(await open(await sealer.startCall(CALL))).to.equal('NO_REPLY_KEY');
      expect(await open(other)).to.equal('done');
    },
  },
  {
    name: 'what is too large is not sealed: by the limit of its field, the general one, and that of headers',
    async run() {
      const { call, sealer } = await start(await makeRecipient());
      const seal = (field: Partial<WebSealedField>, bytes: number) =>
        codeOf(() => call.seal({ ...FIELD, ...field }, new Uint8Array(bytes), undefined));
      expect(await seal({ maxBytes: 10 }, 10)).to.equal('done');
      expect(await seal({ maxBytes: 10 }, 11)).to.equal('INNER_TOO_LARGE');
      expect(await seal({}, 65_536)).to.equal('done');
      expect(await seal({}, 65_537)).to.equal('INNER_TOO_LARGE');
      expect(await seal({ maxBytes: 100_000 }, 65_537)).to.equal('INNER_TOO_LARGE');
      expect(await seal({ fullName: 'x'.repeat(2_048) }, 1)).to.equal('HEADER_TOO_LARGE');
      const long = await sealer.startCall({ recipient: '', method: `/${'x'.repeat(2_048)}` });
      expect(await codeOf(() => long.replyToken(undefined))).to.equal('HEADER_TOO_LARGE');
    },
  },
];

const sessionCases: readonly WebCase[] = [
  {
    name: 'an agreement ends 60 s after its first use, by the monotonic clock',
    async run() {
      const clock = { ms: 1_000 };
      const { call, sealer } = await start(await makeRecipient(), { monotonicNow: () => clock.ms });
      const first = epkOf(await sealOne(call));
      clock.ms += 59_999;
      expect(await epkOfNext(sealer)).to.equal(first);
      clock.ms += 1;
      expect(await epkOfNext(sealer)).not.to.equal(first);
      expect(epkOf(await sealOne(call)), 'not in the middle of a call').to.equal(first);
    },
  },
  {
    name: 'an agreement ends after 1,000 tokens, those of calls that seal at the same time counted',
    async run() {
      const { call, sealer } = await start(await makeRecipient());
      const first = epkOf(await sealOne(call));
      await Promise.all(Array.from({ length: 997 }, () => sealOne(call)));
      expect(await epkOfNext(sealer)).to.equal(first);
      await sealOne(call);
      expect(await epkOfNext(sealer)).not.to.equal(first);
    },
  },
  {
    name: 'another key of a recipient is used by the next call; one under way goes on with its own',
    async run() {
      const [old, next] = [await makeRecipient(), await makeRecipient()];
      const { keys, call, sealer } = await start(old);
      keys.byName['fraud'] = old.key;
      const kidOf = async (of: WebSealingCall, recipient: string) =>
        headerOf(await of.seal({ ...FIELD, recipient }, INNER, undefined))['kid'];
      expect(await kidOf(call, 'fraud')).to.equal(old.kid);
      for (const recipient of ['', 'fraud']) keys.byName[recipient] = next.key;
      await sealer.refresh('');
      expect(keys.refreshed).to.deep.equal(['']);
      const later = await sealer.startCall(CALL);
      for (const recipient of ['', 'fraud']) {
        expect(await kidOf(call, recipient)).to.equal(old.kid);
        expect(await kidOf(later, recipient)).to.equal(next.kid);
      }
    },
  },
  {
    name: 'no key of an agreement can be read out or does anything else',
    async run() {
      const { kek, replyKey } = await agree((await makeRecipient()).key);
      expect([kek.extractable, kek.usages]).to.deep.equal([false, ['wrapKey']]);
      expect([replyKey.key.extractable, replyKey.key.usages]).to.deep.equal([false, ['unwrapKey']]);
    },
  },
  {
    name: 'a call begins only with a key, and not after the sealer was closed',
    async run() {
      const { sealer, call } = await start(await makeRecipient());
      const failure = await sealer.startCall({ ...CALL, recipient: 'nobody' }).catch((error: Error) => error.message);
      expect(failure).to.equal("no key for 'nobody'");
      await sealer.close();
      expect(await codeOf(() => sealer.startCall(CALL))).to.equal('CLOSED');
      await sealOne(call);
    },
  },
  {
    name: 'a recipient key is a public one, on its curve, under its own name',
    async run() {
      const { key, privateKey, kid } = await makeRecipient();
      expect(key.kid).to.equal(kid);
      const { d, kty, crv, x, y } = await crypto.subtle.exportKey('jwk', privateKey);
      const good = { kty, crv, x, y };
      const read = (jwk: object) => codeOf(() => importWebRecipientKey(jwk));
      expect(await read({ ...good, kid, use: 'enc', alg: 'ECDH-ES+A256KW' })).to.equal('done');
      const bad = [
        { d },
        { y: x },
        { kid: 'x' },
        { use: 'sig' },
        { alg: 'ES256' },
        { crv: 'P-384' },
        { x: `${x}=` },
        { kty: 'OKP' },
      ];
      for (const change of bad)
        expect(await read({ ...good, ...change }), JSON.stringify(change)).to.equal('KEY_INVALID');
    },
  },
];

const platformCases: readonly WebCase[] = [
  {
    name: 'a curve that the platform lacks is called that',
    async run() {
      const { privateKey } = await makeRecipient();
      const { x, y } = (await crypto.subtle.exportKey('jwk', privateKey)) as { x: string; y: string };
      const read = (crv: string, at = y) => importPoint({ kty: 'EC', crv: crv as Curve, x, y: at }, 'ECDH');
      const messageOf = (reading: Promise<unknown>) => reading.catch((error: Error) => error.message);
      expect(await messageOf(read('P-999'))).to.equal('WebCrypto has no P-999 here');
      expect(await messageOf(read('P-256', x))).to.equal('the point is not on the curve');
    },
  },
  {
    name: 'a page without WebCrypto is told so at once',
    async run() {
      const { key } = await makeRecipient();
      const platform = Object.getOwnPropertyDescriptor(globalThis, 'crypto') as PropertyDescriptor;
      Object.defineProperty(globalThis, 'crypto', { ...platform, get: () => ({}) });
      try {
        expect(() => new WebSealer({ keys: new WebTestKeys({ '': key }) }))
          .to.throw(SealwireError, 'https')
          .with.property('code', 'OPTIONS_INVALID');
      } finally {
        Object.defineProperty(globalThis, 'crypto', platform);
      }
    },
  },
];

export const sealingCases: readonly WebCase[] = [
  ...(['P-521', 'P-384', 'P-256'] as const).flatMap(curveCases),
  ...callCases,
  ...sessionCases,
  ...platformCases,
];
