/** `sealwire call` in bulk, in words, and with its defaults from the environment. */
import { join } from 'node:path';
import { expect } from 'chai';
import { startRecordingServer } from '../../client/helpers.js';
import { environment, finishSealwire } from '../../support/command.js';
import {
  card,
  type DebugService,
  expectOneLine,
  mustRun,
  order,
  PAYMENTS,
  startDebugService,
} from '../../support/debug-service.js';

const AUTHORIZE = `${PAYMENTS}/Authorize`;
const GET = `${PAYMENTS}/GetPayment`;

interface Result {
  readonly request: number;
  readonly response?: Readonly<Record<string, unknown>>;
  readonly error?: Readonly<Record<string, unknown>>;
}

const linesOf = (stdout: string) =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Result);

describe('sealwire call', function () {
  this.timeout(60_000);
  let service: DebugService;
  before(async () => {
    service = await startDebugService();
  });
  after(() => service.stop());
  const each = (...more: string[]) => ['call', AUTHORIZE, ...service.flags, '--each', ...more];

  describe('--each', () => {
    it('makes a thousand calls in one process, with a line for each in their order', async () => {
      const orders = Array.from({ length: 1_000 }, (_, index) => order(`bulk-${index + 1}`));
      const file = await service.write('orders.jsonl', orders.join('\n'));
      const { code, stdout, stderr } = await finishSealwire(each('-d', `@${file}`));
      expect([code, stderr]).to.deep.equal([0, 'sealwire: 1000 calls, 0 failed\n']);
      const results = linesOf(stdout);
      expect(results.map(({ request }) => request)).to.deep.equal(orders.map((_, index) => index + 1));
      expect(new Set(results.map(({ response }) => response?.['paymentId']))).to.have.lengthOf(1_000);
    });

    it('goes on after a request that is refused or cannot be sent, keeps the order, and says so with its exit code', async () => {
      const input = [
        order('some-1'),
        order('some-2', { card: { ...card, expiryMonth: 13 } }),
        '{"order_id": "some-3"}',
        '{"oder_id": "some-4"}',
        order('some-5'),
      ].join('\n');
      const { code, stdout, stderr } = await finishSealwire(each('-d', '@'), { input });
      expect([code, stderr]).to.deep.equal([1, 'sealwire: 5 calls, 3 failed\n']);
      const results = linesOf(stdout);
      // What cannot be sent is known before any answer.
      expect(results.map(({ request }) => request)).to.deep.equal([1, 2, 3, 4, 5]);
      const [first, second, third, fourth, fifth] = results;
      for (const one of [first, fifth]) expect(one?.response).to.include({ status: 'authorized' });
      expect(second?.error).to.deep.include({
        code: 'INVALID_ARGUMENT',
        reason: 'INNER_MESSAGE_INVALID',
        field: 'card.expiry_month',
      });
      expect(third?.error).to.deep.equal({ code: 'SEAL_INPUT', message: 'card: a required sealed field is empty' });
      expect(fourth?.error).to.include({ code: 'SEAL_INPUT' });
      expect(fourth?.error?.['message']).to.match(/^line 4, column 2: .* has no field of this name/);
      expect(stdout).to.not.match(/Canary|4242424242424242/);
    });

    it('ends at text that is no JSON, after the calls before it', async () => {
      const input = `${order('cut-1')}\n${order('cut-2')}\n{"order_id":`;
      const { code, stdout, stderr } = await finishSealwire(each('-d', '@'), { input });
      expect(code).to.equal(2);
      expect(linesOf(stdout)).to.have.lengthOf(2);
      expect(stderr).to.match(/^sealwire: 2 calls, 0 failed\nsealwire: .*line 3, column 13: the text ends/);
    });

    it('makes no call for an empty input', async () => {
      const { code, stdout, stderr } = await finishSealwire(each('-d', '@'), { input: '\n' });
      expect([code, stdout, stderr]).to.deep.equal([0, '', 'sealwire: 0 calls, 0 failed\n']);
    });

    it('ends with 3 where no service answers', async () => {
      const offline = ['--keys', join(service.dir, 'keys/public.jwks.json'), '--address', '127.0.0.1:1'];
      const proto = ['--proto', 'proto/payments/v1/payments.proto', '--import-path', 'proto'];
      const args = ['call', AUTHORIZE, ...offline, ...proto, '--each', '-d', '@'];
      const { code, stdout } = await finishSealwire(args, { input: order('nobody') });
      expect(code).to.equal(3);
      expect(linesOf(stdout)[0]?.error).to.include({ code: 'UNAVAILABLE' });
    });

    it('has as many calls under way as it was told', async () => {
      const waiting: (() => void)[] = [];
      let most = 0;
      const server = await startRecordingServer({
        authorize(_call, callback) {
          waiting.push(() => callback(null, { paymentId: '', status: '', cardLast4: '' }));
          most = Math.max(most, waiting.length);
          if (waiting.length < 3) return;
          // More would come before the answers that they do not wait for.
          setTimeout(() => {
            for (const answer of waiting.splice(0)) answer();
          }, 100);
        },
      });
      const keys = join(service.dir, 'recording.jwks.json');
      await server.keys.savePublic(keys);
      const proto = ['--proto', 'proto/payments/v1/payments.proto', '--import-path', 'proto'];
      const args = ['call', AUTHORIZE, '--address', server.address, '--keys', keys, ...proto, '--each', '-d', '@'];
      const input = Array.from({ length: 9 }, (_, index) => order(`window-${index}`)).join('\n');
      const { code, stderr } = await finishSealwire([...args, '--parallel', '3'], { input });
      expect([code, stderr, most]).to.deep.equal([0, 'sealwire: 9 calls, 0 failed\n', 3]);
      server.close();
    });

    it('opens sealed replies', async () => {
      const { paymentId } = JSON.parse(
        await mustRun(['call', AUTHORIZE, ...service.flags, '-d', order('replied')]),
      ) as {
        paymentId: string;
      };
      const input = JSON.stringify({ paymentId }).repeat(3);
      const results = linesOf(await mustRun(['call', GET, ...service.flags, '--each', '-d', '@'], input));
      const cards = results.map(({ response = {} }) => (response['payment'] as { card: object }).card);
      expect(cards).to.deep.equal([card, card, card]);
    });

    it('is for methods with one request and one response', async () => {
      const args = ['call', `${PAYMENTS}/Reconcile`, ...service.flags, '--each', '-d', '{}'];
      expectOneLine(await finishSealwire(args), 2, /--each: .*Reconcile is a stream/);
    });
  });

  it('-v tells what is sealed, with which key, and what came around the answer, and no value of a header', async () => {
    const secret = ['-H', 'authorization: Bearer canary'];
    const { code, stdout, stderr } = await finishSealwire([
      'call',
      AUTHORIZE,
      ...service.flags,
      ...secret,
      '-v',
      '-d',
      order('verbose'),
    ]);
    expect(code).to.equal(0);
    expect(JSON.parse(stdout)).to.include({ status: 'authorized' });
    for (const line of [
      /^\* 127\.0\.0\.1:\d+, plain text$/m,
      /^\* schema from server reflection$/m,
      /^\* sealed in the request: payments\.v1\.AuthorizeRequest\.card \(payments\.v1\.CardDetails\)$/m,
      /^\* key of the service: [\w-]{43}$/m,
      /^> \/payments\.v1\.PaymentService\/Authorize, with authorization$/m,
      /^< date: /m,
      /^< OK after \d+ ms$/m,
    ]) {
      expect(stderr).to.match(line);
    }
    expect(stderr).to.not.match(/canary|4242424242424242/i);
  });

  it('takes address, root and name from the environment, and flags before them', async () => {
    const [, , , root = ''] = service.flags;
    const env = { ...environment, SEALWIRE_ADDRESS: service.address, SEALWIRE_ROOT: root };
    const run = (args: readonly string[], more: NodeJS.ProcessEnv = {}) =>
      finishSealwire(args, { env: { ...env, ...more }, input: order('defaults') });
    const plain = await run(['call', AUTHORIZE, '-d', '@']);
    expect([plain.code, plain.stderr]).to.deep.equal([0, '']);
    expect((await run(['doctor'])).stdout).to.match(/^round trip +ok/m);
    const renamed = { SEALWIRE_NAME: 'other' };
    expectOneLine(await run(['request', AUTHORIZE, '-d', '@'], renamed), 1, /not (?:of|for) 'other'/);
    const wrong = { SEALWIRE_ADDRESS: '127.0.0.1:1', SEALWIRE_ROOT: 'A'.repeat(43), SEALWIRE_NAME: 'other' };
    const flags = [...service.flags, '--name', 'sealwire-payments'];
    expect((await run(['request', AUTHORIZE, '-d', '@', ...flags], wrong)).code).to.equal(0);
    // Keys from the command line come before a root from the environment.
    const keys = ['--keys', join(service.dir, 'keys/public.jwks.json'), '--address', service.address];
    expect((await run(['request', AUTHORIZE, '-d', '@', ...keys], wrong)).code).to.equal(0);
  });
});
