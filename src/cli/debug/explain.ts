/** `sealwire explain`: what a reason, a step of an audit record, a local code, or the output of a gRPC tool means. */
import { type LocalCode, type Reason, reasonByStep, SealwireError, type StepCode } from '../../errors.js';
import { ERROR_DOMAIN, nameOfCode, statusByReason } from '../../schema/error-status.js';
import { readAllText } from '../json/messages-in.js';
import { formatTable, print, printJson } from '../output.js';
import { type Explanation, explanations } from './explanations.js';
import { told } from './inspect-token.js';
import { keySetExplanations } from './key-set-explanations.js';
import { localExplanations } from './local-explanations.js';
import { findRefusal } from './refusal-in.js';
import { stepExplanations } from './step-explanations.js';

/** Flags of the command. */
export interface ExplainFlags {
  readonly json?: boolean;
}

const codeExplanations: Readonly<Record<LocalCode, Explanation>> = { ...localExplanations, ...keySetExplanations };

/**
 * @param name a reason, a step or another code, in any case; `@` reads what a gRPC tool, `sealwire call` or an audit
 *   log has said from stdin; undefined lists all.
 * @throws SealwireError `OPTIONS_INVALID` for other words, `SEAL_INPUT` for other texts
 */
export async function explain(name: string | undefined, { json = false }: ExplainFlags): Promise<void> {
  if (name === undefined) return listAll(json);
  if (name === '@') return explainText(await readAllText(''), json);
  const word = name.toUpperCase();
  if (isKnown(word)) return explainWord(word, json);
  throw new SealwireError('OPTIONS_INVALID', 'no such reason, step or code; sealwire explain lists them');
}

type Word = Reason | StepCode | LocalCode;

function isStep(word: string): word is StepCode {
  return Object.hasOwn(stepExplanations, word);
}

function isCode(word: string): word is LocalCode {
  return Object.hasOwn(codeExplanations, word);
}

function isKnown(word: string): word is Word {
  return isStep(word) || isCode(word) || Object.hasOwn(explanations, word);
}

function explainWord(word: Word, json: boolean): Promise<void> {
  if (isStep(word)) return explainStep(word, json);
  return isCode(word) ? explainCode(word, json) : explainReason(word, json);
}

async function explainCode(code: LocalCode, json: boolean): Promise<void> {
  const { meaning, remedy } = codeExplanations[code];
  if (json) return printJson({ code, meaning, remedy });
  await print(`${code} is a failure on this side; no service tells it

  what    ${meaning}
  do      ${remedy}
`);
}

async function explainStep(step: StepCode, json: boolean): Promise<void> {
  const reason = reasonByStep[step];
  const { meaning, remedy } = stepExplanations[step];
  const { code, text } = statusByReason[reason];
  if (json) return printJson({ step, reason, code: nameOfCode(code), text, meaning, remedy });
  await print(`${step} is a step of an audit record; callers see ${reason} (${nameOfCode(code)})

  what    ${meaning}
  do      ${remedy}
`);
}

async function explainReason(reason: Reason, json: boolean): Promise<void> {
  const { meaning, remedy } = explanations[reason];
  const { code, text } = statusByReason[reason];
  const steps = Object.entries(stepExplanations)
    .filter(([step]) => reasonByStep[step as StepCode] === reason)
    .map(([step, explanation]) => ({ step, ...explanation }));
  if (json) return printJson({ reason, code: nameOfCode(code), text, meaning, remedy, steps });
  await print(`${reason} (${nameOfCode(code)}): ${text}

  what    ${meaning}
  do      ${remedy}

The audit record has one of these steps; sealwire explain STEP says what to do about it:
`);
  await print(
    formatTable(steps, [
      { title: 'step', value: ({ step }) => step },
      { title: 'meaning', value: (step) => step.meaning },
    ]),
  );
}

/** Explains the details of an error, else the first reason or step that the text names. */
async function explainText(text: string, json: boolean): Promise<void> {
  const details = findRefusal(text);
  if (details === undefined) {
    const words: readonly string[] = text.match(/\b[A-Z][A-Z_]+[A-Z]\b/g) ?? [];
    const word = words.find(isKnown);
    if (word !== undefined) return explainWord(word, json);
    const how = 'pipe the output of grpcurl or buf curl to it, with 2>&1';
    throw new SealwireError('SEAL_INPUT', `stdin has no error of a sealed call; ${how}`);
  }
  const { reason, metadata, violations } = details;
  if (json) {
    const list = violations.map(({ path, rule }) => ({ field: path, description: rule }));
    return printJson({ reason, domain: ERROR_DOMAIN, metadata, violations: list });
  }
  const facts = [
    ...Object.entries(metadata),
    ...violations.map(({ path, rule }): [string, string] => [path, rule]),
  ].map(([name, value]) => ({ name: told(name).slice(1, -1), value: told(value).slice(1, -1) }));
  for (const { name, value } of facts) await print(`${name}: ${value}\n`);
  await print('\n');
  await explainWord(reason, false);
}

async function listAll(json: boolean): Promise<void> {
  const lists = { reason: explanations, step: stepExplanations, code: codeExplanations };
  const rows = Object.entries(lists).map(([kind, list]) =>
    Object.entries(list).map(([word, { meaning, remedy }]) => ({ [kind]: word, meaning, remedy })),
  );
  if (json) return printJson(rows.flat());
  for (const [index, kind] of Object.keys(lists).entries()) {
    if (index > 0) await print('\n');
    await print(
      formatTable(rows[index] ?? [], [
        { title: kind, value: (row) => row[kind] ?? '' },
        { title: 'what has happened', value: ({ meaning = '' }) => meaning },
      ]),
    );
  }
}
