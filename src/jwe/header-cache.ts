/**
 * Headers of one sender's session differ in `iat`, `bnd` and `req` only. What comes before them is parsed and
 * checked once, and recognised afterwards by its characters.
 */
import { LRUCache } from 'lru-cache';
import { agreementId } from './agreements/agreement-cache.js';
import { decodeCanonical } from './base64url.js';
import type { TokenHeader } from './header.js';

/** A parsed header and the name of its agreement. */
export interface KnownHeader {
  readonly header: TokenHeader;
  readonly agreementId: string;
}

interface Template extends KnownHeader {
  /** The 0 to 2 bytes of the prefix that share a base64url group with the tail, as latin1 text. */
  readonly rest: string;
}

/**
 * The end of a header as this project's senders write it. If a JSON object ends so, and `,"iat":` stands
 * before, then that name is one of the object's own (a string cannot hold a bare quote, and the only
 * bracket left to close is the object's), and any other text of this form in its place gives an object
 * that differs in these values alone.
 */
const TAIL = /^([1-9]\d{9})(?:,"(bnd|req)":"([A-Za-z0-9_-]{43})")?\}$/;
const TAIL_BYTES = [`0123456789,"bnd":"${'x'.repeat(43)}"}`.length, '0123456789}'.length] as const;
const BEFORE_TAIL = ',"iat":';
const MAX_TEMPLATES = 4_096;

/** Recognises headers whose prefix belonged to a token that was opened before. */
export class HeaderCache {
  readonly #templates = new LRUCache<string, Template>({ max: MAX_TEMPLATES });

  /**
   * @param part the token's first part
   * @param headerBytes cap on the decoded size
   * @returns what parsing would give; undefined when it has to be parsed, for whatever reason
   */
  find(part: string, headerBytes: number): KnownHeader | undefined {
    const bytes = Math.floor((part.length * 3) / 4);
    if (bytes > headerBytes) return undefined;
    for (const tailBytes of TAIL_BYTES) {
      const cut = cutAt(bytes - tailBytes);
      if (cut < 0) continue;
      const template = this.#templates.get(part.slice(0, cut));
      if (template === undefined) continue;
      const tail = decodeCanonical(part.slice(cut))?.toString('latin1');
      if (!tail?.startsWith(template.rest)) return undefined;
      const [, iat, name, digest] = TAIL.exec(tail.slice(template.rest.length)) ?? [];
      if (iat === undefined) return undefined;
      const bnd = name === 'bnd' ? digest : undefined;
      const req = name === 'req' ? digest : undefined;
      // A literal without spread: this is made for every token.
      const { alg, enc, kid, epk, hasOtherEpkMembers, typ, cty, fld, mth, apu, apv } = template.header;
      const header = {
        alg,
        enc,
        kid,
        epk,
        hasOtherEpkMembers,
        typ,
        cty,
        fld,
        iat: Number(iat),
        bnd,
        mth,
        req,
        apu,
        apv,
      };
      return { agreementId: template.agreementId, header };
    }
    return undefined;
  }

  /**
   * Remembers a header's prefix.
   *
   * @param part the first part of a token whose tag was verified: rubbish cannot fill the cache
   * @param header what parsing it gave
   */
  remember(part: string, header: TokenHeader): void {
    const text = Buffer.from(part, 'base64url').toString('latin1');
    for (const tailBytes of TAIL_BYTES) {
      const prefixBytes = text.length - tailBytes;
      const [, iat, name, digest] = TAIL.exec(text.slice(Math.max(prefixBytes, 0))) ?? [];
      if (iat === undefined || Number(iat) !== header.iat) continue;
      // Neither stands in the prefix: there it would hold for tokens that have another one in their tail.
      if (header.bnd !== (name === 'bnd' ? digest : undefined)) continue;
      if (header.req !== (name === 'req' ? digest : undefined)) continue;
      if (!text.slice(0, prefixBytes).endsWith(BEFORE_TAIL)) continue;
      const cut = cutAt(prefixBytes);
      const rest = text.slice((cut / 4) * 3, prefixBytes);
      this.#templates.set(part.slice(0, cut), { header, agreementId: agreementId(header), rest });
      return;
    }
  }
}

/** Characters of the whole base64url groups in so many bytes. */
function cutAt(prefixBytes: number): number {
  return Math.floor(prefixBytes / 3) * 4;
}
