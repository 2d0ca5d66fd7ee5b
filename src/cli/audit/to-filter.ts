/** Flags of a search as a filter. */
import { readFileSync } from 'node:fs';
import { readOrThrow } from '../../audit/read/line-blocks.js';
import type { LogFilterOptions } from '../../audit/read/log-filter.js';
import { SealwireError } from '../../errors.js';
import { decodeText } from '../../files/file-text.js';
import { sha256 } from '../../jwe/sha256.js';
import { tokensIn } from '../debug/token-in.js';
import type { FilterFlags } from './audit-options.js';

const DIGEST = /^[\w-]{43}$/;

/** @throws SealwireError `OPTIONS_INVALID` for what is no token, `AUDIT_FILE_INVALID` for a file that cannot be read */
export function toFilter({ since, until, token, ...names }: FilterFlags): LogFilterOptions {
  return { ...names, sinceMs: since, untilMs: until, ...(token && { token: token.flatMap(digestsOf) }) };
}

/** @param given a digest, a token, or `@FILE` with either, also with text around tokens */
function digestsOf(given: string): readonly string[] {
  const path = given.slice(1);
  const text = given.startsWith('@') ? readOrThrow(path, () => decodeText(readFileSync(path))) : given;
  if (DIGEST.test(text.trim())) return [text.trim()];
  const tokens = tokensIn(text.trim()).map((token) => token.replace(/\s/g, ''));
  if (tokens.every((token) => token.includes('.'))) return tokens.map(sha256);
  throw new SealwireError('OPTIONS_INVALID', '--token takes a token, @FILE with tokens, or the digest of one');
}
