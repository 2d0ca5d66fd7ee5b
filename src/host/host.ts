/** Wires the runnable microservice: keys, audit log, interceptor, handlers, health, and an orderly end. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js';
import type { Logger } from 'winston';
import { readRecentTokens } from '../audit/read/recent-tokens.js';
import type { AuditLog } from '../audit/write/audit-log.js';
import { SealwireError } from '../errors.js';
import { descriptorSet } from '../gen/descriptors.js';
import { addSealedPaymentService, SealedPaymentService } from '../gen/payments/v1/payments_sealed.js';
import type { RecipientKey } from '../jwe/recipient.js';
import { findPassphrase } from '../keys/passphrase.js';
import { loadReviewerKey } from '../keys/reviewer-keys.js';
import type { KeyRing, KeyRingOptions } from '../keys/ring.js';
import type { KeySetPublisher } from '../keys/signed-set/key-set-publisher.js';
import { paymentValidators } from '../payments/payment-rules.js';
import { PaymentStore } from '../payments/payment-store.js';
import { createPaymentHandlers } from '../payments/payments.js';
import { StoredCards, type StoredCardsOptions } from '../payments/stored-cards.js';
import { readDescriptors } from '../schema/run-time/descriptor-plans.js';
import { SealingStatements } from '../schema/sealing-statement.js';
import { createCaller } from '../server/caller.js';
import { addKeyService, KEY_SERVICE_NAME } from '../server/key-service.js';
import { createOpenInterceptor } from '../server/open-interceptor.js';
import { REPLAY_WINDOW_MS, ReplayGuard } from '../server/replay/replay-guard.js';
import { METER_NAME } from '../server/server-metrics.js';
import type { ServiceConfig } from './config.js';
import { reflectIfConfigured } from './describe-service.js';
import { addGauges } from './gauges.js';
import { ServiceHealth } from './health.js';
import { type AskPin, checkHardware, createHardware, watchHardware } from './hsm.js';
import { keyPaths, loadKeys } from './key-files.js';
import { LiveKeys } from './live-keys.js';
import { createApplicationLogger } from './logger.js';
import { createMetricsEndpoint, type MetricsEndpoint } from './metrics-endpoint.js';
import { openAuditLog } from './open-audit-log.js';
import { startKeySet } from './signed-key-set.js';

/** What server reflection lists. */
const SERVICES = [
  SealedPaymentService.plan.typeName,
  KEY_SERVICE_NAME,
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
];
const RECEIVE_LIMIT_BYTES = 1_048_576;

/** A running service. */
export interface RunningService {
  /** `HOST:PORT` as bound. */
  readonly address: string;
  /** `HOST:PORT` of the metrics endpoint, unless it is off. */
  readonly metricsAddress: string | undefined;
  /** The key that senders use now. */
  readonly kid: string;
  readonly keyRing: KeyRing;
  /** The signed key set that the key service serves. */
  readonly keySet: KeySetPublisher;
  /** Thumbprint of the signing root, for clients to pin. */
  readonly root: string;
  readonly store: PaymentStore;
  /** Lets calls finish for the configured time, then ends them; closes the audit log. */
  stop(): Promise<void>;
}

/**
 * Starts the service.
 *
 * @param config checked configuration
 * @param logger default: the application log on stderr
 * @param askPin asked for the PIN of a token that no file or variable gives. Default: nobody is
 * @throws SealwireError for key, audit and TLS files; Error with code `EADDRINUSE` and the like for the address
 */
export async function startService(
  config: ServiceConfig,
  logger = createApplicationLogger(config.logLevel),
  askPin?: AskPin,
): Promise<RunningService> {
  const dir = resolve(config.dir);
  const credentials = readCredentials(config);
  const passphrase = findPassphrase(config.keys.passphraseFile);
  const hardware = createHardware(config, logger, askPin);
  const load: KeyRingOptions = { hardware, ...(passphrase && { passphrase }) };
  const { ring, created } = await loadKeys(dir, load);
  const { reviewerKey: reviewerFile } = config.audit;
  const reviewerKey = reviewerFile === undefined ? undefined : await loadReviewerKey(reviewerFile);
  // First, for its lock: of two services with one folder the second must end before it makes a root or signs a set.
  const audit = await openAuditLog(config, dir, logger);
  const { publisher: keySet, root } = await startKeySet({
    dir,
    origin: config.origin,
    keys: ring,
    logger,
    passphrase,
    statement: stateSealing(),
    ...config.keySet,
  }).catch(async (error: unknown) => {
    await audit.close();
    throw error;
  });
  const metrics = createMetricsEndpoint();
  try {
    const store = new PaymentStore();
    const guard = new ReplayGuard();
    await checkHardware(ring, hardware, logger);
    await guard.restore(readRecentTokens(join(dir, 'audit'), Date.now() - REPLAY_WINDOW_MS));
    const parts = createServer({ config, ring, reviewerKey, keySet, audit, guard, store, logger, metrics });
    const { server, health, opener, resealStored, forgetKey } = parts;
    const metricsAddress = config.metrics.listen === 'off' ? undefined : await metrics.listen(config.metrics.listen);
    const address = await bind(server, config.listen, credentials);
    const cards = createStoredCards({ store, ring, resealStored }, logger);
    const { ring: ringPath, publicKeys: publicPath } = keyPaths(dir);
    const liveKeys = new LiveKeys({ ring, ringPath, publicPath, load, forgetKey, audit, cards, logger });
    const observed = { opener, guard, audit, ring, liveKeys, keySet, hardware };
    addGauges(metrics.provider.getMeter(METER_NAME), observed);
    const unwatchHardware = watchHardware(ring, hardware, logger);
    logStart(logger, config, dir, address, ring.currentKid, created);
    logger.info(`key set of '${config.origin}', signing root ${root}`);
    if (metricsAddress !== undefined) logger.info(`metrics on http://${metricsAddress}/metrics`);
    return {
      address,
      metricsAddress,
      get kid() {
        return ring.currentKid;
      },
      keyRing: ring,
      keySet,
      root,
      store,
      stop: async () => {
        store.close();
        await keySet.close();
        await drain(server, health, config.drainMs);
        await liveKeys.stop();
        await cards.stop();
        await audit.close();
        unwatchHardware();
        hardware.close();
        await metrics.close();
      },
    };
  } catch (error) {
    await keySet.close();
    hardware.close();
    await metrics.close();
    await audit.close();
    throw error;
  }
}

