/** `sealwire explain`: what a reason, or a step of an audit record, means. */
import { status } from '@grpc/grpc-js';
import { type Reason, reasonByStep, SealwireError, type StepCode } from '../errors.js';
import { statusByReason } from '../schema/status.js';
import { explanations } from './explanations.js';
import { formatTable, print, printJson } from './output.js';

/** Flags of the command. */
export interface ExplainFlags {
  readonly json?: boolean;
}

/** @param name a reason or a step, in any case; undefined lists all. @throws SealwireError `OPTIONS_INVALID` for another word */
export async function explain(name: string | undefined, { json }: ExplainFlags): Promise<void> {
  if (name === undefined) return listAll(json === true);
  const word = name.toUpperCase();
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
  if (json === true) return printJson({ reason, code: status[code], text, meaning, remedy, steps });
  const about = step === undefined ? '' : `${step} is a step that callers see as ${reason}.\n\n`;
  await print(`${about}${reason} (${status[code]}): ${text}

  what    ${meaning}
  do      ${remedy}
  steps   ${steps.join(', ')}
`);
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
