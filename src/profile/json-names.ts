/** Duplicate member names in JSON text, at any depth: `JSON.parse` keeps the last one silently. */

/**
 * Whether JSON text that parsed to `value` repeats a name in some object.
 *
 * Re-stringifying drops duplicates, so equal texts prove there are none; that is the common case, as
 * tokens are made without white space. Anything else is scanned.
 *
 * @param text JSON text that `JSON.parse` accepted
 * @param value what it parsed to
 */
export function hasDuplicateNames(text: string, value: unknown): boolean {
  return JSON.stringify(value) !== text && scanForDuplicates(text);
}

/** A string literal, a structural character, or a run of anything else; the text is known to be JSON. */
const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

function scanForDuplicates(text: string): boolean {
  // One entry per open bracket: the names so far for an object, undefined for an array.
  const open: (Set<string> | undefined)[] = [];
  let previous = '';
  for (const [token] of text.matchAll(JSON_TOKEN)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token.startsWith('"') && (previous === '{' || previous === ',')) {
      const names = open[open.length - 1];
      if (names !== undefined) {
        // Names are compared as JSON.parse sees them: `"\u006bid"` is `"kid"`.
        const name = JSON.parse(token) as string;
        if (names.has(name)) return true;
        names.add(name);
      }
    }
    previous = token;
  }
  return false;
}
