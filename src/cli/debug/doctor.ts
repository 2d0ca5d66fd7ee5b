/** `sealwire doctor`: checks a service from here and says how to fix what does not work. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { errorDetails } from '../../client/client.js';
import { createKeySetFetcher } from '../../client/key-set-fetcher.js';
import { SealwireError } from '../../errors.js';
import { ExitCode, messageOf } from '../../host/process/exit.js';
import { verifyKeySet } from '../../keys/signed-set/key-set.js';
import { formatVersion } from '../../profile/key-sets/version.js';
import { hasOwnFields } from '../../schema/walk.js';
import { type JsonMethod, JsonSchema } from '../json/json-messages.js';
import { formatTable, paint, print, printJson } from '../output.js';
import { clean, describeFailure, withTransport } from '../target/call-failure.js';
import { compareMethod, fetchStatement } from '../target/check-schema.js';
import { readRoots, readTarget, type Target } from '../target/credentials.js';
import { MethodClient } from '../target/method-client.js';
import { readSchema } from '../target/read-schema.js';
import { loadDescriptors, openKeySource } from '../target/target.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from '../target/target-options.js';
import {
  askHealth,
  checkTls,
  compareClocks,
  DEADLINE_MS,
  judgeHealth,
  reach,
  Skip,
  Warning,
} from './doctor-network.js';
import { parseTarget } from './route.js';

/** Flags of the command. */
export interface DoctorFlags extends TargetFlags, KeyFlags, SchemaFlags {
  readonly json?: boolean;
}

interface Check {
  readonly check: string;
  /** `warn`: it works, and soon will not; `skip`: not checked, and why. */
  readonly result: 'ok' | 'warn' | 'bad' | 'skip';
  readonly detail: string;
}

/** Exit code 1 when something is bad, 3 when the service cannot be reached. */
export async function doctor(flags: DoctorFlags, version: string): Promise<void> {
  // Wrong use is reported as such; it is not a finding about the service.
  const endpoint = parseTarget(flags.address);
  const target = readTarget(flags);
  const checks: Check[] = [
    { check: 'versions', result: 'ok', detail: `sealwire ${version}, Node ${process.versions.node}` },
  ];
  const run = async <T>(check: string, work: () => Promise<[string, T]>): Promise<T | undefined> => {
    try {
      const [detail, value] = await work();
      checks.push({ check, result: 'ok', detail });
      return value;
    } catch (error) {
      const result = error instanceof Skip ? 'skip' : error instanceof Warning ? 'warn' : 'bad';
      checks.push({ check, result, detail: messageOf(error) });
      return undefined;
    }
  };
  const reached = await run('reachability', () => reach(endpoint));
  if (reached === true) {
    await run('TLS', () => checkTls(endpoint, flags));
    const begun = Date.now();
    const asked = await Promise.allSettled([askHealth(target)]).then(([answer]) => ({ answer, ended: Date.now() }));
    const health = async () => {
      if (asked.answer.status === 'rejected') throw asked.answer.reason;
      return asked.answer.value;
    };
    await run('health', async () => judgeHealth(await health()));
    await run('clock', async () => compareClocks(await health(), begun, asked.ended));
    const schema = hasOwnSchema(flags)
      ? await run('schema', () => readOwnSchema(flags))
      : await run('reflection', () => reflect(target));
    await run('key set', () => checkKeySet(flags, target));
    await run('sealing statement', () => checkStatement(flags, schema));
    await run('round trip', () => roundTrip(flags, target, schema));
  }
  const isGood = checks.every(({ result }) => result !== 'bad');
  if (flags.json === true) await printJson({ host: flags.address, ok: isGood, checks });
  else await print(format(checks));
  if (reached !== true) process.exitCode = ExitCode.UNAVAILABLE;
  else process.exitCode = isGood ? ExitCode.DONE : ExitCode.NEGATIVE;
}

function hasOwnSchema({ descriptors, proto }: SchemaFlags): boolean {
  return descriptors !== undefined || proto !== undefined;
}

async function readOwnSchema(flags: DoctorFlags): Promise<[string, JsonSchema]> {
  const schema = new JsonSchema(await loadDescriptors(flags, undefined));
  return [`${flags.descriptors ?? flags.proto}: ${schema.methods().length} methods; reflection is not asked`, schema];
}

async function reflect(target: Target): Promise<[string, JsonSchema]> {
  const read = readSchema({ ...target, deadlineMs: DEADLINE_MS });
  const { version, services, descriptors } = await read.catch((error: unknown) => {
    throw error instanceof SealwireError ? withTransport(error) : error;
  });
  return [clean(`${version}: ${services.join(', ')}`), new JsonSchema(descriptors)];
}

