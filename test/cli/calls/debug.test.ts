import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { explanations } from '../../../src/cli/calls/explanations.js';
import { reasonByStep } from '../../../src/errors.js';
import { descriptorSet } from '../../../src/gen/descriptors.js';
import { KeyRing } from '../../../src/keys/ring.js';
import { addReflection } from '../../../src/server/reflection.js';
import { environment, type Finished, finishSealwire } from '../../support/command.js';
import {
  type DebugService,
  expectOneLine,
  mustRun,
  order,
  PAYMENTS,
  startDebugService,
} from '../../support/debug-service.js';

const FIELD = 'payments.v1.AuthorizeRequest.card';
const BOUND = '{"order_id": "o-1", "amount_minor": 4999, "currency_code": "EUR"}';
const CARD = '{"number": "4242424242424242", "expiry_month": 12, "expiry_year": 2031, "holder_name": "Canary"}';

describe('sealwire seal, open, inspect, explain and doctor', function () {
  this.timeout(60_000);
  let service: DebugService;
  let token: string;
  let reveals: string;
  before(async () => {
    service = await startDebugService();
    reveals = join(service.dir, 'reveals');
    token = (await mustRun(['seal', FIELD, ...service.flags, '-d', '@', '--bound', BOUND], CARD)).trim();
  });
  after(() => service.stop());

  const sealwire = (args: readonly string[], input?: string): Promise<Finished> =>
    finishSealwire(args, input === undefined ? {} : { input });
  const open = (...more: string[]) => [
    'open',
    '--dir',
    service.dir,
    '--audit',
    reveals,
    '--reason',
    'ticket 4711',
    ...more,
  ];

  it('seal makes a token that the service takes', async () => {
    const input = order('o-1', { card: token });
    expect(JSON.parse(await mustRun(['call', `${PAYMENTS}/Authorize`, ...service.flags, '-d', '@'], input))).to.include(
      {
        status: 'authorized',
      },
    );
  });

  it('seal reads the bound values from a file or stdin too', async () => {
    const files = { card: join(service.dir, 'card.json'), bound: join(service.dir, 'bound.json') };
    await writeFile(files.card, CARD);
    await writeFile(files.bound, BOUND);
    const made = [
      await mustRun(['seal', FIELD, ...service.flags, '-d', '@', '--bound', `@${files.bound}`], CARD),
      await mustRun(['seal', FIELD, ...service.flags, '-d', `@${files.card}`, '--bound', '@'], BOUND),
    ];
    const bindings = [token, ...made].map((text) => {
      const [header = ''] = text.split('.');
      return (JSON.parse(Buffer.from(header, 'base64url').toString()) as { bnd: string }).bnd;
    });
    expect(new Set(bindings)).to.have.lengthOf(1);
  });

  it('open prints what is inside, after it was recorded with the reason', async () => {
    const { number, holderName } = JSON.parse(await mustRun(open(), token)) as Record<string, string>;
    expect([number, holderName]).to.deep.equal(['4242424242424242', 'Canary']);
    const found = await mustRun(['audit', 'search', '--dir', reveals, '--event', 'reveal', '--format', 'jsonl']);
    expect(found)
      .to.include('"detail":"ticket 4711"')
      .and.include(FIELD)
      .and.not.match(/Canary|4242/);
    expect(await mustRun(['audit', 'verify', '--dir', reveals])).to.not.equal('');
  });

  it('open prints nothing that it cannot record', async () => {
    const locked = ['open', '--dir', service.dir, '--reason', 'x'];
    expectOneLine(await sealwire(locked, token), 3, /writes this log; stop it, or use another folder; --audit gives/);
  });

  it('open takes an encrypted ring with its passphrase, and prints nothing without', async () => {
    const ring = join(service.dir, 'encrypted.json');
    const words = join(service.dir, 'words');
    await writeFile(words, 'four words of chance\n', { mode: 0o600 });
    await writeFile(ring, await readFile(join(service.dir, 'keys/ring.json')), { mode: 0o600 });
    await mustRun(['keys', 'passphrase', '--ring', ring, '--new-passphrase-file', words]);
    const { number } = JSON.parse(await mustRun(open('--ring', ring, '--passphrase-file', words), token)) as Record<
      string,
      string
    >;
    expect(number).to.equal('4242424242424242');
    await writeFile(words, 'other words\n');
    expectOneLine(
      await sealwire(open('--ring', ring, '--passphrase-file', words), token),
      2,
      /the passphrase is wrong/,
    );
  });

  it('open opens JSON inside, and tells field and type', async () => {
    const opened = JSON.parse(await mustRun(open('--json', token))) as object;
    expect(opened).to.include({ field: FIELD, type: 'payments.v1.CardDetails' });
  });

  it('inspect explains a token, compares its key and its binding, and shows no plaintext', async () => {
    const key = ['--keys', join(service.dir, 'keys/public.jwks.json')];
    const good = await mustRun(['inspect', ...key], token);
    expect(good).to.match(/^fld +"payments\.v1\.AuthorizeRequest\.card" +the field it was made for$/m);
    expect(good)
      .to.match(/^key +in the key set$/m)
      .and.include('breaks no rule of the strict policy');
    expect(good).to.not.match(/Canary|4242|\p{Cc}\[/u);
    const at = ['--field', FIELD, '--address', service.address, ...service.flags.slice(2)];
    expect(JSON.parse(await mustRun(['inspect', '--json', ...at, '-d', BOUND], token))).to.include({ good: true });
    const { code, stdout } = await sealwire(['inspect', ...at, '-d', BOUND.replace('4999', '5000')], token);
    expect([code, stdout]).to.satisfy(
      ([c, text]: [number, string]) => c === 1 && /bnd was made for other values/.test(text),
    );
  });

  it('inspect tells that the key is of another service', async () => {
    const other = join(service.dir, 'other.jwks.json');
    await (await KeyRing.create('P-256')).savePublic(other);
    const { code, stdout } = await sealwire(['inspect', '--keys', other], token);
    expect(code).to.equal(1);
    expect(stdout).to.match(/^key +not in the key set: .*SEALED_FIELD_UNKNOWN_KEY, unless/m);
  });

  it('explain knows every reason and every step', async () => {
    expect(await mustRun(['explain'])).to.include('SEALED_FIELD_STALE');
    const stale = JSON.parse(await mustRun(['explain', 'sealed_field_stale', '--json'])) as object;
    expect(stale).to.include({ code: 'INVALID_ARGUMENT', ...explanations.SEALED_FIELD_STALE });
    expect(await mustRun(['explain', 'TOKEN_STALE'])).to.match(
      /^TOKEN_STALE is a step of an audit record; callers see SEALED_FIELD_STALE/,
    );
    expect(new Set(Object.values(reasonByStep))).to.deep.equal(new Set(Object.keys(explanations)));
  });

  it('doctor finds a service well', async () => {
    const root = service.flags.slice(2);
    const { ok, checks } = JSON.parse(await mustRun(['doctor', service.address, ...root, '--json'])) as {
      ok: boolean;
      checks: { check: string; result: string; detail: string }[];
    };
    expect(ok).to.equal(true);
    expect(Object.fromEntries(checks.map(({ check, result }) => [check, result]))).to.deep.equal({
      versions: 'ok',
      reachability: 'ok',
      TLS: 'skip',
      clock: 'ok',
      reflection: 'ok',
      'sealing statement': 'ok',
      'key set': 'ok',
      'round trip': 'ok',
    });
    expect(checks.find(({ check }) => check === 'round trip')?.detail).to.match(
      /GetPayment: the reply token was accepted/,
    );
  });

  it('doctor takes the refusal of a method that nobody serves for no round trip', async () => {
    const server = new Server();
    addReflection(server, { descriptors: Buffer.from(descriptorSet, 'base64'), services: [PAYMENTS] });
    const bind = promisify(server.bindAsync.bind(server));
    const port = await bind('127.0.0.1:0', ServerCredentials.createInsecure());
    const keys = ['--keys', join(service.dir, 'keys/public.jwks.json')];
    const { code, stdout } = await sealwire(['doctor', `127.0.0.1:${port}`, ...keys]);
    server.forceShutdown();
    expect(stdout).to.match(/^round trip +bad +payments\.v1\.PaymentService\/GetPayment: UNIMPLEMENTED/m);
    expect(code).to.equal(1);
  });

  it('doctor tells that a service speaks no TLS', async () => {
    const { code, stdout } = await sealwire(['doctor', service.address, '--tls']);
    expect(code).to.equal(1);
    expect(stdout).to.match(/^TLS +bad +TLS: ERR_SSL_WRONG_VERSION_NUMBER; does the service speak TLS\?/m);
  });

  it('doctor shows nothing of a service that could steer a terminal', async () => {
    const server = new Server();
    const name = `${PAYMENTS}\u001b[2J`;
    addReflection(server, { descriptors: Buffer.from(descriptorSet, 'base64'), services: [name] });
    const bind = promisify(server.bindAsync.bind(server));
    const port = await bind('127.0.0.1:0', ServerCredentials.createInsecure());
    const args = ['x.Y/Z', '--address', `127.0.0.1:${port}`];
    const texts = [await sealwire(['doctor', `127.0.0.1:${port}`]), await sealwire(['request', ...args])];
    server.forceShutdown();
    const all = texts.map(({ stdout, stderr }) => stdout + stderr).join('');
    expect(all).to.include(`it has ${PAYMENTS}?[2J`).and.not.include('\u001b');
  });

  it('doctor says what is wrong', async () => {
    const { code, stdout } = await sealwire(['doctor', service.address, '--root', 'A'.repeat(43)]);
    expect(code).to.equal(1);
    expect(stdout)
      .to.match(/^key set +bad +KEY_SET_ROOT_UNKNOWN/m)
      .and.match(/^round trip +bad/m);
    const gone = await sealwire(['doctor', '127.0.0.1:1']);
    expect(gone.code).to.equal(3);
    expect(gone.stdout).to.match(/^reachability +bad +127\.0\.0\.1:1: ECONNREFUSED/m);
  });

  describe('bad input', () => {
    const half = () => token.slice(0, token.length / 2);
    const cases: readonly (readonly [string, () => readonly string[], number, RegExp, (() => string)?])[] = [
      [
        'seal: an unknown field',
        () => ['seal', 'payments.v1.Payment.status', ...service.flags, '-d', '{}'],
        2,
        /no sealed field/,
      ],
      [
        'seal: no bound values',
        () => ['seal', FIELD, ...service.flags, '-d', '{}'],
        2,
        /binds order_id, amount_minor, currency_code/,
      ],
      [
        'seal: bound values without any',
        () => ['seal', FIELD, ...service.flags, '-d', CARD, '--bound', '@'],
        2,
        /--bound: contains no message/,
        () => ' ',
      ],
      [
        'seal: two inner messages',
        () => ['seal', FIELD, ...service.flags, '-d', '@', '--bound', BOUND],
        2,
        /line 2, column 1: --data takes one message/,
        () => `${CARD}\n${CARD}`,
      ],
      ['doctor: a URL', () => ['doctor', 'http://127.0.0.1:50051'], 2, /is not HOST:PORT/],
      ['inspect: a file in place of a token', () => ['inspect'], 2, /stdin: over 1 MiB/, () => 'x'.repeat(1_100_000)],
      [
        'seal: all from stdin',
        () => ['seal', FIELD, ...service.flags, '-d', '@', '--bound', '@'],
        2,
        /only one of --data and --bound/,
      ],
      [
        'seal: bound values in a file that is not there',
        () => ['seal', FIELD, ...service.flags, '-d', CARD, '--bound', '@/nowhere/bound.json'],
        2,
        /\/nowhere\/bound.json: ENOENT/,
      ],
      [
        'seal: broken JSON',
        () => ['seal', FIELD, ...service.flags, '-d', '@', '--bound', BOUND],
        2,
        /line 1, column 11: the text ends/,
        () => '{"number":',
      ],
      [
        "seal: a root that is not the service's",
        () => ['seal', FIELD, ...service.flags.slice(0, 2), '--root', 'A'.repeat(43), '-d', '{}', '--bound', BOUND],
        1,
        /root/,
      ],
      [
        'seal: nobody there who has the key set',
        () => {
          const [, , ...root] = service.flags;
          const schema = ['--proto', 'proto/payments/v1/payments.proto', '--import-path', 'proto'];
          return ['seal', FIELD, '--address', '127.0.0.1:1', ...root, ...schema, '-d', '{}', '--bound', BOUND];
        },
        3,
        /the key service answered UNAVAILABLE/,
      ],
      [
        'seal: no schema to be had',
        () => ['seal', FIELD, '--address', '127.0.0.1:1', ...service.flags.slice(2), '-d', '{}', '--bound', BOUND],
        3,
        /127\.0\.0\.1:1/,
      ],
      [
        "inspect: a root that is not the service's",
        () => ['inspect', '--address', service.address, '--root', 'A'.repeat(43)],
        1,
        /root/,
        () => token,
      ],
      [
        'inspect: nobody there who has the key set',
        () => ['inspect', '--address', '127.0.0.1:1', ...service.flags.slice(2)],
        3,
        /the key service answered UNAVAILABLE/,
        () => token,
      ],
      [
        'inspect: a private ring in place of the key set',
        () => ['inspect', '--keys', join(service.dir, 'keys/ring.json')],
        2,
        /private key/,
        () => token,
      ],
      ['doctor: no port', () => ['doctor', 'localhost'], 2, /'localhost' is not HOST:PORT/],
      ['inspect: half a token', () => ['inspect'], 2, /the token has 1 of its 5 parts; it was cut/, half],
      ['inspect: a PEM', () => ['inspect'], 2, /this is PEM, not a token/, () => '-----BEGIN CANARY-----'],
      [
        'inspect: two things on stdin',
        () => ['inspect', '--field', FIELD, '-d', '@'],
        2,
        /cannot both come from stdin/,
        half,
      ],
      ['inspect: nothing', () => ['inspect'], 2, /no token/, () => '\n'],
      ['open: half a token', () => open(), 2, /it was cut/, half],
      ['open: a PEM', () => open(), 2, /this is PEM, not a token/, () => '-----BEGIN PRIVATE KEY-----'],
      [
        'open: no reason',
        () => ['open', '--dir', service.dir, '--reason', ' '],
        2,
        /--reason must say why/,
        () => token,
      ],
      [
        'open: a changed token',
        () => open(),
        1,
        /sealwire: /,
        () => `${token.slice(0, -2)}${token.endsWith('AA') ? 'BA' : 'AA'}`,
      ],
      [
        'open: a ring that is not there',
        () => open('--ring', '/absent.json'),
        3,
        /\/absent.json: no such file/,
        () => token,
      ],
      ['explain: another word', () => ['explain', 'nonsense'], 2, /no such reason; there are SEALED_FIELD_REQUIRED/],
    ];
    for (const [name, args, code, said, input] of cases) {
      it(`${name}: one line, exit code ${code}`, async () => {
        expectOneLine(await sealwire(args(), input?.()), code, said);
      });
    }
  });

  describe('when the service has stopped', () => {
    it('open records in the log of a service that has stopped, which still verifies', async () => {
      service.process.child.kill();
      await service.process.ended;
      await mustRun(['open', '--dir', service.dir, '--reason', 'after hours'], token);
      const log = ['--dir', join(service.dir, 'audit')];
      expect(await mustRun(['audit', 'search', ...log, '--event', 'reveal', '--format', 'jsonl'])).to.include(
        'after hours',
      );
      await mustRun(['audit', 'verify', ...log]);
    });
  });
});

describe('sealwire --help', () => {
  it('has an example on every page', async () => {
    for (const command of ['request', 'response', 'call', 'seal', 'open', 'inspect', 'explain', 'doctor']) {
      expect(await mustRun([command, '--help'])).to.match(/\nExamples?:\n {2}/);
    }
  });
});

describe('the start of sealwire', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-loaded-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  /** @returns URLs of all scripts that a command loads: Node writes them down */
  async function listLoaded(args: readonly string[], input = ''): Promise<string[]> {
    const { code } = await finishSealwire(args, { env: { ...environment, NODE_V8_COVERAGE: dir }, input });
    expect(code).to.be.oneOf([0, 1]);
    const [file = ''] = await readdir(dir);
    const { result } = JSON.parse(await readFile(join(dir, file), 'utf8')) as { result: { url: string }[] };
    return result.map(({ url }) => url).filter((url) => url.startsWith('file:'));
  }
  const packagesOf = (urls: readonly string[]) => [
    ...new Set(urls.map((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]).filter(Boolean)),
  ];

  it('loads commander and the declarations of commands, and nothing else', async () => {
    const urls = await listLoaded(['--help']);
    expect(packagesOf(urls)).to.deep.equal(['commander']);
    const ours = urls.map((url) => /dist\/src\/(.*)\.js$/.exec(url)?.[1]).filter((name) => name !== undefined);
    expect(ours).to.include('cli/main');
    const heavy = ours.filter((name) => !/^cli\/(?:\w+\/)?[\w-]+(?:-command|-options)$/.test(name));
    expect(heavy.filter((name) => !LIGHT.includes(name))).to.deep.equal([]);
  });

  it('explain loads no library of calls, keys or logs', async () => {
    const urls = await listLoaded(['explain', 'SEALED_FIELD_STALE']);
    expect(urls.some((url) => url.endsWith('/cli/calls/explain.js'))).to.equal(true);
    expect(packagesOf(urls)).to.have.members(['commander', '@bufbuild/protobuf']);
  });

  it('inspect of a token alone loads no package but commander', async () => {
    const header = Buffer.from('{"alg":"ECDH-ES+A256KW","enc":"A256GCM"}').toString('base64url');
    const urls = await listLoaded(['inspect'], `${header}.AAAA.AAAA.AAAA.AAAA`);
    expect(urls.some((url) => url.endsWith('/cli/calls/inspect-token.js'))).to.equal(true);
    expect(packagesOf(urls)).to.deep.equal(['commander']);
  });
});

/** What declarations may import: small files that load no package. */
const LIGHT = [
  'errors',
  'cli/main',
  'cli/exit',
  'cli/output',
  'cli/flag-values',
  'host/process/exit',
  'host/process/flags',
  'host/process/version',
  'files/own-files',
  'files/replace-file',
  'files/file-text',
  'cli/duration',
  'cli/moment',
  'keys/files',
  'keys/passphrase',
];
