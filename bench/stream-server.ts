/** Child process of the streams bench: a server that counts the messages of one stream, in one of three forms. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { AuditLog } from '../src/audit/write/audit-log.js';
import { PaymentServiceService } from '../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../src/gen/payments/v1/payments_sealed.js';
import { KeyRing } from '../src/keys/ring.js';
import type { AuditSink } from '../src/server/audit-sink.js';
import { createOpenInterceptor } from '../src/server/open-interceptor.js';

const variant = process.argv[2];
const silent: AuditSink = { commit: () => Promise.resolve(), note: () => {} };
const ring = await KeyRing.create('P-521');
const dir = await mkdtemp(join(process.env['BENCH_AUDIT_DIR'] ?? tmpdir(), 'sealwire-bench-'));
const log = variant === 'audited' ? await AuditLog.open({ dir, origin: 'bench' }) : undefined;
const { interceptor } = createOpenInterceptor({ services: [SealedPaymentService], keys: ring, audit: log ?? silent });
const server = new Server({ interceptors: variant === 'clear' ? [] : [interceptor] });

interface Imports {
  on(event: 'data', listener: (message: { payment?: { card: string | { number: string } } }) => void): void;
  on(event: 'end', listener: () => void): void;
}
const importPayments = (call: Imports, callback: (error: Error | null, value: { imported: string }) => void) => {
  let imported = 0;
  call.on('data', ({ payment }) => {
    const card = payment?.card;
    // The card must be what this form of the service should see.
    if ((variant === 'clear' ? card : (card as { number?: string } | undefined)?.number) !== undefined) imported++;
  });
  call.on('end', () => callback(null, { imported: String(imported) }));
};
server.addService(PaymentServiceService, { importPayments } as never);
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
    error ? reject(error) : resolve(bound),
  );
});

process.on('message', () => process.send?.({ peakRss: process.resourceUsage().maxRSS * 1_024 }));
process.on('disconnect', () => void stop());

async function stop(): Promise<void> {
  server.forceShutdown();
  await log?.close();
  await rm(dir, { recursive: true, force: true });
  process.exit(0);
}

process.send?.({ port, jwks: ring.publicJwks() });
