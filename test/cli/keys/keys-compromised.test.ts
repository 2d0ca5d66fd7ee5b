/** The day on which somebody else has the ring file, on a service that runs. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../../src/client/client.js';
import { SealedPaymentServiceClient } from '../../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource, staticKeySource } from '../../../src/keys/key-source.js';
import { loadPublicKeys } from '../../../src/keys/public-keys.js';
import { KeyRing } from '../../../src/keys/ring.js';
import { finishSealwire } from '../../support/command.js';
import { validRequest } from '../../support/harness.js';
import { readRecords } from '../../support/payments-load.js';
import { type ServiceProcess, startServiceProcess, stopServiceProcess } from '../../support/service-process.js';

describe('sealwire keys rotate --compromised', function () {
  this.timeout(120_000);
  let root: string;
  let dir: string;
  let service: ServiceProcess | undefined;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'sealwire-compromised-'));
    dir = join(root, 'var');
  });
  afterEach(async () => {
    if (service !== undefined) await stopServiceProcess(service);
    service = undefined;
    await rm(root, { recursive: true, force: true });
  });

  async function keys(command: string, ...args: string[]) {
    const finished = await finishSealwire(['keys', command, '--dir', dir, ...args]);
    expect(finished.code, finished.stderr).to.equal(0);
    return finished.stdout;
  }

  const ring = () => KeyRing.load(join(dir, 'keys/ring.json'));
  const statesOf = async () => new Map((await ring()).describe().map(({ kid, state }) => [kid, state]));

  /** A service with an active key and one that waits, both of which the thief has. @returns the stolen keys */
  async function serveAndSteal(): Promise<{ readonly active: string; readonly waiting: string }> {
    await keys('init', '--curve', 'P-256');
    await keys('rotate');
    service = await startServiceProcess({ dir, config: { logLevel: 'warn' } });
    // The service may be writing a file beside it, under a name for a moment.
    const isLasting = (path: string) => !path.endsWith('.tmp');
    await cp(join(dir, 'keys'), join(root, 'stolen'), { recursive: true, filter: isLasting });
    const [active, waiting] = (await ring()).describe().map(({ kid }) => kid) as [string, string];
    return { active, waiting };
  }

  /** Waits until the running service has taken over that keys are retired. */
  async function untilRefused(...kids: readonly string[]): Promise<void> {
    const isRecorded = (kid: string) =>
      readRecords(dir).some(({ event, ...record }) => event === 'retire' && JSON.stringify(record).includes(kid));
    while (!kids.every(isRecorded)) await setTimeout(20);
  }

  function clientOf(source: ReturnType<typeof fileKeySource>): SealedPaymentServiceClient {
    return new SealedPaymentServiceClient(service?.address ?? '', credentials.createInsecure(), { keys: source });
  }

  it('leaves no key of the stolen ring in use, and senders with cached keys notice nothing', async () => {
    const { active, waiting } = await serveAndSteal();
    // It looks for another key only when the one at hand is refused.
    const client = clientOf(fileKeySource(join(dir, 'keys/public.jwks.json'), { checkMs: 3_600_000 }));
    await client.authorize(validRequest);
    const said = await keys('rotate', '--compromised');
    const states = await statesOf();
    const { currentKid } = await ring();
    expect([...states]).to.deep.equal([
      [active, 'retired'],
      [waiting, 'retired'],
      [currentKid, 'active'],
    ]);
    expect((await loadPublicKeys(join(dir, 'keys/public.jwks.json'))).map(({ kid }) => kid)).to.deep.equal([
      currentKid,
    ]);
    await untilRefused(active, waiting);
    await client.authorize({ ...validRequest, orderId: 'after' });
    // One refusal, then the same call under the new key.
    const events = readRecords(dir).map(({ event }) => event);
    expect(events.filter((event) => event === 'open' || event === 'reject')).to.deep.equal(['open', 'reject', 'open']);
    client.close();
    // Whoever seals to a stolen key is refused: the published one, too.
    const stolen = await KeyRing.load(join(root, 'stolen/ring.json'));
    for (const key of stolen.keys()) {
      const old = clientOf(staticKeySource(key));
      const error = await old.authorize({ ...validRequest, orderId: key.kid }).then(
        () => expect.fail('a stolen key was taken'),
        (cause: unknown) => cause as Error,
      );
      expect(errorDetails(error)?.reason).to.equal('SEALED_FIELD_UNKNOWN_KEY');
      old.close();
    }
    expect(said.split('\n')).to.deep.equal([
      `key ${currentKid} is new and active now: no copy of the ring has it`,
      `key ${active} is retired: refused from now on, for stored tokens too`,
      `key ${waiting} is retired: refused from now on, for stored tokens too`,
      'Calls that are sealed to the old keys fail with SEALED_FIELD_UNKNOWN_KEY. Generated clients then fetch the new key',
      'and make the call once more; a call with a stream of requests fails once.',
      'Whoever copied the folder of the ring has these too:',
      '  root.json: decides which keys clients seal to; replace it: sealwire keys root rotate',
      '  set-signing.json: signs key sets; replace it: sealwire keys root delegate --new-key',
      '  log.key: signs the audit log; compare the log with a checkpoint that you kept, then begin a new one, 300 s after the last call',
      '',
    ]);
  });

  it('keeps old keys for stored tokens, if asked, so that the service seals its cards anew', async () => {
    const { active, waiting } = await serveAndSteal();
    const { client, running } = service as ServiceProcess;
    const { paymentId } = await client.authorize(validRequest);
    const said = await keys('rotate', '--compromised', '--keep-stored', '7d');
    const states = await statesOf();
    expect([states.get(active), states.get(waiting)]).to.deep.equal(['stored', 'retired']);
    expect(said).to.match(new RegExp(`^key ${active} opens stored tokens until \\S+Z, and no calls$`, 'm'));
    const { currentKid } = await ring();
    const isResealed = () => readRecords(dir).some(({ detail }) => detail === `re-sealed to ${currentKid}`);
    // The first look at the new ring may be this call's; the service seals its cards anew beside it.
    expect({ ...(await client.getPayment({ paymentId })).payment?.card }).to.deep.equal(validRequest.card);
    while (!isResealed()) await setTimeout(50);
    await keys('retire', '--force', '--', active);
    expect({ ...(await client.getPayment({ paymentId })).payment?.card }).to.deep.equal(validRequest.card);
    expect(running.stderr()).to.equal('');
  });

  it('takes no flags that would let an old key live on', async () => {
    await keys('init', '--curve', 'P-256');
    for (const flags of [['--now'], ['--every', '90d'], ['--publish-ahead', '1h'], ['--open-after', '7d']]) {
      const args = ['keys', 'rotate', '--dir', dir, '--compromised', ...flags];
      expect((await finishSealwire(args)).code, flags[0]).to.equal(2);
    }
    expect((await ring()).keys()).to.have.length(1);
  });
});
