/** A real Envoy with the project's own configuration. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environment, run } from './command.js';
import { toolEnvironment } from './tools.js';

/** A running one. */
export interface Envoy {
  /** `HOST:PORT` where it listens. */
  readonly address: string;
  /** Stops it. @returns its access log */
  stop(): Promise<string>;
}

/** Where the page comes from: no part of the file, for pages are served from anywhere. */
const PAGES_ROUTE = `
                        - match: { prefix: / }
                          route: { cluster: pages }`;
const pagesCluster = (port: string) => `
    - name: pages
      type: STATIC
      load_assignment:
        cluster_name: pages
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } }
`;

/**
 * @param service `HOST:PORT` of gRPC
 * @param pages `HOST:PORT` of pages
 */
export async function startEnvoy(service: string, pages: string): Promise<Envoy> {
  const portOf = (address: string) => address.slice(address.lastIndexOf(':') + 1);
  const folder = mkdtempSync(join(tmpdir(), 'sealwire-envoy-'));
  const config = readFileSync('deploy/envoy.yaml', 'utf8')
    .replace('port_value: 8081', 'port_value: 0')
    .replace('port_value: 50051', `port_value: ${portOf(service)}`)
    .replace('  clusters:', `${PAGES_ROUTE.slice(1)}\n  clusters:`)
    .concat(pagesCluster(portOf(pages)));
  const at = (name: string) => join(folder, name);
  writeFileSync(at('envoy.yaml'), config);
  const admin = 'admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }';
  const flags = ['--config-path', at('envoy.yaml'), '--config-yaml', admin, '--admin-address-path', at('admin')];
  const quiet = ['--log-level', 'warning', '--use-dynamic-base-id', '--concurrency', '1'];
  const envoy = run('envoy', [...flags, ...quiet], { env: { ...environment, PATH: toolEnvironment['PATH'] } });
  return {
    address: await findAddress(at('admin'), envoy.ended, envoy.stderr),
    async stop() {
      envoy.child.kill('SIGTERM');
      await envoy.ended;
      rmSync(folder, { recursive: true });
      return envoy.stdout();
    },
  };
}

/** Asks the admin endpoint until it is there. */
async function findAddress(file: string, ended: Promise<unknown>, errors: () => string): Promise<string> {
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  while (!isOver) {
    try {
      const answer = await fetch(`http://${readFileSync(file, 'utf8').trim()}/listeners?format=json`);
      const { listener_statuses: [listener] = [] } = (await answer.json()) as Listeners;
      const { address, port_value: port } = listener?.local_address.socket_address ?? {};
      if (port !== undefined) return `${address}:${port}`;
    } catch {
      // It is still starting.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Envoy did not start: ${errors()}`);
}

interface Listeners {
  readonly listener_statuses?: readonly {
    readonly local_address: { readonly socket_address: { readonly address: string; readonly port_value: number } };
  }[];
}
