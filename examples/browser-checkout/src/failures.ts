/** What a person is told when a payment fails: what happened, whether money moved, and what to do. */
import { Code, ConnectError } from '@connectrpc/connect';
import { errorDetails } from 'sealwire/web';
import type { Field } from './form.js';

export interface Failure {
  readonly title: string;
  readonly text: string;
  /** What is wrong with which field. */
  readonly fields?: Partial<Record<Field, string>>;
}

const NOTHING = 'Nothing was charged.';
/** An order is charged once, however often its payment is sent. */
const SAFE = 'You can press Pay again: an order is charged only once.';

const UNREACHABLE: Failure = {
  title: 'We could not reach the shop.',
  text: `Your connection may be down, or the shop is. We do not know whether the payment arrived. ${SAFE}`,
};
const BUSY: Failure = { title: 'The shop cannot take payments right now.', text: `${NOTHING} Try again in a minute.` };
const UNTRUSTED: Failure = {
  title: 'We could not make sure who would read your card.',
  text: 'So nothing was sent, and nothing was charged. Reload the page; if this comes again, do not pay here.',
};
const CHANGED: Failure = {
  title: 'Your payment was changed on its way.',
  text: `The shop refused it. ${NOTHING} Try another network.`,
};

/** By what the service says of sealed fields. */
const BY_REASON: Readonly<Record<string, Failure>> = {
  SEALED_FIELD_INVALID: CHANGED,
  SEALED_FIELD_REQUIRED: CHANGED,
  SEALED_FIELD_REPLAYED: {
    title: 'This payment was sent twice on its way.',
    text: `The shop took the first one and refused the copy. To see how it went, press Pay again: an order is charged only once.`,
  },
  SEALED_FIELD_UNKNOWN_KEY: { title: 'The shop has just changed its keys.', text: `${NOTHING} Reload the page.` },
  LIMIT_EXCEEDED: { title: 'Too many payments at once.', text: `${NOTHING} Wait a moment, then try again.` },
  AUDIT_UNAVAILABLE: BUSY,
  CUSTODY_UNAVAILABLE: BUSY,
};

/** By path and rule of the service's validation; it never tells a value. */
const BY_PATH: Readonly<Record<string, readonly [field: Field, text: string]>> = {
  number: ['number', 'This card number has a typo. Check its digits.'],
  expiry_month: ['expiry', 'The month must be 01 to 12.'],
  expiry_year: ['expiry', 'Enter the year as on the card.'],
  line1: ['line1', 'Enter street and number.'],
  city: ['city', 'Enter the city.'],
  country_code: ['country', 'Choose the country.'],
};

/** A clock that is off by more is told to the person, in ms. */
const CLOCK_MS = 120_000;

/**
 * @param error what a payment was rejected with
 * @param behindMs by how much the clock of this device is behind that of the shop
 */
export function explain(error: unknown, behindMs: number): Failure {
  const { reason, code = '', violations = [] } = errorDetails(error) ?? {};
  if (reason === 'INNER_MESSAGE_INVALID') return describeFields(violations.map(({ path }) => path));
  // A key set, too, is good for a time only.
  const isTimely = reason !== 'SEALED_FIELD_STALE' && !(code.startsWith('KEY_SET_') && Math.abs(behindMs) > CLOCK_MS);
  if (!isTimely) return describeClock(behindMs);
  if (reason !== undefined) return BY_REASON[reason] ?? BUSY;
  if (code === 'KEY_SET_UNAVAILABLE')
    return { ...UNREACHABLE, text: `${NOTHING} Check your connection and try again.` };
  if (code !== '') return UNTRUSTED;
  const status = error instanceof ConnectError ? error.code : Code.Unavailable;
  if (status === Code.AlreadyExists)
    return { title: 'This order was paid with another amount.', text: 'Start another order.' };
  return UNREACHABLE;
}

function describeFields(paths: readonly string[]): Failure {
  const fields: Partial<Record<Field, string>> = {};
  for (const path of paths) {
    const [field, text] = BY_PATH[path.slice(path.lastIndexOf('.') + 1)] ?? [];
    if (field !== undefined && text !== undefined) fields[field] = text;
  }
  return { title: 'The card was not accepted.', text: `${NOTHING} Check what is marked below.`, fields };
}

function describeClock(behindMs: number): Failure {
  const minutes = Math.round(Math.abs(behindMs) / 60_000);
  const off = minutes === 0 ? 'wrong' : `${minutes} minutes ${behindMs > 0 ? 'slow' : 'fast'}`;
  return {
    title: `The clock of your device is ${off}.`,
    text: `A payment is good for a few minutes only. ${NOTHING} Set date and time to automatic, then pay again.`,
  };
}
