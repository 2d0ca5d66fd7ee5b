/** `sealwire inspect`: a token's header in words, and every rule of the strict policy that it breaks. */
import { SealwireError } from '../../errors.js';
import { ExitCode } from '../../host/process/exit.js';
import { formatTable, paint, print, printJson, told } from '../output.js';
import type { KeyFinding, SourceFlags } from './inspect-sources.js';
import { type Inspection, inspectToken } from './inspect-token.js';
import { readTokens } from './token-in.js';

/** Flags of the command. */
export interface InspectFlags extends SourceFlags {
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

/** Each token of the text. Exit code 1 when one breaks a rule. */
export async function inspect(argument: string | undefined, flags: InspectFlags): Promise<void> {
  if (flags.data === '@' && (argument === undefined || argument === '@')) {
    throw new SealwireError(
      'OPTIONS_INVALID',
      'token and message cannot both come from stdin: give one as an argument or @FILE',
    );
  }
  const tokens = await readTokens(argument);
  const bound = flags.data === undefined ? undefined : await (await loadSources()).findBound(flags);
  process.exitCode = ExitCode.DONE;
  for (const [index, token] of tokens.entries()) {
    const inspection = inspectToken(token, { nowMs: Date.now(), field: flags.field, bound });
    const { text: key, isKnown } = await compareKey(inspection, flags);
    const good = inspection.findings.length === 0 && isKnown;
    if (!good) process.exitCode = ExitCode.NEGATIVE;
    const title = tokens.length === 1 ? '' : `${index === 0 ? '' : '\n'}token ${index + 1} of ${tokens.length}\n\n`;
    if (flags.json === true) await printJson({ ...inspection, key, good });
    else await print(`${title}${format(inspection, key, flags.data !== undefined)}`);
  }
}

/** Loads the libraries of keys, schemas and calls only if a message or keys are given. */
const loadSources = () => import('./inspect-sources.js');

async function compareKey({ kind, header }: Inspection, flags: InspectFlags): Promise<KeyFinding> {
  if (kind === 'signed token') return { text: 'none: it is not encrypted', isKnown: true };
  if (kind === 'reply') return { text: "the call's own; the session file has it", isKnown: true };
  if (flags.keys === undefined && flags.root === undefined)
    return { text: 'not compared; give --keys or --root', isKnown: true };
  return (await loadSources()).findKey(String(header['kid']), flags);
}

function format(
  { kind, header, sizes, ageSeconds, digest, findings }: Inspection,
  key: string,
  isCompared: boolean,
): string {
  const members = Object.entries(header).map(([name, value]) => ({
    name: told(name).slice(1, -1),
    value: name === 'epk' ? describePoint(value) : told(value),
    meaning: Object.hasOwn(MEANINGS, name) ? (MEANINGS[name] as string) : 'not part of the profile',
  }));
  const table = formatTable(members, [
    { title: 'header', value: ({ name }) => name },
    { title: 'value', value: ({ value }) => value },
    { title: 'meaning', value: ({ meaning }) => meaning },
  ]);
  const age = ageSeconds === undefined ? 'not known: no iat' : describeAge(ageSeconds);
  const parts = Object.entries(sizes).map(([name, bytes]) => `${name} ${bytes}`);
  const rows = [
    ['kind', kind],
    ['age', age],
    ['key', key],
    ['bytes', parts.join(', ')],
    ['digest', digest],
    ['binding', kind === 'sealed field' && !isCompared ? 'not compared; give --field and -d' : undefined],
  ].filter(([, value]) => value !== undefined);
  const facts = `\n${rows.map(([name = '', value]) => `${name.padEnd(9)}${value}\n`).join('')}`;
  if (findings.length === 0)
    return `${table}${facts}\n${paint('breaks no rule of the strict policy', 'green')} (only the key can tell whether it opens)\n`;
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
