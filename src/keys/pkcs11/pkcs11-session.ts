/** One session with a PKCS#11 token. Runs in a process of its own: modules block, and some crash. */
import { createECDH, createPublicKey } from 'node:crypto';
import { opensslCurves, toSpki } from '../../jwe/openssl-curves.js';
import { type Curve, curves } from '../../profile/algorithms.js';
import { type Attribute, CK, type Cryptoki, createCryptoki, type Handle } from './cryptoki.js';
import type { KeyName, OpenRequest, Pkcs11Problem, TokenKey } from './pkcs11-messages.js';
import type { Pkcs11Uri } from './pkcs11-uri.js';

/** What could not be done, in words for the operator. */
export class Pkcs11Failure extends Error {
  readonly problem: Pkcs11Problem;
  constructor(problem: Pkcs11Problem, message: string) {
    super(message);
    this.problem = problem;
  }
}

/** DER of the curves' object identifiers (RFC 5480 §2.1.1.1): CKA_EC_PARAMS. */
const EC_PARAMS: Readonly<Record<Curve, string>> = {
  'P-521': '06052b81040023',
  'P-384': '06052b81040022',
  'P-256': '06082a8648ce3d030107',
};
/** Errors that a wrong key gives; all others may be the token's end. */
const KEY_ERRORS: ReadonlySet<string> = new Set([
  'CKR_KEY_FUNCTION_NOT_PERMITTED',
  'CKR_KEY_TYPE_INCONSISTENT',
  'CKR_MECHANISM_INVALID',
  'CKR_TEMPLATE_INCONSISTENT',
  'CKR_TOKEN_WRITE_PROTECTED',
]);

interface FoundKey extends TokenKey {
  readonly handle: Handle;
}

/** An open, logged-in session. */
export class Pkcs11Session {
  readonly serial: string;
  readonly #module: Cryptoki;
  readonly #session: Handle;
  readonly #keys = new Map<string, FoundKey>();

