/** Seal and open of a 120-byte inner message against node-jose and jose, interleaved in one run. */
import { randomBytes } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, importJWK, type JWK as JoseJwk } from 'jose';
import nodeJose from 'node-jose';
import { HeaderCache } from '../src/jwe/header-cache.js';
import { TokenOpener } from '../src/jwe/opener.js';
import type { AgreementSession } from '../src/jwe/sender.js';
import { SealingSessions } from '../src/jwe/sender.js';
import { parseToken } from '../src/jwe/token.js';
import { KeyRing } from '../src/keys/ring.js';
import { resolveLimits } from '../src/profile/limits.js';
import { type Summary, summarize } from './stats.js';

const FIELD = 'bench.v1.Message.card';
const INNER_BYTES = 120;
const ROUNDS = 7;

/** One contender: how often it runs per round, and what it does once. */
interface Contender {
  readonly name: string;
  readonly operations: number;
  readonly run: (index: number) => unknown;
}

/** µs per operation by contender name. */
export type TokenResults = Readonly<Record<string, Summary>>;

/** Measures all contenders, one round of each in turn. */
export async function benchTokens(): Promise<TokenResults> {
  const ring = await KeyRing.create('P-521');
  const key = ring.current();
  const plaintext = randomBytes(INNER_BYTES);
  const iat = Math.floor(Date.now() / 1000);
  const parameters = { field: FIELD, cty: 'application/protobuf', iat } as const;
  const warmSessions = new SealingSessions({ maxTokens: 1_000_000, maxAgeMs: 3_600_000, maxBytes: 2 ** 40 });
  const coldSessions = new SealingSessions({ maxTokens: 1 });
  const opener = new TokenOpener({ keys: ring, rate: { perSecond: 100_000, burst: 100_000 } });
  const seal = async (sessions: SealingSessions) => (await sessions.acquire(key)).seal(plaintext, parameters);
  const open = (token: string) => opener.open(opener.check(token, { field: FIELD }), 'bench');

  const warm: AgreementSession = await warmSessions.acquire(key);
  const token = await seal(warmSessions);
  await open(token);
  const jwk = key.publicKey.export({ format: 'jwk' });
  const joseKey = await importJWK(jwk as JoseJwk, 'ECDH-ES+A256KW');
  const privateJwk = await exportPrivate();
  const ours = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM' };
  const store = await nodeJose.JWK.asKey({ ...privateJwk.publicPart, kty: 'EC' });
  const privateStore = await nodeJose.JWK.asKey(privateJwk.full);
  const josePrivate = await importJWK(privateJwk.full as JoseJwk, 'ECDH-ES+A256KW');
  const peerToken = await new CompactEncrypt(plaintext)
    .setProtectedHeader(ours)
    .encrypt(await importJWK(privateJwk.publicPart as JoseJwk, 'ECDH-ES+A256KW'));
  const coldTokens: string[] = [];
  for (let index = 0; index < ROUNDS * 20; index++) coldTokens.push(await seal(coldSessions));

  const limits = resolveLimits();
  const headers = new HeaderCache();
  const { headerPart, header } = parseToken(token, limits);
  headers.remember(headerPart, header);
  let cold = 0;
  const nodeJoseFields = { alg: ours.alg };
  const contenders: Contender[] = [
    { name: 'seal, warm session', operations: 4_000, run: () => warm.seal(plaintext, parameters) },
    { name: 'seal, agreement per message', operations: 20, run: () => seal(coldSessions) },
    {
      name: 'seal, node-jose',
      operations: 8,
      run: () =>
        nodeJose.JWE.createEncrypt({ format: 'compact', contentAlg: 'A256GCM', fields: nodeJoseFields }, store)
          .update(plaintext)
          .final(),
    },
    {
      name: 'seal, jose',
      operations: 20,
      run: () => new CompactEncrypt(plaintext).setProtectedHeader(ours).encrypt(joseKey),
    },
    { name: 'open, warm session', operations: 4_000, run: () => open(token) },
    { name: 'open, agreement per message', operations: 20, run: () => open(coldTokens[cold++] as string) },
    { name: 'open, node-jose', operations: 20, run: () => nodeJose.JWE.createDecrypt(privateStore).decrypt(peerToken) },
    { name: 'open, jose', operations: 20, run: () => compactDecrypt(peerToken, josePrivate) },
    // What the header cache brings to 'open, warm session': the difference of these two.
    { name: 'parse a token, header new', operations: 4_000, run: () => parseToken(token, limits) },
    { name: 'parse a token, header known', operations: 4_000, run: () => parseToken(token, limits, headers) },
  ];

  const times = new Map<string, number[]>();
  for (const { run } of contenders) if (run !== contenders[5]?.run) await run(0);
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, operations, run } of contenders) {
      const startedAt = performance.now();
      for (let index = 0; index < operations; index++) {
        const result = run(index);
        if (result instanceof Promise) await result;
      }
      const perOperation = ((performance.now() - startedAt) * 1000) / operations;
      times.set(name, [...(times.get(name) ?? []), perOperation]);
    }
  }
  await Promise.all([warmSessions.close(), coldSessions.close()]);
  return Object.fromEntries([...times].map(([name, values]) => [name, summarize(values)]));
}

/** A key pair of the libraries' own: our ring gives no private key away. */
async function exportPrivate(): Promise<{ full: object; publicPart: object }> {
  const store = nodeJose.JWK.createKeyStore();
  const pair = await store.generate('EC', 'P-521');
  return { full: pair.toJSON(true), publicPart: pair.toJSON(false) };
}
