/** Probe of the bound on health watches, by calls to a real server. */
import { once } from 'node:events';
import { Metadata, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { service as healthService } from 'grpc-health-check';
import { ServiceHealth } from '../../src/host/health.js';
import { createCallerOf } from '../../src/server/caller.js';
import { createProbe } from './bound-table.js';
import { makeHealthClient } from './health.js';

type Method = NonNullable<(typeof healthService)[string]>;

export const healthProbes = [
  createProbe(
    { resource: 'watches of health', chargedTo: 'account', bound: '{most}', outcome: 'RESOURCE_EXHAUSTED' },
    async ({ most }, { outcome }) => {
      const server = new Server();
      new ServiceHealth(['']).addTo(server, ({ metadata }) =>
        createCallerOf('address', String(metadata.get('who')[0])),
      );
      const port = await new Promise<number>((resolve, reject) => {
        const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
        server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
      });
      const client = makeHealthClient(`127.0.0.1:${port}`);
      const { path, requestSerialize, responseDeserialize } = healthService['Watch'] as Method;
      /** @returns the watch, and SERVING or how it was refused */
      const watch = async (who: string, service = '') => {
        const metadata = new Metadata();
        metadata.set('who', who);
        const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service }, metadata);
        const refused = once(call, 'error').then(([error]) => status[(error as ServiceError).code]);
        const told = once(call, 'data').then(([answer]) => (answer as { readonly status: string }).status);
        told.catch(() => {});
        return { call, told: await Promise.race([refused, told.catch(() => refused)]) };
      };
      try {
        const watches = [];
        for (let count = 0; count < most; count++) watches.push(await watch('a'));
        expect(new Set(watches.map(({ told }) => told))).to.deep.equal(new Set(['SERVING']));
        for (const service of ['', 'nobody']) expect((await watch('a', service)).told).to.equal(outcome);
        expect((await watch('another')).told).to.equal('SERVING');
        // A watch that ends makes room.
        watches[0]?.call.cancel();
        while ((await watch('a')).told !== 'SERVING');
      } finally {
        client.close();
        server.forceShutdown();
      }
    },
  ),
];
