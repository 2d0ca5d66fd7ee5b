/** A recipient in a page: keys by jose, and what a service derives for its replies, without the code under test. */
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import type { Curve } from '../../src/profile/algorithms.js';
import { importWebRecipientKey, type WebKeySource, type WebRecipientKey } from '../../src/web/crypto/recipient.js';

type PlatformKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** A recipient with its private key. */
export interface WebTestRecipient {
  readonly kid: string;
  readonly key: WebRecipientKey;
  readonly privateKey: PlatformKey;
}

export async function makeRecipient(crv: Curve = 'P-256'): Promise<WebTestRecipient> {
  const { publicKey, privateKey } = await generateKeyPair('ECDH-ES+A256KW', { crv, extractable: true });
  const jwk = await exportJWK(publicKey);
  return {
    kid: await calculateJwkThumbprint(jwk),
    key: await importWebRecipientKey(jwk),
    privateKey: privateKey as PlatformKey,
  };
}

/** Keys by recipient name, which a test may change. */
export class WebTestKeys implements WebKeySource {
  readonly byName: Record<string, WebRecipientKey>;
  refreshed: string[] = [];

  constructor(byName: Record<string, WebRecipientKey>) {
    this.byName = byName;
  }

  async current(recipient: string): Promise<WebRecipientKey> {
    const key = this.byName[recipient];
    if (key === undefined) throw new Error(`no key for '${recipient}'`);
    return key;
  }

  async refresh(recipient: string): Promise<void> {
    this.refreshed.push(recipient);
  }
}

export const utf8 = new TextEncoder();

export function fromBase64url(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0));
}

export function toBase64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

async function digest(...parts: readonly (Uint8Array | readonly number[])[]): Promise<Uint8Array> {
  const bytes = Uint8Array.from(parts.flatMap((part) => [...part]));
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

/** SHA-256 in base64url. */
export async function digestOf(data: string | Uint8Array): Promise<string> {
  return toBase64url(await digest(typeof data === 'string' ? utf8.encode(data) : data));
}

/** The protected header of a compact JWE. */
export function headerOf(token: string): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(fromBase64url(token.split('.')[0] as string)));
}

/** What the replies to a reply token are sealed with, by docs/calls.md. */
export interface WebReplySecrets {
  /** 32 bytes. */
  readonly key: Uint8Array;
  readonly kid: string;
  readonly rto: string;
}

export async function deriveReplySecrets(replyToken: string, privateKey: PlatformKey): Promise<WebReplySecrets> {
  const { kid, epk } = headerOf(replyToken) as { kid: string; epk: { crv: Curve; x: string; y: string } };
  const algorithm = { name: 'ECDH', namedCurve: epk.crv };
  const theirs = await crypto.subtle.importKey('jwk', { kty: 'EC', ...epk }, algorithm, false, []);
  const [x, y] = [fromBase64url(epk.x), fromBase64url(epk.y)];
  const z = await crypto.subtle.deriveBits({ name: 'ECDH', public: theirs }, privateKey, x.length * 8);
  const info = ['A256KW', 'sealwire-reply', kid].flatMap((text) => [0, 0, 0, text.length, ...utf8.encode(text)]);
  return {
    key: await digest([0, 0, 0, 1], new Uint8Array(z), info, [0, 0, 1, 0]),
    kid: toBase64url(await digest(x, y)),
    rto: await digestOf(replyToken),
  };
}
