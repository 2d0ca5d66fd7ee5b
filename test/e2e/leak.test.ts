import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { inspect } from 'node:util';
import type { FileRegistry } from '@bufbuild/protobuf';
import { credentials, Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { expect } from 'chai';
import { transports } from 'winston';
import { AuditLog } from '../../src/audit/write/audit-log.js';
import { SealedClient } from '../../src/client/client.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { createApplicationLogger } from '../../src/host/log/logger.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import type { SealedServiceDefinition } from '../../src/schema/plan.js';
import { addSealedService } from '../../src/server/add-service.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';
import { SealedPatientService } from '../gen/clinic/v1/clinic_sealed.js';
import { SealedScoreService } from '../gen/games/v1/games_sealed.js';
import { SealedCheckoutService } from '../gen/shop/v1/shop_sealed.js';
import { CANARY, canariesIn } from '../support/canary.js';
import { clientWays } from '../support/client-ways.js';
import { type RecordingRelay, startRecordingRelay } from '../support/recording-relay.js';
import { loadDescriptors, SampleMaker } from '../support/sample-messages.js';

interface Subject {
  readonly service: SealedServiceDefinition<ServiceDefinition>;
  readonly method: string;
  readonly request: string;
  readonly long: 'string' | 'bigint';
  /** How many variants its oneofs have. */
  readonly variants: number;
}

const subjects: Record<string, Subject> = {
  payments: {
    service: SealedPaymentService,
    method: 'authorize',
    request: 'payments.v1.AuthorizeRequest',
    long: 'string',
    variants: 1,
  },
  'a patient record': {
    service: SealedPatientService,
    method: 'saveRecord',
    request: 'clinic.v1.SaveRecordRequest',
    long: 'bigint',
    variants: 1,
  },
  'game scores': {
    service: SealedScoreService,
    method: 'submit',
    request: 'games.v1.SubmitRequest',
    long: 'bigint',
    variants: 1,
  },
  'a checkout': {
    service: SealedCheckoutService,
    method: 'checkout',
    request: 'shop.v1.CheckoutRequest',
    long: 'bigint',
    variants: 3,
  },
};

/** Calls any method of any service. */
class AnyClient extends SealedClient {
  call(method: string, request: object): Promise<unknown> {
    return this.unary(method, request);
  }
}

describe('leaks', () => {
  let registry: FileRegistry;
  let insurer: KeyRing;
  before(async () => {
    registry = loadDescriptors();
    insurer = await KeyRing.create('P-256');
  });

  const cases = Object.entries(subjects).flatMap(([name, subject]) =>
    Array.from({ length: subject.variants }, (_, variant) => ({ name, subject, variant })),
  );
  for (const [way, optionsFor] of Object.entries(clientWays)) {
    for (const { name, subject, variant } of cases) {
      it(`none of ${name}, variant ${variant}, ${way}: a canary in every sealed position reaches the handler and nothing else`, async () => {
        const ring = await KeyRing.create();
        const dir = await mkdtemp(join(tmpdir(), 'sealwire-leak-'));
        const printed: string[] = [];
        const sink = () =>
          new Writable({
            write(chunk, _encoding, done) {
              printed.push(String(chunk));
              done();
            },
          });
        const audit = await AuditLog.open({
          dir,
          origin: 'leak-test',
          keyFile: join(dir, 'log.key'),
          transports: [new transports.Stream({ stream: sink() })],
        });
        const logger = createApplicationLogger('debug', sink());
        const server = new Server({
          interceptors: [createOpenInterceptor({ services: [subject.service], keys: ring, audit }).interceptor],
        });
        let handled: Record<string, unknown> | undefined;
        addSealedService(
          server,
          subject.service,
          {
            [subject.method]: (call: { request: Record<string, unknown> }) => {
              handled = call.request;
              logger.info('handled', { request: call.request });
              logger.info(call.request as never);
              for (const field of Object.values(call.request)) {
                logger.info('field', field);
                logger.info(field as never);
              }
              logger.info(`handled ${String(call.request)}`, call.request);
              throw new Error(`failed with ${JSON.stringify(Object.values(call.request))} ${CANARY}`);
            },
          },
          (error) => logger.error('failed', { error: (error as Error).name }),
        );
        const port = await new Promise<number>((resolve) => {
          server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => resolve(bound));
        });
        const relay: RecordingRelay = await startRecordingRelay(`127.0.0.1:${port}`);
        const keys = staticKeySource({ '': ring.current(), insurer: insurer.current() });
        const client = new AnyClient(relay.address, credentials.createInsecure(), subject.service, {
          keys,
          ...(await optionsFor(ring.current(), insurer.current())),
        });
        const maker = new SampleMaker(registry, CANARY, subject.long);
        const request = maker.make(subject.request, variant);
        const output = captureOutput();
        let failure: unknown;
        try {
          await client.call(subject.method, request);
        } catch (error) {
          failure = error;
        }
        const process = output.stop();
        client.close();
        await relay.close();
        server.forceShutdown();
        await audit.close();
        const stored = await Promise.all((await readdir(dir)).map((file) => readFile(join(dir, file), 'utf8')));
        await rm(dir, { recursive: true });

        expect(maker.sealedPositions).to.be.greaterThan(1);
        expect(countCanaries(handled)).to.equal(countCanaries(request) - (name === 'a patient record' ? 1 : 0));
        const places = {
          wire: relay.seen(),
          audit: stored.join(''),
          logs: printed.join(''),
          output: process,
          error: inspect(failure, { depth: 9, showHidden: true }),
          json: JSON.stringify(handled, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
          inspected: inspect(handled, { depth: 20, showHidden: false }),
        };
        for (const [place, text] of Object.entries(places)) {
          expect(text.length, place).to.be.greaterThan(place === 'output' ? -1 : 20);
          expect(canariesIn(text), place).to.deep.equal([]);
        }
        expect(places.inspected).to.contain('[opened ');
        expect(places.logs).to.contain('an opened message is not logged');
      });
    }
  }
});

/** Counts canaries by reading properties, as a handler does. */
function countCanaries(value: unknown): number {
  if (value === CANARY) return 1;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce((sum: number, child) => sum + countCanaries(child), 0);
}

/** Keeps what the process prints meanwhile. */
function captureOutput(): { stop(): string } {
  const chunks: string[] = [];
  const originals = [process.stdout.write, process.stderr.write] as const;
  const capture = ((chunk: unknown) => chunks.push(String(chunk)) > 0) as typeof process.stdout.write;
  process.stdout.write = capture;
  process.stderr.write = capture;
  return {
    stop() {
      [process.stdout.write, process.stderr.write] = originals;
      return chunks.join('');
    },
  };
}
