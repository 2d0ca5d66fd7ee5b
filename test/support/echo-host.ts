/** A host whose handlers get and give the bytes of messages as they are, behind a web gateway. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
} from '@grpc/grpc-js';
import { paymentsDescriptors } from '../../src/gen/descriptors.js';
import { createConfigSchema, type HostConfigInput } from '../../src/host/config.js';
import { type RunningService, startService } from '../../src/host/host.js';
import type { AppWeb, HostApp } from '../../src/host/host-app.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';

/** Handlers of bytes. */
export interface EchoHandlers {
  readonly authorize: handleUnaryCall<Buffer, Buffer>;
  readonly watchPayments: handleServerStreamingCall<Buffer, Buffer>;
}

/** A running one. */
export interface EchoHost {
  readonly service: RunningService;
  /** `http://HOST:PORT` of the gateway. */
  readonly url: string;
  logged(): string;
  /** @returns when the application log has printed this */
  loggedText(text: string): Promise<void>;
  stop(): Promise<void>;
}

const same = (bytes: Buffer) => bytes;
const SERVICE = '/payments.v1.PaymentService';
/** Paths of the two methods. */
export const AUTHORIZE = `${SERVICE}/Authorize`;
export const WATCH = `${SERVICE}/WatchPayments`;

/** @param handlers looked up at each call */
export async function startEchoHost(
  handlers: EchoHandlers,
  config: HostConfigInput = {},
  web: AppWeb = {},
): Promise<EchoHost> {
  const bytes = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  const definition = {
    authorize: { path: AUTHORIZE, requestStream: false, responseStream: false, ...bytes },
    watchPayments: { path: WATCH, requestStream: false, responseStream: true, ...bytes },
  };
  const app: HostApp = {
    name: 'echo',
    services: [],
    descriptors: Buffer.from(paymentsDescriptors, 'base64'),
    web,
    start({ server }) {
      server.addService(definition, {
        authorize: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) =>
          handlers.authorize(call, callback),
        watchPayments: (call: ServerWritableStream<Buffer, Buffer>) => handlers.watchPayments(call),
      });
      return {};
    },
  };
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-echo-'));
  const base = { listen: '127.0.0.1:0', dir, drainMs: 500, metrics: { listen: 'off' }, web: { listen: '127.0.0.1:0' } };
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      for (const check of waiting) check();
      done();
    },
  });
  const logger = createApplicationLogger('info', stream);
  const service = await startService(app, { config: createConfigSchema(app).parse({ ...base, ...config }), logger });
  let stopping: Promise<void> | undefined;
  return {
    service,
    url: `${config.tls === undefined ? 'http' : 'https'}://${service.webAddress}`,
    logged: () => lines.join(''),
    loggedText: (text) =>
      new Promise((resolve) => {
        const check = () => {
          if (!lines.join('').includes(text)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    async stop() {
      stopping ??= service.stop();
      await stopping;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
