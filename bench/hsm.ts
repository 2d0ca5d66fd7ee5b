/**
 * Warm open on a key inside a PKCS#11 token (SoftHSM2) against a local key: with cached agreements they should be
 * equal.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TokenOpener } from '../src/jwe/opener.js';
import { SealingSessions } from '../src/jwe/sender.js';
import { Pkcs11Custody } from '../src/keys/pkcs11/pkcs11-custody.js';
import { KeyRing } from '../src/keys/ring.js';
import { type Summary, summarize } from './stats.js';

const MODULE = '/usr/lib/softhsm/libsofthsm2.so';
const PIN = '648219';
const FIELD = 'bench.v1.Message.card';
const ROUNDS = 9;
const WARM = 4_000;
const FRESH = 20;

/** µs per operation, and ratios of each round's pair. */
export interface HsmResult {
  readonly warmLocal: Summary;
  readonly warmHsm: Summary;
  readonly freshLocal: Summary;
  readonly freshHsm: Summary;
  /** Opens per second on the token's key, of those on the local one. */
  readonly warmRatio: Summary;
}

/** @returns undefined where SoftHSM2 is not installed */
export async function benchHsm(): Promise<HsmResult | undefined> {
  if (!existsSync(MODULE)) return undefined;
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-hsm-bench-'));
  await mkdir(join(dir, 'tokens'));
  await writeFile(join(dir, 'softhsm2.conf'), `directories.tokendir = ${join(dir, 'tokens')}\nlog.level = ERROR\n`);
  process.env['SOFTHSM2_CONF'] = join(dir, 'softhsm2.conf');
  const init = ['--init-token', '--free', '--label', 'bench', '--so-pin', '91827364', '--pin', PIN];
  execFileSync('softhsm2-util', init, { stdio: 'ignore' });
  const hardware = new Pkcs11Custody({ readPin: async () => PIN, modulePath: MODULE });
  try {
    const custody = 'pkcs11:token=bench;object=bench';
    const jwk = await hardware.generate(custody, 'P-521');
    const local = await prepare(await KeyRing.create('P-521'));
    const token = await prepare(await KeyRing.fromKeys([{ ...jwk, sealwire: { custody } }], { hardware }));
    return await measure(local, token);
  } finally {
    hardware.close();
    await rm(dir, { recursive: true });
  }
}

interface Prepared {
  /** Opens one token whose agreement is cached. */
  readonly warm: () => unknown;
  /** Opens a token with an agreement that was never seen. */
  readonly fresh: () => unknown;
}

async function prepare(ring: KeyRing): Promise<Prepared> {
  const sessions = new SealingSessions({ maxTokens: 1 });
  const plaintext = randomBytes(120);
  const parameters = { field: FIELD, cty: 'application/protobuf', iat: Math.floor(Date.now() / 1000) } as const;
  const tokens: string[] = [];
  for (let index = 0; index <= ROUNDS * FRESH; index++) {
    tokens.push((await sessions.acquire(ring.current())).seal(plaintext, parameters));
  }
  await sessions.close();
  const opener = new TokenOpener({ keys: ring, rate: { perSecond: 100_000, burst: 100_000 } });
  const open = (token: string) => opener.open(opener.check(token, { field: FIELD }), 'bench');
  const warmToken = tokens.pop() as string;
  await open(warmToken);
  return { warm: () => open(warmToken), fresh: () => open(tokens.pop() as string) };
}

async function measure(local: Prepared, token: Prepared): Promise<HsmResult> {
  const times = {
    warmLocal: [] as number[],
    warmHsm: [] as number[],
    freshLocal: [] as number[],
    freshHsm: [] as number[],
  };
  for (let round = 0; round < ROUNDS; round++) {
    // Who goes first changes, so that drift of the machine meets both.
    const warm: [keyof typeof times, Prepared][] = [
      ['warmLocal', local],
      ['warmHsm', token],
    ];
    if (round % 2 === 1) warm.reverse();
    for (const [name, { warm: run }] of warm) times[name].push(await time(run, WARM));
    times.freshLocal.push(await time(local.fresh, FRESH));
    times.freshHsm.push(await time(token.fresh, FRESH));
  }
  const ratios = times.warmLocal.map((value, index) => value / (times.warmHsm[index] as number));
  return {
    warmLocal: summarize(times.warmLocal),
    warmHsm: summarize(times.warmHsm),
    freshLocal: summarize(times.freshLocal),
    freshHsm: summarize(times.freshHsm),
    warmRatio: summarize(ratios),
  };
}

/** @returns µs per operation */
async function time(run: () => unknown, operations: number): Promise<number> {
  const startedAt = performance.now();
  for (let index = 0; index < operations; index++) {
    const result = run();
    if (result instanceof Promise) await result;
  }
  return ((performance.now() - startedAt) * 1000) / operations;
}
