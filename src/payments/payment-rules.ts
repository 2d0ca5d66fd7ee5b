/** Rules for cards and addresses. Callers learn which rule a field breaks, never its value. */
import type { CardDetails, PostalAddress } from '../gen/payments/v1/payments.js';
import type { PaymentServiceValidators } from '../gen/payments/v1/payments_sealed.js';
import type { Violation } from '../schema/validation.js';

/** Rules for the inner messages of the payments service. */
export const paymentValidators: PaymentServiceValidators = {
  'payments.v1.CardDetails': validateCard,
  'payments.v1.PostalAddress': validateAddress,
};

function* validateCard(card: CardDetails): Iterable<Violation> {
  const { number, expiryMonth, expiryYear } = card;
  if (!/^\d{12,19}$/.test(number)) yield { path: 'number', rule: 'must be 12 to 19 digits' };
  else if (!isLuhn(number)) yield { path: 'number', rule: 'must have a valid check digit (ISO/IEC 7812-1)' };
  if (expiryMonth < 1 || expiryMonth > 12) yield { path: 'expiry_month', rule: 'must be 1 to 12' };
  if (expiryYear < 2000 || expiryYear > 9999) yield { path: 'expiry_year', rule: 'must have four digits' };
}

function* validateAddress(address: PostalAddress): Iterable<Violation> {
  const { line1, city, countryCode } = address;
  if (line1 === '') yield { path: 'line1', rule: 'must not be empty' };
  if (city === '') yield { path: 'city', rule: 'must not be empty' };
  if (!/^[A-Z]{2}$/.test(countryCode)) yield { path: 'country_code', rule: 'must be two capital letters (ISO 3166-1)' };
}

/** ISO/IEC 7812-1 annex B check digit, for numbers of 12 to 19 digits. */
export function isLuhn(number: string): boolean {
  if (!/^\d{12,19}$/.test(number)) return false;
  let sum = 0;
  for (const [index, digit] of [...number].reverse().entries()) {
    const doubled = Number(digit) * (index % 2 === 1 ? 2 : 1);
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** A card is valid to the end of its month. */
export function isUnexpired(month: number, year: number, nowMs: number): boolean {
  if (month < 1 || month > 12) return false;
  return nowMs < Date.UTC(year, month, 1);
}