/** Of the services that are ours; the others have nothing sealed. */
function stateSealing(): string {
  const registry = readDescriptors(Buffer.from(descriptorSet, 'base64'));
  return new SealingStatements(registry).ofServices(SERVICES);
}

interface ServiceParts {
  readonly config: ServiceConfig;
  readonly reviewerKey: RecipientKey | undefined;
  readonly ring: KeyRing;
  readonly keySet: KeySetPublisher;
  readonly audit: AuditLog;
  readonly guard: ReplayGuard;
  readonly store: PaymentStore;
  readonly logger: Logger;
  readonly metrics: MetricsEndpoint;
}

function createServer({ config, ring, reviewerKey, keySet, audit, guard, store, logger, metrics }: ServiceParts) {
  const {
    interceptor,
    tokenOpener: opener,
    openStored,
    resealStored,
    forgetKey,
  } = createOpenInterceptor({
    services: [SealedPaymentService],
    keys: ring,
    audit,
    guard,
    validators: paymentValidators,
    policy: config.policy,
    rate: config.rate,
    shares: config.shares,
    ...(reviewerKey && { reviewerKey }),
    ...(config.agreements === 'none' && { cache: { maxEntries: 0 } }),
    meterProvider: metrics.provider,
    caller: createCaller({ trustedProxies: config.trustedProxies, callerHeader: config.callerHeader }),
  });
  const options: ServerOptions = {
    interceptors: [interceptor],
    'grpc.max_receive_message_length': RECEIVE_LIMIT_BYTES,
    'grpc.max_concurrent_streams': 100,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.max_connection_age_ms': config.maxConnectionAgeMs,
    'grpc.max_connection_age_grace_ms': config.drainMs,
    'grpc.max_connection_idle_ms': 900_000,
  };
  const server = new Server(options);
  const handlers = createPaymentHandlers({
    store,
    openStored,
    createId: randomUUID,
    log: (message, facts) => logger.debug(message, facts),
  });
  addSealedPaymentService(server, handlers, (error, path) => {
    // Its message may quote an opened field: the class name has to do.
    logger.error('a handler failed', { path, error: error instanceof Error ? error.name : typeof error });
  });
  addKeyService(server, [keySet]);
  const health = new ServiceHealth(['', SealedPaymentService.plan.typeName, KEY_SERVICE_NAME]);
  health.addTo(server);
  reflectIfConfigured(server, config, SERVICES);
  return { server, health, opener, resealStored, forgetKey };
}

function readCredentials({ tls }: ServiceConfig): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  try {
    const pair = { cert_chain: readFileSync(tls.cert), private_key: readFileSync(tls.key) };
    const ca = tls.clientCa === undefined ? null : readFileSync(tls.clientCa);
    return ServerCredentials.createSsl(ca, [pair], ca !== null);
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    throw new SealwireError('OPTIONS_INVALID', `tls: ${path ?? 'certificate or key'}: ${code ?? 'unreadable'}`);
  }
}

async function bind(server: Server, listen: string, credentials: ServerCredentials): Promise<string> {
  const port = await new Promise<number>((done, fail) => {
    server.bindAsync(listen, credentials, (error, bound) => (error ? fail(error) : done(bound)));
  });
  return `${listen.slice(0, listen.lastIndexOf(':'))}:${port}`;
}

function createStoredCards(parts: Omit<StoredCardsOptions, 'onSwept'>, logger: Logger): StoredCards {
  const onSwept = (resealed: number, failed: number) => logger.info('stored cards sealed anew', { resealed, failed });
  return new StoredCards({ ...parts, onSwept });
}

async function drain(server: Server, health: ServiceHealth, drainMs: number): Promise<void> {
  health.stop();
  await new Promise<void>((done) => {
    const deadline = setTimeout(() => server.forceShutdown(), drainMs);
    server.tryShutdown(() => {
      clearTimeout(deadline);
      done();
    });
  });
}

function logStart(
  logger: Logger,
  config: ServiceConfig,
  dir: string,
  address: string,
  kid: string,
  created: boolean,
): void {
  const paths = keyPaths(dir);
  logger.info(`sealwire payments on ${address}${config.tls === undefined ? ' (plain text)' : ' (TLS)'}`);
  logger.info(`key ${kid}${created ? ' (created)' : ''}, policy ${config.policy}`);
  logger.info(`private keys ${paths.ring}; public keys ${paths.publicKeys}; audit log ${join(dir, 'audit')}`);
}
