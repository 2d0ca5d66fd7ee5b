/** `-H`: what it takes, and that it reaches everything that is asked of a service. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Server, ServerCredentials, ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { readHeaders } from '../../../src/cli/target/headers.js';
import { descriptorSet } from '../../../src/gen/descriptors.js';
import { KeyServiceService } from '../../../src/gen/sealwire/v1/keys.js';
import { addReflection } from '../../../src/server/reflection.js';
import { refusal } from '../../keys/helpers.js';
import { finishSealwire } from '../../support/command.js';
import { order, PAYMENTS } from '../../support/debug-service.js';

const REFLECTION = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
const KEYS = '/sealwire.v1.KeyService/GetKeySet';

describe('-H', function () {
  this.timeout(60_000);
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-headers-'));
  });
  after(() => rm(dir, { recursive: true }));

  it('takes lines, also out of a file, and binary values in base64', async () => {
    const file = join(dir, 'headers');
    await writeFile(file, 'authorization: Bearer a:b\r\n\nx-two: 2\n');
    const metadata = readHeaders([`@${file}`, 'X-One:1', 'x-one: 2', 'trace-bin: AAH/', 'other-bin:_w']);
    expect(metadata.getMap()).to.include({ authorization: 'Bearer a:b', 'x-two': '2' });
    expect(metadata.get('x-one')).to.deep.equal(['1', '2']);
    expect(metadata.get('trace-bin')).to.deep.equal([Buffer.from([0, 1, 255])]);
    expect(metadata.get('other-bin')).to.deep.equal([Buffer.from([255])]);
  });

  for (const line of ['no colon', ': no name', 'x y: 1', 'x: caf\u00e9', 'x-bin: not base64', '@/nowhere']) {
    it(`refuses '${line}' and quotes no value`, async () => {
      const { message } = await refusal(() => readHeaders([line]), 'OPTIONS_INVALID');
      expect(message)
        .to.match(/^-H/)
        .and.not.match(/base64!|caf|not base64/);
    });
  }

  it('reaches reflection and the key service', async () => {
    const seen = new Map<string, unknown>();
    const record: ServerInterceptor = (definition, call) =>
      new ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata(metadata, pass) {
              seen.set(definition.path, [metadata.get('x-from'), metadata.get('x-from-bin')]);
              pass(metadata);
            },
          }),
      });
    const server = new Server({ interceptors: [record] });
    addReflection(server, { descriptors: Buffer.from(descriptorSet, 'base64'), services: [PAYMENTS] });
    server.addService(KeyServiceService, {
      getKeySet: (_call: unknown, answer: (error: object) => void) => answer({ code: status.UNAUTHENTICATED }),
    });
    const port = await promisify(server.bindAsync.bind(server))('127.0.0.1:0', ServerCredentials.createInsecure());
    const there = ['--address', `127.0.0.1:${port}`, '--root', 'A'.repeat(43)];
    const headers = ['-H', 'x-from: shell', '-H', 'x-from-bin: AAH/'];
    const asked: Record<string, readonly [args: readonly string[], paths: readonly string[]]> = {
      request: [
        ['request', `${PAYMENTS}/Authorize`, '-d', order('o')],
        [REFLECTION, KEYS],
      ],
      call: [
        ['call', `${PAYMENTS}/Authorize`, '-d', order('o')],
        [REFLECTION, KEYS],
      ],
      doctor: [['doctor'], [REFLECTION, KEYS]],
      verify: [['keys', 'verify', '--name', 'n'], [KEYS]],
    };
    for (const [command, [args, paths]] of Object.entries(asked)) {
      seen.clear();
      await finishSealwire([...args, ...there, ...headers]);
      expect([...seen.keys()], command).to.include.members(paths);
      for (const values of seen.values()) expect(values).to.deep.equal([['shell'], [Buffer.from([0, 1, 255])]]);
    }
    server.forceShutdown();
  });
});
