/** A service's configuration: a JSON file, then the environment, then flags; checked in one place. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { SealwireError } from '../errors.js';
import { decodeText } from '../files/file-text.js';
import { PASSPHRASE_VARIABLE } from '../keys/passphrase.js';
import { hasDuplicateNames } from '../profile/json-names.js';
import { auditSchema } from './audit-config.js';
import type { HostApp, RunningApp } from './host-app.js';
import { CALLER_VARIABLES } from './process/caller-variables.js';
import { createWebSchema } from './web/web-config.js';

const HOST_PORT = /^(?:\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/;
const NAME = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\s+]+$/, 'must not contain white space or +');

/** The host's options; each description tells unit, default and range. */
const hostSchema = z.strictObject({
  listen: z
    .string()
    .regex(HOST_PORT, 'must be HOST:PORT')
    .default('127.0.0.1:50051')
    .describe('Address to listen on; port 0 picks a free one.'),
  dir: z.string().min(1).default('./var').describe('Folder of keys and audit log; created if missing.'),
  policy: z
    .enum(['strict', 'interop'])
    .default('strict')
    .describe('strict: the whole token profile; interop: also tokens of stock JOSE clients.'),
  origin: NAME.describe(
    "The service's name in audit records, checkpoints and its key set; a log keeps the one it began with.",
  ),
  keys: z
    .strictObject({
      passphraseFile: z
        .string()
        .min(1)
        .optional()
        .describe('File with the passphrase of an encrypted key ring; its first line counts. A new ring is encrypted.'),
    })
    .prefault({})
    .describe('The key ring.'),
  tls: z
    .strictObject({
      cert: z.string().describe('PEM file of the certificate chain.'),
      key: z.string().describe('PEM file of the private key.'),
      clientCa: z
        .string()
        .optional()
        .describe('PEM file of the CAs of client certificates; when given, clients must present one (mTLS).'),
    })
    .optional()
    .describe('TLS; without it the service speaks plain text, for a proxy or loopback.'),
  trustedProxies: z
    .array(z.string())
    .default([])
    .describe('Proxies whose caller header is believed: addresses, CIDR ranges or mTLS identities.'),
  callerHeader: z
    .string()
    .regex(/^[a-z0-9_.-]+$/)
    .default('x-sealwire-caller')
    .describe('Metadata key in which a trusted proxy names the caller; set, not added to: one name, no comma.'),
  web: createWebSchema(HOST_PORT),
  audit: auditSchema,
  rate: z
    .strictObject({
      perSecond: z
        .int()
        .min(1)
        .max(1_000_000)
        .default(50)
        .describe('Fresh agreements per second and caller; 1 to 1,000,000.'),
      burst: z
        .int()
        .min(1)
        .max(1_000_000)
        .default(100)
        .describe('Fresh agreements of a caller at once; 1 to 1,000,000.'),
    })
    .prefault({})
    .describe('Limits per caller.'),
  shares: z
    .record(
      z.string().regex(/^(certificate|proxy|address|credential|custom):./, 'must be KIND:NAME'),
      z.int().min(1).max(1_000),
    )
    .default({})
    .describe(
      'Callers that stand for many senders, as KIND:NAME (certificate, proxy or address), and how many times the rate, ' +
        'cache places and queue places of others they have; 1 to 1,000.',
    ),
  keySet: z
    .strictObject({
      lifeSeconds: z
        .int()
        .min(300)
        .max(86_400)
        .default(86_400)
        .describe('Life of a signed key set, s: how long clients survive without the service; 300 to 86,400.'),
      maxAgeSeconds: z
        .int()
        .min(1)
        .max(86_400)
        .default(900)
        .describe('How long clients use a key set before they ask again, s; 1 to 86,400.'),
    })
    .prefault({})
    .describe('The signed key set.'),
  hsm: z
    .strictObject({
      module: z.string().min(1).optional().describe('PKCS#11 library for key URIs that name none.'),
      pinFile: z
        .string()
        .min(1)
        .optional()
        .describe('File with the PIN for tokens whose URI has no pin-source; its first line counts.'),
      sessions: z.int().min(1).max(16).default(2).describe('Sessions per token, each a process; 1 to 16.'),
      deadlineMs: z
        .int()
        .min(100)
        .max(60_000)
        .default(5_000)
        .describe('How long a call to a token may take, ms; 100 to 60,000.'),
    })
    .prefault({})
    .describe('Keys in PKCS#11 tokens.'),
  metrics: z
    .strictObject({
      listen: z
        .union([z.literal('off'), z.string().regex(HOST_PORT, 'must be HOST:PORT or off')])
        .default('127.0.0.1:0')
        .describe('Address of the Prometheus endpoint /metrics; port 0 picks a free one; off for none.'),
    })
    .prefault({})
    .describe('Metrics.'),
  agreements: z
    .enum(['cached', 'none'])
    .default('cached')
    .describe(
      'none: every message makes its agreement with the private key anew, however slow; raise the rate with it.',
    ),
  reflection: z
    .enum(['loopback', 'on', 'off'])
    .default('loopback')
    .describe('Server reflection, which tells callers the schema; loopback: on where only this machine can call.'),
  drainMs: z
    .int()
    .min(0)
    .max(600_000)
    .default(10_000)
    .describe('How long calls may finish after SIGTERM, SIGINT or SIGHUP, ms; 0 to 600,000.'),
  maxConnectionAgeMs: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(3_600_000)
    .describe('Age at which connections are renewed, ms; 1,000 to 86,400,000.'),
  logLevel: z
    .enum(['error', 'warn', 'info', 'debug'])
    .default('info')
    .describe('Level of the application log on stderr.'),
  logFormat: z
    .enum(['text', 'json'])
    .default('text')
    .describe('Form of its lines: text for people, or json, one object per line.'),
});

