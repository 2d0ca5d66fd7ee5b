/**
 * The part of PKCS#11 (Cryptoki 2.40) that is used here, as the optional package `pkcs11js` gives it. Declared here
 * rather than taken from that package's types, so that everything compiles where it is not installed.
 */
import { createRequire } from 'node:module';

/** A slot, session or object. */
export type Handle = Buffer;

export interface Attribute {
  readonly type: number;
  readonly value?: number | boolean | string | Buffer;
}

export interface TokenInfo {
  /** Padded with blanks, like all strings here. */
  readonly label: string;
  readonly manufacturerID: string;
  readonly model: string;
  readonly serialNumber: string;
  readonly flags: number;
}

/** Functions of a loaded library; they throw an Error whose message is the CKR code. */
export interface Cryptoki {
  load(path: string): void;
  close(): void;
  C_Initialize(options?: { readonly flags: number }): void;
  C_Finalize(): void;
  C_GetSlotList(tokenPresent: boolean): Handle[];
  C_GetTokenInfo(slot: Handle): TokenInfo;
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_Login(session: Handle, user: number, pin: string): void;
  C_SetPIN(session: Handle, oldPin: string, newPin: string): void;
  C_FindObjectsInit(session: Handle, template: readonly Attribute[]): void;
  C_FindObjects(session: Handle, most: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(session: Handle, object: Handle, template: readonly Attribute[]): { readonly value: Buffer }[];
  C_CreateObject(session: Handle, template: readonly Attribute[]): Handle;
  C_DestroyObject(session: Handle, object: Handle): void;
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicTemplate: readonly Attribute[],
    privateTemplate: readonly Attribute[],
  ): { readonly publicKey: Handle; readonly privateKey: Handle };
  C_DeriveKey(session: Handle, mechanism: Mechanism, key: Handle, template: readonly Attribute[]): Handle;
}

export interface Mechanism {
  readonly mechanism: number;
  readonly parameter?: { readonly type: number; readonly kdf: number; readonly publicData: Buffer };
}

/** Numbers of PKCS#11's header files. */
export const CK = {
  CKO_PUBLIC_KEY: 2,
  CKO_PRIVATE_KEY: 3,
  CKO_SECRET_KEY: 4,
  CKK_EC: 3,
  CKK_GENERIC_SECRET: 0x10,
  CKA_CLASS: 0,
  CKA_TOKEN: 1,
  CKA_PRIVATE: 2,
  CKA_LABEL: 3,
  CKA_VALUE: 0x11,
  CKA_KEY_TYPE: 0x100,
  CKA_ID: 0x102,
  CKA_SENSITIVE: 0x103,
  CKA_DERIVE: 0x10c,
  CKA_VALUE_LEN: 0x161,
  CKA_EXTRACTABLE: 0x162,
  CKA_NEVER_EXTRACTABLE: 0x164,
  CKA_ALWAYS_SENSITIVE: 0x165,
  CKA_EC_PARAMS: 0x180,
  CKA_EC_POINT: 0x181,
  CKM_EC_KEY_PAIR_GEN: 0x1040,
  CKM_ECDH1_DERIVE: 0x1050,
  CKD_NULL: 1,
  CKU_USER: 1,
  CKF_OS_LOCKING_OK: 2,
  CKF_RW_SESSION: 2,
  CKF_SERIAL_SESSION: 4,
  CKF_TOKEN_INITIALIZED: 0x400,
  /** pkcs11js's own, for the parameter of CKM_ECDH1_DERIVE. */
  CK_PARAMS_EC_DH: 6,
} as const;

/**
 * Finds the optional package. In a bundle of CommonJS this file has no address: there it is looked for beside the
 * program.
 *
 * @returns its main file; undefined when it is not installed
 */
export function findCryptoki(): string | undefined {
  try {
    return createRequire(import.meta.url ?? process.argv[1] ?? process.execPath).resolve('pkcs11js');
  } catch {
    return undefined;
  }
}

/**
 * @param file what {@link findCryptoki} gave
 * @throws Error when it cannot be loaded
 */
export function createCryptoki(file: string): Cryptoki {
  const { PKCS11 } = createRequire(file)(file) as { readonly PKCS11: new () => Cryptoki };
  return new PKCS11();
}
