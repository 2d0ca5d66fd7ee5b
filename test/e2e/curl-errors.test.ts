/** Every reason, as a person sees it in grpcurl and in buf curl. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { JsonSchema } from '../../src/cli/json/json-messages.js';
import { readJson } from '../../src/cli/json/json-reader.js';
import { type Reason, SealwireError } from '../../src/errors.js';
import { descriptorSet } from '../../src/gen/descriptors.js';
import { addSealedPaymentService, SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { loadPublicKeys } from '../../src/keys/public-keys.js';
import { KeyRing } from '../../src/keys/ring.js';
import { boundDigest } from '../../src/schema/binding.js';
import { statusByReason } from '../../src/schema/error-status.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';
import { addReflection } from '../../src/server/reflection.js';
import { environment, type Finished, finish } from '../support/command.js';
import { card, type DebugService, mustRun, order, PAYMENTS, startDebugService } from '../support/debug-service.js';
import { startServiceProcess, stopServiceProcess } from '../support/service-process.js';
import { requireTool, toolEnvironment } from '../support/tools.js';

const AUTHORIZE = `${PAYMENTS}/Authorize`;
const schema = new JsonSchema(Buffer.from(descriptorSet, 'base64'));
const FIELD = 'payments.v1.AuthorizeRequest.card';

/** What a call needs to be refused for one reason. */
interface Refusal {
  readonly method?: string;
  readonly input: () => Promise<string>;
  /** Told in the details beside the reason. */
  readonly told: readonly RegExp[];
  /** Calls made before it. */
  readonly times?: number;
}

