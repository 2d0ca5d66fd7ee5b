/** Tokens from the command line or stdin, also out of the text around them. */
import { SealwireError } from '../../errors.js';
import { readAllText } from '../json/messages-in.js';

/** Nothing but a token, which may be cut, padded or broken into lines. */
const TOKEN_ALONE = /^ey[\w=-]*(?:\.[\w=-]*){0,4}$/;
/** In a log line or JSON: from two dots on, since there are many other words. */
const TOKEN_WITHIN = /(?<![\w.-])ey[\w-]{8,}(?:\.[\w-]*){2,4}(?!\.?[\w-])/g;

/** What is left of a token that was cut early. */
const CUT_WITHIN = /(?<![\w.-])eyJ[\w-]{16,}(?:\.[\w-]*)*/g;
/** What people and log writers put for the rest of a token. */
const ELLIPSIS = /(?:\.+|…)$/;

/**
 * @param argument a text, `@FILE`, or undefined and `@` for stdin
 * @returns the tokens in it, each once; the text itself if there is none
 * @throws SealwireError `SEAL_INPUT` when there is no text
 */
export async function readTokens(argument: string | undefined): Promise<readonly string[]> {
  const isFile = argument === undefined || argument.startsWith('@');
  const text = (isFile ? await readAllText((argument ?? '@').slice(1)) : argument).trim();
  if (text === '') throw new SealwireError('SEAL_INPUT', 'no token: give it as an argument or on stdin');
  return tokensIn(text);
}

/** @returns the tokens in a text, each once; the text itself if there is none */
export function tokensIn(text: string): readonly string[] {
  const bare = text.replace(ELLIPSIS, '');
  if (TOKEN_ALONE.test(bare.replace(/\s/g, ''))) return [bare];
  const matches = text.match(TOKEN_WITHIN) ?? text.match(CUT_WITHIN) ?? [text];
  const found = [...new Set(matches.map((token) => token.replace(ELLIPSIS, '')))];
  const whole = found.filter((token) => token.split('.').length === 5);
  return whole.length > 0 ? whole : found;
}

/** @throws SealwireError `SEAL_INPUT` when there is none, or more than one */
export async function readToken(argument: string | undefined): Promise<string> {
  const [token, ...others] = await readTokens(argument);
  if (others.length === 0) return token as string;
  throw new SealwireError('SEAL_INPUT', `the text has ${others.length + 1} tokens: give one of them`);
}
