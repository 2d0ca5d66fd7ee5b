import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { explanations } from '../../../src/cli/debug/explanations.js';
import { stepExplanations } from '../../../src/cli/debug/step-explanations.js';
import { KEY_SET_CODES, reasonByStep } from '../../../src/errors.js';
import { descriptorSet } from '../../../src/gen/descriptors.js';
import { ServiceHealth } from '../../../src/host/health.js';
import { sha256 } from '../../../src/jwe/sha256.js';
import { KeyRing } from '../../../src/keys/ring.js';
import { statusByReason } from '../../../src/schema/error-status.js';
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

/** Both ways; whoever ends first ends the other. */
function relayBetween(one: Duplex, other: Duplex): void {
  one.pipe(other).pipe(one);
  one.on('error', () => other.destroy());
  other.on('error', () => one.destroy());
}

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
      .and.match(/^binding +not compared; give --field and -d$/m)
      .and.match(new RegExp(`^digest +${sha256(token.trim())}$`, 'm'))
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

  it('explain knows every reason, every step and every other code', async () => {
    const list = JSON.parse(await mustRun(['explain', '--json'])) as Readonly<Record<string, string>>[];
    const words = list.map(({ reason, step, code }) => reason ?? step ?? code);
    expect(new Set(words).size).to.equal(words.length);
    expect(words).to.include.members([...Object.keys(explanations), ...Object.keys(reasonByStep), ...KEY_SET_CODES]);
    const table = await mustRun(['explain']);
    for (const word of words) expect(table).to.match(new RegExp(`^${word} `, 'm'));
    expect(await mustRun(['explain', 'KEY_SET_EXPIRED'])).to.match(
      /^KEY_SET_EXPIRED is a failure on this side; .*expired/s,
    );
    const stale = JSON.parse(await mustRun(['explain', 'sealed_field_stale', '--json'])) as object;
    expect(stale).to.include({ code: 'INVALID_ARGUMENT', ...explanations.SEALED_FIELD_STALE });
    const { meaning, remedy } = stepExplanations.TOKEN_STALE;
    expect(await mustRun(['explain', 'token_stale'])).to.equal(
      `TOKEN_STALE is a step of an audit record; callers see SEALED_FIELD_STALE (INVALID_ARGUMENT)\n\n` +
        `  what    ${meaning}\n  do      ${remedy}\n`,
    );
    expect(await mustRun(['explain', 'SEALED_FIELD_STALE'])).to.include(meaning);
    expect(Object.keys(stepExplanations)).to.deep.equal(Object.keys(reasonByStep));
    expect(new Set(Object.values(reasonByStep))).to.deep.equal(new Set(Object.keys(explanations)));
  });

  it('explain @ reads what sealwire call and the audit log say', async () => {
    const wrong = order('explained', { card: { number: '1' } });
    const { stderr } = await sealwire(['call', `${PAYMENTS}/Authorize`, ...service.flags, '-d', '@'], wrong);
    expect(await mustRun(['explain', '@'], stderr)).to.match(
      /^field: card\.number\n(?:card\.\w+: .+\n)+\nINNER_MESSAGE_INVALID \(INVALID_ARGUMENT\): /,
    );
    const search = ['audit', 'search', '--dir', join(service.dir, 'audit'), '--bound', 'order_id=explained'];
    const record = await mustRun([...search, '--format', 'jsonl']);
    expect(await mustRun(['explain', '@'], record)).to.match(/^INNER_INVALID is a step of an audit record/);
  });

  it('explain knows the text that an application has logged', async () => {
    const logged = 'Error: 6 ALREADY_EXISTS: a sealed field was used before; seal again for each call';
    for (const args of [['@'], [logged]]) {
      expect(await mustRun(['explain', ...args], logged)).to.match(/^SEALED_FIELD_REPLAYED \(ALREADY_EXISTS\): /);
    }
    const texts = Object.values(statusByReason).map(({ text }) => text);
    for (const text of texts) {
      const [begin = ''] = text.split(';');
      expect(texts.filter((other) => other.includes(begin))).to.deep.equal([text]);
    }
  });

  it('inspect explains each token of a log', async () => {
    const log = `10:04 request {"card":"${token}"}, before it sealwire-reply: ${token.replace(/..$/, 'AA')}\n10:05 done\n`;
    const { code, stdout } = await sealwire(['inspect'], log);
    expect(code).to.equal(0);
    expect(stdout.match(/^token \d of 2$/gm)).to.deep.equal(['token 1 of 2', 'token 2 of 2']);
    expectOneLine(await sealwire(open(), log), 2, /the text has 2 tokens: give one of them/);
    const record = await mustRun(['audit', 'search', '--dir', join(service.dir, 'audit'), '--format', 'jsonl']);
    expect((await sealwire(['inspect'], record)).stdout).to.match(/^fld +"payments\.v1\.AuthorizeRequest\.card"/m);
  });

  it('inspect says what another token is, with its header', async () => {
    const keySet = await readFile(join(service.dir, 'keys/key-set.jws'), 'utf8');
    const signed = await sealwire(['inspect'], `{"keySetJws": "${keySet.trim()}"}`);
    expect(signed.code).to.equal(1);
    expect(signed.stdout)
      .to.match(/^typ +"jwk-set\+jwt"/m)
      .and.match(/^kind +signed token$/m)
      .and.include('sealwire keys verify --file FILE checks a key set');
    const cut = await sealwire(['inspect'], token.slice(0, token.lastIndexOf('.')));
    expect(cut.code).to.equal(1);
    expect(cut.stdout)
      .to.match(/^fld +"payments\.v1\.AuthorizeRequest\.card"/m)
      .and.match(/^kind +cut token$/m)
      .and.include('the token has 4 of its 5 parts; it was cut');
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
      health: 'ok',
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

  it('doctor takes each form of an address that call takes', async () => {
    const { port } = new URL(`http://${service.address}`);
    const path = join(service.dir, 'service.sock');
    const relay = createServer((socket) => relayBetween(socket, connect(Number(port), '127.0.0.1')));
    await once(relay.listen(path), 'listening');
    for (const address of [`dns:localhost:${port}`, `dns:///127.0.0.1:${port}`, `unix:${path}`]) {
      const seen = await mustRun(['doctor', address, ...service.flags.slice(2)]);
      expect(seen, address).to.match(/^round trip +ok/m);
    }
    relay.close();
    const bare = await sealwire(['doctor', '127.0.0.1']);
    expect(bare.stdout).to.match(/^reachability +bad +127\.0\.0\.1:443: /m);
  });

  it('doctor takes a schema from a file where the service does not describe itself', async () => {
    const server = new Server();
    const port = await promisify(server.bindAsync.bind(server))('127.0.0.1:0', ServerCredentials.createInsecure());
    const set = join(service.dir, 'set.binpb');
    await writeFile(set, Buffer.from(descriptorSet, 'base64'));
    const there = ['doctor', `127.0.0.1:${port}`, '--keys', join(service.dir, 'keys/public.jwks.json')];
    const proto = ['--proto', 'proto/payments/v1/payments.proto', '--import-path', 'proto'];
    // As protoc and grpcurl name it.
    const within = ['--proto', 'payments/v1/payments.proto', '--import-path', 'proto'];
    for (const flags of [['--descriptors', set], proto, within]) {
      const { stdout } = await sealwire([...there, ...flags]);
      expect(stdout)
        .to.match(/^schema +ok +\S+: \d+ methods; reflection is not asked$/m)
        .and.match(/^round trip +bad +payments\.v1\.PaymentService\/GetPayment: UNIMPLEMENTED/m)
        .and.not.match(/^reflection/m);
    }
    server.forceShutdown();
    // As users build it: without the protos of what a host adds.
    const { file } = fromBinary(FileDescriptorSetSchema, await readFile(set));
    const own = file.filter(({ name }) => !name.startsWith('grpc/'));
    expect(own.length).to.be.lessThan(file.length);
    await writeFile(set, toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: own })));
    const proven = ['doctor', service.address, ...service.flags.slice(2), '--descriptors', set];
    expect(await mustRun(proven)).to.match(/^sealing statement +ok +the schema says the same of \d+ methods$/m);
  });

  it('doctor goes the way of calls, through the proxy of the environment', async () => {
    const asked: string[] = [];
    const proxy = createHttpServer();
    proxy.on('connect', ({ url = '' }, socket) => {
      asked.push(url);
      const there = connect(Number(url.split(':')[1]), '127.0.0.1');
      there.once('connect', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
      relayBetween(socket, there);
    });
    await once(proxy.listen(0, '127.0.0.1'), 'listening');
    const { port } = proxy.address() as AddressInfo;
    const args = ['doctor', service.address, ...service.flags.slice(2)];
    const env = { ...environment, http_proxy: `http://127.0.0.1:${port}`, no_proxy: '' };
    const { stdout } = await finishSealwire(args, { env });
    expect(stdout)
      .to.match(new RegExp(`^reachability +ok +through the proxy of http_proxy, 127\\.0\\.0\\.1:${port}, in `, 'm'))
      .and.match(/^round trip +ok/m);
    expect(new Set(asked)).to.deep.equal(new Set([service.address]));
    proxy.closeAllConnections();
    proxy.close();
    const gone = await finishSealwire(args, { env });
    expect(gone.code).to.equal(3);
    expect(gone.stdout).to.match(/^reachability +bad +the proxy of http_proxy, .*ECONNREFUSED; unset http_proxy/m);
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

  it('doctor and call pass on what a proxy or another server answers', async () => {
    const other = createHttpServer((_request, answer) => answer.writeHead(502).end());
    await once(other.listen(0, '127.0.0.1'), 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, stdout } = await sealwire(['doctor', `127.0.0.1:${port}`]);
    other.close();
    expect(code).to.equal(1);
    expect(stdout).to.match(/^reflection +bad +.*\(UNAVAILABLE\): .*Protocol error/m);
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

  it('doctor finds that a service takes no calls', async () => {
    const server = new Server();
    const health = new ServiceHealth(['']);
    health.addTo(server);
    health.set('audit log', false);
    const bind = promisify(server.bindAsync.bind(server));
    const port = await bind('127.0.0.1:0', ServerCredentials.createInsecure());
    const { code, stdout } = await sealwire(['doctor', `127.0.0.1:${port}`]);
    server.forceShutdown();
    expect(code).to.equal(1);
    expect(stdout).to.match(/^health +bad +NOT_SERVING: the service takes no calls; its log /m);
  });

  it('doctor says what is wrong', async () => {
    const other = await sealwire(['doctor', service.address, ...service.flags.slice(2), '--name', 'other']);
    expect(other.stdout).to.match(/^key set +bad +KEY_SET_ISSUER: .*; give its `origin` with --name$/m);
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
      ['doctor: another scheme', () => ['doctor', 'xds:///payments'], 2, /is not HOST:PORT, dns:HOST or unix:PATH/],
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
      [
        'inspect: a token cut within its header',
        () => ['inspect'],
        2,
        /the token was cut within its header, which begins "\{'alg':'ECDH-ES\+A256KW',/,
        () => token.slice(0, 80),
      ],
      [
        'open: a token without its end',
        () => open(),
        2,
        /has 3 of its 5 parts; it was cut/,
        () => token.split('.', 3).join('.'),
      ],
      ['inspect: a PEM', () => ['inspect'], 2, /this is PEM, not a token/, () => '-----BEGIN CANARY-----'],
      [
        'inspect: two things on stdin',
        () => ['inspect', '--field', FIELD, '-d', '@'],
        2,
        /cannot both come from stdin/,
        half,
      ],
      ['inspect: nothing', () => ['inspect'], 2, /no token/, () => '\n'],
      ['open: half a token', () => open(), 2, /the token was cut within its header/, half],
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
      [
        'explain: another word',
        () => ['explain', 'nonsense'],
        2,
        /no such reason, step or code; sealwire explain lists them/,
      ],
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
    expect(urls.some((url) => url.endsWith('/cli/debug/explain.js'))).to.equal(true);
    expect(packagesOf(urls)).to.have.members(['commander', '@bufbuild/protobuf']);
  });

  it('inspect of a token alone loads no package but commander', async () => {
    const header = Buffer.from('{"alg":"ECDH-ES+A256KW","enc":"A256GCM"}').toString('base64url');
    const urls = await listLoaded(['inspect'], `${header}.AAAA.AAAA.AAAA.AAAA`);
    expect(urls.some((url) => url.endsWith('/cli/debug/inspect-token.js'))).to.equal(true);
    expect(packagesOf(urls)).to.deep.equal(['commander']);
  });
});

/** What declarations may import: small files that load no package. */
const LIGHT = [
  'errors',
  'cli/main',
  'host/process/caller-variables',
  'host/process/stop-signals',
  'cli/exit',
  'cli/output',
  'cli/flag-values',
  'host/process/exit',
  'host/process/flags',
  'host/process/version',
  'files/descriptors',
  'files/own-files',
  'files/replace-file',
  'files/file-text',
  'cli/duration',
  'cli/moment',
  'keys/files',
  'keys/passphrase',
];
