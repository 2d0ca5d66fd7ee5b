/** Child process of the web bench: the payments service with a web gateway, and a ring on the curve of its argument. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { servicePaths } from '../src/files/service-paths.js';
import { startHost } from '../src/host/host.js';
import { createFirstKey, makeKeyFolder } from '../src/host/key-files.js';
import { RingStore } from '../src/keys/ring-store.js';
import { createPaymentsApp } from '../src/payments/app.js';
import type { Curve } from '../src/profile/algorithms.js';

const dir = await mkdtemp(join(process.env['BENCH_AUDIT_DIR'] ?? tmpdir(), 'sealwire-bench-'));
await makeKeyFolder(dir);
await new RingStore({ path: servicePaths(dir).ring }).create([await createFirstKey(process.argv[2] as Curve)]);
const off = { listen: 'off' } as const;
const web = { listen: '127.0.0.1:0' };
const config = { listen: '127.0.0.1:0', dir, metrics: off, web, logLevel: 'error' } as const;
const service = await startHost(createPaymentsApp(), { config, environment: {} });
const [jwk] = (JSON.parse(await readFile(servicePaths(dir).publicKeys, 'utf8')) as { keys: object[] }).keys;

process.on('message', (message) => {
  if (message === 'cpu') process.send?.(process.cpuUsage());
  if (message === 'stop') void stop();
});
process.on('disconnect', () => void stop());

async function stop(): Promise<void> {
  await service.stop();
  await rm(dir, { recursive: true, force: true });
  process.exit(0);
}

process.send?.({ address: service.webAddress, jwk });
