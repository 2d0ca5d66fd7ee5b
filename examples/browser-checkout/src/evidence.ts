/** The five steps beside the form: who sees what of a payment. */
import type { AuthorizeResponse } from 'gen/payments/v1/payments_pb.js';
import { byId, make, makeFacts } from './dom.js';
import type { Failure } from './failures.js';
import type { AuditRecord, Insight, Sent } from './payment.js';
import { showToken } from './token-view.js';

const STEPS = {
  typed: ['You type', 'Only this tab ever has it like this.'],
  sent: ['This leaves your browser', 'Whoever carries it sees this: Wi-Fi, proxies, a CDN, developer tools.'],
  gateway: ['The gateway logs', 'It ends the connection of your browser and has no key.'],
  audit: [
    'The audit log keeps',
    'Written to disk before the service saw your card. It cannot be read without its key.',
  ],
  reply: ['The shop answers', 'It has opened the card for a moment, and keeps the token.'],
} as const;
type Step = keyof typeof STEPS;

const bodies = {} as Record<Step, HTMLElement>;
const boxes = {} as Record<Step, HTMLElement>;

/** Makes the five steps, empty. */
export function createSteps(): void {
  const items = (Object.keys(STEPS) as Step[]).map((step, index) => {
    const [title, about] = STEPS[step];
    const heading = make('h3', title);
    heading.dataset['number'] = String(index + 1);
    bodies[step] = make('div', [], 'body');
    boxes[step] = make('li', [heading, make('p', about, 'about'), bodies[step]], 'step');
    boxes[step].id = `step-${step}`;
    return boxes[step];
  });
  boxes.typed.classList.add('is-clear');
  byId('steps').replaceChildren(...items);
  resetSteps();
}

/** Forgets the last payment. */
export function resetSteps(): void {
  for (const step of ['sent', 'gateway', 'audit', 'reply'] as const) wait(step, 'Waits for you to pay.');
}

function wait(step: Step, text: string): void {
  boxes[step].classList.remove('is-sealed');
  bodies[step].replaceChildren(make('p', text, 'waiting'));
}

function fill(step: Step, content: readonly HTMLElement[]): void {
  bodies[step].replaceChildren(...content);
}

export function showTyped(typed: readonly (readonly [string, string])[]): void {
  fill('typed', [makeFacts(typed)]);
}

/** What left the browser. */
export function showSent({ url, message, sealedInMs }: Sent): void {
  const { orderId, amountMinor, currencyCode, card, securityCode, billingAddress } = message;
  const clear = makeFacts([
    ['POST', new URL(url).pathname],
    ['order_id', orderId],
    ['amount_minor', String(amountMinor)],
    ['currency_code', currencyCode],
  ]);
  const sealed = { card, security_code: securityCode, billing_address: billingAddress };
  const fields = Object.entries(sealed)
    .filter(([, token]) => token !== '')
    .map(([name, token], index) => {
      const summary = make('summary', [make('b', name), make('span', `a token of ${token.length} characters`)]);
      const details = make('details', [summary, make('div', showToken(token))], 'sealed-field');
      details.open = index === 0;
      return details;
    });
  const time = make('p', `Sealed and ready in ${sealedInMs.toFixed(0)} ms.`, 'about');
  fillSealed('sent', [clear, ...fields, time]);
}

/** Nothing left the browser. */
export function showNothingSent(): void {
  fill('sent', [make('p', 'Nothing of the payment.', 'waiting')]);
  for (const step of ['gateway', 'audit', 'reply'] as const) wait(step, 'Nothing came.');
}

/** What gateway and audit log have. */
export function showInsight({ calls, records }: Insight): void {
  const lines = calls.map((call) => make('pre', `web call ${JSON.stringify(call)}`));
  if (lines.length > 0) fillSealed('gateway', lines);
  else wait('gateway', 'Nothing: this call took another way.');
  if (records.length > 0) fillSealed('audit', records.flatMap(showRecord));
  else wait('audit', 'No record of this call.');
}

function fillSealed(step: Step, content: readonly HTMLElement[]): void {
  boxes[step].classList.add('is-sealed');
  fill(step, content);
}

function showRecord(record: AuditRecord): HTMLElement[] {
  const { seq, time, event, principal, fields } = record;
  const facts = makeFacts([
    ['record', `${seq}, ${event}`],
    ['time', time],
    ['caller', principal],
    ...fields.map(({ path, outcome, reason, token }): [string, string] => {
      const kept = typeof token === 'string' ? `its token, ${token.length} characters` : 'the digest of its token';
      return [path, `${[outcome, reason].filter(Boolean).join(', ')}; kept: ${kept}`];
    }),
  ]);
  const whole = make('details', [make('summary', 'The whole record'), make('div')], 'sealed-field');
  whole.lastElementChild?.append(make('pre', JSON.stringify(record, null, 2)));
  return [facts, whole];
}

export function showReply({ paymentId, status, cardLast4 }: AuthorizeResponse): void {
  fill('reply', [
    makeFacts([
      ['payment_id', paymentId],
      ['status', status],
      ['card_last4', cardLast4],
    ]),
  ]);
}

/** @param code of the refusal, as gRPC names it */
export function showRefusal({ title }: Failure, code: string): void {
  fill('reply', [
    makeFacts([
      ['refused', code],
      ['shown as', title],
    ]),
  ]);
}
