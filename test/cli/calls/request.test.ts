import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { environment, type Finished, finishSealwire, MAIN } from '../../support/command.js';
import {
  card,
  type DebugService,
  expectOneLine,
  mustRun,
  order,
  PAYMENTS,
  startDebugService,
} from '../../support/debug-service.js';
import { missing } from '../../support/tools.js';

const AUTHORIZE = `${PAYMENTS}/Authorize`;
const GET = `${PAYMENTS}/GetPayment`;
const RECONCILE = `${PAYMENTS}/Reconcile`;
const IMPORT = `${PAYMENTS}/ImportPayments`;

describe('sealwire request, response and call', function () {
  this.timeout(60_000);
  let service: DebugService;
  before(async () => {
    service = await startDebugService();
  });
  after(() => service.stop());

  const sealwire = (args: readonly string[], input?: string): Promise<Finished> =>
    finishSealwire(args, input === undefined ? {} : { input });
  const keysFile = () => ['--address', service.address, '--keys', join(service.dir, 'keys/public.jwks.json')];

  it('call does all three', async () => {
    const answer = JSON.parse(await mustRun(['call', AUTHORIZE, ...service.flags, '-d', '@'], order('call-1'))) as {
      paymentId: string;
    };
    expect(answer).to.include({ status: 'authorized', cardLast4: '4242' });
    const id = JSON.stringify({ payment_id: answer.paymentId });
    const payment = JSON.parse(await mustRun(['call', GET, ...service.flags, '-d', id])) as { payment: object };
    expect(payment.payment).to.deep.include({ card, orderId: 'call-1' });
  });

  it('call sends a stream, from a file, with keys from a file', async () => {
    const two = await service.write(
      'two.json',
      `${JSON.stringify({ payment: JSON.parse(order('i-1')) as object })}
      ${JSON.stringify({ payment: JSON.parse(order('i-2')) as object })}`,
    );
    expect(JSON.parse(await mustRun(['call', IMPORT, ...keysFile(), '-d', `@${two}`]))).to.deep.equal({
      imported: '2',
    });
  });

  it('reads the schema from a descriptor set and from proto files', async () => {
    const set = join(service.dir, 'set.binpb');
    const buf = ['node_modules/@bufbuild/buf/bin/buf', 'build', 'proto', '--as-file-descriptor-set', '-o', set];
    expect(spawnSync(process.execPath, buf).status).to.equal(0);
    // Nobody listens there: neither schema nor keys come from the service.
    const offline = ['--address', '127.0.0.1:1', '--keys', join(service.dir, 'keys/public.jwks.json')];
    const protos = ['--proto', 'proto/payments/v1/payments.proto', '--import-path', 'proto'];
    for (const flags of [['--descriptors', set], protos]) {
      const sealed = await mustRun(['request', AUTHORIZE, ...offline, ...flags, '-d', order('schema')]);
      expect((JSON.parse(sealed) as { card: string }).card).to.match(/^ey[\w.-]+$/);
    }
  });

  it('prints one message a line, and an empty one when there is none', async () => {
    const twice = `${order('a')}${order('b')}`
      .replaceAll('"order_id"', '"payment":{"order_id"')
      .replaceAll('}}', '}}}');
    const lines = (await mustRun(['request', IMPORT, ...service.flags, '-d', '@'], twice)).trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { payment: { orderId: string } }).payment.orderId)).to.deep.equal([
      'a',
      'b',
    ]);
    expect(await mustRun(['request', GET, ...service.flags])).to.equal('{}\n');
    expect(await mustRun(['request', IMPORT, ...service.flags, '-d', '@'], '')).to.equal('');
  });

  it('prints the header of a session once, and begins another one after that', async () => {
    const file = join(service.dir, 'twice.session');
    const args = ['request', RECONCILE, ...service.flags, '--session', file];
    const kept = async () => (JSON.parse(await readFile(file, 'utf8')) as { token: string }).token;
    await mustRun([...args, '-d', '{"statement_line": "x"}']);
    const token = await kept();
    expect(await mustRun([...args, '--print-header'])).to.equal(`sealwire-reply: ${token}\n`);
    expect((await stat(file)).mode & 0o777).to.equal(0o600);
    for (const before of [token, await kept()]) {
      expect(await mustRun([...args, '--print-header'])).to.equal(`sealwire-reply: ${await kept()}\n`);
      expect(await kept()).to.not.equal(before);
    }
  });

  it('ends with its call, also when stdin stays open', async () => {
    const args = [MAIN, 'call', RECONCILE, ...service.flags, '--max-time', '2', '-d', '@'];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'], env: environment });
    child.stdin.write('{"payment_id": "none"}');
    expect(String((await once(child.stdout, 'data'))[0])).to.include('no such payment');
    expect(await once(child, 'exit')).to.deep.equal([3, null]);
  });

  it('tells in one line that stdout takes nothing more', async function () {
    if (!existsSync('/dev/full')) missing(this, 'needs /dev/full');
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [MAIN, 'explain'], { stdio: ['ignore', full, 'pipe'], env: environment });
    const said: Buffer[] = [];
    child.stderr?.on('data', (chunk: Buffer) => said.push(chunk));
    expect(await once(child, 'close')).to.deep.equal([3, null]);
    closeSync(full);
    expect(Buffer.concat(said).toString()).to.equal('sealwire: stdout: ENOSPC\n');
  });

  it('keeps a session where its owner alone can read it, and takes no session that others can', async () => {
    const file = join(service.dir, 'mode.session');
    await mustRun(['request', GET, ...service.flags, '--session', file]);
    expect((await stat(file)).mode & 0o777).to.equal(0o600);
    await chmod(file, 0o640);
    expectOneLine(await sealwire(['response', '--session', file], '{}'), 3, /mode 0640 lets others read it/);
  });

  it('refuses an expired session and removes it', async () => {
    const file = join(service.dir, 'old.session');
    await mustRun(['request', GET, ...service.flags, '--session', file]);
    const stored = JSON.parse(await readFile(file, 'utf8')) as { expiresAt: number };
    expect(stored.expiresAt - Date.now() / 1000).to.be.within(800, 900);
    await writeFile(file, JSON.stringify({ ...stored, expiresAt: 1_700_000_000 }));
    expectOneLine(
      await sealwire(['response', '--session', file], '{}'),
      2,
      /the session expired \d+ s ago and was removed/,
    );
    expectOneLine(await sealwire(['response', '--session', file], '{}'), 3, /no such file/);
  });

  it('tells that nothing came', async () => {
    const file = join(service.dir, 'empty.session');
    await mustRun(['request', GET, ...service.flags, '--session', file]);
    expectOneLine(await sealwire(['response', '--session', file], ' \n'), 1, /no response came on stdin/);
    expectOneLine(await sealwire(['response', '--session', file], 'ERROR:\n'), 2, /line 1, column 1: not a JSON value/);
  });

  it('tells what the service refused, in one line with what to do', async () => {
    const wrong = order('refused', { card: { ...card, expiryMonth: 13 } });
    const said = /INVALID_ARGUMENT: .*INNER_MESSAGE_INVALID.*card\.expiry_month must be 1 to 12.*sealwire explain/;
    expectOneLine(await sealwire(['call', AUTHORIZE, ...service.flags, '-d', '@'], wrong), 1, said);
  });

  it('ends a call after --max-time', async () => {
    const watch = [
      'call',
      `${PAYMENTS}/WatchPayments`,
      ...service.flags,
      '--max-time',
      '1',
      '-d',
      '{"order_id":"never"}',
    ];
    expectOneLine(await sealwire(watch), 3, /DEADLINE_EXCEEDED/);
  });

  it('sends headers', async () => {
    const id = ['-H', 'x-request-id: from-the-shell', '-d', order('header')];
    await mustRun(['call', AUTHORIZE, ...service.flags, ...id]);
    const records = await mustRun(['audit', 'search', '--dir', join(service.dir, 'audit'), '--format', 'jsonl']);
    expect(records).to.include('"requestId":"from-the-shell"');
    expectOneLine(await sealwire(['call', AUTHORIZE, ...service.flags, '-H', 'nonsense']), 2, /-H takes 'name: value'/);
  });

  it('takes no URL for an address', async () => {
    for (const address of ['', 'http://127.0.0.1:50051']) {
      const { code, stderr } = await sealwire(['call', GET, '--address', address]);
      expect(code).to.equal(2);
      expect(stderr)
        .to.include('must be HOST:PORT')
        .and.not.match(/\n\s+at /);
    }
  });

  describe('bad input', () => {
    const cases: readonly (readonly [
      string,
      (flags: readonly string[]) => readonly string[],
      number,
      RegExp,
      string?,
    ])[] = [
      [
        'a wrong method',
        (flags) => ['call', `${PAYMENTS}/Autorize`, ...flags],
        2,
        /has no method 'Autorize'; it has Authorize/,
      ],
      [
        'a wrong service',
        (flags) => ['request', 'payments.v2.Payments/Authorize', ...flags],
        2,
        /does not know 'payments.v2.Payments'/,
      ],
      ['no method at all', (flags) => ['request', 'nonsense', ...flags], 2, /write package.Service\/Method/],
      [
        'an unknown field',
        (flags) => ['request', AUTHORIZE, ...flags, '-d', '@'],
        2,
        /line 1, column 2: .* has no field of this name/,
        '{"oder_id": "canary"}',
      ],
      [
        'an unknown field of an inner message',
        (flags) => ['call', AUTHORIZE, ...flags, '-d', '@'],
        2,
        /line 2, column 12: payments.v1.CardDetails has no field/,
        '{\n "card": { "numbr": "4242424242424242"}}',
      ],
      [
        'broken JSON',
        (flags) => ['request', AUTHORIZE, ...flags, '-d', '@'],
        2,
        /line 2, column 28: the text ends within a string/,
        '{"card":\n {"holder_name": "canary }}',
      ],
      [
        'a missing required field',
        (flags) => ['request', AUTHORIZE, ...flags, '-d', '{"order_id":"1"}'],
        2,
        /card: a required sealed field is empty/,
      ],
      [
        'two messages for one',
        (flags) => ['request', AUTHORIZE, ...flags, '-d', '@'],
        2,
        /line 1, column \d+: a second message/,
        `${order('1')} ${order('2')}`,
      ],
      [
        'two messages for one in a call',
        (flags) => ['call', AUTHORIZE, ...flags, '-d', '@'],
        2,
        /line 1, column \d+: a second message/,
        `${order('1')} ${order('2')}`,
      ],
      ['no message where one is needed', (flags) => ['request', AUTHORIZE, ...flags, '-d', '@'], 2, /card: a req/, ''],
      ['no message for a call that needs one', (flags) => ['call', AUTHORIZE, ...flags], 2, /card: a required sealed/],
      [
        'a file that is not there',
        (flags) => ['request', AUTHORIZE, ...flags, '-d', '@/absent.json'],
        2,
        /\/absent.json: ENOENT/,
      ],
      [
        'no keys',
        (flags) => ['request', AUTHORIZE, ...flags.slice(0, 2), '-d', order('1')],
        2,
        /give --root THUMBPRINT .* or --keys FILE/,
      ],
      [
        'two sources of keys',
        (flags) => ['request', AUTHORIZE, ...flags, '--keys', 'x', '-d', order('1')],
        2,
        /not both/,
      ],
      [
        'a wrong root',
        (flags) => ['call', AUTHORIZE, ...flags.slice(0, 2), '--root', 'A'.repeat(43), '-d', order('1')],
        1,
        /root/,
      ],
      [
        'a wrong name',
        (flags) => ['call', AUTHORIZE, ...flags, '--name', 'other', '-d', order('1')],
        1,
        /delegation is for 'sealwire-payments', not for 'other'|'sealwire-payments'.*'other'|'other'.*'sealwire-payments'/,
      ],
      [
        'a service that is not there',
        (flags) => ['call', AUTHORIZE, '--address', '127.0.0.1:1', ...flags.slice(2)],
        3,
        /127.0.0.1:1 cannot be asked for its schema \(UNAVAILABLE\)/,
      ],
      [
        'a key service that is not there',
        (flags) => [
          'request',
          AUTHORIZE,
          '--address',
          '127.0.0.1:1',
          ...flags.slice(2),
          '--proto',
          'proto/payments/v1/payments.proto',
          '--import-path',
          'proto',
          '-d',
          order('1'),
        ],
        3,
        /the key service answered UNAVAILABLE/,
      ],
      [
        'a key file that is not there',
        (flags) => ['request', AUTHORIZE, ...flags.slice(0, 2), '--keys', '/absent.json', '-d', order('1')],
        3,
        /\/absent.json: no such file/,
      ],
      [
        'a root file that is not there',
        (flags) => ['request', AUTHORIZE, ...flags.slice(0, 2), '--root', '/absent.json'],
        3,
        /\/absent.json: no such file/,
      ],
      [
        'a descriptor set that is none',
        (flags) => ['request', AUTHORIZE, ...flags, '--descriptors', 'package.json'],
        2,
        /not a complete google.protobuf.FileDescriptorSet/,
      ],
      [
        'a proto file that is not there',
        (flags) => ['request', AUTHORIZE, ...flags, '--proto', 'absent.proto'],
        2,
        /--proto: /,
      ],
      [
        'a session without replies',
        (flags) => ['request', AUTHORIZE, ...flags, '--session', '/tmp/none', '-d', order('1')],
        2,
        /--session: responses/,
      ],
      [
        'a header without a session',
        (flags) => ['request', GET, ...flags, '--print-header'],
        2,
        /--print-header needs --session/,
      ],
      [
        'a file that is no session',
        () => ['response', '--session', 'LICENSE'],
        3,
        /LICENSE: mode 0\d+ lets others read it/,
      ],
    ];
    for (const [name, args, code, said, input] of cases) {
      it(`${name}: one line, exit code ${code}`, async () => {
        expectOneLine(await sealwire(args(service.flags), input), code, said);
      });
    }

    it('a session file of something else', async () => {
      const file = await service.write('other.session', '{"v":1}');
      await chmod(file, 0o600);
      expectOneLine(await sealwire(['response', '--session', file], '{}'), 2, /not a session file/);
    });

    it('has a stack with --debug only', async () => {
      const { stderr } = await sealwire(['--debug', 'request', 'nonsense']);
      expect(stderr).to.match(/\n\s+at /);
    });
  });
});
