/** The form: what was typed, how it looks while it is typed, and where something is missing. */
import { byId } from './dom.js';

/** What a person has typed, as the service wants it. */
export interface Details {
  readonly card: {
    readonly number: string;
    readonly expiryMonth: number;
    readonly expiryYear: number;
    readonly holderName: string;
  };
  readonly securityCode: { readonly value: string };
  readonly billingAddress?: {
    readonly line1: string;
    readonly city: string;
    readonly postalCode: string;
    readonly countryCode: string;
  };
}

/** Ids of the fields, in the order in which they are read. */
const FIELDS = ['number', 'expiry', 'code', 'holder', 'line1', 'postal', 'city', 'country'] as const;
export type Field = (typeof FIELDS)[number];

/** By the first digits (ISO/IEC 7812). */
const BRANDS: readonly (readonly [digits: RegExp, name: string])[] = [
  [/^4/, 'Visa'],
  [/^(?:5[1-5]|2[2-7])/, 'Mastercard'],
  [/^3[47]/, 'Amex'],
  [/^6(?:011|5)/, 'Discover'],
];

const input = (field: Field) => byId<HTMLInputElement>(field);
const digitsOf = (text: string) => text.replace(/\D/g, '');

/** Shapes fields while they are typed into. @param onChange called after each change */
export function watchForm(onChange: () => void): void {
  input('number').addEventListener('input', ({ target }) => {
    shape(target as HTMLInputElement, (digits) => digits.slice(0, 19).replace(/(\d{4})(?=\d)/g, '$1 '));
    showBrand();
  });
  input('expiry').addEventListener('input', (event) => {
    const isRemoving = (event as InputEvent).inputType?.startsWith('delete');
    shape(event.target as HTMLInputElement, (digits) => (isRemoving ? shortExpiry(digits) : shapeExpiry(digits)));
  });
  input('code').addEventListener('input', ({ target }) => shape(target as HTMLInputElement, (digits) => digits));
  for (const field of FIELDS) {
    input(field).addEventListener('input', () => {
      showError(field, '');
      onChange();
    });
  }
}

function showBrand(): void {
  const number = digitsOf(input('number').value);
  byId('brand').textContent = BRANDS.find(([digits]) => digits.test(number))?.[1] ?? '';
}

/** Writes the digits in another form, with the caret behind the same digit. */
function shape(element: HTMLInputElement, write: (digits: string) => string): void {
  const before = digitsOf(element.value.slice(0, element.selectionStart ?? 0)).length;
  const isAtEnd = element.selectionStart === element.value.length;
  const shaped = write(digitsOf(element.value));
  if (shaped === element.value) return;
  element.value = shaped;
  let caret = 0;
  for (let seen = 0; caret < shaped.length && seen < before; caret++) if (/\d/.test(shaped[caret] ?? '')) seen++;
  element.setSelectionRange(isAtEnd ? shaped.length : caret, isAtEnd ? shaped.length : caret);
}

/** `3` can only be March; a browser may fill in a year of four digits. */
function shapeExpiry(typed: string): string {
  const digits = /^[2-9]/.test(typed) ? `0${typed}` : typed;
  const year = digits.length > 4 ? digits.slice(4, 6) : digits.slice(2);
  return digits.length < 2 ? digits : `${digits.slice(0, 2)} / ${year}`;
}

function shortExpiry(digits: string): string {
  return digits.length > 2 ? `${digits.slice(0, 2)} / ${digits.slice(2)}` : digits;
}

/** What stands in the fields now, to be looked at. */
export function typedNow(): readonly (readonly [name: string, value: string])[] {
  const shown: [string, string][] = [
    ['card number', input('number').value],
    ['expiry', input('expiry').value],
    ['security code', input('code').value],
    ['name', input('holder').value],
  ];
  const { line1, postalCode, city, countryCode } = readAddress();
  if (hasAddress()) shown.push(['address', [line1, `${postalCode} ${city}`.trim(), countryCode].join(', ')]);
  return shown;
}

/** @returns what was typed; undefined if something is missing, which then stands at its field, and has the focus */
export function readForm(): Details | undefined {
  clearErrors();
  const number = digitsOf(input('number').value);
  const [month = '', year = ''] = input('expiry').value.split('/').map(digitsOf);
  const code = digitsOf(input('code').value);
  const holderName = input('holder').value.trim();
  const missing: Partial<Record<Field, string>> = {
    ...(number.length < 12 && { number: number === '' ? 'Enter the card number.' : 'This card number is too short.' }),
    ...(!(Number(month) >= 1 && Number(month) <= 12 && year.length === 2) && {
      expiry: 'Enter month and year, as on the card.',
    }),
    ...(code.length < 3 && { code: 'Enter the 3 or 4 digits.' }),
    ...(holderName === '' && { holder: 'Enter the name on the card.' }),
  };
  for (const [field, text] of Object.entries(missing)) showError(field as Field, text);
  if (Object.keys(missing).length > 0) {
    focusFirstError();
    return undefined;
  }
  const card = { number, expiryMonth: Number(month), expiryYear: 2000 + Number(year), holderName };
  return { card, securityCode: { value: code }, ...(hasAddress() && { billingAddress: readAddress() }) };
}

function hasAddress(): boolean {
  return (['line1', 'postal', 'city'] as const).some((field) => input(field).value.trim() !== '');
}

function readAddress(): NonNullable<Details['billingAddress']> {
  const text = (field: Field) => input(field).value.trim();
  return { line1: text('line1'), city: text('city'), postalCode: text('postal'), countryCode: text('country') };
}

/** @param text '' for no error */
export function showError(field: Field, text: string): void {
  byId(`${field}-error`).textContent = text;
  input(field).setAttribute('aria-invalid', String(text !== ''));
  if (text !== '' && ['line1', 'postal', 'city', 'country'].includes(field))
    byId<HTMLDetailsElement>('billing').open = true;
}

export function clearErrors(): void {
  for (const field of FIELDS) showError(field, '');
}

export function focusFirstError(): void {
  document.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
}

/** Empties the fields, so that neither the page nor the browser's history keeps them. */
export function clearForm(): void {
  for (const field of FIELDS) if (field !== 'country') input(field).value = '';
  byId('brand').textContent = '';
}

/** Fills in a card that card networks publish for tests. */
export function fillSample(kind: string): void {
  const year = (new Date().getFullYear() + (kind === 'expired' ? -1 : 3)) % 100;
  const values: Partial<Record<Field, string>> = {
    number: kind === 'typo' ? '4242 4242 4242 4241' : '4242 4242 4242 4242',
    expiry: `12 / ${String(year).padStart(2, '0')}`,
    code: '737',
    holder: 'Ada Lovelace',
  };
  for (const [field, value] of Object.entries(values)) input(field as Field).value = value;
  clearErrors();
  showBrand();
}
