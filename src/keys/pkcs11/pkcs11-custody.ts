/** Private keys inside PKCS#11 tokens: agreements are made there, and nothing but Z comes out. */
import { isSea } from 'node:sea';
import { SealwireError } from '../../errors.js';
import type { EphemeralPoint } from '../../jwe/header.js';
import type { Curve } from '../../profile/algorithms.js';
import type { HardwareCustody } from '../custody.js';
import { importKey, type PublicJwk } from '../import.js';
import { findCryptoki } from './cryptoki.js';
import type { KeyName, TokenKey } from './pkcs11-messages.js';
import { type Pkcs11Limits, Pkcs11Pool, type Pkcs11Stats } from './pkcs11-pool.js';
import { formatPkcs11Uri, type Pkcs11Uri, parsePkcs11Uri } from './pkcs11-uri.js';

/** Options of {@link Pkcs11Custody}. */
export interface Pkcs11CustodyOptions extends Pkcs11Limits {
  /** Path of the PKCS#11 library for URIs that name none. */
  readonly modulePath?: string | undefined;
  /** Gives the PIN of a token; asked once for each token, at first use. */
  readonly readPin: (token: Pkcs11Uri) => Promise<string>;
}

/**
 * Keys on any number of tokens, by kid.
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { KeyRing } from 'sealwire';
 * import { Pkcs11Custody } from 'sealwire/pkcs11';
 *
 * const hardware = new Pkcs11Custody({
 *   modulePath: '/usr/lib/softhsm/libsofthsm2.so',
 *   readPin: async () => (await readFile('/run/secrets/pin', 'utf8')).trim(),
 * });
 * const keys = await KeyRing.load('keys/ring.json', { hardware });
 * ```
 */
export class Pkcs11Custody implements HardwareCustody {
  readonly #options: Pkcs11CustodyOptions;
  readonly #keys = new Map<string, Pkcs11Uri>();
  /** By library and token; see {@link poolName}. */
  readonly #pools = new Map<string, Promise<Pkcs11Pool>>();
  readonly #open = new Set<Pkcs11Pool>();
  /** Pools that were told to be without a session. */
  readonly #away = new Set<string>();
  #closed = false;

  /** Opens nothing: no library is needed until there is a key. */
  constructor(options: Pkcs11CustodyOptions) {
    this.#options = options;
  }

  /**
   * Registers where the private key of a kid is. Does not use the token yet.
   *
   * @param uri RFC 7512, with `object` or `id`
   * @throws SealwireError `OPTIONS_INVALID`, also when the optional package `pkcs11js` is not installed
   */
  add(kid: string, uri: string): void {
    this.#keys.set(kid, this.#resolve(uri));
  }

