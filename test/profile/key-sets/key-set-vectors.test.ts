/** test/vectors/key-sets.json, for Node's verifier and the browser's: which sets a client takes after which. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import { verifyKeySet as verifyInNode } from '../../../src/keys/signed-set/key-set.js';
import { type KeySetChecks, verifyKeySet } from '../../../src/profile/key-sets/verify-key-set.js';
import type { SeenSet } from '../../../src/profile/key-sets/version.js';
import { webVerifier } from '../../../src/web/keys/verifier.js';

interface KeySetVectors {
  readonly root: string;
  readonly issuer: string;
  readonly now: number;
  readonly clients: readonly {
    readonly comment: string;
    readonly sets: readonly { readonly jws: string; readonly result: string }[];
  }[];
}

const committed = readFileSync('test/vectors/key-sets.json', 'utf8');
const { root, issuer, now, clients } = JSON.parse(committed) as KeySetVectors;

const verifiers: Readonly<Record<string, (text: string, checks: KeySetChecks) => Promise<SeenSet>>> = {
  Node: verifyInNode,
  WebCrypto: (text, checks) => verifyKeySet(text, checks, webVerifier),
};

describe('key set vectors', () => {
  it('are what scripts/make-key-set-vectors.mjs writes, but for signatures', () => {
    const folder = mkdtempSync('dist/vectors-');
    try {
      execFileSync(process.execPath, ['scripts/make-key-set-vectors.mjs', `${folder}/key-sets.json`]);
      // That of a delegation is in the header.
      const unsigned = (text: string) =>
        text.replace(/"([\w-]+)\.([\w-]+)\.[\w-]+"/g, (_, header: string, payload: string) => {
          const { dlg, ...members } = JSON.parse(Buffer.from(header, 'base64url').toString());
          return JSON.stringify([members, String(dlg).split('.').slice(0, 2), payload]);
        });
      expect(unsigned(readFileSync(`${folder}/key-sets.json`, 'utf8'))).to.equal(unsigned(committed));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  for (const [name, verify] of Object.entries(verifiers)) {
    for (const { comment, sets } of clients) {
      it(`${comment} (${name})`, async () => {
        let seen: SeenSet | undefined;
        for (const [index, { jws, result }] of sets.entries()) {
          const checks = { roots: [root], issuer, nowMs: now * 1_000, seen };
          const found = await verify(jws, checks).catch((error: unknown) => error);
          expect(found instanceof SealwireError ? found.code : 'valid', `set ${index}`).to.equal(result);
          if (!(found instanceof Error)) seen = found as SeenSet;
        }
      });
    }
  }
});