/** The checked configuration with defaults in place. */
export type HostConfig = z.output<typeof hostSchema>;
/** The host's options, and those of the app under `app`. What is left out is left to the defaults. */
export type HostConfigInput = Partial<z.input<typeof hostSchema>> & { readonly app?: unknown };

/** What the schema depends on. */
type Configured<O> = Pick<HostApp<RunningApp, O>, 'name' | 'options'>;

/**
 * @param app its name is the default of `origin`, its options stand under `app`
 * @returns the schema of the whole file
 * @throws SealwireError `OPTIONS_INVALID` for a name that cannot be an origin
 */
export function createConfigSchema<O>({ name, options }: Configured<O>): z.ZodType<HostConfig & { readonly app?: O }> {
  if (!NAME.safeParse(name).success) {
    throw new SealwireError('OPTIONS_INVALID', 'name: must have 1 to 128 characters, without white space and +');
  }
  const { description = '' } = hostSchema.shape.origin;
  const origin = NAME.default(name).describe(description);
  const app = options && { app: options };
  return hostSchema.extend({ origin, ...app }) as unknown as z.ZodType<HostConfig & { readonly app?: O }>;
}

/** Environment variables and the options they set. */
export const ENVIRONMENT = {
  SEALWIRE_LISTEN: 'listen',
  SEALWIRE_DIR: 'dir',
  SEALWIRE_POLICY: 'policy',
  SEALWIRE_ORIGIN: 'origin',
  SEALWIRE_LOG_LEVEL: 'logLevel',
  SEALWIRE_LOG_FORMAT: 'logFormat',
  SEALWIRE_WEB_LISTEN: 'web.listen',
} as const;

/** May hold the PIN of a PKCS#11 token. */
export const HSM_PIN_VARIABLE = 'SEALWIRE_HSM_PIN';
/** Secrets, which whoever needs one reads from the environment, and what commands read that call a service. */
const OTHER_VARIABLES: readonly string[] = [
  PASSPHRASE_VARIABLE,
  HSM_PIN_VARIABLE,
  ...Object.values<string>(CALLER_VARIABLES),
];

/** Where options come from. */
export interface ConfigSources {
  /** Options given in code or as flags; undefined ones are ignored. */
  readonly config?: HostConfigInput;
  /** Path of a JSON file. Default: none. */
  readonly configFile?: string | undefined;
  /** Default `process.env`; unknown `SEALWIRE_*` names are refused. */
  readonly environment?: NodeJS.ProcessEnv;
}

/**
 * Merges the sources: what is given in code or as a flag wins over the environment, the environment over the file.
 *
 * @throws SealwireError `OPTIONS_INVALID` with one clause for each wrong option
 */
export function loadConfig<O>(app: Configured<O>, sources: ConfigSources = {}): HostConfig & { readonly app?: O } {
  const { config = {}, configFile, environment = process.env } = sources;
  const file: HostConfigInput = configFile === undefined ? {} : readFile(configFile);
  const { 'web.listen': webListen, ...variables } = readEnvironment(environment);
  const merged = {
    // Its schema knows the defaults.
    ...(app.options && { app: {} }),
    ...file,
    ...variables,
    ...(webListen !== undefined && { web: { ...file.web, listen: webListen } }),
    ...definedOnly(config),
  };
  const result = createConfigSchema(app).safeParse(merged);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': '));
  throw new SealwireError('OPTIONS_INVALID', `configuration: ${problems.join('; ')}`);
}

function readFile(path: string): object {
  let text: string;
  let value: unknown;
  try {
    text = decodeText(readFileSync(path));
    value = JSON.parse(text);
  } catch (error) {
    const why = error instanceof SyntaxError ? 'not JSON' : ((error as NodeJS.ErrnoException).code ?? 'unreadable');
    throw new SealwireError('OPTIONS_INVALID', `configuration: ${path}: ${why}`);
  }
  // Which of two was meant cannot be told.
  if (hasDuplicateNames(text, value)) {
    throw new SealwireError('OPTIONS_INVALID', `configuration: ${path}: a name stands twice in one object`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new SealwireError('OPTIONS_INVALID', `configuration: ${path}: not a JSON object`);
}

function readEnvironment(environment: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  const known: Readonly<Record<string, string>> = ENVIRONMENT;
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('SEALWIRE_') || value === undefined) continue;
    if (OTHER_VARIABLES.includes(name)) continue;
    const option = known[name];
    if (option === undefined) throw new SealwireError('OPTIONS_INVALID', `configuration: unknown variable ${name}`);
    values[option] = value;
  }
  return values;
}

function definedOnly(flags: Partial<HostConfigInput>): Partial<HostConfigInput> {
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
}