async function checkKeySet(flags: KeyFlags, target: Target): Promise<[string, undefined]> {
  if (flags.root === undefined) throw new Skip('its signature cannot be checked without --root THUMBPRINT');
  const fetcher = createKeySetFetcher({ ...target, deadlineMs: DEADLINE_MS });
  try {
    const { text } = await fetcher.fetch('');
    const set = await verifyKeySet(text, {
      roots: await readRoots(flags.root),
      issuer: flags.name,
      nowMs: Date.now(),
    });
    const end = new Date(set.expiresAt * 1_000).toISOString();
    return [
      `signed under the pinned root; version ${formatVersion(set.version)}, ${set.keys.length} keys, until ${end}`,
      undefined,
    ];
  } catch (error) {
    if (!(error instanceof SealwireError)) throw error;
    const hint = error.code === 'KEY_SET_ISSUER' ? '; give its `origin` with --name' : '';
    throw new SealwireError(error.code, `${error.code}: ${withTransport(error).message}${hint}`);
  } finally {
    fetcher.close();
  }
}

/** Whether the schema says of every method what the service states under its signature. */
async function checkStatement(flags: DoctorFlags, schema: JsonSchema | undefined): Promise<[string, undefined]> {
  if (flags.root === undefined) throw new Skip('its signature cannot be checked without --root THUMBPRINT');
  const statement = await fetchStatement(flags);
  if (statement === undefined) {
    throw new SealwireError('SCHEMA_UNTRUSTED', 'the service gives none: nothing proves what is sealed');
  }
  if (schema === undefined) throw new Skip('needs the schema');
  const stated = new Set(statement.split('\n').flatMap((line) => line.split(' ', 1)));
  // A schema of the user's own may lack what a host adds, such as health checks.
  const paths = schema.methods().flatMap(({ path }) => (stated.has(path) ? [path] : []));
  const whose = hasOwnSchema(flags) ? 'the schema' : 'reflection';
  if (paths.length === 0) throw new SealwireError('SCHEMA_UNTRUSTED', `${whose} has no method of the statement`);
  for (const path of paths) compareMethod(schema, path, statement);
  return [`${whose} says the same of ${paths.length} methods`, undefined];
}

/** A call without side effects whose request has nothing sealed and whose reply has. */
async function roundTrip(
  flags: DoctorFlags,
  { address, credentials, channelOptions, metadata }: Target,
  schema: JsonSchema | undefined,
): Promise<[string, undefined]> {
  if (schema === undefined) throw new Skip('needs the schema');
  if (flags.root === undefined && flags.keys === undefined) throw new Skip('needs --root or --keys');
  const method = schema.methods().find(isReplyOnly);
  if (method === undefined) throw new Skip('no method without side effects has a sealed reply and a plain request');
  const keys = await openKeySource(flags);
  try {
    // A problem with the keys is reported as such.
    await keys.current('');
    const client = new MethodClient(address, credentials, method, { keys, channelOptions });
    try {
      const first = client.exchange(nothing(), { metadata, deadline: Date.now() + DEADLINE_MS });
      const { done } = await first.next();
      return [`${method.path.slice(1)}: ${done === true ? 'no reply' : 'a reply was opened'}`, undefined];
    } catch (error) {
      return [readVerdict(method, error as ServiceError), undefined];
    } finally {
      client.close();
    }
  } finally {
    keys.close();
  }
}

function isReplyOnly({ plan }: JsonMethod): boolean {
  const { idempotency, request, response, requestStream, responseStream } = plan;
  const isPlain = request === undefined && !requestStream && !responseStream && idempotency === 'no-side-effects';
  return isPlain && hasOwnFields(response);
}

async function* nothing(): AsyncGenerator<object> {}

/** Statuses that may come from something before the handler, so the reply token may not have been checked. */
const UNPROVEN: ReadonlySet<status> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.UNIMPLEMENTED,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.INTERNAL,
  status.UNKNOWN,
]);

/** The handler's own refusal of an empty request shows that the reply token was opened. */
function readVerdict(method: JsonMethod, error: ServiceError): string {
  const ours = errorDetails(error) !== undefined || typeof error.code !== 'number' || error.code === status.DATA_LOSS;
  if (ours || UNPROVEN.has(error.code)) {
    throw new SealwireError('SCHEMA_UNAVAILABLE', `${method.path.slice(1)}: ${describeFailure(error)}`);
  }
  return `${method.path.slice(1)}: the reply token was accepted (the handler answered ${status[error.code]})`;
}

function format(checks: readonly Check[]): string {
  const colours = { ok: 'green', warn: 'yellow', bad: 'red', skip: 'yellow' } as const;
  const lines = formatTable(checks, [
    { title: 'check', value: ({ check }) => check },
    { title: 'result', value: ({ result }) => result },
    { title: 'detail', value: ({ detail }) => detail },
  ]).split('\n');
  return lines
    .map((line, index) => {
      const result = checks[index - 1]?.result;
      return result === undefined ? line : line.replace(result, paint(result, colours[result]));
    })
    .join('\n');
}
