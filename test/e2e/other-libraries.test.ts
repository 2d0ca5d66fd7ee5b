import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Finished, finish } from '../support/command.js';
import { card, type DebugService, mustRun, PAYMENTS, startDebugService } from '../support/debug-service.js';
import { requirePython, requireTool, toolEnvironment } from '../support/tools.js';

const FIELD = 'payments.v1.AuthorizeRequest.card';
const PLAINTEXT = JSON.stringify(card);

/** Header members that no library sets by itself. */
function profile(orderId: string): Record<string, unknown> {
  // By hand: order_id (1), amount_minor (2) = 1999, currency_code (3) in protobuf wire format.
  const bound = Buffer.concat([
    Buffer.from([0x0a, orderId.length]),
    Buffer.from(orderId),
    Buffer.from('10cf0f1a03455552', 'hex'),
  ]);
  return {
    typ: 'sealed-field+jwe',
    cty: 'application/json',
    fld: FIELD,
    iat: Math.floor(Date.now() / 1000),
    bnd: createHash('sha256').update(bound).digest('base64url'),
  };
}

/** Another implementation. */
interface Library {
  readonly name: string;
  /** Skips when it is not there; builds what must be built. */
  prepare(this: void, context: Mocha.Context, dir: string): Promise<void>;
  /** @param header members beside alg, enc, kid and epk. @returns a token of {@link PLAINTEXT} */
  seal(dir: string, header: Record<string, unknown>): Promise<string>;
  /** @returns the plaintext */
  open(dir: string, token: string): Promise<string>;
}

async function mustFinish(command: string, args: readonly string[], input?: string, cwd?: string): Promise<string> {
  const options = { env: toolEnvironment, ...(input !== undefined && { input }), ...(cwd !== undefined && { cwd }) };
  const { code, stdout, stderr }: Finished = await finish(command, args, options);
  expect(code, `${command}: ${stderr}`).to.equal(0);
  return stdout.trim();
}

const publicSet = (dir: string) => join(dir, 'keys/public.jwks.json');
const ring = (dir: string) => join(dir, 'keys/ring.json');

/** A program with the verbs `seal KEY` and `open KEY`. */
function ofProgram(
  name: string,
  command: string,
  args: (dir: string) => readonly string[],
  prepare: Library['prepare'],
): Library {
  const program = (dir: string) => command.replace('DIR', dir);
  return {
    name,
    prepare,
    seal: (dir, header) =>
      mustFinish(
        program(dir),
        [...args(dir), 'seal', publicSet(dir)],
        JSON.stringify({ header, plaintext: PLAINTEXT }),
      ),
    open: (dir, token) => mustFinish(program(dir), [...args(dir), 'open', ring(dir)], token),
  };
}

const libraries: readonly Library[] = [
  ofProgram(
    'Python jwcrypto',
    'python3',
    () => ['test/interop/jwcrypto_tokens.py'],
    async (context) => requirePython(context, 'jwcrypto'),
  ),
  ofProgram(
    'Go go-jose',
    'DIR/interop',
    () => [],
    async (context, dir) => {
      requireTool(context, 'go');
      await mustFinish('go', ['build', '-o', join(dir, 'interop'), '.'], undefined, 'test/interop/go');
    },
  ),
  {
    name: 'the jose command',
    async prepare(context, dir) {
      requireTool(context, 'jose');
      for (const [from, to] of [
        [publicSet(dir), 'public.jwk'],
        [ring(dir), 'private.jwk'],
      ] as const) {
        const { keys } = JSON.parse(await readFile(from, 'utf8')) as { keys: object[] };
        await writeFile(join(dir, to), JSON.stringify(keys[0]), { mode: 0o600 });
      }
    },
    async seal(dir, header) {
      const { kid } = JSON.parse(await readFile(join(dir, 'public.jwk'), 'utf8')) as { kid: string };
      const template = JSON.stringify({ protected: { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid, ...header } });
      return mustFinish(
        'jose',
        ['jwe', 'enc', '-i', template, '-I', '-', '-k', join(dir, 'public.jwk'), '-c'],
        PLAINTEXT,
      );
    },
    open: (dir, token) => mustFinish('jose', ['jwe', 'dec', '-i', '-', '-k', join(dir, 'private.jwk')], token),
  },
];

describe('tokens of other libraries, in the running service', function () {
  this.timeout(120_000);
  let service: DebugService;
  before(async () => {
    service = await startDebugService();
  });
  after(() => service.stop());

  for (const library of libraries) {
    describe(library.name, () => {
      before(function () {
        return library.prepare(this, service.dir);
      });

      it('makes tokens that the service opens', async () => {
        const orderId = `o-${libraries.indexOf(library)}`;
        const token = await library.seal(service.dir, profile(orderId));
        expect(
          JSON.parse(await mustRun(['inspect', '--json', '--keys', publicSet(service.dir)], token)),
        ).to.deep.include({
          good: true,
          findings: [],
        });
        const order = JSON.stringify({ orderId, amountMinor: '1999', currencyCode: 'EUR', card: token });
        const answer = JSON.parse(
          await mustRun(['call', `${PAYMENTS}/Authorize`, ...service.flags, '-d', '@'], order),
        ) as object;
        expect(answer).to.include({ status: 'authorized', cardLast4: '4242' });
      });

      it('opens ours', async () => {
        const seal = [
          'seal',
          'payments.v1.AuthorizeRequest.security_code',
          ...service.flags,
          '--bound',
          '{"order_id": "o"}',
        ];
        const token = (await mustRun([...seal, '-d', '"opened elsewhere"'])).trim();
        // A StringValue in wire format: field 1, its length, its text.
        expect(await library.open(service.dir, token)).to.equal('\n\u0010opened elsewhere'.trim());
      });
    });
  }

  it('Python grpcio reaches the handler with a token of jwcrypto', async function () {
    requirePython(this, 'jwcrypto', 'grpc', 'grpc_tools');
    const generated = join(service.dir, 'generated');
    await mkdir(generated);
    const protos = ['payments/v1/payments.proto', 'sealwire/v1/sealed.proto'];
    const outs = [`--python_out=${generated}`, `--grpc_python_out=${generated}`];
    await mustFinish('python3', ['-m', 'grpc_tools.protoc', '-I', 'proto', ...outs, ...protos]);
    const token = await (libraries[0] as Library).seal(service.dir, profile('o-grpcio'));
    const order = JSON.stringify({ orderId: 'o-grpcio', amountMinor: '1999', currencyCode: 'EUR', card: token });
    const answer = await mustFinish('python3', ['test/interop/authorize.py', service.address, generated], order);
    expect(JSON.parse(answer)).to.include({ status: 'authorized', cardLast4: '4242' });
  });
});
