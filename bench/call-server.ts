/** Child process of the calls bench: one payments service in four forms, on four ports. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { AuditLog } from '../src/audit/write/audit-log.js';
import {
  type AuthorizeRequest,
  type AuthorizeResponse,
  PaymentServiceService,
} from '../src/gen/payments/v1/payments.js';
import { type OpenedAuthorizeRequest, SealedPaymentService } from '../src/gen/payments/v1/payments_sealed.js';
import { KeyRing } from '../src/keys/ring.js';
import { addSealedService } from '../src/server/add-service.js';
import type { AuditSink } from '../src/server/audit-sink.js';
import { createOpenInterceptor } from '../src/server/open-interceptor.js';

const RESPONSE: AuthorizeResponse = { paymentId: 'p-1', status: 'authorized', cardLast4: '1111' };
const silent: AuditSink = { commit: () => Promise.resolve(), note: () => {} };

const clear: handleUnaryCall<AuthorizeRequest, AuthorizeResponse> = (call, callback) => {
  if (call.request.card.length === 0) callback(new Error('no card'));
  else callback(null, RESPONSE);
};
const sealed: handleUnaryCall<OpenedAuthorizeRequest, AuthorizeResponse> = (call, callback) => {
  if (call.request.card.number.length === 0) callback(new Error('no card'));
  else callback(null, RESPONSE);
};

const ring = await KeyRing.create('P-521');
const dir = await mkdtemp(join(process.env['BENCH_AUDIT_DIR'] ?? tmpdir(), 'sealwire-bench-'));
const audit = await AuditLog.open({ dir: join(dir, 'audit'), origin: 'bench' });

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}

function sealedServer(sink: AuditSink): Server {
  const { interceptor } = createOpenInterceptor({ services: [SealedPaymentService], keys: ring, audit: sink });
  const server = new Server({ interceptors: [interceptor] });
  addSealedService(server, SealedPaymentService, { authorize: sealed });
  return server;
}

/** @param interceptors none, or one that does nothing */
function clearServer(interceptors: ServerInterceptor[]): Server {
  const server = new Server({ interceptors });
  server.addService(PaymentServiceService, { authorize: clear } as never);
  return server;
}

const servers = {
  clear: clearServer([]),
  bare: clearServer([(_, call) => new ServerInterceptingCall(call)]),
  sealed: sealedServer(silent),
  audited: sealedServer(audit),
};
const ports = {
  clear: await listen(servers.clear),
  bare: await listen(servers.bare),
  sealed: await listen(servers.sealed),
  audited: await listen(servers.audited),
};

process.on('message', (message) => {
  if (message === 'cpu') process.send?.({ cpu: process.cpuUsage(), audit: audit.stats() });
  if (message === 'stop') void stop();
});
process.on('disconnect', () => void stop());

async function stop(): Promise<void> {
  for (const server of Object.values(servers)) server.forceShutdown();
  await audit.close();
  await rm(dir, { recursive: true, force: true });
  process.exit(0);
}

process.send?.({ ports, jwks: ring.publicJwks() });
