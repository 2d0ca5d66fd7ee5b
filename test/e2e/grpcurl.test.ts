import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Finished, finish, listening, type Running, sealwire } from '../support/command.js';
import { requireTool, toolEnvironment } from '../support/tools.js';

describe('grpcurl and buf curl, without any file of ours', () => {
  let dir: string;
  let service: Running;
  let address: string;
  before(async function () {
    requireTool(this, 'grpcurl');
    dir = await mkdtemp(join(tmpdir(), 'sealwire-grpcurl-'));
    service = sealwire('serve', '--listen', '127.0.0.1:0', '--dir', dir, '--log-level', 'error');
    address = await listening(service);
  });
  after(async () => {
    if (service === undefined) return;
    service.child.kill();
    await service.ended;
    await rm(dir, { recursive: true });
  });

  /** @param words flags before the address, and the verb or method with what follows it after */
  const grpcurl = (flags: readonly string[], ...words: string[]): Promise<Finished> =>
    finish('grpcurl', ['-plaintext', ...flags, address, ...words], { env: toolEnvironment });
  const describeSymbol = (symbol: string) => grpcurl([], 'describe', symbol);
  const bufCurl = (path: string, ...args: string[]) =>
    finish('node_modules/.bin/buf', [
      'curl',
      '--protocol',
      'grpc',
      '--http2-prior-knowledge',
      ...args,
      `http://${address}${path}`,
    ]);

  it('list the services', async () => {
    const { stdout } = await grpcurl([], 'list');
    expect(stdout.trim().split('\n')).to.deep.equal([
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'payments.v1.PaymentService',
      'sealwire.v1.KeyService',
    ]);
    const { stdout: methods } = await bufCurl('', '--list-methods');
    expect(methods).to.include('payments.v1.PaymentService/Authorize\n');
  });

  it('show the sealed option with its values', async () => {
    const { stdout } = await describeSymbol('payments.v1.AuthorizeRequest');
    expect(stdout.replace(/\s+/g, ' ')).to.include(
      'string card = 4 [ (.sealwire.v1.sealed) = { type: "payments.v1.CardDetails", required: true, ' +
        'bind: [ "order_id", "amount_minor", "currency_code" ], max_bytes: 1024 } ];',
    );
  });

  it('describe the option itself, with comments', async () => {
    expect((await describeSymbol('sealwire.v1.sealed')).stdout).to.match(
      /optional \.sealwire\.v1\.SealedField sealed = 51789;/,
    );
    expect((await describeSymbol('sealwire.v1.SealedField')).stdout).to.match(
      /\/\/ .*inner message.*\n {2}string type = 1;/,
    );
  });

  for (const service of ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'sealwire.v1.KeyService']) {
    it(`describe ${service}`, async () => {
      const { code, stdout } = await describeSymbol(service);
      expect(code).to.equal(0);
      expect(stdout).to.include(`${service} is a service`);
    });
  }

  it('print the details of a refusal', async () => {
    const bad = JSON.stringify({ order_id: 'o', card: 'a.b.c' });
    const { stderr } = await grpcurl(['-d', bad], 'payments.v1.PaymentService/Authorize');
    for (const part of ['InvalidArgument', '"reason": "SEALED_FIELD_INVALID"', '"field": "card"']) {
      expect(stderr).to.include(part);
    }
    const { stderr: said } = await bufCurl('/payments.v1.PaymentService/Authorize', '-d', bad);
    expect(said).to.match(/google\.rpc\.ErrorInfo/);
  });
});
