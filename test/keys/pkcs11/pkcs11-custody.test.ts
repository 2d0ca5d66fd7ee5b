import { diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import type { EphemeralPoint } from '../../../src/jwe/header.js';
import { opensslCurves } from '../../../src/jwe/openssl-curves.js';
import { importKey, type PublicJwk } from '../../../src/keys/import.js';
import { CK } from '../../../src/keys/pkcs11/cryptoki.js';
import { Pkcs11Custody, type Pkcs11CustodyOptions } from '../../../src/keys/pkcs11/pkcs11-custody.js';
import { KeyRing } from '../../../src/keys/ring.js';
import { exportRingKey } from '../../../src/keys/ring-file.js';
import type { Curve } from '../../../src/profile/algorithms.js';
import { sessionPids } from '../../support/session-pids.js';
import { createSoftToken, importToToken, onToken, type SoftToken } from '../../support/softhsm.js';
import { compareAgreements } from '../../support/token-agreements.js';
import { readVectors } from '../../support/vectors.js';
import { CURVES, makePair, refusal } from '../helpers.js';

interface EcdhVectors {
  readonly testGroups: readonly {
    readonly tests: readonly {
      readonly tcId: number;
      readonly public: { readonly crv: string; readonly x: string; readonly y: string };
      readonly private: { readonly crv: 'P-521'; readonly x: string; readonly y: string; readonly d: string };
      readonly shared: string;
      readonly result: 'valid' | 'invalid';
    }[];
  }[];
}

function makeEphemeral(crv: Curve): { readonly epk: EphemeralPoint; readonly privateKey: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: opensslCurves[crv].name });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  return { epk: { crv, x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') }, privateKey };
}

describe('Pkcs11Custody', () => {
  let token: SoftToken;
  const custodies: Pkcs11Custody[] = [];
  before(async function () {
    token = await createSoftToken(this);
  });
  afterEach(async () => {
    for (const custody of custodies.splice(0)) await custody.close();
  });
  after(() => token?.remove());

  function open(options: Partial<Pkcs11CustodyOptions> = {}): Pkcs11Custody {
    const custody = new Pkcs11Custody({ readPin: async () => token.pin, ...options });
    custodies.push(custody);
    return custody;
  }

  async function openWithKey(name: string, options: Partial<Pkcs11CustodyOptions> = {}, crv: Curve = 'P-521') {
    const custody = open(options);
    const jwk = await custody.generate(token.uri(name), crv);
    custody.add(jwk.kid, token.uri(name));
    return { custody, jwk };
  }

  async function expectSameSecret(custody: Pkcs11Custody, jwk: PublicJwk): Promise<Buffer> {
    const { publicKey } = await importKey(jwk);
    const { epk, privateKey } = makeEphemeral(jwk.crv);
    const z = await custody.agree(jwk.kid, epk);
    expect(z.equals(diffieHellman({ privateKey, publicKey }))).to.equal(true);
    return z;
  }

  for (const crv of CURVES) {
    it(`makes a ${crv} key on the token and agrees as the sender does`, async () => {
      const { custody, jwk } = await openWithKey(`fresh ${crv}`, {}, crv);
      expect(await custody.describe(token.uri(`fresh ${crv}`))).to.deep.equal(jwk);
      await expectSameSecret(custody, jwk);
    });
  }

  it('gives Z in full length, with the zero bytes it begins with', async () => {
    expect(await compareAgreements(token, 'P-521', 100)).to.be.greaterThan(20);
  });

  it('makes keys that the token itself will not give away', async () => {
    await openWithKey('sealed in');
    const read = (type: number) =>
      onToken(token, (module, session) => {
        module.C_FindObjectsInit(session, [
          { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
          { type: CK.CKA_LABEL, value: 'sealed in' },
        ]);
        const [key] = module.C_FindObjects(session, 1);
        module.C_FindObjectsFinal(session);
        return module.C_GetAttributeValue(session, key as Buffer, [{ type }])[0]?.value;
      });
    expect(() => read(CK.CKA_VALUE)).to.throw('CKR_ATTRIBUTE_SENSITIVE');
    for (const type of [CK.CKA_SENSITIVE, CK.CKA_ALWAYS_SENSITIVE, CK.CKA_NEVER_EXTRACTABLE]) {
      expect(read(type)?.[0]).to.equal(1);
    }
  });

  it("gives Wycheproof's verdicts for ECDH on P-521", async function () {
    this.timeout(60_000);
    const { testGroups } = readVectors<EcdhVectors>(this, 'wycheproof', 'ecdh_secp521r1_webcrypto_test.json');
    const tests = testGroups.flatMap((group) => group.tests);
    const custody = open();
    const kids = new Map<string, string>();
    for (const { private: jwk } of tests) {
      if (kids.has(jwk.d)) continue;
      const name = `wycheproof ${kids.size}`;
      importToToken(token, name, jwk);
      const { kid } = await custody.describe(token.uri(name));
      custody.add(kid, token.uri(name));
      kids.set(jwk.d, kid);
    }
    const wrong: number[] = [];
    for (const {
      tcId,
      public: point,
      private: { d },
      shared,
      result,
    } of tests) {
      // A header's parser lets only our curves and coordinates of their size through to a custody.
      const isOurs = point.crv === 'P-521';
      const epk = { crv: 'P-521' as const, x: Buffer.from(point.x, 'base64url'), y: Buffer.from(point.y, 'base64url') };
      const z = isOurs ? await custody.agree(kids.get(d) as string, epk).catch(codeOf) : 'CURVE_NOT_ALLOWED';
      const verdict = Buffer.isBuffer(z) ? z.toString('hex') === shared : false;
      if (verdict !== (result === 'valid')) wrong.push(tcId);
      if (result === 'invalid') expect(z).to.be.oneOf(['DECRYPTION_FAILED', 'CURVE_NOT_ALLOWED']);
    }
    expect(tests).to.have.length(655);
    expect(wrong).to.deep.equal([]);
  });

  it('refuses a point that is not on the curve, and goes on', async () => {
    const { custody, jwk } = await openWithKey('bad point');
    const { epk } = makeEphemeral('P-521');
    await refusal(() => custody.agree(jwk.kid, { ...epk, y: Buffer.alloc(66, 1) }), 'DECRYPTION_FAILED');
    await expectSameSecret(custody, jwk);
    expect(custody.stats().failed).to.equal(0);
  });

  it('refuses keys that are unfit: may not derive, can be read out, on another curve, absent, there twice', async () => {
    const unfit = [
      ['no derive', [{ type: CK.CKA_DERIVE, value: false }], /may not derive/],
      ['extractable', [{ type: CK.CKA_EXTRACTABLE, value: true }], /can be read out/],
      ['not sensitive', [{ type: CK.CKA_SENSITIVE, value: false }], /can be read out/],
    ] as const;
    const custody = open();
    for (const [name, attributes, why] of unfit) {
      importToToken(token, name, makePair().jwk, [...attributes]);
      expect((await refusal(() => custody.describe(token.uri(name)), 'KEY_INVALID')).message).to.match(why);
    }
    importToToken(token, 'twice', makePair().jwk);
    importToToken(token, 'twice', makePair().jwk);
    expect((await refusal(() => custody.describe(token.uri('twice')), 'KEY_INVALID')).message).to.match(/twice/);
    expect((await refusal(() => custody.describe(token.uri('nobody')), 'KEY_INVALID')).message).to.match(/not on the/);
  });

  it('will not make a key under a name that is taken', async () => {
    const { custody } = await openWithKey('taken');
    await refusal(() => custody.generate(token.uri('taken'), 'P-521'), 'KEY_INVALID');
  });

  for (const [what, change, why] of [
    ['a library that is none', { modulePath: '/etc/passwd' }, /not a PKCS#11 library/],
    ['a token that is not there', { token: 'elsewhere' }, /no such token/],
  ] as const) {
    it(`says so of ${what}`, async () => {
      const uri = `pkcs11:token=${change.token ?? 'sealwire%20test'};object=k?module-path=${change.modulePath ?? token.modulePath}`;
      expect((await refusal(() => open().describe(uri), 'CUSTODY_FAILED')).message).to.match(why);
    });
  }

  it('never tries a refused PIN again, for tokens lock', async () => {
    const { jwk } = await openWithKey('pin');
    let pin = '000000';
    const custody = open({ readPin: async () => pin });
    custody.add(jwk.kid, token.uri('pin'));
    const { epk } = makeEphemeral('P-521');
    expect((await refusal(() => custody.agree(jwk.kid, epk), 'CUSTODY_FAILED')).message).to.match(/refuses the PIN/);
    await refusal(() => custody.describe(token.uri('pin')), 'KEY_PASSPHRASE_WRONG');
    // Were it tried again, it would be right now.
    onToken(token, (module, session) => module.C_SetPIN(session, token.pin, pin));
    try {
      await refusal(() => custody.agree(jwk.kid, epk), 'CUSTODY_FAILED');
      pin = token.pin;
      await refusal(() => custody.agree(jwk.kid, epk), 'CUSTODY_FAILED');
    } finally {
      onToken({ ...token, pin: '000000' }, (module, session) => module.C_SetPIN(session, '000000', token.pin));
    }
  });

  it('fails at once while the token is away, and serves again when it is back', async () => {
    const changes: boolean[] = [];
    let returned = () => {};
    const back = new Promise<void>((resolve) => {
      returned = resolve;
    });
    const onChange = (available: boolean) => {
      changes.push(available);
      if (available) returned();
    };
    const { custody, jwk } = await openWithKey('away', { onChange });
    await expectSameSecret(custody, jwk);
    const { epk } = makeEphemeral('P-521');
    await token.takeAway();
    try {
      for (let count = 0; count < 10; count++) await refusal(() => custody.agree(jwk.kid, epk), 'CUSTODY_FAILED');
    } finally {
      await token.bringBack();
    }
    await back;
    await expectSameSecret(custody, jwk);
    expect(changes).to.deep.equal([false, true]);
  });

  it('serves on when a session dies', async () => {
    const { custody, jwk } = await openWithKey('crash', { sessions: 1 });
    await expectSameSecret(custody, jwk);
    for (const pid of sessionPids()) process.kill(pid, 'SIGKILL');
    const { epk } = makeEphemeral('P-521');
    for (;;) {
      const result = await custody.agree(jwk.kid, epk).catch(codeOf);
      if (Buffer.isBuffer(result)) return;
      expect(result).to.equal('CUSTODY_FAILED');
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it('ends a session that hangs at the deadline, and serves on', async () => {
    const { custody, jwk } = await openWithKey('hang', { sessions: 1, deadlineMs: 1_500 });
    await expectSameSecret(custody, jwk);
    const hung = sessionPids();
    for (const pid of hung) process.kill(pid, 'SIGSTOP');
    const { epk } = makeEphemeral('P-521');
    const error = await refusal(() => custody.agree(jwk.kid, epk), 'CUSTODY_FAILED');
    expect(error.message).to.match(/did not answer in time/);
    let result: Buffer | string = '';
    while (!Buffer.isBuffer(result)) {
      result = await custody.agree(jwk.kid, epk).catch(codeOf);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sessionPids().some((pid) => hung.includes(pid) && pid === hung[hung.length - 1])).to.equal(false);
  });

  it('bounds what waits', async () => {
    const { custody, jwk } = await openWithKey('queue', { sessions: 1, queue: 1 });
    const { epk } = makeEphemeral('P-521');
    const results = await Promise.all(Array.from({ length: 20 }, () => custody.agree(jwk.kid, epk).catch(codeOf)));
    expect(results.filter((result) => result === 'POOL_FULL')).to.have.length.within(10, 19);
    expect(results.filter(Buffer.isBuffer)).to.have.length.within(1, 10);
  });

  it('shares a ring with local keys: the file has the URI, and each key agrees where it is', async () => {
    const { custody, jwk } = await openWithKey('in a ring');
    const local = makePair().jwk;
    const custodyUri = token.uri('in a ring');
    const ring = await KeyRing.fromKeys([{ ...jwk, sealwire: { custody: custodyUri } }, local], { hardware: custody });
    expect(ring.keys().map(exportRingKey)).to.deep.equal([
      { ...jwk, sealwire: { custody: custodyUri } },
      { ...(await importKey(local)).jwk, d: local.d },
    ]);
    for (const { kid, crv, publicKey } of ring.keys()) {
      const { epk, privateKey } = makeEphemeral(crv);
      const z = await ring.custody.agree(kid, epk);
      expect(z.equals(diffieHellman({ privateKey, publicKey }))).to.equal(true);
    }
    expect(inspect(ring.keys(), { depth: 9 })).not.to.include(local.d);
  });

  it('is asked for by name: without it a ring with a key in a token is refused', async () => {
    const { jwk } = await openWithKey('no custody');
    const key = { ...jwk, sealwire: { custody: token.uri('no custody') } };
    await refusal(() => KeyRing.fromKeys([key]), 'KEY_INVALID');
    await refusal(() => KeyRing.fromKeys([{ ...key, sealwire: { custody: 7 } }]), 'KEY_INVALID');
    await refusal(() => KeyRing.fromKeys([{ ...key, sealwire: { custody: 'tpm:x' } }]), 'OPTIONS_INVALID');
    await refusal(
      () => KeyRing.fromKeys([{ ...makePair().jwk, sealwire: { custody: token.uri('k') } }]),
      'KEY_INVALID',
    );
  });

  it('needs to know a key and a library', async () => {
    await refusal(() => open().describe('pkcs11:object=k'), 'OPTIONS_INVALID');
    await refusal(() => open().describe(`pkcs11:token=t?module-path=${token.modulePath}`), 'OPTIONS_INVALID');
    await refusal(() => open().agree('unknown', makeEphemeral('P-521').epk), 'CUSTODY_FAILED');
    await refusal(
      async () => new Pkcs11Custody({ readPin: async () => '', sessions: 0 }).describe(token.uri('k')),
      'OPTIONS_INVALID',
    );
  });

  it('closes its sessions', async () => {
    const { custody, jwk } = await openWithKey('closed');
    await custody.close();
    await refusal(() => custody.agree(jwk.kid, makeEphemeral('P-521').epk), 'CUSTODY_FAILED');
  });
});

function codeOf(error: unknown): string {
  if (error instanceof SealwireError) return error.code;
  throw error;
}
