/**
 * Says how well refusals can be told apart by the time they take, seen from as near as can be: in the process, around
 * the opener. Run `node dist/test/support/refusal-times.js [ROUNDS]`. A figure is the chance that a token of the first
 * kind took longer than one of the second (0.5: nothing is learned), with both medians.
 */

import { TokenOpener } from '../../src/jwe/opener.js';
import type { Curve } from '../../src/profile/algorithms.js';
import { FIELD, flip, forge, makeEphemeral, makeKey, TestKeys, withPart } from '../jwe/helpers.js';

const rounds = Number(process.argv[2] ?? 2_000);
const NOTHING_REFUSED = { perSecond: 1_000_000, burst: 1_000_000 };

type Kind = (curve: Curve) => readonly [token: string, opener: TokenOpener];

function openerOf(key: ReturnType<typeof makeKey>): TokenOpener {
  return new TokenOpener({ keys: new TestKeys(key), rate: NOTHING_REFUSED, now: () => 1_700_000_000_000 });
}

async function timeOf(opener: TokenOpener, token: string): Promise<number> {
  const startedAt = performance.now();
  try {
    await opener.open(opener.check(token, { field: FIELD }), 'caller');
  } catch {
    // Refused, which is what is timed.
  }
  return (performance.now() - startedAt) * 1_000;
}

function areaUnder(first: readonly number[], second: readonly number[]): number {
  const all = [...first.map((us) => ({ us, first: true })), ...second.map((us) => ({ us, first: false }))];
  let below = 0;
  let area = 0;
  for (const each of all.sort((a, b) => a.us - b.us)) {
    if (each.first) area += below;
    else below++;
  }
  return area / (first.length * second.length);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** Interleaved, so that a busy machine is busy for both. */
async function compare(name: string, first: Kind, second: Kind, curve: Curve, count: number): Promise<void> {
  const times: [number[], number[]] = [[], []];
  const kinds = [first(curve), second(curve)] as const;
  for (let round = 0; round < count; round++) {
    for (const index of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const [token, opener] = kinds[index];
      times[index].push(await timeOf(opener, token));
    }
  }
  const [a, b] = times.map((all) => all.slice(count / 5)) as [number[], number[]];
  const medians = [a, b].map((all) => median(all).toFixed(1)).join(' and ');
  process.stdout.write(`${curve} ${name}: ${areaUnder(a, b).toFixed(2)} (${medians} µs)\n`);
}

/** A bad token whose agreement the service has. */
function warm(change: (token: string) => string): Kind {
  return (curve) => {
    const key = makeKey(curve);
    const ephemeral = makeEphemeral(curve);
    const opener = openerOf(key);
    void opener.open(opener.check(forge({ key, ephemeral }), { field: FIELD }), 'caller');
    return [change(forge({ key, ephemeral })), opener];
  };
}

const wrongTag = (token: string) => withPart(token, 4, flip);
const wrongKey = (token: string) => withPart(token, 1, flip);
/** No byte of it is looked at in check 4 but the field's name. */
const otherField: Kind = (curve) => {
  const key = makeKey(curve);
  return [forge({ key, header: { fld: 'a.B.other' } }), openerOf(key)];
};
const fresh: Kind = (curve) => {
  const key = makeKey(curve);
  return [wrongTag(forge({ key })), openerOf(key)];
};

for (const curve of ['P-256', 'P-521'] as const) {
  const few = Math.max(100, rounds / 10);
  await compare('wrapped key, tag', warm(wrongKey), warm(wrongTag), curve, rounds);
  await compare('field, tag', otherField, warm(wrongTag), curve, rounds);
  await compare('tag under an agreement that is new, one that is held', fresh, warm(wrongTag), curve, few);
}
