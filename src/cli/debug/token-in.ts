/** Tokens from the command line or stdin, also out of the text around them. */
import { SealwireError } from '../../errors.js';
import { readAllText } from '../json/messages-in.js';

/** Nothing but a token, which may be cut, padded or broken into lines. */
const TOKEN_ALONE = /^ey[\w=-]*(?:\.[\w=-]*){0,4}$/;
/** In a log line or JSON: from two dots on, since there are many other words. */
const TOKEN_WITHIN = /(?<![\w.-])ey[\w-]{8,}(?:\.[\w-]*){2,4}(?!\.?[\w-])/g;

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
  if (TOKEN_ALONE.test(text.replace(/\s/g, ''))) return [text];
  const found = [...new Set(text.match(TOKEN_WITHIN))];
  const whole = found.filter((token) => token.split('.').length === 5);
  if (whole.length > 0) return whole;
  return found.length > 0 ? found : [text];
}

/** @throws SealwireError `SEAL_INPUT` when there is none, or more than one */
export async function readToken(argument: string | undefined): Promise<string> {
  const [token, ...others] = await readTokens(argument);
  if (others.length === 0) return token as string;
  throw new SealwireError('SEAL_INPUT', `the text has ${others.length + 1} tokens: give one of them`);
}
