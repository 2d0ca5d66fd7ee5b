/** Runs an app: keys, audit log, interceptor, the app's handlers, health, and an orderly end. */
import { resolve } from 'node:path';
import { ServerCredentials } from '@grpc/grpc-js';
import type { Logger } from 'winston';
import { readRecentTokens } from '../audit/read/recent-tokens.js';
import { servicePaths } from '../files/service-paths.js';
import { peekHeader } from '../jwe/header.js';
import { sharedPool } from '../jwe/pool.js';
import { findPassphrase } from '../keys/passphrase.js';
import { loadReviewerKey } from '../keys/reviewer-keys.js';
import type { KeyRing } from '../keys/ring.js';
import type { KeySetPublisher } from '../keys/signed-set/key-set-publisher.js';
import { createCaller } from '../server/caller.js';
import { addKeyService, KEY_SERVICE_NAME } from '../server/key-service.js';
import { createOpenInterceptor } from '../server/open-interceptor.js';
import { limitReceiving } from '../server/receive/receive-limits.js';
import { REPLAY_WINDOW_MS, ReplayGuard } from '../server/replay/replay-guard.js';
import { METER_NAME } from '../server/server-metrics.js';
import { Certificates } from './certificates.js';
import { type ConfigSources, type HostConfig, loadConfig } from './config.js';
import { describeApp, isLoopback, reflectIfConfigured } from './describe-service.js';
import { addGauges } from './gauges.js';
import { ServiceHealth } from './health.js';
import type { HostApp, RunningApp } from './host-app.js';
import { type AskPin, checkHardware, createHardware, watchHardware } from './hsm.js';
import { loadKeys } from './key-files.js';
import { LiveKeys } from './live-keys.js';
import { HandlerErrors } from './log/handler-errors.js';
import { createApplicationLogger } from './log/logger.js';
import { createMetricsEndpoint } from './metrics-endpoint.js';
import { openAuditLog } from './open-audit-log.js';
import { VERSION } from './process/version.js';
import { bind, countCalls, createServer, drain } from './server.js';
import { startKeySet } from './signed-key-set.js';
import type { WebCallLine } from './web/call-lines.js';
import { findRecords, type Insight } from './web/insight.js';
import { createWeb, describeWeb } from './web/start-web.js';

/** Which process it is that starts and stops. */
const PROCESS = { sealwire: VERSION, node: process.version, pid: process.pid };
const PLAIN_TEXT =
  'other machines can call in plain text: whoever is on the way reads all that is not sealed, and can change it; set tls';

/** Options of {@link startHost}. */
export interface HostOptions extends ConfigSources {
  /** Where the application log goes. Default: stderr. */
  readonly logStream?: NodeJS.WritableStream;
}

/** A running service. */
export interface RunningHost<R extends RunningApp = RunningApp> {
  /** `HOST:PORT` as bound. */
  readonly address: string;
  /** `HOST:PORT` of the metrics endpoint, unless it is off. */
  readonly metricsAddress: string | undefined;
  /** `HOST:PORT` of the web gateway, if there is one. */
  readonly webAddress: string | undefined;
  /** The key that senders use now. */
  readonly kid: string;
  /** Thumbprint of the signing root, for clients to pin. */
  readonly root: string;
  /** What the app's `start` returned. */
  readonly app: R;
  /** Lets calls finish for the configured time, then ends them; closes the audit log. */
  stop(): Promise<void>;
}

/** A running service with the parts that tests look at. */
export interface RunningService<R extends RunningApp = RunningApp> extends RunningHost<R> {
  readonly keyRing: KeyRing;
  /** The signed key set that the key service serves. */
  readonly keySet: KeySetPublisher;
}

/** What {@link startService} needs besides the app. */
export interface ServiceOptions<O> {
  /** Checked. */
  readonly config: HostConfig & { readonly app?: O };
  readonly logger: Logger;
  /** Asked for the PIN of a token that no file or variable gives. Default: nobody is. */
  readonly askPin?: AskPin | undefined;
}

/**
 * Starts an app with all that `sealwire serve` has; signals are left to the caller, see `runHost`.
 *
 * @throws SealwireError for configuration, key, audit and TLS files; Error with code `EADDRINUSE` and the like for the
 *   address; whatever the app's `start` throws
 *
 * @example
 * ```ts
 * import { type HostApp, startHost } from 'sealwire/host';
 *
 * declare const app: HostApp;
 * const running = await startHost(app, { config: { listen: '127.0.0.1:0' } });
 * console.log(running.address);
 * await running.stop();
 * ```
 */
export async function startHost<R extends RunningApp, O>(
  app: HostApp<R, O>,
  options: HostOptions = {},
): Promise<RunningHost<R>> {
  const config = loadConfig(app, options);
  return startService(app, {
    config,
    logger: createApplicationLogger(config.logLevel, options.logStream, config.logFormat),
  });
}

