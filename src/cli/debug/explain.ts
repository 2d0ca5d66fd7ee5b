/** `sealwire explain`: what a reason, a step of an audit record, a local code, or the output of a gRPC tool means. */
import { type LocalCode, type Reason, reasonByStep, SealwireError, type StepCode } from '../../errors.js';
import { ERROR_DOMAIN } from '../../profile/error-details.js';
import { nameOfCode, statusByReason } from '../../schema/error-status.js';
import { readAllText } from '../json/messages-in.js';
import { formatTable, print, printJson, told } from '../output.js';
import { type Explanation, explanations } from './explanations.js';
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
 * @param name a reason, a step or another code, in any case, or the text of an error; `@` reads what a gRPC tool,
 *   `sealwire call` or an audit log has said from stdin; undefined lists all.
 * @throws SealwireError `OPTIONS_INVALID` for other words, `SEAL_INPUT` for other texts
 */
export async function explain(name: string | undefined, { json = false }: ExplainFlags): Promise<void> {
  if (name === undefined) return listAll(json);
  if (name === '@') return explainText(await readAllText(''), json);
  const word = name.toUpperCase();
  if (isKnown(word)) return explainWord(word, json);
  const reason = reasonOfText(name);
  if (reason !== undefined) return explainWord(reason, json);
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
    const word = words.find(isKnown) ?? reasonOfText(text);
    if (word !== undefined) {
      // What `sealwire call` says behind the reason (src/cli/target/call-failure.ts).
      const [, facts = ''] = /\([A-Z_]+; (.*)\); run sealwire explain /.exec(text) ?? [];
      const pairs = facts.split('; ').map((fact) => /^(\S+) (.*)$/.exec(fact)?.slice(1) ?? []);
      if (!json && facts !== '') await printFacts(pairs);
      return explainWord(word, json);
    }
    const how = 'pipe the output of grpcurl or buf curl to it, with 2>&1';
    throw new SealwireError('SEAL_INPUT', `stdin has no error of a sealed call; ${how}`);
  }
  const { reason, metadata, violations } = details;
  if (json) {
    const list = violations.map(({ path, rule }) => ({ field: path, description: rule }));
    return printJson({ reason, domain: ERROR_DOMAIN, metadata, violations: list });
  }
  await printFacts([...Object.entries(metadata), ...violations.map(({ path, rule }) => [path, rule])]);
  await explainWord(reason, false);
}

/** Pairs of name and value. The text is untrusted. */
async function printFacts(facts: readonly (readonly string[])[]): Promise<void> {
  for (const [name = '', value = ''] of facts) await print(`${told(name).slice(1, -1)}: ${told(value).slice(1, -1)}\n`);
  await print('\n');
}

/** Applications log the text alone, with other words around it; each begins in a way of its own. */
function reasonOfText(text: string): Reason | undefined {
  const found = Object.entries(statusByReason).find(([, status]) => text.includes(status.text.split(';')[0] as string));
  return found?.[0] as Reason | undefined;
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
