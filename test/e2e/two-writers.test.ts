/** Two services on one volume, each process 1 of a PID namespace of its own, as in two containers. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { listening, MAIN, type Running, run } from '../support/command.js';
import { findUnrecorded, PaymentsLoad, readRecords } from '../support/payments-load.js';
import { verifyServiceLog } from '../support/service-process.js';

const NAMESPACE = ['--pid', '--fork', '--mount-proc', '--kill-child=SIGKILL'];

function start(dir: string): Running {
  return run('unshare', [...NAMESPACE, process.execPath, MAIN, 'serve', '--listen', '127.0.0.1:0', '--dir', dir]);
}

/** The number that process 1 of the namespace has outside. */
function pidOf({ child: { pid } }: Running): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
}

function createClient(dir: string, address: string): SealedPaymentServiceClient {
  const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
  return new SealedPaymentServiceClient(address, credentials.createInsecure(), { keys });
}

describe('two services on one volume, each process 1 of its container', () => {
  let dir: string;
  before(function () {
    if (spawnSync('unshare', [...NAMESPACE, 'true']).status === 0) return;
    this.test?.parent?.eachTest((test) => {
      test.title += ' (needs unshare from util-linux and the right to make PID namespaces)';
    });
    this.skip();
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-volume-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('do not both run; the second takes over when the first was killed', async () => {
    const first = start(dir);
    const client = createClient(dir, await listening(first));
    const load = new PaymentsLoad(client, 'first');
    load.start(4);
    await load.until(({ acknowledged }) => acknowledged.length >= 20);
    const second = start(dir);
    expect(await second.ended).to.equal(3);
    expect(second.stderr()).to.match(/process 1 of another container, machine or boot writes this log/);
    const { length } = load.acknowledged;
    await load.until(({ acknowledged }) => acknowledged.length > length + 4);
    await load.stop();
    client.close();
    // The kernel may give the number of a namespace that has ended to the next one, and then nobody has to wait.
    const namespace = openSync(`/proc/${pidOf(first)}/ns/pid`, 'r');
    process.kill(pidOf(first), 'SIGKILL');
    await first.ended;
    const third = start(dir);
    await listening(third);
    closeSync(namespace);
    expect(third.stderr()).to.include('waiting up to 10 s for the lock');
    process.kill(pidOf(third), 'SIGTERM');
    await third.ended;
    expect(findUnrecorded(readRecords(dir), load.acknowledged)).to.deep.equal([]);
    expect(verifyServiceLog(dir).findings).to.deep.equal([]);
  }).timeout(120_000);

  it('do not both acknowledge: one that was paused finds that it lost the log, and the log verifies', async () => {
    const first = start(dir);
    const client = createClient(dir, await listening(first));
    const load = new PaymentsLoad(client, 'paused');
    load.start(8);
    await load.until(({ acknowledged }) => acknowledged.length >= 50);
    process.kill(pidOf(first), 'SIGSTOP');
    const second = start(dir);
    const other = createClient(dir, await listening(second));
    const after = new PaymentsLoad(other, 'after');
    after.start(2);
    await after.until(({ acknowledged }) => acknowledged.length >= 10);
    process.kill(pidOf(first), 'SIGCONT');
    await load.until(({ failures }) => failures.length >= 50);
    const { length } = load.acknowledged;
    await load.until(({ failures }) => failures.length >= 200);
    expect(load.acknowledged).to.have.length(length);
    expect([...new Set(load.failures)]).to.deep.equal(['UNAVAILABLE']);
    expect(first.stderr()).to.include('another process has taken over the audit log');
    await Promise.all([load.stop(), after.stop()]);
    client.close();
    other.close();
    process.kill(pidOf(first), 'SIGTERM');
    await first.ended;
    process.kill(pidOf(second), 'SIGTERM');
    await second.ended;
    const acknowledged = [...load.acknowledged, ...after.acknowledged];
    expect(findUnrecorded(readRecords(dir), acknowledged)).to.deep.equal([]);
    expect(verifyServiceLog(dir).findings).to.deep.equal([]);
  }).timeout(120_000);
});
