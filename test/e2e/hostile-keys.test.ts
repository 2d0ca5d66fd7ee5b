/**
 * A hostile key service between client and service: it answers `GetKeySet` with whatever it likes, and has even the
 * service's own set-signing key where an attack needs it. No token may be sealed to a key that is not the service's.
 */
import { join } from 'node:path';
import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { KeyDirectory, type KeyDirectoryOptions } from '../../src/client/key-directory.js';
import { AuthorizeRequest, PaymentServiceService } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { GetKeySetResponse, KeyServiceService } from '../../src/gen/sealwire/v1/keys.js';
import { peekHeader } from '../../src/jwe/header.js';
import { SigningKey } from '../../src/keys/signed-set/signing-key.js';
import { REPLY_METADATA } from '../../src/profile/replies.js';
import { failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';
import { type Forge, keySetAttacks, replacePayload } from '../support/key-set-attacks.js';
import { type RewritingRelay, rewriteAs, startRewritingRelay } from '../support/rewriting-relay.js';
import { makeSealingKey, readSigningPair, TestIssuer } from '../support/signed-sets.js';

const ORIGIN = 'sealwire-payments';

describe('a hostile key service', () => {
  let harness: Harness;
  let relay: RewritingRelay;
  /** Has the service's root and set-signing key. */
  let insider: TestIssuer;
  /** Has keys of its own, under the service's name. */
  const mallory = new TestIssuer(ORIGIN);
  const open: { close(): void }[] = [];

  before(async () => {
    harness = await startHarness();
    relay = await startRewritingRelay(harness.service.address, [PaymentServiceService, KeyServiceService]);
    const [root, signer] = await Promise.all(
      ['root.json', 'set-signing.json'].map((name) => readSigningPair(join(harness.dir, 'keys', name))),
    );
    // In a second of their own: no set of the service's has its version.
    insider = new TestIssuer(ORIGIN, Date.now() + 2_000, { root: root!, signer: signer! });
  });
  after(async () => {
    relay.close();
    await harness.stop();
  });
  afterEach(() => {
    relay.hooks = {};
    for (const one of open.splice(0)) one.close();
  });

  function connect(options: Partial<KeyDirectoryOptions> = {}) {
    const { address } = relay;
    const directory = new KeyDirectory({
      address,
      credentials: credentials.createInsecure(),
      roots: [harness.service.root],
      issuer: ORIGIN,
      onProblem: () => {},
      ...options,
    });
    const client = new SealedPaymentServiceClient(address, credentials.createInsecure(), { keys: directory });
    open.push(directory, client);
    return { directory, client };
  }

  let orders = 0;
  const pay = (client: SealedPaymentServiceClient) =>
    client.authorize({ ...validRequest, orderId: `hostile-${++orders}` });

  function answerWith(forge: Forge): void {
    relay.hooks = {
      response: async (bytes, { path }) => {
        if (!path.endsWith('/GetKeySet')) return bytes;
        const answer = GetKeySetResponse.decode(bytes);
        const keySetJws = await forge(answer.keySetJws);
        return Buffer.from(GetKeySetResponse.encode({ ...answer, keySetJws }).finish());
      },
    };
  }

  /** The keys of every token that left the client since the start, reply tokens included. */
  function sealedTo(): string[] {
    return relay.calls
      .filter(({ path }) => path.endsWith('/Authorize'))
      .flatMap(({ requests, metadata }) => [
        ...requests.map((bytes) => AuthorizeRequest.decode(bytes).card),
        ...metadata.get(REPLY_METADATA).map(String),
      ])
      .map((token) => peekHeader(token).kid ?? 'none');
  }

  it('that changes nothing is no hindrance', async () => {
    const { directory, client } = connect();
    expect((await pay(client)).status).to.equal('authorized');
    expect(directory.describe('')?.version).to.deep.equal(harness.service.keySet.current()?.version);
    expect(sealedTo()).to.include(harness.service.kid);
  });

  const attacks = keySetAttacks({
    mallory,
    get insider() {
      return insider;
    },
    get serviceKid() {
      return harness.service.kid;
    },
  });

  describe('makes a client without a set send nothing, by a', () => {
    for (const [name, [code, forge]] of Object.entries(attacks)) {
      it(`${name}: ${code}`, async () => {
        answerWith(forge);
        const before = sealedTo().length;
        const { client } = connect();
        const error = await failureOf(pay(client));
        expect(error.details).to.include(`${code}: no key of '${ORIGIN}' can be used`);
        const expected = code === 'KEY_SET_UNAVAILABLE' ? status.UNAVAILABLE : status.FAILED_PRECONDITION;
        expect(error.code).to.equal(expected);
        expect(sealedTo().length).to.equal(before);
      });
    }
  });

  describe('does not move a client that has a set, by a', () => {
    // An empty set is the insider's to sign: with it the client has no key, and sends nothing.
    for (const [name, [code, forge]] of Object.entries(attacks).filter(
      ([, [key]]) => key !== 'KEY_SET_NO_ACTIVE_KEY',
    )) {
      it(`${name}: ${code}`, async () => {
        const { directory, client } = connect();
        await pay(client);
        answerWith(forge);
        expect(await codeOf(directory.refresh(''))).to.equal(code);
        expect((await pay(client)).status).to.equal('authorized');
      });
    }
  });

  it('cannot roll back to an older set, not across a restart of the client, and the client fails after the newer one ends', async () => {
    const stateFile = join(harness.dir, 'client.state.json');
    const old = makeSealingKey().jwk;
    const rolledBack = await insider.set({ claims: { ver: [1, 0], keys: [old] } });
    // Before it has seen a newer one, it is a set like any other.
    const first = connect({ stateFile });
    await pay(first.client);
    answerWith(() => rolledBack);
    expect(await codeOf(first.directory.refresh(''))).to.equal('KEY_SET_ROLLED_BACK');
    await pay(first.client);
    const second = connect({ stateFile });
    expect(await codeOf(second.directory.refresh(''))).to.equal('KEY_SET_ROLLED_BACK');
    await pay(second.client);
    const later = insider.now + 90_000;
    const fresh = { iat: later, exp: later + 86_400, ver: [1, 0], keys: [old] };
    const again = await insider.set({ claims: fresh });
    answerWith(() => again);
    const third = connect({ stateFile, now: () => later * 1000 });
    const error = await failureOf(pay(third.client));
    expect(error.details).to.include('KEY_SET_ROLLED_BACK');
    expect(sealedTo()).not.to.include(old.kid);
  });

  it('cannot freeze a set past its end', async () => {
    let frozen: string | undefined;
    answerWith((genuine) => {
      frozen ??= genuine;
      return frozen;
    });
    let nowMs = Date.now();
    const { directory, client } = connect({ now: () => nowMs });
    await pay(client);
    const end = (directory.describe('')?.expiresAt ?? 0) * 1000;
    nowMs = end - 1;
    await directory.refresh('');
    expect(directory.current('')).to.include({ kid: harness.service.kid });
    nowMs = end;
    const before = sealedTo().length;
    const error = await failureOf(pay(client));
    expect(error.details).to.include('KEY_SET_EXPIRED').and.to.include('the last key set was good until');
    expect(sealedTo().length).to.equal(before);
  });

  it('that refuses to answer only keeps the client from a first call', async () => {
    const { client } = connect();
    await pay(client);
    relay.hooks = { fate: ({ path }) => (path.endsWith('/GetKeySet') ? 'refuse' : 'pass') };
    await pay(client);
    const error = await failureOf(pay(connect().client));
    expect([error.code, error.details]).to.deep.equal([
      status.UNAVAILABLE,
      `sealing failed: KEY_SET_UNAVAILABLE: no key of '${ORIGIN}' can be used: the key service answered UNAVAILABLE`,
    ]);
  });

  it('that says that the key is unknown makes the client ask once, and believe nothing else', async () => {
    const { client } = connect();
    await pay(client);
    let asked = 0;
    relay.hooks = {
      request: (bytes, { path }) => (path.endsWith('/Authorize') ? replaceKid(bytes) : bytes),
      response: rewriteAs(GetKeySetResponse, (message, { path }) => {
        if (!path.endsWith('/GetKeySet')) return message;
        asked++;
        return { ...message, keySetJws: replacePayload(message.keySetJws, { keys: [mallory.key.jwk] }) };
      }),
    };
    const error = await failureOf(pay(client));
    expect(errorDetails(error)?.reason).to.equal('SEALED_FIELD_UNKNOWN_KEY');
    expect(asked).to.equal(1);
  });

  it('gains nothing when the client pins two roots: both are trusted, and no third', async () => {
    const next = await SigningKey.generate();
    const { client } = connect({ roots: [next.kid, harness.service.root] });
    await pay(client);
    answerWith(() => mallory.set({ claims: { keys: [mallory.key.jwk] } }));
    const error = await failureOf(pay(connect({ roots: [next.kid, harness.service.root] }).client));
    expect(error.details).to.include('KEY_SET_ROOT_UNKNOWN');
  });

  // In a suite of its own, so that it comes last.
  describe('has got', () => {
    it('no token for a key that is not the service’s, in all of this', () => {
      const sent = sealedTo();
      expect([...new Set(sent)]).to.deep.equal([harness.service.kid]);
      expect(sent.length).to.be.greaterThan(2 * (Object.keys(attacks).length - 1));
    });
  });
});

/** Makes a token name a key that the service does not have. */
function replaceKid(bytes: Buffer): Buffer {
  const message = AuthorizeRequest.decode(bytes);
  const [head = '', ...rest] = message.card.split('.');
  const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as object;
  const changed = Buffer.from(JSON.stringify({ ...header, kid: 'A'.repeat(43) })).toString('base64url');
  return Buffer.from(AuthorizeRequest.encode({ ...message, card: [changed, ...rest].join('.') }).finish());
}

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'done',
    (error: ServiceError) => error.code,
  );
}
