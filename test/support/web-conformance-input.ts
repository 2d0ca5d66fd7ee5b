/** Makes, in Node and without the code under test, what the cases of web-conformance.ts are given. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { forgeReply, REPLY_PLACE, type ReplySecrets } from '../jwe/reply-forge.js';
import { goodChecks, setCases } from './hostile-key-sets.js';
import { replyRefusals } from './reply-refusals.js';
import { TestIssuer } from './signed-sets.js';
import type { ConformanceInput } from './web-conformance.js';

const read = (name: string) => JSON.parse(readFileSync(`test/vectors/${name}.json`, 'utf8'));
const digest = (text: string) => createHash('sha256').update(text).digest('base64url');

/** Whatever a test binds. */
const BOUND_TEXT = 'bound siblings';

export async function makeConformanceInput(): Promise<ConformanceInput> {
  const replyToken = 'e30.A.B.C.D';
  const secrets: ReplySecrets = { key: randomBytes(32), kid: digest('epk'), rto: digest(replyToken) };
  return {
    tokens: read('jwe-p521'),
    replies: read('replies'),
    bnd: read('bnd'),
    sets: await makeSets(),
    calls: {
      key: secrets.key.toString('hex'),
      kid: secrets.kid,
      replyToken,
      field: REPLY_PLACE,
      inOrder: makeReplies(secrets),
    },
  };
}

async function makeSets(): Promise<ConformanceInput['sets']> {
  const issuer = new TestIssuer();
  const checks = goodChecks(issuer);
  return Promise.all(
    Object.values(setCases)
      .flat()
      .map(async ({ name, result, make }) => {
        const given = (await make(issuer)).map((each) => {
          const { text, checks: changes } = typeof each === 'string' ? { text: each } : each;
          return { text, checks: { ...checks, ...changes } };
        });
        return { name, result, given };
      }),
  );
}

function makeReplies(secrets: ReplySecrets): ConformanceInput['calls']['inOrder'] {
  const good = { token: forgeReply(secrets), result: 'valid' } as const;
  const withHeader = (header: object) => forgeReply(secrets, { header: { ...header } });
  const bound = { token: withHeader({ bnd: digest(BOUND_TEXT) }), result: 'valid', bound: BOUND_TEXT } as const;
  const second = withHeader({ seq: 1 });
  return [
    // A refusal takes no number.
    ...replyRefusals.map(([name, code, make]) => ({ name, steps: [{ token: make(secrets), result: code }, good] })),
    {
      name: 'another bnd, and none, where siblings are bound',
      steps: [
        { ...bound, token: good.token, result: 'BINDING_MISMATCH' },
        { ...bound, token: withHeader({ bnd: digest('others') }), result: 'BINDING_MISMATCH' },
        bound,
      ],
    },
    {
      name: 'again, one ahead, and of another call',
      steps: [
        good,
        { ...good, result: 'REPLY_MISMATCH' },
        { token: withHeader({ seq: 2 }), result: 'REPLY_MISMATCH' },
        { token: withHeader({ seq: 1, cid: randomBytes(16).toString('base64url') }), result: 'REPLY_MISMATCH' },
        { token: second, result: 'valid' },
      ],
    },
    {
      name: 'under the key of another agreement that claims to be of this one',
      steps: [{ token: forgeReply({ ...secrets, key: randomBytes(32) }), result: 'DECRYPTION_FAILED' }, good],
    },
    {
      name: 'JSON inside',
      steps: [{ token: withHeader({ cty: 'application/json' }), result: 'valid' }],
    },
  ];
}
