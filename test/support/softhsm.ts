/** A SoftHSM2 token in a folder of its own, which can be taken away and brought back. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PublicJwk } from '../../src/keys/import.js';
import { type Attribute, CK, type Cryptoki, createCryptoki, findCryptoki } from '../../src/keys/pkcs11/cryptoki.js';
import { Pkcs11Custody } from '../../src/keys/pkcs11/pkcs11-custody.js';
import type { Curve } from '../../src/profile/algorithms.js';
import { missing, requireTool } from './tools.js';

const MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
];

/** A token that tests own. */
export interface SoftToken {
  readonly dir: string;
  readonly modulePath: string;
  readonly label: string;
  readonly pin: string;
  /** `pkcs11:` URI of a key on it. */
  uri(object: string): string;
  /** Takes the token's files away, as if it were pulled out. */
  takeAway(): Promise<void>;
  bringBack(): Promise<void>;
  remove(): Promise<void>;
}

/** Makes a token; skips the calling test where SoftHSM2 is not installed. Sets `SOFTHSM2_CONF` of this process. */
export async function createSoftToken(context: Mocha.Context, pin = '648219'): Promise<SoftToken> {
  requireTool(context, 'softhsm2-util');
  if (findCryptoki() === undefined) missing(context, 'needs pkcs11js: npm install pkcs11js');
  const modulePath = MODULES.find(existsSync) ?? missing(context, 'needs libsofthsm2.so: apt-get install softhsm2');
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-hsm-'));
  const tokens = join(dir, 'tokens');
  const conf = join(dir, 'softhsm2.conf');
  await mkdir(tokens);
  await writeFile(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  process.env['SOFTHSM2_CONF'] = conf;
  const label = 'sealwire test';
  const args = ['--init-token', '--free', '--label', label, '--so-pin', '91827364', '--pin', pin];
  execFileSync('softhsm2-util', args, { stdio: 'ignore' });
  return {
    dir,
    modulePath,
    label,
    pin,
    uri: (object) => `pkcs11:token=sealwire%20test;object=${object}?module-path=${modulePath}`,
    takeAway: () => rename(tokens, join(dir, 'away')),
    bringBack: () => rename(join(dir, 'away'), tokens),
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

/** Work on a token with the module itself, to make what our own code would not. */
export function onToken<T>(token: SoftToken, work: (module: Cryptoki, session: Buffer) => T): T {
  const module = createCryptoki(findCryptoki() ?? '');
  module.load(token.modulePath);
  module.C_Initialize();
  try {
    const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trimEnd() === token.label);
    if (slot === undefined) throw new Error('the token is not there');
    const session = module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);
    module.C_Login(session, CK.CKU_USER, token.pin);
    return work(module, session);
  } finally {
    module.C_Finalize();
    module.close();
  }
}

const OBJECT_IDS = { 'P-521': '06052b81040023', 'P-384': '06052b81040022', 'P-256': '06082a8648ce3d030107' } as const;

/** Puts a given key on a token, fit for agreements unless `attributes` say otherwise. */
export function importToToken(
  token: SoftToken,
  object: string,
  jwk: { readonly crv: keyof typeof OBJECT_IDS; readonly x: string; readonly y: string; readonly d: string },
  attributes: readonly Attribute[] = [],
): void {
  const bytes = (text: string) => Buffer.from(text, 'base64url');
  const point = Buffer.concat([Buffer.from([0x04]), bytes(jwk.x), bytes(jwk.y)]);
  const length = point.length < 128 ? [point.length] : [0x81, point.length];
  const common = [
    { type: CK.CKA_KEY_TYPE, value: CK.CKK_EC },
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_LABEL, value: object },
    { type: CK.CKA_EC_PARAMS, value: Buffer.from(OBJECT_IDS[jwk.crv], 'hex') },
  ];
  const fit = [
    { type: CK.CKA_DERIVE, value: true },
    { type: CK.CKA_SENSITIVE, value: true },
    { type: CK.CKA_EXTRACTABLE, value: false },
  ].filter(({ type }) => !attributes.some((each) => each.type === type));
  onToken(token, (module, session) => {
    module.C_CreateObject(session, [
      { type: CK.CKA_CLASS, value: CK.CKO_PUBLIC_KEY },
      ...common,
      { type: CK.CKA_EC_POINT, value: Buffer.concat([Buffer.from([0x04, ...length]), point]) },
    ]);
    module.C_CreateObject(session, [
      { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
      ...common,
      ...fit,
      ...attributes,
      { type: CK.CKA_PRIVATE, value: true },
      { type: CK.CKA_VALUE, value: bytes(jwk.d) },
    ]);
  });
}

/** Makes a key on the token and a ring file with it, and whatever `others` are, in a service's folder. */
export async function writeTokenRing(
  dir: string,
  token: SoftToken,
  { object, crv = 'P-521', others = [] }: { readonly object: string; readonly crv?: Curve; readonly others?: object[] },
): Promise<PublicJwk> {
  const custody = new Pkcs11Custody({ readPin: async () => token.pin });
  try {
    const jwk = await custody.generate(token.uri(object), crv);
    await mkdir(join(dir, 'keys'), { recursive: true, mode: 0o700 });
    const keys = [{ ...jwk, sealwire: { custody: token.uri(object) } }, ...others];
    await writeFile(join(dir, 'keys/ring.json'), JSON.stringify({ keys }), { mode: 0o600 });
    return jwk;
  } finally {
    await custody.close();
  }
}

/** Configuration of a service whose keys are on the token. */
export async function tokenConfig(token: SoftToken): Promise<{ readonly hsm: { readonly pinFile: string } }> {
  const pinFile = join(token.dir, 'pin');
  await writeFile(pinFile, `${token.pin}\n`, { mode: 0o600 });
  return { hsm: { pinFile } };
}