  /** @throws Pkcs11Failure `token`, `pin` */
  constructor({ cryptoki, modulePath, token, pin, write }: OpenRequest) {
    try {
      this.#module = createCryptoki(cryptoki);
    } catch {
      throw new Pkcs11Failure('token', `${cryptoki}: cannot be loaded; install pkcs11js again for this Node`);
    }
    try {
      this.#module.load(modulePath);
    } catch {
      throw new Pkcs11Failure('token', `${modulePath}: not a PKCS#11 library that can be loaded`);
    }
    attempt('token', 'the token cannot be reached', () => this.#module.C_Initialize({ flags: CK.CKF_OS_LOCKING_OK }));
    const { slot, serial } = this.#findToken(token);
    this.serial = serial;
    // Serving needs no right to write.
    const flags = CK.CKF_SERIAL_SESSION | (write ? CK.CKF_RW_SESSION : 0);
    this.#session = attempt('token', 'no session', () => this.#module.C_OpenSession(slot, flags));
    this.#logIn(pin);
  }

  /**
   * ECDH of a private key on the token with a point (CKM_ECDH1_DERIVE, without a key derivation function).
   *
   * @returns Z, left-padded to the size of a coordinate
   * @throws Pkcs11Failure `point`, `key`, `token`
   */
  agree(name: KeyName, crv: Curve, x: Uint8Array, y: Uint8Array): Buffer {
    const { coordinateBytes } = curves[crv];
    try {
      // Tokens answer a bad point like a broken device, and a few not at all: OpenSSL looks first.
      createPublicKey({ key: toSpki(crv, x, y), format: 'der', type: 'spki' });
    } catch {
      throw new Pkcs11Failure('point', 'the point is not on the curve');
    }
    const key = this.#find(name);
    if (key.crv !== crv) throw new Pkcs11Failure('key', 'the key is on another curve');
    const publicData = Buffer.concat([Buffer.from([0x04]), x, y]);
    const template = [
      { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
      { type: CK.CKA_KEY_TYPE, value: CK.CKK_GENERIC_SECRET },
      { type: CK.CKA_TOKEN, value: false },
      { type: CK.CKA_SENSITIVE, value: false },
      { type: CK.CKA_EXTRACTABLE, value: true },
      { type: CK.CKA_VALUE_LEN, value: coordinateBytes },
    ];
    const parameter = { type: CK.CK_PARAMS_EC_DH, kdf: CK.CKD_NULL, publicData };
    return attempt('token', 'the agreement failed', () => {
      const mechanism = { mechanism: CK.CKM_ECDH1_DERIVE, parameter };
      const secret = this.#module.C_DeriveKey(this.#session, mechanism, key.handle, template);
      try {
        return padLeft(this.#read(secret, CK.CKA_VALUE), coordinateBytes);
      } finally {
        this.#module.C_DestroyObject(this.#session, secret);
      }
    });
  }

  /**
   * The public half of a key that is fit for us: private, sensitive, not extractable, allowed to derive, and the one
   * that belongs to the public key beside it.
   *
   * @throws Pkcs11Failure `key`, `token`
   */
  describe(name: KeyName): TokenKey {
    const { handle, crv, x, y } = this.#find(name);
    const is = (type: number) => this.#read(handle, type)[0] === 1;
    if (!is(CK.CKA_DERIVE)) throw new Pkcs11Failure('key', `${print(name)} may not derive (CKA_DERIVE)`);
    if (!is(CK.CKA_SENSITIVE) || is(CK.CKA_EXTRACTABLE)) {
      throw new Pkcs11Failure('key', `${print(name)} can be read out (CKA_SENSITIVE, CKA_EXTRACTABLE)`);
    }
    this.#tryOut(name, { crv, x, y });
    return { crv, x, y };
  }

  /**
   * Makes a key pair on the token; its private half can never be read.
   *
   * @throws Pkcs11Failure `key` when the name is taken or the token refuses, `token`
   */
  generate(name: KeyName, crv: Curve): TokenKey {
    if (this.#search(name, CK.CKO_PRIVATE_KEY).length > 0) {
      throw new Pkcs11Failure('key', `${print(name)} is on the token already`);
    }
    const names = this.#template(name);
    const common = [...names, { type: CK.CKA_TOKEN, value: true }, { type: CK.CKA_DERIVE, value: true }];
    const publicTemplate = [...common, { type: CK.CKA_EC_PARAMS, value: Buffer.from(EC_PARAMS[crv], 'hex') }];
    const privateTemplate = [
      ...common,
      { type: CK.CKA_PRIVATE, value: true },
      { type: CK.CKA_SENSITIVE, value: true },
      { type: CK.CKA_EXTRACTABLE, value: false },
    ];
    attempt('token', 'the key cannot be made', () => {
      const mechanism = { mechanism: CK.CKM_EC_KEY_PAIR_GEN };
      this.#module.C_GenerateKeyPair(this.#session, mechanism, publicTemplate, privateTemplate);
    });
    return this.describe(name);
  }

  /** Two objects of one name need not be a pair, and what is sealed to a stranger's point can never be opened. */
  #tryOut(name: KeyName, { crv, x, y }: TokenKey): void {
    const { coordinateBytes } = curves[crv];
    let isPair: boolean;
    try {
      const ours = createECDH(opensslCurves[crv].name);
      const own = ours.generateKeys();
      const z = this.agree(name, crv, own.subarray(1, 1 + coordinateBytes), own.subarray(1 + coordinateBytes));
      isPair = z.equals(ours.computeSecret(Buffer.from(`04${x}${y}`, 'hex')));
    } catch (error) {
      if (error instanceof Pkcs11Failure) throw error;
      isPair = false;
    }
    if (!isPair) throw new Pkcs11Failure('key', `${print(name)} does not belong to the public key beside it`);
  }

  #findToken(wanted: Pkcs11Uri): { readonly slot: Handle; readonly serial: string } {
    const slots = attempt('token', 'no slots', () => this.#module.C_GetSlotList(true));
    const matching = slots.flatMap((slot) => {
      const info = attempt('token', 'no token', () => this.#module.C_GetTokenInfo(slot));
      // Fields are padded with blanks to their size.
      const fits = (value: string | undefined, padded: string) => value === undefined || padded.trimEnd() === value;
      const isMatch =
        (info.flags & CK.CKF_TOKEN_INITIALIZED) !== 0 &&
        fits(wanted.token, info.label) &&
        fits(wanted.serial, info.serialNumber) &&
        fits(wanted.manufacturer, info.manufacturerID) &&
        fits(wanted.model, info.model) &&
        (wanted.slotId === undefined || slotNumber(slot) === wanted.slotId);
      return isMatch ? [{ slot, serial: info.serialNumber.trimEnd() }] : [];
    });
    const [only, second] = matching;
    if (only === undefined) throw new Pkcs11Failure('token', 'no such token is present');
    if (second !== undefined) throw new Pkcs11Failure('token', 'several tokens match; name the serial number');
    return only;
  }

  #logIn(pin: string): void {
    try {
      this.#module.C_Login(this.#session, CK.CKU_USER, pin);
    } catch (error) {
      const code = nameOf(error);
      if (code === 'CKR_USER_ALREADY_LOGGED_IN') return;
      if (code === 'CKR_PIN_LOCKED') throw new Pkcs11Failure('pin', 'the PIN of the token is locked');
      if (code.startsWith('CKR_PIN_')) throw new Pkcs11Failure('pin', 'the token refuses the PIN');
      throw new Pkcs11Failure('token', `log-in failed (${code})`);
    }
  }

  #find(name: KeyName): FoundKey {
    const known = this.#keys.get(print(name));
    if (known !== undefined) return known;
    const [handle, second] = this.#search(name, CK.CKO_PRIVATE_KEY);
    if (handle === undefined) throw new Pkcs11Failure('key', `${print(name)} is not on the token`);
    if (second !== undefined) throw new Pkcs11Failure('key', `${print(name)} is on the token twice; name its id`);
    const params = this.#read(handle, CK.CKA_EC_PARAMS).toString('hex');
    const crv = (Object.keys(EC_PARAMS) as Curve[]).find((curve) => EC_PARAMS[curve] === params);
    if (crv === undefined) throw new Pkcs11Failure('key', `${print(name)} is not on P-521, P-384 or P-256`);
    const found = { handle, crv, ...this.#readPoint(name, crv) };
    this.#keys.set(print(name), found);
    return found;
  }

  /** A private key seldom tells its point: the public one beside it does. */
  #readPoint(name: KeyName, crv: Curve): { readonly x: string; readonly y: string } {
    const [handle] = this.#search(name, CK.CKO_PUBLIC_KEY);
    if (handle === undefined) throw new Pkcs11Failure('key', `${print(name)} has no public key beside it on the token`);
    const { coordinateBytes } = curves[crv];
    const point = this.#read(handle, CK.CKA_EC_POINT);
    // An OCTET STRING around the point (PKCS#11 §2.3.3), which old modules leave out.
    const bytes = point.subarray(-(2 * coordinateBytes + 1));
    if (bytes.length !== 2 * coordinateBytes + 1 || bytes[0] !== 0x04) {
      throw new Pkcs11Failure('key', `${print(name)} has no uncompressed public point`);
    }
    const half = 1 + coordinateBytes;
    return { x: bytes.subarray(1, half).toString('hex'), y: bytes.subarray(half).toString('hex') };
  }

  #search(name: KeyName, objectClass: number): Handle[] {
    const template = [
      { type: CK.CKA_CLASS, value: objectClass },
      { type: CK.CKA_KEY_TYPE, value: CK.CKK_EC },
      ...this.#template(name),
    ];
    return attempt('token', 'the token cannot be searched', () => {
      this.#module.C_FindObjectsInit(this.#session, template);
      try {
        return this.#module.C_FindObjects(this.#session, 2);
      } finally {
        this.#module.C_FindObjectsFinal(this.#session);
      }
    });
  }

