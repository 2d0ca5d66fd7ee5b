/** Details of an error, out of what grpcurl prints in each of its forms, and out of hostile text. */
import { join } from 'node:path';
import { expect } from 'chai';
import { findRefusal } from '../../../src/cli/debug/refusal-in.js';
import { finish } from '../../support/command.js';
import { card, type DebugService, mustRun, order, PAYMENTS, startDebugService } from '../../support/debug-service.js';
import { requireTool, toolEnvironment } from '../../support/tools.js';

const METHOD = `${PAYMENTS}/Authorize`;

describe('findRefusal', function () {
  this.timeout(60_000);
  let service: DebugService;
  /** A sealed request that is refused, as JSON and in the text form of protobuf. */
  let json: string;
  let text: string;
  before(async function () {
    requireTool(this, 'grpcurl');
    service = await startDebugService();
    const wrong = order('o', { card: { ...card, expiryMonth: 13, number: '42' } });
    json = await mustRun(['request', METHOD, ...service.flags, '-d', '@'], wrong);
    const fields = Object.entries(JSON.parse(json) as Record<string, string>);
    text = fields
      .map(([name, value]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value] as const)
      .map(([name, value]) => `${name}: ${name === 'amount_minor' ? value : JSON.stringify(value)}`)
      .join('\n');
  });
  after(() => service?.stop());

  async function grpcurl(input: string, ...flags: string[]): Promise<string> {
    const args = ['-plaintext', ...flags, '-d', '@', service.address, METHOD];
    const { code, stdout, stderr } = await finish('grpcurl', args, { env: toolEnvironment, input });
    expect(code).to.not.equal(0);
    return stdout + stderr;
  }
  // Then grpcurl does not know the types of the details.
  const proto = ['-import-path', 'proto', '-proto', 'payments/v1/payments.proto'];
  const forms: Record<string, () => Promise<string>> = {
    JSON: () => grpcurl(json),
    'JSON with -format-error': () => grpcurl(json, '-format-error'),
    text: () => grpcurl(text, '-format', 'text'),
    'text with -format-error': () => grpcurl(text, '-format', 'text', '-format-error'),
    'JSON with types that it does not know': () => grpcurl(json, ...proto),
    'JSON with such types and -format-error': () => grpcurl(json, ...proto, '-format-error'),
    'the trailers of -v alone': async () =>
      /^grpc-status-details-bin.*$/m.exec(await grpcurl(json, '-v'))?.[0] ?? expect.fail('no trailer'),
  };
  for (const [name, print] of Object.entries(forms)) {
    it(`reads grpcurl's ${name}`, async () => {
      const printed = await print();
      const found = findRefusal(`some words { and braces }\n${printed}\nmore "of" them {`);
      expect(found, printed).to.deep.include({ reason: 'INNER_MESSAGE_INVALID', field: 'card.number' });
      expect(found?.violations.map(({ path }) => path)).to.deep.equal(['card.number', 'card.expiry_month']);
    });
  }

  it('finds nothing in a call that was not refused by us', async () => {
    const { stderr } = await finish('grpcurl', ['-plaintext', '-d', '{}', service.address, `${PAYMENTS}/Nope`], {
      env: toolEnvironment,
    });
    expect(findRefusal(stderr)).to.equal(undefined);
    expect(findRefusal(await mustRun(['explain', '--json']))).to.equal(undefined);
    expect(join(stderr, '')).to.include('Nope');
  });

  for (const hostile of [
    '{"details": [1, null, {"@type": 7}, {"type": "x"}]}',
    '{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "sealwire", "reason": {}, "metadata": 1}',
    '{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "other", "reason": "SEALED_FIELD_STALE"}',
    '{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "sealwire", "reason": "NOT_OURS"}',
    'type_url: "type.googleapis.com/google.rpc.ErrorInfo"\n value: "\\377\\x"',
    'grpc-status-details-bin: ////',
    '{"a": {"b": "'.repeat(50),
  ]) {
    it(`finds nothing in ${hostile.slice(0, 60)}`, () => void expect(findRefusal(hostile)).to.equal(undefined));
  }
});
