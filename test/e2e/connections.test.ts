/** A caller with more connections than the service has descriptors: neither others nor the audit log are without. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { environment, listening, MAIN, type Running, run } from '../support/command.js';
import { card } from '../support/debug-service.js';
import { orderOf } from '../support/payments-bench.js';
import { verifyServiceLog } from '../support/service-process.js';

const DESCRIPTORS = 256;

describe('a caller with very many connections', () => {
  let dir: string;
  let service: Running;
  const sockets: Socket[] = [];

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-connections-'));
    const serve = `ulimit -n ${DESCRIPTORS} && exec "$0" "$@"`;
    const args = [process.execPath, MAIN, 'serve', '--listen', '127.0.0.1:0', '--dir', dir];
    service = run('/bin/sh', ['-c', serve, ...args], { env: environment });
  });

  after(async () => {
    for (const socket of sockets) socket.destroy();
    service.child.kill();
    await service.ended;
    await rm(dir, { recursive: true, force: true });
  });

  it('keeps nobody else from calling, and the audit log from nothing', async () => {
    const address = await listening(service);
    const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
    const call = async (orderId: string) => {
      const client = new SealedPaymentServiceClient(address, credentials.createInsecure(), {
        keys,
        channelOptions: { 'grpc.use_local_subchannel_pool': 1 },
      });
      try {
        return (await client.authorize({ ...orderOf(orderId), card })).status;
      } finally {
        client.close();
      }
    };
    expect(await call('before')).to.equal('authorized');
    let closed = 0;
    const port = Number(address.split(':')[1]);
    for (let index = 0; index < 2 * DESCRIPTORS; index++) {
      // Of a network of its own.
      const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
      socket.on('error', () => {});
      socket.once('close', () => closed++);
      sockets.push(socket);
      await once(socket, 'connect');
    }
    while (closed < DESCRIPTORS) await nextTurn();
    expect(await call('meanwhile')).to.equal('authorized');
    for (const socket of sockets) socket.destroy();
    expect(await call('after')).to.equal('authorized');
    service.child.kill();
    expect(await service.ended).to.equal(0);
    expect(service.stderr()).not.to.match(/ error /);
    expect(verifyServiceLog(dir)).to.include({ ok: true });
  });
});