  #template({ object, id }: KeyName): Attribute[] {
    return [
      ...(object === undefined ? [] : [{ type: CK.CKA_LABEL, value: object }]),
      ...(id === undefined ? [] : [{ type: CK.CKA_ID, value: Buffer.from(id, 'hex') }]),
    ];
  }

  #read(object: Handle, type: number): Buffer {
    const [attribute] = attempt('token', 'an attribute cannot be read', () =>
      this.#module.C_GetAttributeValue(this.#session, object, [{ type }]),
    );
    return attribute?.value ?? Buffer.alloc(0);
  }
}

function attempt<T>(problem: Pkcs11Problem, what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Pkcs11Failure) throw error;
    const code = nameOf(error);
    throw new Pkcs11Failure(KEY_ERRORS.has(code) ? 'key' : problem, `${what} (${code})`);
  }
}

/** The module's own name for what happened, e.g. `CKR_DEVICE_REMOVED`; never a text of unknown making. */
function nameOf(error: unknown): string {
  const { message } = error as { message?: unknown };
  return typeof message === 'string' && /^CKR_[A-Z0-9_]{1,64}$/.test(message) ? message : 'no CKR code';
}

function slotNumber(slot: Handle): number {
  return Number(slot.readBigUInt64LE(0));
}

function padLeft(bytes: Buffer, size: number): Buffer {
  return Buffer.concat([Buffer.alloc(Math.max(0, size - bytes.length)), bytes]);
}

function print({ object, id }: KeyName): string {
  const names = [object === undefined ? '' : `'${object}'`, id === undefined ? '' : `id ${id}`].filter(Boolean);
  return `key ${names.join(', ')}`;
}
