/**
 * The service's Prometheus endpoint: `/metrics` on a port of its own, so that a proxy for calls does not expose it by
 * accident.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { MeterProvider } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider as SdkMeterProvider } from '@opentelemetry/sdk-metrics';
import { isLoopback } from './describe-service.js';
import { nameFailure } from './server.js';

const PATH = '/metrics';

/** A running endpoint. */
export interface MetricsEndpoint {
  /** The meter provider to use. */
  readonly provider: MeterProvider;
  /** Starts to listen. @returns `HOST:PORT` as bound @throws Error with code `EADDRINUSE` and the like */
  listen(address: string): Promise<string>;
  close(): Promise<void>;
}

/** Makes the endpoint; it answers once it listens. */
export function createMetricsEndpoint(): MetricsEndpoint {
  // We use our own server: the exporter's refuses port 0 and logs its errors itself.
  const exporter = new PrometheusExporter({ preventServerStart: true, withoutTargetInfo: true });
  const provider = new SdkMeterProvider({ readers: [exporter] });
  let names: readonly string[] = [];
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    if (names.length > 0 && !names.includes(hostOf(request.headers.host))) {
      response.writeHead(421, { 'content-type': 'text/plain' }).end('not a name of this service\n');
      return;
    }
    // Not parsed with `URL`, which throws for some targets, such as `//`: that would end the process.
    const [pathname] = (request.url ?? '').split('?', 1);
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (pathname === PATH && isRead) exporter.getMetricsRequestHandler(request, response);
    else response.writeHead(isRead ? 404 : 405, { 'content-type': 'text/plain' }).end(`see ${PATH}\n`);
  });
  return {
    provider,
    listen: (address) => {
      names = namesOf(address);
      return listen(server, address);
    },
    async close() {
      // Scrapers keep their connections open.
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await provider.shutdown();
    },
  };
}

/**
 * Names under which a loopback address is asked. A page in the operator's browser could otherwise read the metrics by a
 * name of its own that leads to that address. Other addresses have names that nobody here knows: any is good.
 */
function namesOf(address: string): readonly string[] {
  const host = hostOf(address);
  return isLoopback(address) ? [...new Set([host, 'localhost', '127.0.0.1', '[::1]'])] : [];
}

function hostOf(address = ''): string {
  return address.replace(/:\d*$/, '').toLowerCase();
}

function listen(server: Server, address: string): Promise<string> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(nameFailure('metrics.listen', address, error));
    server.once('error', fail);
    server.listen({ host, port: Number(address.slice(at + 1)) }, () => {
      server.off('error', fail);
      resolve(`${address.slice(0, at)}:${(server.address() as AddressInfo).port}`);
    });
  });
}
