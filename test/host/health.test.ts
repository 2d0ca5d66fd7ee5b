import { Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { HealthImplementation } from 'grpc-health-check';
import { ServiceHealth } from '../../src/host/health.js';
import { checkHealth, makeHealthClient, untilHealth, watchUntilEnd } from '../support/health.js';

describe('ServiceHealth', () => {
  async function setUp() {
    const server = new Server();
    const health = new ServiceHealth(['', 'a.v1.Service'], ['keys.v1.Keys']);
    health.addTo(server);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    const client = makeHealthClient(`127.0.0.1:${port}`);
    const close = () => {
      client.close();
      server.forceShutdown();
    };
    return { health, client, close };
  }

  it('ends a watcher that comes after the stop', async () => {
    const { health, client, close } = await setUp();
    health.stop();
    expect(await watchUntilEnd(client, 'a.v1.Service')).to.deep.equal(['NOT_SERVING', 'OK']);
    expect(await checkHealth(client, '')).to.include({ status: 'NOT_SERVING' });
    close();
  });

  it('follows what calls need: one thing missing is enough, and all must be back', async () => {
    const { health, client, close } = await setUp();
    const told = watchUntilEnd(client, 'a.v1.Service', () => {
      health.set('audit log', false);
      health.set('key custody', false);
      health.set('audit log', true);
      health.set('audit log', true);
    });
    await untilHealth(client, '', 'NOT_SERVING');
    expect(await checkHealth(client, 'keys.v1.Keys')).to.include({ status: 'SERVING' });
    health.set('key custody', true);
    await untilHealth(client, '', 'SERVING');
    health.stop();
    health.set('audit log', false);
    health.set('audit log', true);
    expect(await told).to.deep.equal(['SERVING', 'NOT_SERVING', 'SERVING', 'NOT_SERVING', 'OK']);
    for (const name of ['', 'keys.v1.Keys']) {
      expect(await checkHealth(client, name)).to.include({ status: 'NOT_SERVING' });
    }
    close();
  });

  it('remembers nothing of a watch for a service that there is not', async () => {
    const { addWatcher } = HealthImplementation.prototype as unknown as { addWatcher: (name: string) => void };
    const remembered: string[] = [];
    Object.assign(HealthImplementation.prototype, {
      addWatcher(...values: [string]) {
        remembered.push(values[0]);
        return addWatcher.apply(this, values);
      },
    });
    const { health, client, close } = await setUp();
    try {
      expect(await watchUntilEnd(client, 'nobody', () => health.stop())).to.deep.equal(['SERVICE_UNKNOWN', 'OK']);
      await watchUntilEnd(client, '');
      expect(remembered).to.deep.equal(['']);
    } finally {
      Object.assign(HealthImplementation.prototype, { addWatcher });
      close();
    }
  });

  it('may be stopped twice', async () => {
    const { health, client, close } = await setUp();
    const watched = watchUntilEnd(client, '', () => {
      health.stop();
      health.stop();
    });
    expect(await watched).to.deep.equal(['SERVING', 'NOT_SERVING', 'OK']);
    close();
  });
});
