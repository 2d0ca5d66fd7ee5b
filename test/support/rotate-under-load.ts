/** Rotates the keys of the real service, again and again, while a client process calls without a pause. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { MessageSealer } from '../../src/client/seal-message.js';
import { type AuthorizeRequest, PaymentServiceClient } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import type { RecipientKey } from '../../src/jwe/recipient.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { jwkThumbprint } from '../../src/keys/import.js';
import { Pkcs11Custody } from '../../src/keys/pkcs11/pkcs11-custody.js';
import { KeyRing } from '../../src/keys/ring.js';
import { environment, finishSealwire } from './command.js';
import { callRaw, failureOf, validRequest } from './harness.js';
import { readRecords } from './payments-load.js';
import type { LoadReport } from './rotation-client.js';
import { startServiceProcess, stopServiceProcess } from './service-process.js';
import { sessionPids, untilGone } from './session-pids.js';
import { type SoftToken, tokenConfig } from './softhsm.js';

/** What was seen. */
export interface RotationResult extends LoadReport {
  /**
   * Keys of which a token was opened, by an agreement in the service's cache, and then refused by that same agreement.
   */
  readonly refusedKeys: number;
  /** The longest time from the end of `retire --force` to the first refusal, in ms. */
  readonly slowestRefusalMs: number;
  /** Records in the audit log. */
  readonly rotations: number;
  readonly retirements: number;
  /** Exit code of the service. */
  readonly exitCode: number | string;
}

const PLAN = SealedPaymentService.plan.methods['/payments.v1.PaymentService/Authorize'].request;

/**
 * @param count how many rotations, each with the retirement of the key before
 * @param token every other rotation, and the first, is to a key that is made there. Default: all keys are local
 */
export async function rotateUnderLoad(count: number, token?: SoftToken): Promise<RotationResult> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-rotation-'));
  const config = { logLevel: 'warn', keySet: { maxAgeSeconds: 1 }, ...(token && (await tokenConfig(token))) } as const;
  const env = { SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'] };
  const service = await startServiceProcess({ dir, config, env });
  const raw = new PaymentServiceClient(service.address, credentials.createInsecure());
  const load = await startLoad(dir, service.address);
  let refusedKeys = 0;
  let slowestRefusalMs = 0;
  try {
    await reach(load, (await readRing(dir, token)).currentKid);
    for (let rotation = 0; rotation < count; rotation++) {
      const old = (await readRing(dir, token)).current();
      // Its agreement is in the service's cache from here on.
      const sender = new OldSender(old, raw, `old-${rotation}`);
      await sender.send();
      const isMove = token !== undefined && rotation % 2 === 0;
      const place = isMove
        ? ['--custody', token.uri(`rotation ${rotation}`), '--pin-file', join(token.dir, 'pin')]
        : [];
      await keys('rotate', dir, '--now', ...place);
      const held = (await readRing(dir, token)).keys().find(({ kid }) => kid !== old.kid);
      expect(held?.custody !== undefined).to.equal(isMove);
      await reach(load, (await readRing(dir, token)).currentKid);
      await sender.send();
      await keys('retire', dir, '--force', '--', old.kid);
      slowestRefusalMs = Math.max(slowestRefusalMs, await sender.untilRefused());
      refusedKeys++;
      await keys('remove', dir, '--', old.kid);
    }
    // With its last key removed, the token is not needed any more.
    if (token !== undefined && count % 2 === 0) await untilGone(sessionPids(service.running.child.pid));
    const report = await endLoad(load);
    raw.close();
    const exitCode = await stopServiceProcess(service);
    const events = readRecords(dir).map(({ event }) => event);
    return {
      ...report,
      refusedKeys,
      slowestRefusalMs: Math.round(slowestRefusalMs),
      rotations: events.filter((event) => event === 'rotate').length,
      retirements: events.filter((event) => event === 'retire').length,
      exitCode,
    };
  } finally {
    load.kill('SIGKILL');
    service.running.child.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

/** Seals to a key for as long as it lives, and beyond: always by the same agreement. */
class OldSender {
  readonly #sessions = new SealingSessions();
  readonly #key: RecipientKey;
  readonly #raw: PaymentServiceClient;
  readonly #prefix: string;
  #sent = 0;

  constructor(key: RecipientKey, raw: PaymentServiceClient, prefix: string) {
    this.#key = key;
    this.#raw = raw;
    this.#prefix = prefix;
  }

  async send(): Promise<void> {
    const sealer = new MessageSealer({ sessions: this.#sessions });
    const request = { ...validRequest, orderId: `${this.#prefix}-${this.#sent++}` };
    const sealed = (await sealer.seal(PLAN, request, new Map([['', this.#key]]))) as AuthorizeRequest;
    await callRaw(this.#raw, sealed);
  }

  /** @returns ms until a token was refused for its key */
  async untilRefused(): Promise<number> {
    const begun = performance.now();
    for (;;) {
      const refusal = await this.send().then(
        () => undefined,
        (error: unknown) => errorDetails(error)?.reason,
      );
      const after = performance.now() - begun;
      if (refusal === undefined) continue;
      expect(refusal).to.equal('SEALED_FIELD_UNKNOWN_KEY');
      // And from then on, with a new agreement too.
      this.#sessions.invalidate(this.#key.kid);
      expect(errorDetails(await failureOf(this.send()))?.reason).to.equal('SEALED_FIELD_UNKNOWN_KEY');
      await this.#sessions.close();
      return after;
    }
  }
}

/** Its keys on the token are never asked here. */
function readRing(dir: string, token?: SoftToken): Promise<KeyRing> {
  const hardware = new Pkcs11Custody({ readPin: async () => '' });
  return KeyRing.load(join(dir, 'keys/ring.json'), token === undefined ? {} : { hardware });
}

async function keys(command: string, dir: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await finishSealwire(['keys', command, '--dir', dir, ...args], {
    env: { ...environment, SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'] },
  });
  expect([code, stderr.replace(/^sealwire: note: .*\n$/, '')]).to.deep.equal([0, '']);
}

async function startLoad(dir: string, address: string): Promise<ChildProcess> {
  const root = JSON.parse(await readFile(join(dir, 'keys/root.pub.json'), 'utf8')) as Parameters<
    typeof jwkThumbprint
  >[0];
  const program = new URL('./rotation-client.js', import.meta.url).pathname;
  const args = [address, jwkThumbprint(root), join(dir, 'keys/public.jwks.json')];
  return fork(program, args, { env: environment });
}

/** Resolves when every lane of the client process uses the key. */
async function reach(load: ChildProcess, kid: string): Promise<void> {
  load.send({ until: kid });
  await once(load, 'message');
}

async function endLoad(load: ChildProcess): Promise<LoadReport> {
  load.send({ end: true });
  const [report] = (await once(load, 'message')) as [LoadReport];
  return report;
}
