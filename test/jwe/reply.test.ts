import { createPublicKey, diffieHellman, type JsonWebKey } from 'node:crypto';
import { expect } from 'chai';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { TokenOpener } from '../../src/jwe/opener.js';
import { ReplyOpener } from '../../src/jwe/reply.js';
import { type AgreementSession, SealingSessions } from '../../src/jwe/sender.js';
import { resolveLimits } from '../../src/profile/limits.js';
import { REPLY_FIELD } from '../../src/profile/replies.js';
import { BOUND, replyRefusals } from '../support/reply-refusals.js';
import {
  expectCode,
  FIELD,
  flip,
  forge,
  IAT,
  makeEphemeral,
  makeKey,
  PLAINTEXT,
  type TestKey,
  TestKeys,
  withPart,
} from './helpers.js';
import {
  agreeAsRecipient,
  CALL_ID,
  deriveKey,
  deriveSecrets,
  forgeReply,
  headerOf,
  REPLY_PLACE,
  type ReplySecrets,
  replyHeader,
} from './reply-forge.js';

const limits = resolveLimits();
const expected = { field: REPLY_PLACE };
const METHOD = '/payments.v1.PaymentService/GetPayment';
const sealing = { field: REPLY_PLACE, cty: 'application/protobuf', iat: IAT } as const;
const importPoint = (jwk: object) => createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });

/** The caller's side of one call, and what a test derives for itself. */
interface Call {
  readonly replyToken: string;
  readonly opener: ReplyOpener;
  readonly secrets: ReplySecrets;
}

