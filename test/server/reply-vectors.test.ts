/** test/vectors/replies.json: what is sent besides sealed fields, byte for byte. */
import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey, createSecretKey, type JsonWebKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { expect } from 'chai';
import { compactDecrypt } from 'jose';
import { TokenOpener } from '../../src/jwe/opener.js';
import { ReplyOpener } from '../../src/jwe/reply.js';
import { ReplyKey } from '../../src/jwe/reply-key.js';
import { resolveLimits } from '../../src/profile/limits.js';
import type { PolicyName } from '../../src/profile/policy.js';
import { REPLY_METADATA } from '../../src/profile/replies.js';
import { NO_CALL } from '../../src/server/records.js';
import { ReplyTokenReader } from '../../src/server/reply-token.js';
import { expectCode, expectRejection, TestKeys, toKey } from '../jwe/helpers.js';
import { MemorySink, metadataOf } from '../support/sealed-bench.js';

interface Vector {
  readonly comment: string;
  readonly jwe: string;
  readonly result: string;
}

interface ReplyVectors
  extends Readonly<Record<'method' | 'request' | 'req' | 'credential' | 'field' | 'plaintext', string>> {
  readonly iat: number;
  readonly key: JsonWebKey;
  readonly replyTokens: readonly Vector[];
  readonly replyToken: string;
  readonly replyKey: string;
  readonly replyKid: string;
  readonly rto: string;
  readonly calls: readonly { readonly comment: string; readonly replies: readonly Omit<Vector, 'comment'>[] }[];
}

const committed = readFileSync('test/vectors/replies.json', 'utf8');
const vectors = JSON.parse(committed) as ReplyVectors;

describe('reply vectors', () => {
  const keys = new TestKeys(toKey('P-521', createPrivateKey({ key: vectors.key, format: 'jwk' })));
  const call = { ...NO_CALL, method: vectors.method };
  const readRequest = async () => Buffer.from(vectors.request, 'hex');

  it('are what scripts/make-reply-vectors.mjs writes', () => {
    const folder = mkdtempSync('dist/vectors-');
    try {
      execFileSync(process.execPath, ['scripts/make-reply-vectors.mjs', `${folder}/replies.json`]);
      expect(readFileSync(`${folder}/replies.json`, 'utf8')).to.equal(committed);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('have the digests that docs/calls.md shows', () => {
    const { request, req, rto, replyToken } = vectors;
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('base64url');
    expect(digest(Buffer.from(request, 'hex'))).to.equal(req);
    expect(digest(Buffer.from(replyToken))).to.equal(rto);
    const docs = readFileSync('docs/calls.md', 'utf8');
    for (const text of [request, req, rto, vectors.method]) expect(docs).to.contain(text);
  });

  for (const policy of ['strict', 'interop'] as const satisfies readonly PolicyName[]) {
    for (const { comment, jwe, result } of vectors.replyTokens) {
      it(`a reply token with ${comment}: ${result} under ${policy}`, async () => {
        const opener = new TokenOpener({ keys, policy, now: () => vectors.iat * 1_000 });
        let credential = '';
        const authenticateCaller = (caller: { credential: Buffer; principal: string }) => {
          credential = caller.credential.toString();
          return 'ada';
        };
        const reader = new ReplyTokenReader({ tokenOpener: opener, audit: new MemorySink(), authenticateCaller });
        const read = () => reader.read(metadataOf(REPLY_METADATA, jwe), call, { singleUse: false, readRequest });
        if (result !== 'valid') await expectRejection(result, read);
        else expect((await read()).call.principal).to.equal('ada');
        expect(credential).to.equal(result === 'valid' ? vectors.credential : '');
      });
    }
  }

  for (const { comment, replies } of vectors.calls) {
    it(`the replies of a call: ${comment}`, async () => {
      const key = createSecretKey(Buffer.from(vectors.replyKey, 'hex'));
      const opener = new ReplyOpener(new ReplyKey(key, vectors.replyKid), vectors.replyToken, resolveLimits());
      for (const { jwe, result } of replies) {
        const open = () => opener.open(jwe, { field: vectors.field }).plaintext.toString('hex');
        if (result === 'valid') expect(open()).to.equal(vectors.plaintext);
        else expectCode(result, open);
        // Whatever is wrong with it, the key is the right one.
        const { plaintext } = await compactDecrypt(jwe, key);
        expect(Buffer.from(plaintext).toString('hex')).to.equal(vectors.plaintext);
      }
    });
  }
});
