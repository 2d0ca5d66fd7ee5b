/** Which tokens a log has whole, so that a stored one is not written again with each opening. */
import { LRUCache } from 'lru-cache';
import { sha256 } from '../../jwe/sha256.js';
import type { RecordFieldInput, RecordInput } from '../format/record.js';

/** Tokens that are remembered. Of others the log does not know that it has them, and writes them whole. */
const MAX_TOKENS = 65_536;

interface Known {
  readonly seq: number;
  readonly hasGrant: boolean;
}

/** Remembers the records of one log that have a token whole. */
export class KnownTokens {
  readonly #origin: string;
  readonly #known = new LRUCache<string, Known>({ max: MAX_TOKENS });

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Takes note of a record that is on disk. */
  learn({ event, fields }: RecordInput, seq: number): void {
    if (event === 'reject') return;
    for (const { token, keep, outcome, ref, grant } of fields) {
      if (!keep || outcome === 'refused' || ref !== undefined) continue;
      this.#known.set(sha256(token), { seq, hasGrant: grant !== undefined });
    }
  }

  /**
   * @returns the record with references in place of tokens that the log has: tokens that somebody stored, or passes on
   */
  refer(input: RecordInput): RecordInput {
    const { event, fields } = input;
    if (event !== 'openStored' && event !== 'seal') return input;
    return { ...input, fields: fields.map((field) => this.#refer(field, event === 'seal')) };
  }

  #refer(field: RecordFieldInput, isSealed: boolean): RecordFieldInput {
    // What was sealed just now is nowhere yet.
    if (!field.keep || (isSealed && field.outcome !== 'passed')) return field;
    const known = this.#known.get(sha256(field.token));
    // A record from before there was a reviewer does not let one open the token.
    if (known === undefined || (field.grant !== undefined && !known.hasGrant)) return field;
    return { ...field, ref: { origin: this.#origin, seq: known.seq } };
  }

  /** Forgets what is in records up to `last`: they are about to be removed. */
  forget(last: number): void {
    for (const [digest, { seq }] of this.#known.entries()) if (seq <= last) this.#known.delete(digest);
  }
}