describe('replies', () => {
  const sessions = new SealingSessions();
  const key = makeKey('P-256');
  let session: AgreementSession;
  before(async () => {
    session = await sessions.acquire(key);
  });

  function beginCall(of: AgreementSession = session, recipient: TestKey = key): Call {
    const call = { mth: METHOD };
    const replyToken = of.seal(Buffer.alloc(0), { field: REPLY_FIELD, cty: 'application/protobuf', iat: IAT, call });
    const z = agreeAsRecipient(replyToken, recipient.privateKey, importPoint);
    const opener = new ReplyOpener(of.replyKey, replyToken, limits);
    return { replyToken, opener, secrets: deriveSecrets(replyToken, z) };
  }

  /** The service's side. */
  async function accept(replyToken: string, recipient: TestKey = key) {
    const opener = new TokenOpener({ keys: new TestKeys(recipient), now: () => IAT * 1_000 });
    return opener.openReplyToken(opener.checkReplyToken(replyToken, METHOD), 'caller');
  }

  describe('are plain JWEs', () => {
    for (const crv of ['P-521', 'P-384', 'P-256'] as const) {
      it(`jose opens the service's reply with the key as documented (${crv})`, async () => {
        const recipient = makeKey(crv);
        const { replyToken, opener, secrets } = beginCall(await sessions.acquire(recipient), recipient);
        const { sealer } = await accept(replyToken, recipient);
        let cid: unknown;
        for (const seq of [0, 1, 2]) {
          const reply = sealer.seal(PLAINTEXT, { ...sealing, bound: BOUND });
          const { plaintext, protectedHeader } = await compactDecrypt(reply, secrets.key);
          expect(Buffer.from(plaintext)).to.deep.equal(PLAINTEXT);
          cid ??= protectedHeader['cid'];
          expect(cid)
            .to.match(/^[\w-]{21}[AQgw]$/)
            .and.not.equal(CALL_ID);
          expect(protectedHeader).to.deep.equal({ ...replyHeader(secrets), bnd: BOUND, cid, seq });
          expect(opener.open(reply, { ...expected, bound: BOUND }).plaintext).to.deep.equal(PLAINTEXT);
        }
      });

      it(`the client opens what jose encrypts with the key as documented (${crv})`, async () => {
        const recipient = makeKey(crv);
        const { opener, secrets } = beginCall(await sessions.acquire(recipient), recipient);
        const reply = await new CompactEncrypt(PLAINTEXT)
          .setProtectedHeader(replyHeader(secrets) as { alg: string; enc: string })
          .encrypt(secrets.key);
        expect(opener.open(reply, expected)).to.deep.equal({ plaintext: PLAINTEXT, cty: 'application/protobuf' });
      });

      it(`the service answers a reply token that was made without our code (${crv})`, async () => {
        const recipient = makeKey(crv);
        const ephemeral = makeEphemeral(crv);
        const header = { fld: REPLY_FIELD, mth: METHOD };
        const replyToken = forge({ key: recipient, ephemeral, header, plaintext: Buffer.from('credential') });
        const z = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: recipient.publicKey });
        const { credential, sealer } = await accept(replyToken, recipient);
        expect(credential.toString()).to.equal('credential');
        const reply = sealer.seal(PLAINTEXT, sealing);
        const { plaintext } = await compactDecrypt(reply, deriveSecrets(replyToken, z).key);
        expect(Buffer.from(plaintext)).to.deep.equal(PLAINTEXT);
      });
    }

    it('have a key of their own: what is wrapped with the key of requests does not open', () => {
      const { replyToken, opener, secrets } = beginCall();
      const z = agreeAsRecipient(replyToken, key.privateKey, importPoint);
      const requestKey = deriveKey(z, 'ECDH-ES+A256KW', '', '');
      expectCode('DECRYPTION_FAILED', () => opener.open(forgeReply({ ...secrets, key: requestKey }), expected));
      opener.open(forgeReply(secrets), expected);
    });

    it('hold nothing of the reply token but its digest', async () => {
      const { replyToken } = beginCall();
      const { sealer } = await accept(replyToken);
      const header = headerOf(sealer.seal(PLAINTEXT, sealing));
      expect(header).to.have.keys('alg', 'enc', 'kid', 'typ', 'cty', 'fld', 'iat', 'rto', 'cid', 'seq');
    });

    it('have a content key and IV of their own', async () => {
      const { sealer } = await accept(beginCall().replyToken);
      const parts = [1, 2, 3, 4].map(() => sealer.seal(PLAINTEXT, sealing).split('.'));
      for (const part of [1, 2, 3, 4]) expect(new Set(parts.map((all) => all[part])).size).to.equal(4);
    });
  });

  describe('opening refuses', () => {
    for (const [name, code, make] of replyRefusals) {
      it(`${name}: ${code}`, () => {
        const { opener, secrets } = beginCall();
        expectCode(code, () => opener.open(make(secrets), expected));
        // Nothing but this was wrong with it, and a refusal takes no number.
        expect(opener.open(forgeReply(secrets), expected).plaintext).to.deep.equal(PLAINTEXT);
      });
    }

    it('another bnd, and none, where siblings are bound', () => {
      const { opener, secrets } = beginCall();
      const bound = { ...expected, bound: BOUND };
      expectCode('BINDING_MISMATCH', () => opener.open(forgeReply(secrets), bound));
      expectCode('BINDING_MISMATCH', () => opener.open(forgeReply(secrets, { header: { bnd: secrets.rto } }), bound));
      expect(opener.open(forgeReply(secrets, { header: { bnd: BOUND } }), bound).plaintext).to.deep.equal(PLAINTEXT);
    });

    it('a reply again, one ahead, and one of the other of two calls with one agreement', async () => {
      const [first, second] = [beginCall(), beginCall()];
      const sealers = await Promise.all(
        [first, second].map(async ({ replyToken }) => (await accept(replyToken)).sealer),
      );
      const [mine, others] = sealers.map((sealer) =>
        [1, 2, 3].map(() => sealer.seal(PLAINTEXT, sealing)),
      ) as string[][];
      const { opener } = first;
      opener.open(mine![0]!, expected);
      expectCode('REPLY_MISMATCH', () => opener.open(mine![0]!, expected));
      expectCode('REPLY_MISMATCH', () => opener.open(mine![2]!, expected));
      expectCode('REPLY_MISMATCH', () => opener.open(others![1]!, expected));
      opener.open(mine![1]!, expected);
      opener.open(mine![2]!, expected);
    });

    it('the next reply of another call with the same reply token', async () => {
      const { replyToken, opener } = beginCall();
      const [first, second] = [(await accept(replyToken)).sealer, (await accept(replyToken)).sealer];
      const [mine, others] = [first, second].map((sealer) => [1, 2].map(() => sealer.seal(PLAINTEXT, sealing)));
      opener.open(mine![0]!, expected);
      expectCode('REPLY_MISMATCH', () => opener.open(others![1]!, expected));
      opener.open(mine![1]!, expected);
    });

    it('a reply under the key of another agreement that claims to be of this one', async () => {
      const { opener, secrets } = beginCall();
      const other = beginCall(await sessions.acquire(makeKey('P-256')), key).secrets;
      expectCode('DECRYPTION_FAILED', () => opener.open(forgeReply({ ...secrets, key: other.key }), expected));
    });

    it('a request token and the reply token itself', () => {
      const { opener, replyToken } = beginCall();
      const request = session.seal(PLAINTEXT, { ...sealing, bound: BOUND });
      for (const token of [request, replyToken]) {
        expectCode('ALGORITHM_NOT_ALLOWED', () => opener.open(token, expected));
      }
    });
  });

  describe('sealing refuses', () => {
    it('what is too large, without taking a number', async () => {
      const { replyToken, opener } = beginCall();
      const { sealer } = await accept(replyToken);
      expectCode('INNER_TOO_LARGE', () => sealer.seal(Buffer.alloc(65_537), sealing));
      expectCode('HEADER_TOO_LARGE', () => sealer.seal(PLAINTEXT, { ...sealing, field: 'x'.repeat(2_048) }));
      expect(opener.open(sealer.seal(Buffer.alloc(65_536), sealing), expected).plaintext).to.have.length(65_536);
    });
  });

  describe('a reply token', () => {
    const open = (header: Record<string, unknown>, policy: 'strict' | 'interop' = 'strict') => {
      const opener = new TokenOpener({ keys: new TestKeys(key), policy, now: () => IAT * 1_000 });
      return opener.checkReplyToken(forge({ key, header: { fld: REPLY_FIELD, mth: METHOD, ...header } }), METHOD);
    };
    const refusals: [string, string, Record<string, unknown>][] = [
      ['of another field', 'FIELD_MISMATCH', { fld: FIELD }],
      ['that binds something', 'BINDING_MISMATCH', { bnd: BOUND }],
      ['from long ago', 'TOKEN_STALE', { iat: IAT - 301 }],
      ['from the future', 'TOKEN_FROM_FUTURE', { iat: IAT + 61 }],
      ['without iat', 'POLICY_MISSING_HEADER', { iat: undefined }],
      ['without fld', 'POLICY_MISSING_HEADER', { fld: undefined }],
      ['without mth', 'POLICY_MISSING_HEADER', { mth: undefined }],
      ['for another method', 'METHOD_MISMATCH', { mth: '/payments.v1.PaymentService/Reconcile' }],
      ['for a method in other letters', 'METHOD_MISMATCH', { mth: METHOD.toLowerCase() }],
      ['with a number for the method', 'HEADER_VALUE', { mth: 1 }],
      ['with a number for the request', 'HEADER_VALUE', { req: 1 }],
      ['without typ', 'POLICY_MISSING_HEADER', { typ: undefined }],
      ['to an unknown key', 'KEY_UNKNOWN', { kid: BOUND }],
    ];
    for (const [name, code, header] of refusals) {
      for (const policy of ['strict', 'interop'] as const) {
        it(`${name} is refused under ${policy}: ${code}`, () => {
          expectCode(code, () => open(header, policy));
        });
      }
    }

    it('that cannot be decrypted is refused', async () => {
      const opener = new TokenOpener({ keys: new TestKeys(key), now: () => IAT * 1_000 });
      const token = withPart(beginCall().replyToken, 4, flip);
      let failure: unknown;
      await Promise.resolve(opener.openReplyToken(opener.checkReplyToken(token, METHOD), 'caller')).catch(
        (error: unknown) => {
          failure = error;
        },
      );
      expectCode('DECRYPTION_FAILED', () => {
        if (failure !== undefined) throw failure;
      });
    });
  });
});
