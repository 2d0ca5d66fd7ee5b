/** A compact JWE for people: its five parts told apart, its header explained. */
import { make } from './dom.js';

const PARTS: readonly (readonly [name: string, about: string])[] = [
  ['header', 'readable, and protected: changed, the token does not open'],
  ['encrypted key', 'wraps the key of this one token'],
  ['IV', 'random'],
  ['ciphertext', 'what you typed'],
  ['tag', 'proves that nothing was changed'],
];

/** What each member of the header is for. */
const MEMBERS: Readonly<Record<string, string>> = {
  alg: 'how the key was agreed on and wrapped',
  enc: 'how the content is encrypted',
  kid: 'which key of the service opens it',
  epk: 'this tab’s half of the agreement; the private half never left it and is gone',
  typ: 'what this is',
  cty: 'the content is a protobuf message',
  fld: 'the field it belongs to: it is refused in another one',
  iat: 'when it was sealed: it is refused minutes later',
  bnd: 'digest of the order it pays: it is refused for another order or amount',
};

/** @returns the token with a legend, and its header as a table */
export function showToken(token: string): HTMLElement[] {
  const parts = token.split('.');
  const text = parts.flatMap((part, index) => [
    ...(index === 0 ? [] : [document.createTextNode('.')]),
    make('span', part, `part-${index + 1}`),
  ]);
  const legend = PARTS.map(([name, about], index) =>
    make('li', [make('span', name, `part-${index + 1}`), document.createTextNode(` ${about}`)]),
  );
  return [make('p', text, 'token'), make('ul', legend, 'legend'), showHeader(parts[0] ?? '')];
}

function showHeader(part: string): HTMLElement {
  const bytes = Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));
  const header = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  const rows = Object.entries(header).map(([name, value]) => {
    const heading = make('th', name);
    heading.scope = 'row';
    return make('tr', [heading, make('td', showValue(name, value)), make('td', MEMBERS[name] ?? '')]);
  });
  return make('table', [make('tbody', rows)], 'members');
}

function showValue(name: string, value: unknown): string {
  if (name === 'iat') return `${value} (${new Date(Number(value) * 1_000).toLocaleTimeString()})`;
  if (name !== 'epk') return String(value);
  const { crv, x, y } = value as Record<'crv' | 'x' | 'y', string>;
  return `a point on ${crv}: ${x.slice(0, 8)}…, ${y.slice(0, 8)}…`;
}
