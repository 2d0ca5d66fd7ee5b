/** Decides whether and where the web gateway runs. Its code, and the package that it needs, is loaded only then. */
import type { Server as GrpcServer } from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import type { Certificates } from '../certificates.js';
import type { HostConfig } from '../config.js';
import { isLoopback } from '../describe-service.js';
import type { AppLogger, HostApp } from '../host-app.js';
import type { WebGateway, WebGatewayOptions } from './web-gateway.js';

/** What {@link createWeb} needs. */
export interface WebOptions {
  readonly app: Pick<HostApp, 'web'>;
  /** Full names of the services that web clients may call. */
  readonly services: readonly string[];
  readonly config: Pick<HostConfig, 'web' | 'tls'>;
  readonly server: GrpcServer;
  readonly certificates: Certificates | undefined;
  /** What `GET /insight` tells. */
  readonly insight: NonNullable<WebGatewayOptions['insight']>;
  readonly logger: AppLogger;
}

/** A gateway that does not listen yet. */
export interface Web {
  readonly gateway: WebGateway;
  /**
   * @returns where; undefined if the app's own address, which nobody asked for, is taken
   * @throws Error with code `EADDRINUSE` and the like
   */
  listen(): Promise<string | undefined>;
}

const PACKAGE = '@connectrpc/connect';

/**
 * Before the server is given its limits of receiving.
 *
 * @returns undefined where no gateway is wanted, or the app's own one cannot be had
 * @throws SealwireError `OPTIONS_INVALID`
 */
export async function createWeb(options: WebOptions): Promise<Web | undefined> {
  const { app, services, config, server, certificates, insight, logger } = options;
  const { listen: configured, origins } = config.web;
  const address = configured ?? app.web?.listen ?? 'off';
  if (address === 'off') return undefined;
  try {
    if (config.tls?.clientCa !== undefined) {
      throw new SealwireError('OPTIONS_INVALID', 'web.listen: not with tls.clientCa: browsers have no certificates');
    }
    const { WebGateway: Gateway } = await loadGateway();
    const gateway = new Gateway({
      server,
      services,
      origins,
      certificates,
      pages: app.web?.pages,
      ...(app.web?.insight === true && isLoopback(address) && { insight }),
      logger,
    });
    return { gateway, listen: () => listen(gateway, address, configured === undefined, logger) };
  } catch (error) {
    if (configured !== undefined || !(error instanceof SealwireError)) throw error;
    logger.warn(`no web gateway: ${error.message}`);
    return undefined;
  }
}

async function loadGateway(): Promise<typeof import('./web-gateway.js')> {
  try {
    return await import('./web-gateway.js');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new SealwireError('OPTIONS_INVALID', `web.listen needs the package ${PACKAGE}: npm install ${PACKAGE}`);
  }
}

async function listen(gateway: WebGateway, address: string, isOwn: boolean, logger: AppLogger) {
  try {
    return await gateway.listen(address);
  } catch (error) {
    if (!isOwn || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    logger.warn(`no web gateway: ${address} is taken; set web.listen or SEALWIRE_WEB_LISTEN to another address`);
    return undefined;
  }
}

/** @returns the line on where the gateway is */
export function describeWeb(address: string, isSecure: boolean): string {
  const url = `${isSecure ? 'https' : 'http'}://${address}/`;
  return `web gateway on ${url}${isLoopback(address) ? ' (loopback: this machine only)' : ''}`;
}