/** As {@link startHost}, of a configuration that is checked already. */
export async function startService<R extends RunningApp, O>(
  app: HostApp<R, O>,
  options: ServiceOptions<O>,
): Promise<RunningService<R>> {
  // What was started last is stopped first.
  const stops: (() => unknown)[] = [];
  const stopAll = async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  };
  try {
    return await start(app, options, { stops, stopAll });
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** What has to be stopped. */
interface Stops {
  readonly stops: (() => unknown)[];
  readonly stopAll: () => Promise<void>;
}

async function start<R extends RunningApp, O>(
  app: HostApp<R, O>,
  { config, logger, askPin }: ServiceOptions<O>,
  { stops, stopAll }: Stops,
): Promise<RunningService<R>> {
  const dir = resolve(config.dir);
  const { origin } = config;
  const names = app.services.map(({ plan }) => plan.typeName);
  const health = new ServiceHealth(['', ...names], [KEY_SERVICE_NAME]);
  const description = describeApp(app);
  const certificates = config.tls && new Certificates(config.tls, logger);
  stops.push(() => certificates?.close());
  const passphrase = findPassphrase(config.keys.passphraseFile);
  const hardware = createHardware({ config: config.hsm, logger, askPin, onChange: () => lookAtCustody() });
  stops.push(() => hardware.close());
  const { ring, created } = await loadKeys(dir, { hardware, ...(passphrase && { passphrase }) });
  const lookAtCustody = () => health.set('key custody', !hardware.isAway(ring.currentKid));
  const reviewerKey = config.audit.reviewerKey && (await loadReviewerKey(config.audit.reviewerKey));
  // First, for its lock: of two services with one folder the second must end before it makes a root or signs a set.
  const onWritable = (isWritable: boolean) => health.set('audit log', isWritable);
  const audit = await openAuditLog({ config, dir, logger, onWritable });
  stops.push(() => audit.close());
  const { publisher: keySet, root } = await startKeySet({
    dir,
    origin,
    keys: ring,
    logger,
    passphrase,
    statement: description.statement,
    ...config.keySet,
  });
  stops.push(() => keySet.close());
  const metrics = createMetricsEndpoint();
  stops.push(() => metrics.close());
  const guard = new ReplayGuard();
  await checkHardware(ring, hardware, logger);
  await sharedPool().check();
  await guard.restore(readRecentTokens(servicePaths(dir).audit, Date.now() - REPLAY_WINDOW_MS));

  const caller = createCaller({ trustedProxies: config.trustedProxies, callerHeader: config.callerHeader });
  const { interceptor, tokenOpener, openStored, resealStored, forgetKey } = createOpenInterceptor({
    services: app.services,
    keys: ring,
    audit,
    guard,
    policy: config.policy,
    rate: config.rate,
    shares: config.shares,
    ...(app.validators && { validators: app.validators }),
    ...(reviewerKey && { reviewerKey }),
    ...(config.agreements === 'none' && { cache: { maxEntries: 0 } }),
    meterProvider: metrics.provider,
    caller,
  });
  const server = createServer(config, interceptor);
  const errors = new HandlerErrors(logger);
  const listeners: (() => void)[] = [];
  const running = await app.start({
    options: config.app as O,
    logger,
    server,
    add: (addService, handlers) => addService(server, handlers, errors.report),
    openStored,
    resealStored,
    needsReseal: (token) => ring.stateOf(peekHeader(token).kid ?? '') === 'stored',
    onKeysChanged: (listener) => listeners.push(listener),
  });
  stops.push(() => running.stop?.());
  addKeyService(server, [keySet]);
  health.addTo(server);
  reflectIfConfigured(server, config, description, caller);

  const { ring: ringPath, publicKeys: publicPath } = servicePaths(dir);
  const load = { hardware, ...(passphrase && { passphrase }) };
  const onChanged = () => {
    lookAtCustody();
    for (const listener of listeners) listener();
  };
  const insight = async (requestId: string | undefined, calls: readonly WebCallLine[]): Promise<Insight> => {
    const records = requestId === undefined ? [] : await findRecords(servicePaths(dir).audit, requestId);
    return { service: origin, root, calls, records };
  };
  const web = await createWeb({ app, services: description.forWeb, config, server, certificates, logger, insight });
  const metricsAddress = config.metrics.listen === 'off' ? undefined : await metrics.listen(config.metrics.listen);
  const address = await bind(server, config.listen, certificates?.credentials ?? ServerCredentials.createInsecure());
  limitReceiving(server, { caller, shares: config.shares });
  const liveKeys = new LiveKeys({ ring, ringPath, publicPath, load, forgetKey, audit, onChanged, logger });
  stops.push(() => liveKeys.stop(), watchHardware(ring, hardware, logger));
  addGauges(metrics.provider.getMeter(METER_NAME), {
    opener: tokenOpener,
    guard,
    audit,
    ring,
    liveKeys,
    keySet,
    hardware,
  });
  stops.push(async () => {
    const watchers = health.stop();
    running.drain?.();
    web?.gateway.drain();
    const calls = Math.max(0, countCalls(server) - watchers);
    logger.info(`draining: ${calls} calls, which have ${config.drainMs / 1_000} s to finish`);
    await drain(server, config.drainMs, () => {
      errors.end();
      logger.warn('calls are ended: they took longer than drainMs', { calls: countCalls(server) });
    });
    errors.end();
    await web?.gateway.close();
  });
  const webAddress = await web?.listen();
  logger.info(`${app.name} on ${address}${certificates === undefined ? ' (plain text)' : ' (TLS)'}`, PROCESS);
  if (certificates === undefined && !isLoopback(address)) logger.warn(PLAIN_TEXT, { address });
  logger.info(`key ${ring.currentKid}${created ? ' (created)' : ''}, policy ${config.policy}`);
  logger.info(`private keys ${ringPath}; public keys ${publicPath}; audit log ${servicePaths(dir).audit}`);
  logger.info(`key set of '${origin}', signing root ${root}`);
  if (metricsAddress !== undefined) logger.info(`metrics on http://${metricsAddress}/metrics`);
  if (webAddress !== undefined) logger.info(describeWeb(webAddress, certificates !== undefined));
  return {
    address,
    metricsAddress,
    webAddress,
    get kid() {
      return ring.currentKid;
    },
    root,
    app: running,
    keyRing: ring,
    keySet,
    async stop() {
      await stopAll();
      logger.info('stopped', PROCESS);
    },
  };
}
