/** `sealwire inspect`: a token's header in words, and every rule of the strict policy that it breaks. */
import { createKeySetFetcher } from '../client/key-set-fetcher.js';
import { SealwireError } from '../errors.js';
import { verifyKeySet } from '../keys/key-set.js';
import { loadPublicKeys } from '../keys/public-keys.js';
import { boundDigest } from '../schema/binding.js';
import { JsonSchema } from '../schema/json-messages.js';
import { ExitCode } from './exit.js';
import { type Inspection, inspectToken, told } from './inspect-token.js';
import { readMessages } from './messages-in.js';
import { formatTable, paint, print, printJson } from './output.js';
import { loadDescriptors, readCredentials, readRoots } from './target.js';
import type { KeyFlags, SchemaFlags, TargetFlags } from './target-options.js';
import { readToken } from './token-in.js';

/** Flags of the command. */
export interface InspectFlags extends TargetFlags, KeyFlags, SchemaFlags {
  readonly field?: string;
  readonly data?: string;
  readonly json?: boolean;
}

/** What the members of a header mean. */
const MEANINGS: Readonly<Record<string, string>> = {
  alg: 'how the content key is agreed on',
  enc: 'how the content is encrypted',
  kid: "thumbprint of the recipient's key",
  epk: "the sender's ephemeral public key",
  typ: 'what kind of token it is',
  cty: 'form of the inner message',
  fld: 'the field it was made for',
  iat: 'when it was sealed',
  bnd: 'digest of the bound fields',
  rto: 'digest of the reply token it answers',
  seq: 'number of the reply in its call',
  apu: 'party info of the sender',
  apv: 'party info of the recipient',
};

/** Exit code 1 when the token breaks a rule. */
export async function inspect(argument: string | undefined, flags: InspectFlags): Promise<void> {
  if (flags.data === '@' && (argument === undefined || argument === '@')) {
    throw new SealwireError(
      'OPTIONS_INVALID',
      'token and message cannot both come from stdin: give one as an argument or @FILE',
    );
  }
  const token = await readToken(argument);
  const bound = flags.data === undefined ? undefined : await findBound(flags);
  const inspection = inspectToken(token, { nowMs: Date.now(), field: flags.field, bound });
  const key = await describeKey(String(inspection.header['kid']), inspection.kind, flags);
  const good = inspection.findings.length === 0 && key !== UNKNOWN;
  if (flags.json === true) await printJson({ ...inspection, key, good });
  else await print(format(inspection, key));
  process.exitCode = good ? ExitCode.DONE : ExitCode.NEGATIVE;
}

/** @returns `bnd` of the field in the given message; null when it binds nothing */
async function findBound(flags: InspectFlags): Promise<string | null> {
  if (flags.field === undefined)
    throw new SealwireError('OPTIONS_INVALID', '-d needs --field: which field of the message is it?');
  const { plan, holder } = new JsonSchema(await loadDescriptors(flags, undefined)).field(flags.field);
  for await (const node of readMessages(flags.data)) return boundDigest(plan, holder.fromJson(node)) ?? null;
  throw new SealwireError('SEAL_INPUT', '-d: no message in it');
}

const UNKNOWN = 'not in the key set: the service would answer SEALED_FIELD_UNKNOWN_KEY';

async function describeKey(kid: string, kind: Inspection['kind'], flags: InspectFlags): Promise<string> {
  if (kind === 'reply') return 'that of the call: the session file has it';
  if (flags.keys !== undefined) {
    return (await loadPublicKeys(flags.keys)).some((key) => key.kid === kid) ? 'in the key set' : UNKNOWN;
  }
  if (flags.root === undefined) return 'not compared; give --keys or --root';
  const fetcher = createKeySetFetcher({
    address: flags.address,
    credentials: readCredentials(flags),
    deadlineMs: 5_000,
  });
  try {
    const { text } = await fetcher.fetch('');
    const nowMs = Date.now();
    const { keys } = await verifyKeySet(text, { roots: await readRoots(flags.root), issuer: flags.name, nowMs });
    const key = keys.find((one) => one.kid === kid);
    if (key === undefined) return UNKNOWN;
    const { notBefore = 0, expires } = key;
    if (nowMs / 1000 < notBefore) return `published, in use from ${moment(notBefore)}`;
    return expires === undefined ? 'in the key set' : `in the key set, in use until ${moment(expires)}`;
  } finally {
    fetcher.close();
  }
}

function format({ kind, header, sizes, ageSeconds, findings }: Inspection, key: string): string {
  const members = Object.entries(header).map(([name, value]) => ({
    name: told(name).slice(1, -1),
    value: name === 'epk' ? describePoint(value) : told(value),
    meaning: Object.hasOwn(MEANINGS, name) ? (MEANINGS[name] as string) : 'not of the profile',
  }));
  const table = formatTable(members, [
    { title: 'header', value: ({ name }) => name },
    { title: 'value', value: ({ value }) => value },
    { title: 'meaning', value: ({ meaning }) => meaning },
  ]);
  const age = ageSeconds === undefined ? 'not known: no iat' : describeAge(ageSeconds);
  const parts = Object.entries(sizes).map(([name, bytes]) => `${name} ${bytes}`);
  const facts = `\nkind     ${kind}\nage      ${age}\nkey      ${key}\nbytes    ${parts.join(', ')}\n`;
  if (findings.length === 0)
    return `${table}${facts}\n${paint('breaks no rule of the strict policy', 'green')} (whether it opens, only the key can tell)\n`;
  const lines = findings.map(({ rule, problem, fix }) => `  ${paint(rule, 'red')}: ${problem}\n      → ${fix}\n`);
  return `${table}${facts}\nbreaks ${findings.length} rule${findings.length === 1 ? '' : 's'} of the strict policy:\n${lines.join('')}`;
}

function describePoint(value: unknown): string {
  return `a point on ${told((value as { readonly crv?: unknown } | null)?.crv)}`;
}

function describeAge(seconds: number): string {
  const window = 'accepted: 300 s back to 60 s ahead';
  return seconds < 0 ? `${-seconds} s ahead of this clock (${window})` : `${seconds} s (${window})`;
}

function moment(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
