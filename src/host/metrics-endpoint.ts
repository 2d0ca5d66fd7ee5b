/**
 * The service's Prometheus endpoint: `/metrics` on a port of its own, so that a proxy for calls does not expose it by
 * accident.
 */
import { createServer } from 'node:http';
import type { MeterProvider } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider as SdkMeterProvider } from '@opentelemetry/sdk-metrics';
import { createNameCheck, listen } from './http-listen.js';

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
  let isNamed = createNameCheck('');
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    if (!isNamed(request.headers.host)) {
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
      isNamed = createNameCheck(address);
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
