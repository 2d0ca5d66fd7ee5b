/** The little of the document that the page needs. Text only: no markup is ever made of strings. */

/** An element of the page that is there. */
export function byId<E extends HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as E;
}

/** A new element. @param className default: none */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  content: string | readonly Node[] = [],
  className = '',
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== '') element.className = className;
  if (typeof content === 'string') element.textContent = content;
  else element.append(...content);
  return element;
}

/** Names and what they stand for. */
export function makeFacts(facts: readonly (readonly [name: string, value: string])[]): HTMLElement {
  const cells = facts.flatMap(([name, value]) => [make('dt', name), make('dd', value)]);
  return make('dl', cells, 'facts');
}
