/**
 * Whether a schema may say what is sealed. Whoever answers reflection could type a card as a plain message, and many
 * reflection servers lose options: the service's signed statement decides.
 */
import { createKeySetFetcher } from '../../client/key-set-fetcher.js';
import { SealwireError } from '../../errors.js';
import { verifyStatement } from '../../keys/signed-set/signed-statement.js';
import { missingFromSchema } from '../../schema/sealing-statement.js';
import { type JsonSchema, splitMethod } from '../json/json-messages.js';
import { withHint } from './call-failure.js';
import { readRoots, readTarget } from './credentials.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from './target-options.js';

const DEADLINE_MS = 10_000;

/**
 * Compares the lines of one method with the statement of the service; without a statement, refuses to send what would
 * be sent in clear.
 *
 * @param name `payments.v1.PaymentService/Authorize`
 * @throws SealwireError `SCHEMA_UNTRUSTED`, `KEY_SET_UNAVAILABLE`, and those of the statement's signatures
 */
export async function checkSchema(
  schema: JsonSchema,
  name: string,
  flags: TargetFlags & KeyFlags & SchemaFlags,
): Promise<void> {
  const statement = await fetchStatement(flags).catch((error: unknown) => {
    throw withHint(error, flags);
  });
  if (statement !== undefined) {
    compareMethod(schema, name, statement);
    return;
  }
  if (flags.trustSchema === true) return;
  if (flags.root !== undefined && flags.proto === undefined) {
    throw untrusted('the service gives no sealing statement, so nothing proves what is sealed');
  }
  if (schema.method(name).plan.request !== undefined) return;
  throw untrusted(`the schema says that nothing in a request of ${name} is sealed`);
}

/** @throws SealwireError `SCHEMA_UNTRUSTED` when the schema says anything else of the method than the service states */
export function compareMethod(schema: JsonSchema, name: string, statement: string): void {
  const { service, method } = splitMethod(name);
  const path = `/${service}/${method}`;
  const missing = missingFromSchema(statement, schema.statements.ofMethod(service, method), path);
  if (missing === undefined) {
    throw new SealwireError('SCHEMA_UNTRUSTED', `the service's sealing statement does not know ${path.slice(1)}`);
  }
  if (missing.length === 0) return;
  const fields = missing.map((line) => /^\S+ [<>] (\S+)/.exec(line)?.[1]);
  const what = fields.includes(undefined) ? 'the types of request and response' : fields.join(', ');
  throw new SealwireError(
    'SCHEMA_UNTRUSTED',
    `${path.slice(1)}: the schema differs from what the service states about ${what}; nothing was sent`,
  );
}

/**
 * @returns the verified statement; undefined without a pinned root, or when the service gives none
 * @throws SealwireError `KEY_SET_UNAVAILABLE` and other `KEY_SET_*` codes
 */
export async function fetchStatement(flags: TargetFlags & KeyFlags): Promise<string | undefined> {
  if (flags.root === undefined) return undefined;
  const roots = await readRoots(flags.root);
  const fetcher = createKeySetFetcher({ ...readTarget(flags), deadlineMs: DEADLINE_MS });
  try {
    const { statement } = await fetcher.fetch('');
    if (statement === '') return undefined;
    return await verifyStatement(statement, { roots, issuer: flags.name, nowMs: Date.now() });
  } finally {
    fetcher.close();
  }
}

function untrusted(why: string): SealwireError {
  return new SealwireError('SCHEMA_UNTRUSTED', `${why}; --trust-schema sends it all the same`);
}
