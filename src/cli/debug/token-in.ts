/** A token from the command line or stdin. */
import { SealwireError } from '../../errors.js';
import { readAllText } from '../json/messages-in.js';

/**
 * @param argument the token, `@FILE`, or undefined and `@` for stdin; `sealwire-reply:` and quotes around the token are
 *   removed
 * @throws SealwireError `SEAL_INPUT` when there is none
 */
export async function readToken(argument: string | undefined): Promise<string> {
  const isFile = argument === undefined || argument.startsWith('@');
  const text = isFile ? await readAllText((argument ?? '@').slice(1)) : argument;
  const token = text
    .trim()
    .replace(/^sealwire-reply:\s*/, '')
    .replace(/^"(.*)"$/, '$1');
  if (token === '') throw new SealwireError('SEAL_INPUT', 'no token: give it as an argument or on stdin');
  return token;
}
