/** `sealwire explain`: what a reason, or a step of an audit record, means. */
import { type Reason, reasonByStep, SealwireError, type StepCode, type Violation } from '../../errors.js';
import { Status } from '../../gen/portable/google/rpc/status.js';
import {
  ERROR_DOMAIN,
  type ErrorDetails,
  nameOfCode,
  readErrorDetails,
  statusByReason,
} from '../../schema/error-status.js';
import { readAllText } from '../json/messages-in.js';
import { formatTable, print, printJson } from '../output.js';
import { explanations } from './explanations.js';
import { told } from './inspect-token.js';

/** Flags of the command. */
export interface ExplainFlags {
  readonly json?: boolean;
}

/**
 * @param name a reason or a step, in any case; `@` reads a refusal of `buf curl` from stdin; undefined lists all.
 * @throws SealwireError `OPTIONS_INVALID` for other words
 */
export async function explain(name: string | undefined, { json }: ExplainFlags): Promise<void> {
  if (name === undefined) return listAll(json === true);
  if (name === '@') return explainRefusal(json === true);
  const word = name.toUpperCase();
  await explainWord(word, json === true);
}

async function explainWord(word: string, json: boolean): Promise<void> {
  const step = Object.hasOwn(reasonByStep, word) ? (word as StepCode) : undefined;
  const reason = step === undefined ? (word as Reason) : reasonByStep[step];
  if (!Object.hasOwn(explanations, reason)) {
    throw new SealwireError('OPTIONS_INVALID', `no such reason; there are ${Object.keys(explanations).join(', ')}`);
  }
  const { meaning, remedy } = explanations[reason];
  const { code, text } = statusByReason[reason];
  const steps = Object.entries(reasonByStep)
    .filter(([, of]) => of === reason)
    .map(([of]) => of);
  if (json) return printJson({ reason, code: nameOfCode(code), text, meaning, remedy, steps });
  const about = step === undefined ? '' : `${step} is a step of an audit record; callers see ${reason}.\n\n`;
  await print(`${about}${reason} (${nameOfCode(code)}): ${text}

  what    ${meaning}
  do      ${remedy}
  steps   ${steps.join(', ')}
`);
}

/** Reads the details of an error, which `buf curl` prints as base64, and explains them. */
async function explainRefusal(json: boolean): Promise<void> {
  const text = await readAllText('');
  const details = readRefusal(text);
  if (details === undefined) {
    throw new SealwireError(
      'SEAL_INPUT',
      'stdin has no error of a sealed call; pipe the output of buf curl to it, with 2>&1',
    );
  }
  const { reason, metadata, violations } = details;
  if (json) return printJson({ reason, domain: ERROR_DOMAIN, metadata, violations: violations.map(toDescription) });
  const facts = [
    ...Object.entries(metadata),
    ...violations.map(({ path, rule }): [string, string] => [path, rule]),
  ].map(([name, value]) => ({ name: told(name).slice(1, -1), value: told(value).slice(1, -1) }));
  for (const { name, value } of facts) await print(`${name}: ${value}\n`);
  await print('\n');
  await explainWord(reason, false);
}

function toDescription({ path, rule }: Violation): object {
  return { field: path, description: rule };
}

function readRefusal(text: string): ErrorDetails | undefined {
  try {
    const { details } = JSON.parse(text.slice(text.indexOf('{'))) as { details: { type: string; value: string }[] };
    const packed = details.map(({ type, value }) => ({
      typeUrl: `type.googleapis.com/${type}`,
      value: Buffer.from(value, 'base64'),
    }));
    return readErrorDetails(Status.encode({ code: 0, message: '', details: packed }).finish());
  } catch {
    // Something else; the caller reports it.
    return undefined;
  }
}

async function listAll(json: boolean): Promise<void> {
  const rows = Object.entries(explanations).map(([reason, { meaning, remedy }]) => ({ reason, meaning, remedy }));
  if (json) return printJson(rows);
  await print(
    formatTable(rows, [
      { title: 'reason', value: ({ reason }) => reason },
      { title: 'what has happened', value: ({ meaning }) => meaning },
    ]),
  );
}
