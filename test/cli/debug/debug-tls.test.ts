import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Server, ServerCredentials, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { descriptorSet } from '../../../src/gen/descriptors.js';
import { KeyServiceService } from '../../../src/gen/sealwire/v1/keys.js';
import { addReflection } from '../../../src/server/reflection.js';
import { environment, finishSealwire } from '../../support/command.js';
import {
  type DebugService,
  expectOneLine,
  mustRun,
  order,
  PAYMENTS,
  startDebugService,
} from '../../support/debug-service.js';
import { requireTool } from '../../support/tools.js';

describe('sealwire call and doctor over TLS', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'sealwire-tls-'));
  const at = (name: string) => join(folder, name);
  let service: DebugService;
  let host: string;
  before(async function () {
    requireTool(this, 'openssl');
    const key = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    for (const [name, subject, names] of [
      ['server', '/CN=localhost', 'DNS:localhost,IP:127.0.0.1'],
      ['client', '/CN=client', 'DNS:client'],
      ['named', '/CN=payments', 'DNS:payments.test'],
    ] as const) {
      const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`), '-subj', subject];
      execFileSync('openssl', [...key, ...files, '-addext', `subjectAltName=${names}`], { stdio: 'ignore' });
    }
    const tls = { cert: at('server.pem'), key: at('server.key'), clientCa: at('client.pem') };
    writeFileSync(at('config.json'), JSON.stringify({ tls }));
    service = await startDebugService('--config', at('config.json'));
    host = service.address.replace('127.0.0.1', 'localhost');
  });
  after(async () => {
    await service?.stop();
    await rm(folder, { recursive: true });
  });

  const ca = ['--tls-ca', at('server.pem')];
  const client = [...ca, '--tls-cert', at('client.pem'), '--tls-key', at('client.key')];
  const call = (...tls: string[]) => [
    'call',
    `${PAYMENTS}/Authorize`,
    '--address',
    host,
    ...service.flags.slice(2),
    ...tls,
    '-d',
    '@',
  ];

  it('call works with the CA and a client certificate', async () => {
    expect(JSON.parse(await mustRun(call(...client), order('tls')))).to.include({ status: 'authorized' });
  });

  it('works with an address in place of a name, without a warning of Node', async () => {
    const byAddress = [...call(...client), '--address', service.address];
    const env = { SEALWIRE_TLS_CA: at('server.pem'), SEALWIRE_TLS_CERT: at('client.pem') };
    const given = { ...environment, ...env, SEALWIRE_TLS_KEY: at('client.key') };
    const { code: byVariables } = await finishSealwire(call(), { input: order('variables'), env: given });
    expect(byVariables).to.equal(0);
    const { code, stderr } = await finishSealwire(byAddress, { input: order('address') });
    expect([code, stderr]).to.deep.equal([0, '']);
    const seen = await finishSealwire(['doctor', service.address, ...service.flags.slice(2), ...client]);
    expect([seen.code, seen.stderr]).to.deep.equal([0, '']);
  });

  it('call fails in one line without the certificate, without the CA, and without TLS', async () => {
    writeFileSync(at('set.binpb'), Buffer.from(descriptorSet, 'base64'));
    const set = ['--descriptors', at('set.binpb')];
    for (const [tls, asked, why] of [
      [ca, 'cannot be asked for its schema \\(UNAVAILABLE\\)', ''],
      [['--tls'], 'cannot be asked for its schema \\(UNAVAILABLE\\)', 'self-signed certificate'],
      [[], 'cannot be asked for its schema \\(UNAVAILABLE\\)', ''],
      [[...set, '--tls'], 'the key service answered UNAVAILABLE', 'self-signed certificate'],
    ] as const) {
      const there = ['sealwire doctor localhost:\\d+', ...tls.filter((word) => !set.includes(word))].join(' ');
      const line = new RegExp(`${asked}: .*${why}.*; run ${there}$`, 'm');
      expectOneLine(await finishSealwire(call(...tls), { input: order('no') }), 3, line);
    }
  });

  it('takes another name for the service than that of its address', async () => {
    const other = ['--tls-ca', at('named.pem'), '--authority', 'payments.test'];
    const root = service.flags.slice(2);
    const server = new Server();
    const seen: string[] = [];
    addReflection(server, { descriptors: Buffer.from(descriptorSet, 'base64'), services: [PAYMENTS] });
    server.addService(KeyServiceService, {
      getKeySet: (call: ServerUnaryCall<object, object>, answer: (error: object) => void) => {
        seen.push(`${call.getHost()} ${call.metadata.get('authorization')}`);
        answer({ code: status.UNAUTHENTICATED });
      },
    });
    const pair = { cert_chain: readFileSync(at('named.pem')), private_key: readFileSync(at('named.key')) };
    const bind = promisify(server.bindAsync.bind(server));
    const port = await bind('127.0.0.1:0', ServerCredentials.createSsl(null, [pair]));
    const there = ['--address', `127.0.0.1:${port}`, ...root, '-H', 'authorization: from the shell'];
    const method = [`${PAYMENTS}/Authorize`, ...there, '-d', order('authority')];
    for (const command of ['request', 'call']) {
      const { stderr } = await finishSealwire([command, ...method, ...other]);
      expect(stderr, command).to.match(/the key service answered UNAUTHENTICATED/);
    }
    const { stdout } = await finishSealwire(['doctor', ...there, ...other]);
    expect(stdout)
      .to.match(/^TLS +warn/m)
      .and.match(/^reflection +ok/m);
    expect(new Set(seen)).to.deep.equal(new Set(['payments.test from the shell']));
    const misnamed = await finishSealwire(['doctor', ...there, ...other.slice(0, 2)]);
    expect(misnamed.stdout).to.match(/^TLS +bad +TLS: ERR_TLS_CERT_ALTNAME_INVALID; .* with --authority$/m);
    server.forceShutdown();
  });

  it('flags that do not fit are wrong use', async () => {
    const half = [...ca, '--tls-cert', at('client.pem')];
    expectOneLine(await finishSealwire(call(...half), { input: '' }), 2, /give --tls-cert and --tls-key together/);
    expectOneLine(await finishSealwire(call('--tls-ca', at('none')), { input: '' }), 2, /TLS: .*none: ENOENT/);
    const noCa = call('--tls-ca', at('config.json'));
    expectOneLine(await finishSealwire(noCa, { input: '' }), 2, /TLS: .*config\.json: no certificate in PEM/);
    writeFileSync(at('cut.pem'), readFileSync(at('server.pem'), 'utf8').slice(0, -60));
    const cut = call('--tls-ca', at('cut.pem'));
    expectOneLine(await finishSealwire(cut, { input: '' }), 2, /TLS: .*cut\.pem: a certificate in it is broken/);
  });

  it('doctor tells protocol and end of the certificate, or what is wrong with it', async () => {
    const root = service.flags.slice(2);
    expect(await mustRun(['doctor', host, ...root, ...client])).to.match(
      /^TLS +warn +TLSv1\.3, h2, certificate good for 1 days?: put another in its place$/m,
    );
    const half = await finishSealwire(['doctor', host, ...root, ...ca]);
    expect(half.code).to.equal(1);
    expect(half.stdout).to.match(
      /^TLS +bad +.*the service wants a client certificate: give --tls-cert and --tls-key$/m,
    );
    const wrong = [...ca, '--tls-cert', at('server.pem'), '--tls-key', at('server.key')];
    expect((await finishSealwire(['doctor', host, ...root, ...wrong])).stdout).to.match(
      /^TLS +bad +.*the service does not take the certificate of --tls-cert$/m,
    );
    const { code, stdout } = await finishSealwire(['doctor', host, ...root, '--tls']);
    expect(code).to.equal(1);
    expect(stdout).to.match(/^TLS +bad +TLS: DEPTH_ZERO_SELF_SIGNED_CERT; give the CA with --tls-ca$/m);
    const plain = await finishSealwire(['doctor', host, ...root]);
    expect(plain.code).to.equal(1);
    expect(plain.stdout).to.match(/^TLS +bad +the service speaks TLS: give --tls/m);
    expect(plain.stdout).to.match(/^clock +skip +no answer \(UNAVAILABLE\)$/m);
  });
});
