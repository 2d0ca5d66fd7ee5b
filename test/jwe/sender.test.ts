import { expect } from 'chai';
import fc from 'fast-check';
import { SealwireError } from '../../src/errors.js';
import { parseHeader } from '../../src/jwe/header.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { AgreementPool } from '../../src/jwe/pool.js';
import { type AgreementSession, SealingSessions, type SealingSessionsOptions } from '../../src/jwe/sender.js';
import { expectCode, expectRejection, FIELD, IAT, makeKey, TestKeys } from './helpers.js';

const key = makeKey();
const parameters = { field: FIELD, cty: 'application/protobuf', iat: IAT } as const;

describe('SealingSessions', () => {
  const pool = new AgreementPool();
  const clock = { ms: 0 };
  let generated = 0;
  const counting = {
    generate: (...args: Parameters<AgreementPool['generate']>) => {
      generated++;
      return pool.generate(...args);
    },
  };
  const create = (options: SealingSessionsOptions = {}) => {
    generated = 0;
    return new SealingSessions({ pool: counting, monotonicNow: () => clock.ms, ...options });
  };
  const epkOf = (token: string) => parseHeader(token.split('.')[0] as string).epk.x.toString('hex');
  const sealWith = (session: AgreementSession, bytes = 1) => epkOf(session.seal(Buffer.alloc(bytes), parameters));

  after(() => pool.close());

  it('seals what the profile says, and nothing else', async () => {
    const session = await create().acquire(key);
    const bound = Buffer.alloc(32, 3).toString('base64url');
    const token = session.seal(Buffer.from('x'), { ...parameters, bound });
    const header = JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString()) as Record<
      string,
      unknown
    >;
    const names = ['alg', 'enc', 'kid', 'epk', 'typ', 'cty', 'fld', 'iat', 'bnd'];
    expect(Object.keys(header)).to.deep.equal(names);
    expect(header).to.deep.include({
      alg: 'ECDH-ES+A256KW',
      enc: 'A256GCM',
      kid: key.kid,
      bnd: bound,
      fld: FIELD,
      iat: IAT,
    });
    expect(Object.keys(header['epk'] as object)).to.have.members(['kty', 'crv', 'x', 'y']);
    expect(session.seal(Buffer.from('x'), parameters)).not.to.include('bnd');
  });

  it('gives the session at once when one is ready', async () => {
    const sessions = create();
    expect(sessions.acquire(key)).to.be.instanceOf(Promise);
    const first = await sessions.acquire(key);
    expect(sessions.acquire(key)).to.equal(first);
    expect(generated).to.equal(1);
  });

  it('gives a session now only where one is ready, and begins none', async () => {
    const sessions = create({ maxTokens: 4 });
    expect(sessions.acquireNow(key)).to.equal(undefined);
    expect(generated).to.equal(0);
    const first = await sessions.acquire(key);
    expect(sessions.acquireNow(key)).to.equal(first);
    const second = await sessions.acquire(makeKey());
    expect(sessions.acquireNow(key), 'of its own key').not.to.equal(second);
    await sessions.close();
    expect(sessions.acquireNow(key)).to.equal(undefined);
  });

  it('counts a session that is given now against its bounds like any other', async () => {
    const sessions = create({ maxTokens: 4 });
    const first = await sessions.acquire(key);
    for (let taken = 1; taken < 4; taken++) expect(sessions.acquireNow(key)).to.equal(first);
    expect(sessions.acquireNow(key)).not.to.equal(first);
  });

  it('gives no session now with one agreement per message', async () => {
    const sessions = create({ maxTokens: 1 });
    await sessions.acquire(key);
    expect(sessions.acquireNow(key)).to.equal(undefined);
    expect(generated).to.equal(1);
  });

  it('gives every token its own CEK and IV', async () => {
    const session = await create().acquire(key);
    const tokens = Array.from({ length: 200 }, () => session.seal(Buffer.from('same'), parameters).split('.'));
    for (const index of [1, 2, 3, 4]) expect(new Set(tokens.map((parts) => parts[index])).size).to.equal(200);
    expect(new Set(tokens.map((parts) => parts[0])).size).to.equal(1);
  });

  it('ends a session after maxTokens', async () => {
    const sessions = create({ maxTokens: 10 });
    const first = await sessions.acquire(key);
    const point = sealWith(first);
    for (let count = 1; count < 10; count++) expect(sealWith(await sessions.acquire(key))).to.equal(point);
    expect(sealWith(await sessions.acquire(key))).not.to.equal(point);
  });

  it('ends it between messages: a message may finish with the session it began with', async () => {
    const sessions = create({ maxTokens: 2 });
    const session = await sessions.acquire(key);
    expect(new Set(Array.from({ length: 5 }, () => sealWith(session))).size).to.equal(1);
    expect(await sessions.acquire(key)).not.to.equal(session);
  });

  it('ends it after maxAgeMs by the monotonic clock, counted from first use', async () => {
    const sessions = create({ maxAgeMs: 60_000 });
    const first = await sessions.acquire(key);
    clock.ms += 59_999;
    expect(await sessions.acquire(key)).to.equal(first);
    clock.ms += 1;
    expect(await sessions.acquire(key)).not.to.equal(first);
  });

  it('ends it after maxBytes', async () => {
    const sessions = create({ maxBytes: 65_536 });
    const first = await sessions.acquire(key);
    sealWith(first, 65_535);
    expect(await sessions.acquire(key)).to.equal(first);
    sealWith(first, 1);
    expect(await sessions.acquire(key)).not.to.equal(first);
  });

  it('ends it when the key changes or is invalidated', async () => {
    const sessions = create();
    const first = await sessions.acquire(key);
    const other = makeKey('P-384');
    expect((await sessions.acquire(other)).kid).to.equal(other.kid);
    sessions.invalidate(key.kid);
    expect(await sessions.acquire(key)).not.to.equal(first);
  });

  it('has the next session ready before the old one ends', async () => {
    const sessions = create({ maxTokens: 4 });
    const first = await sessions.acquire(key);
    for (let count = 0; count < 3; count++) sealWith(first);
    expect(sessions.acquire(key)).to.equal(first);
    expect(generated).to.equal(2);
    await pool.generate(key.publicKey, key.crv);
    await pool.generate(key.publicKey, key.crv);
    sealWith(first);
    const second = sessions.acquire(key);
    expect(second).not.to.be.instanceOf(Promise);
    expect(second).not.to.equal(first);
  });

  it('goes on past its bounds while the next one is not ready, where it is told to, and no further', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let made = 0;
    const generate = async (...args: Parameters<AgreementPool['generate']>) => {
      if (made++ > 0) await gate;
      return pool.generate(...args);
    };
    const sessions = create({ maxTokens: 4, overrun: 2, pool: { generate } });
    const first = await sessions.acquire(key);
    for (let n = 1; n < 8; n++) expect(sessions.acquire(key)).to.equal(first);
    const next = sessions.acquire(key);
    expect(next).to.be.instanceOf(Promise);
    release();
    expect(await next).not.to.equal(first);
    expect(sessions.acquire(key)).to.equal(await next);
  });

  it('makes one agreement per message with maxTokens 1, also for messages at the same time', async () => {
    const sessions = create({ maxTokens: 1 });
    const acquired = await Promise.all(Array.from({ length: 8 }, () => sessions.acquire(key)));
    const points = acquired.map((session) => sealWith(session));
    for (let count = 0; count < 4; count++) points.push(sealWith(await sessions.acquire(key)));
    expect(new Set(points).size).to.equal(12);
  });

  it('shares the first agreement among messages at the same time', async () => {
    const sessions = create();
    const acquired = await Promise.all(Array.from({ length: 8 }, () => sessions.acquire(key)));
    expect(new Set(acquired).size).to.equal(1);
    expect(generated).to.equal(1);
  });

  it('tells those who wait that an agreement failed, and tries again for the next', async () => {
    let fail = true;
    const generate = (...args: Parameters<AgreementPool['generate']>) =>
      fail ? Promise.reject(new SealwireError('POOL_FULL', 'full')) : pool.generate(...args);
    const sessions = create({ pool: { generate } });
    await expectRejection('POOL_FULL', () => sessions.acquire(key));
    fail = false;
    expect((await sessions.acquire(key)).kid).to.equal(key.kid);
  });

  it('seals 64 KiB and refuses one byte more', async () => {
    const session = await create().acquire(key);
    const { opener } = receiver();
    const token = session.seal(Buffer.alloc(65_536, 1), parameters);
    expect(await opener.open(opener.check(token, { field: FIELD }), 'c')).to.have.length(65_536);
    expectCode('INNER_TOO_LARGE', () => session.seal(Buffer.alloc(65_537), parameters));
  });

  it('refuses a field name that makes the header too large', async () => {
    const session = await create().acquire(key);
    expectCode('HEADER_TOO_LARGE', () => session.seal(Buffer.alloc(1), { ...parameters, field: 'f'.repeat(2_048) }));
  });

  it('seals nothing after close', async () => {
    const sessions = create();
    await sessions.close();
    expectCode('CLOSED', () => sessions.acquire(key));
  });

  for (const options of [{ maxTokens: 0 }, { maxTokens: 1.5 }, { maxAgeMs: 1 }, { maxBytes: 1 }, { innerBytes: 0 }]) {
    it(`refuses ${JSON.stringify(options)}`, () => void expectCode('OPTIONS_INVALID', () => create(options)));
  }

  it('round-trips any bytes, field and binding', async () => {
    const session = await create().acquire(key);
    const { opener } = receiver();
    const names = fc.stringMatching(/^[a-z][a-z0-9_]{0,20}(\.[A-Za-z][A-Za-z0-9_]{0,20}){1,4}$/);
    const digests = fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 1_000 }), names, digests, async (plaintext, field, digest) => {
        const bound = digest && { bound: Buffer.from(digest).toString('base64url') };
        const token = session.seal(plaintext, { ...parameters, field, ...bound });
        const parsed = opener.check(token, { field, ...bound });
        expect(await opener.open(parsed, 'c')).to.deep.equal(Buffer.from(plaintext));
      }),
    );
  });

  function receiver() {
    return { opener: new TokenOpener({ keys: new TestKeys(key), now: () => IAT * 1_000 }) };
  }
});
