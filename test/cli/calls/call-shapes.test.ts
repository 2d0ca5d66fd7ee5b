/** Messages that are hard to write or show: required fields of proto2 and editions, an Any that the schema lacks. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { expect } from 'chai';
import { KeyRing } from '../../../src/keys/ring.js';
import { createPlans } from '../../../src/loader/create-plans.js';
import { addSealedService } from '../../../src/server/add-service.js';
import { createOpenInterceptor } from '../../../src/server/open-interceptor.js';
import { buildProtos } from '../../codegen/helpers.js';
import { makePair, publicPart } from '../../keys/helpers.js';
import { finishSealwire } from '../../support/command.js';

type Unary = (call: { readonly request: object }, callback: (error: null, value: object) => void) => void;

describe('sealwire call with messages that are hard to write or show', function () {
  this.timeout(60_000);
  let dir: string;
  let server: Server;
  let flags: readonly string[];

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sealwire-shapes-'));
    const at = (name: string) => join(dir, name);
    const pair = makePair('P-256');
    writeFileSync(at('ring.json'), JSON.stringify({ keys: [pair.jwk] }), { mode: 0o600 });
    writeFileSync(at('public.json'), JSON.stringify({ keys: [publicPart(pair.jwk)] }));
    const descriptors = toBinary(FileDescriptorSetSchema, buildProtos('test/schema/fixtures'));
    writeFileSync(at('set.binpb'), descriptors);
    const includeDirs = ['proto', 'test/schema/fixtures'];
    const files = ['loose/v1/loose.proto', 'loose/v1/loose_edition.proto'];
    const loaded = loader.loadSync(files, { includeDirs });
    const plans = createPlans(descriptors, {});
    const services = ['loose.v1.LooseService', 'loose.v1.LooseEditionService'].map((name) =>
      plans.define(loaded[name] as ServiceDefinition),
    );
    const keys = await KeyRing.load(at('ring.json'));
    const audit = { commit: async () => {}, note() {} };
    server = new Server({ interceptors: [createOpenInterceptor({ services, keys, audit }).interceptor] });
    const Keep: Unary = ({ request }, callback) => callback(null, request);
    const any = { type_url: 'type.googleapis.com/nowhere.v1.Thing\u001b[2J', value: Buffer.from('hi') };
    const Wrap: Unary = (_, callback) => callback(null, { any, list: [any] });
    for (const service of services) addSealedService(server, service, { Keep, Wrap });
    const port = await new Promise<number>((resolve, reject) => {
      const done = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), done);
    });
    flags = ['--address', `127.0.0.1:${port}`, '--keys', at('public.json'), '--descriptors', at('set.binpb')];
  });
  after(() => {
    server.forceShutdown();
    rmSync(dir, { recursive: true });
  });

  const call = (method: string, message: object, ...more: string[]) =>
    finishSealwire(['call', `loose.v1.${method}`, ...flags, ...more, '-d', JSON.stringify(message)]);

  for (const method of ['LooseService/Keep', 'LooseEditionService/Keep']) {
    it(`writes required fields, and reads them back (${method})`, async () => {
      const message = { text: '', mustText: 'x', mustCount: '0', sealed: { text: 't' } };
      const { code, stdout, stderr } = await call(method, message);
      expect([code, stderr]).to.deep.equal([0, '']);
      expect(JSON.parse(stdout)).to.deep.equal(message);
    });
  }

  it('names a required field that is missing, and sends nothing', async () => {
    const { code, stdout, stderr } = await call('LooseService/Keep', { mustText: 'x' });
    expect([code, stdout, stderr]).to.deep.equal([2, '', 'sealwire: must_count is required\n']);
  });

  it('shows an Any that the schema lacks, with a note, once', async () => {
    const { code, stdout, stderr } = await call('LooseService/Wrap', {}, '--trust-schema');
    const any = { '@type': 'type.googleapis.com/nowhere.v1.Thing\u001b[2J', '@value': 'aGk=' };
    const said = "sealwire: note: the schema has no 'nowhere.v1.Thing?[2J': its bytes are in @value, in base64\n";
    expect([code, stderr]).to.deep.equal([0, said]);
    expect(JSON.parse(stdout)).to.deep.equal({ any, list: [any] });
  });
});