for (const tool of ['grpcurl', 'buf curl'] as const) {
  describe(`reasons in ${tool}`, function () {
    this.timeout(120_000);
    let service: DebugService;
    const sessions = new SealingSessions();
    before(async function () {
      if (tool === 'grpcurl') requireTool(this, 'grpcurl');
      service = await startDebugService();
    });
    after(async () => {
      await sessions.close();
      await service?.stop();
    });

    function curl(address: string, method: string, input: string): Promise<Finished> {
      if (tool === 'grpcurl') {
        return finish('grpcurl', ['-plaintext', '-d', '@', address, method], { env: toolEnvironment, input });
      }
      const args = ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', '-d', '@-', `http://${address}/${method}`];
      return finish('node_modules/.bin/buf', args, { env: environment, input });
    }

    async function expectReason(
      reason: Reason,
      { code, stdout, stderr }: Finished,
      told: readonly RegExp[],
    ): Promise<void> {
      expect(code, stdout).to.not.equal(0);
      expect(`${stdout}${stderr}`).to.include(statusByReason[reason].text);
      // grpcurl prints them in clear, buf as base64.
      if (tool === 'grpcurl') for (const fact of told) expect(stderr).to.match(fact);
      const said = await mustRun(['explain', '@', '--json'], `${stdout}${stderr}`);
      expect(said).to.match(new RegExp(`"reason": ?"${reason}"`));
      expect(said).to.match(/"domain": ?"sealwire"/);
      for (const fact of told) expect(said).to.match(fact);
      expect(said).to.not.match(/Canary|4242|\n\s+at /);
    }

    /** A sealed request in which the card's token is another one. */
    async function withToken(
      orderId: string,
      iat: number,
      keys = join(service.dir, 'keys/public.jwks.json'),
    ): Promise<string> {
      const [key] = await loadPublicKeys(keys);
      const session = await sessions.acquire(key ?? expect.fail('no key'));
      const { plan, holder } = schema.field(FIELD);
      const bound = boundDigest(plan, holder.fromJson(readJson(order(orderId))), sha256);
      const token = session.seal(Buffer.alloc(0), { field: FIELD, cty: 'application/protobuf', iat, bound });
      return order(orderId, { card: token });
    }
    const now = () => Math.floor(Date.now() / 1000);
    const seal = (json: string) => mustRun(['request', AUTHORIZE, ...service.flags, '-d', '@'], json);

    const refusals: Partial<Record<Reason, Refusal>> = {
      SEALED_FIELD_REQUIRED: { input: async () => order('o', { card: undefined }), told: [/"field": ?"card"/] },
      SEALED_FIELD_INVALID: { input: async () => order('o', { card: 'a.b.c.d.e' }), told: [/"field": ?"card"/] },
      SEALED_FIELD_REPLAYED: { input: () => seal(order('twice')), times: 1, told: [/"field": ?"card"/] },
      SEALED_FIELD_UNKNOWN_KEY: {
        async input() {
          const other = join(service.dir, 'other.json');
          await writeFile(other, JSON.stringify((await KeyRing.create('P-256')).publicJwks()));
          return withToken('o', now(), other);
        },
        told: [/"field": ?"card"/, /"currentKid": ?"[\w-]{43}"/],
      },
      INNER_MESSAGE_INVALID: {
        input: () => seal(order('o', { card: { ...card, expiryMonth: 13 } })),
        told: [/"field": ?"card\.expiry_month"/, /"description": ?"must be 1 to 12"/],
      },
      LIMIT_EXCEEDED: {
        input: async () => order('o', { card: 'A'.repeat(98_305) }),
        told: [/"field": ?"card"/, /"limit": ?"size"/],
      },
      REPLY_KEY_MISSING: {
        method: `${PAYMENTS}/GetPayment`,
        input: async () => '{}',
        told: [/"field": ?"sealwire-reply"/],
      },
    };
    for (const [reason, { method = AUTHORIZE, input, told, times = 0 }] of Object.entries(refusals)) {
      it(reason, async () => {
        const request = await input();
        for (let count = 0; count < times; count++) await curl(service.address, method, request);
        await expectReason(reason as Reason, await curl(service.address, method, request), told);
      });
    }

    for (const [name, offset, age] of [
      ['old', -1_000, /"ageSeconds": ?"10\d\d"/],
      ['from the future', 1_000, /"ageSeconds": ?"-9\d\d"|"ageSeconds": ?"-1000"/],
    ] as const) {
      it(`SEALED_FIELD_STALE: ${name}`, async () => {
        const finished = await curl(service.address, AUTHORIZE, await withToken('o', now() + offset));
        await expectReason('SEALED_FIELD_STALE', finished, [/"field": ?"card"/, /"serverTime": ?"\d{10}"/, age]);
      });
    }

    it('AUDIT_UNAVAILABLE', async function () {
      if (process.platform !== 'linux') this.skip();
      const dir = await mkdtemp(join(tmpdir(), 'sealwire-audit-'));
      const trigger = join(dir, 'fail');
      const preload = './dist/test/support/fail-sync.js';
      const broken = await startServiceProcess({
        dir,
        config: { logLevel: 'error' },
        preload,
        env: { FAIL_SYNC: trigger },
      });
      const flags = ['--address', broken.address, '--root', join(dir, 'keys/root.pub.json')];
      const request = await mustRun(['request', AUTHORIZE, ...flags, '-d', '@'], order('o'));
      await writeFile(trigger, '');
      await expectReason('AUDIT_UNAVAILABLE', await curl(broken.address, AUTHORIZE, request), []);
      await stopServiceProcess(broken);
      await rm(dir, { recursive: true });
    });

    it('CUSTODY_UNAVAILABLE', async () => {
      const ring = await KeyRing.create('P-256');
      const custody = { agree: () => Promise.reject(new SealwireError('CUSTODY_FAILED', 'the HSM is gone')) };
      const keys = { find: (kid: string) => ring.find(kid), currentKid: ring.currentKid, custody };
      const audit = { commit: () => Promise.resolve(), note() {} };
      const { interceptor } = createOpenInterceptor({ services: [SealedPaymentService], keys, audit });
      const server = new Server({ interceptors: [interceptor] });
      addSealedPaymentService(server, {} as never);
      addReflection(server, { descriptors: Buffer.from(descriptorSet, 'base64'), services: [PAYMENTS] });
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
          error ? reject(error) : resolve(bound),
        );
      });
      const keysFile = join(service.dir, 'custody.json');
      await writeFile(keysFile, JSON.stringify(ring.publicJwks()));
      const flags = ['--address', `127.0.0.1:${port}`, '--keys', keysFile];
      const request = await mustRun(['request', AUTHORIZE, ...flags, '-d', '@'], order('o'));
      await expectReason('CUSTODY_UNAVAILABLE', await curl(`127.0.0.1:${port}`, AUTHORIZE, request), [
        /"field": ?"card"/,
      ]);
      server.forceShutdown();
    });
  });
}
