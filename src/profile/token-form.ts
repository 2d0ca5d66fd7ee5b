/** What every token looks like, before anything of it is checked. */

/** Five parts, the first of them a JSON object: `ey` is base64url of `{"`. */
const TOKEN_FORM = /^ey[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){4}$/;

/** Whether a text is meant to be a token; nothing is checked. */
export function looksLikeToken(text: string): boolean {
  return TOKEN_FORM.test(text);
}