  /** Concurrency of one token; there is seldom a second one. */
  get concurrency(): number {
    return (this.#options.sessions ?? 2) + 1;
  }

  /** @throws SealwireError `DECRYPTION_FAILED` for a bad point, `POOL_FULL`, `CUSTODY_FAILED` */
  async agree(kid: string, { crv, x, y }: EphemeralPoint): Promise<Buffer> {
    const uri = this.#keys.get(kid);
    if (uri === undefined) throw new SealwireError('CUSTODY_FAILED', 'the custody has no such key');
    const pool = await this.#pool(uri);
    const task = { kind: 'agree', key: keyName(uri), crv, x: new Uint8Array(x), y: new Uint8Array(y) } as const;
    const { problem, z } = await pool.run(task).then((reply) => ({ z: undefined, ...reply }));
    if (problem === 'point') throw new SealwireError('DECRYPTION_FAILED', 'decryption failed');
    if (z === undefined) throw new SealwireError('CUSTODY_FAILED', 'the token gave no shared secret');
    return Buffer.from(z.buffer, z.byteOffset, z.byteLength);
  }

  /**
   * The public half of a key on a token. The key must not be extractable and must be allowed to derive.
   *
   * @throws SealwireError `KEY_INVALID` when there is none or it is unfit, `KEY_PASSPHRASE_WRONG` for a refused PIN,
   *   `CUSTODY_FAILED`, `OPTIONS_INVALID`
   */
  async describe(uri: string): Promise<PublicJwk> {
    const resolved = this.#resolve(uri);
    const pool = await this.#pool(resolved);
    return toJwk(await pool.run({ kind: 'describe', key: keyName(resolved) }));
  }

  /**
   * Makes a key pair on a token; its private half can never be read.
   *
   * @throws SealwireError `KEY_INVALID` when the name is taken or the token refuses, `KEY_PASSPHRASE_WRONG` for
   *   a refused PIN, `CUSTODY_FAILED`, `OPTIONS_INVALID`
   */
  async generate(uri: string, crv: Curve): Promise<PublicJwk> {
    const resolved = this.#resolve(uri);
    const pool = await this.#pool(resolved, true);
    return toJwk(await pool.run({ kind: 'generate', key: keyName(resolved), crv }));
  }

  /** Whether the token of a key cannot be asked now; of a token that nobody has asked yet, false. */
  isAway(kid: string): boolean {
    const uri = this.#keys.get(kid);
    return uri !== undefined && this.#away.has(poolName(uri));
  }

  /** Counters of all tokens. */
  stats(): Pkcs11Stats {
    const all = [...this.#open].map((pool) => pool.stats());
    const sum = (name: keyof Pkcs11Stats) => all.reduce((total, stats) => total + stats[name], 0);
    return {
      calls: sum('calls'),
      failed: sum('failed'),
      callMs: sum('callMs'),
      sessions: sum('sessions'),
      queued: sum('queued'),
    };
  }

  /**
   * Forgets keys that a ring no longer has, and closes tokens without a key: a token that is unplugged after its keys
   * were moved is not looked for any longer.
   *
   * @param kids of the keys that stay
   */
  retain(kids: ReadonlySet<string>): void {
    for (const kid of [...this.#keys.keys()].filter((each) => !kids.has(each))) this.#keys.delete(kid);
    const used = new Set([...this.#keys.values()].map((uri) => poolName(uri)));
    for (const [name, opening] of [...this.#pools].filter(([each]) => !used.has(each))) {
      this.#pools.delete(name);
      this.#away.delete(name);
      // A caller that waits for the token learns why it cannot be opened.
      opening.then((pool) => pool.close()).catch(() => {});
    }
  }

  /** Ends all sessions; calls under way fail. @returns when their processes have ended */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open].map((pool) => pool.close()));
  }

  #resolve(text: string): Pkcs11Uri {
    requireCryptoki();
    const uri = parsePkcs11Uri(text);
    const modulePath = uri.modulePath ?? this.#options.modulePath;
    if (modulePath === undefined)
      throw new SealwireError('OPTIONS_INVALID', 'PKCS#11: no library named; give module-path');
    if (uri.object === undefined && uri.id === undefined) {
      throw new SealwireError('OPTIONS_INVALID', 'PKCS#11 URI: no key named; give object or id');
    }
    return { ...uri, modulePath };
  }

  #pool(uri: Pkcs11Uri, write = false): Promise<Pkcs11Pool> {
    const name = poolName(uri, write);
    const known = this.#pools.get(name);
    if (known !== undefined) return known;
    const opening = this.#createPool(tokenOf(uri), write);
    this.#pools.set(name, opening);
    // If asking for the PIN failed, it may be asked for again.
    opening.catch(() => this.#pools.delete(name));
    return opening;
  }

  async #createPool(token: Pkcs11Uri, write: boolean): Promise<Pkcs11Pool> {
    const { readPin, modulePath: _default, onChange, ...limits } = this.#options;
    const pin = await readPin(token);
    if (this.#closed) throw new SealwireError('CUSTODY_FAILED', 'the key custody is closed');
    const open = { cryptoki: requireCryptoki(), modulePath: token.modulePath as string, token, pin, write };
    const name = poolName(token, write);
    const changed = (available: boolean, why: string) => {
      if (available) this.#away.delete(name);
      else this.#away.add(name);
      onChange?.(available, why);
    };
    const pool = new Pkcs11Pool({ ...limits, open, onChange: changed, ...(write && { sessions: 1 }) });
    this.#open.add(pool);
    return pool;
  }
}

/** Only the sessions' processes load it; here the error can be reported. */
function requireCryptoki(): string {
  // Its Node runs the application and no other program.
  if (isSea()) throw new SealwireError('OPTIONS_INVALID', 'PKCS#11 needs Node: a single executable starts no sessions');
  const file = findCryptoki();
  if (file !== undefined) return file;
  throw new SealwireError('OPTIONS_INVALID', "PKCS#11 needs the package 'pkcs11js': run npm install pkcs11js");
}

/** The URI without the key. */
function tokenOf({ object: _object, id: _id, ...token }: Pkcs11Uri): Pkcs11Uri {
  return token;
}

/** Keys on one token share its sessions; those that may write are kept apart. */
function poolName(uri: Pkcs11Uri, write = false): string {
  return `${write ? 'write ' : ''}${formatPkcs11Uri(tokenOf(uri))}`;
}

function keyName({ object, id }: Pkcs11Uri): KeyName {
  return { ...(object !== undefined && { object }), ...(id !== undefined && { id: id.toString('hex') }) };
}

async function toJwk(reply: { readonly key?: TokenKey | undefined; readonly text?: string }): Promise<PublicJwk> {
  const { key, text } = reply;
  if (key === undefined) throw new SealwireError('KEY_INVALID', `PKCS#11: ${text ?? 'the token gave no key'}`);
  const { crv, x, y } = key;
  const encode = (hex: string) => Buffer.from(hex, 'hex').toString('base64url');
  return (await importKey({ kty: 'EC', crv, x: encode(x), y: encode(y) })).jwk;
}
