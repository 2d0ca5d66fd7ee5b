/** The one digest of tokens and of bound fields. */
import { hash } from 'node:crypto';

/**
 * @param data text counts as UTF-8
 * @returns SHA-256 in base64url, 43 characters
 */
export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data, 'base64url');
}
