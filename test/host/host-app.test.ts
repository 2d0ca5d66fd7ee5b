import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { credentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { z } from 'zod';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../../src/gen/grpc/reflection/v1/reflection.js';
import { type AppHost, type HostApp, type RunningApp, type RunningHost, startHost } from '../../src/host/index.js';
import type { RecipientKey } from '../../src/jwe/recipient.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { loadPublicKeys } from '../../src/keys/public-keys.js';
import { INTERNAL_STATUS } from '../../src/schema/error-status.js';
import { type SealedToken, tokenOf } from '../../src/schema/opened.js';
import type { Findings } from '../gen/clinic/v1/clinic.js';
import {
  addSealedPatientService,
  SealedPatientService,
  SealedPatientServiceClient,
} from '../gen/clinic/v1/clinic_sealed.js';
import { descriptorSet } from '../support/descriptor-set.js';
import { failureOf } from '../support/harness.js';
import { checkHealth, makeHealthClient } from '../support/health.js';

const SERVICE = 'clinic.v1.PatientService';
const findings: Findings = { diagnoses: ['influenza'], measurements: {}, seenAt: undefined };

/** An app of the test's own, which keeps what comes as the token that it came in. */
class ClinicApp implements HostApp<RunningApp, { readonly ward: string }> {
  readonly name = 'clinic';
  readonly services = [SealedPatientService];
  readonly descriptors = descriptorSet();
  readonly options = z.strictObject({ ward: z.string().default('general') });
  readonly steps: string[] = [];
  host: AppHost<{ readonly ward: string }> | undefined;
  kept: SealedToken | undefined;

  start(host: AppHost<{ readonly ward: string }>): RunningApp {
    this.host = host;
    host.add(addSealedPatientService, {
      saveRecord: ({ request }, callback) => {
        if (request.patientId === 'fails') throw new RangeError(request.findings.diagnoses[0]);
        this.kept = tokenOf(request, 'findings');
        callback(null, { recordId: `${host.options.ward}/${request.patientId}` });
      },
    });
    return { drain: () => this.steps.push('drain'), stop: async () => void this.steps.push('stop') };
  }
}

describe('an app of one’s own on the host', () => {
  let dir: string;
  let app: ClinicApp;
  let host: RunningHost;
  let client: SealedPatientServiceClient;
  let log: string[];

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-app-'));
    log = [];
    app = new ClinicApp();
    const logStream = new Writable({
      write: (chunk, _encoding, done) => done(void log.push(String(chunk)) as undefined),
    });
    host = await startHost(app, {
      config: { listen: '127.0.0.1:0', dir, instance: 'n-1', app: { ward: 'west' } },
      logStream,
    });
    const [key] = await loadPublicKeys(join(dir, 'keys/public.jwks.json'));
    const keys = staticKeySource({ '': key as RecipientKey, insurer: key as RecipientKey });
    client = new SealedPatientServiceClient(host.address, credentials.createInsecure(), { keys });
  });
  afterEach(async () => {
    client.close();
    await host.stop();
    await rm(dir, { recursive: true });
  });

  const save = (patientId: string) =>
    client.saveRecord({ patientId, visit: 7n, findings, contact: undefined, claim: undefined });

  it('opens its messages, records them under its name, and gets its own options', async () => {
    expect(await save('p-1')).to.deep.equal({ recordId: 'west/p-1' });
    const [name = ''] = (await readdir(join(dir, 'audit'))).filter((file) => file.endsWith('.jsonl'));
    const records = (await readFile(join(dir, 'audit', name), 'utf8')).trimEnd().split('\n');
    expect(JSON.parse(records.at(-1) ?? '')).to.include({ event: 'open', origin: 'clinic/n-1' });
  });

  it('opens what it kept, and need not seal it anew before its key ends', async () => {
    await save('p-1');
    const { kept, host: given } = app;
    const place = { field: 'clinic.v1.SaveRecordRequest.findings', bound: { patientId: 'p-1', visit: 7n } };
    expect(await given?.openStored<Findings>(kept ?? '', place)).to.deep.include({ diagnoses: ['influenza'] });
    expect(given?.needsReseal(kept ?? '')).to.equal(false);
    expect(await given?.resealStored(kept ?? '', place)).to.equal(kept);
  });

  it('hides what its handlers throw: a fixed text for the caller, the class name for the log', async () => {
    const error = await failureOf(save('fails'));
    expect([error.code, error.details]).to.deep.equal([status.INTERNAL, INTERNAL_STATUS.text]);
    expect(log.join('')).to.include(
      'a handler failed {"path":"/clinic.v1.PatientService/SaveRecord","error":"RangeError"}',
    );
    expect(log.join('')).not.to.include('influenza');
  });

  it('is healthy by its name, and is described with the host’s services, not with those of others', async () => {
    const health = makeHealthClient(host.address);
    expect(await checkHealth(health, SERVICE)).to.include({ status: 'SERVING' });
    expect((await failureOf(checkHealth(health, 'payments.v1.PaymentService'))).code).to.equal(status.NOT_FOUND);
    const { path, requestSerialize, responseDeserialize } = ServerReflectionService.serverReflectionInfo;
    const call = health.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    call.end({ host: '', listServices: '' } satisfies ServerReflectionRequest);
    const [answer] = (await call.toArray()) as ServerReflectionResponse[];
    expect(answer?.listServicesResponse?.service.map(({ name }) => name)).to.deep.equal([
      SERVICE,
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'sealwire.v1.KeyService',
    ]);
    health.close();
  });

  it('is told when the host drains and when the last call is over, and the log tells both', async () => {
    await save('p-1');
    await host.stop();
    expect(app.steps).to.deep.equal(['drain', 'stop']);
    expect(log.at(-2)).to.match(/ info draining: 0 calls, which have \d+ s to finish\n$/);
    expect(log.at(-1)).to.match(/ info stopped \{.*"pid":\d+.*\}\n$/);
  });
});

describe('startHost', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-app-'));
  });
  after(() => rm(dir, { recursive: true }));

  const config = () => ({ listen: '127.0.0.1:0', dir, logLevel: 'error' as const });

  it('stops what it has started when the app does not start, and hands on why', async () => {
    const why = new Error('no database');
    const failing = Object.assign(new ClinicApp(), {
      start: () => {
        throw why;
      },
    });
    expect(await startHost(failing, { config: config() }).catch((error: unknown) => error)).to.equal(why);
    // The folder is free again.
    await (await startHost(new ClinicApp(), { config: config() })).stop();
  });

  for (const [name, app, wrong] of [
    ['an unknown option of the app', new ClinicApp(), { app: { wrad: 'x' } }],
    [
      'options of an app that has none',
      { ...new ClinicApp(), name: 'clinic', options: undefined as never },
      { app: {} },
    ],
    ['a name that cannot be one', Object.assign(new ClinicApp(), { name: 'a b' }), {}],
  ] as const) {
    it(`refuses ${name}`, async () => {
      const error = await startHost(app as ClinicApp, { config: { ...config(), ...wrong } }).catch((thrown) => thrown);
      expect(error).to.have.property('code', 'OPTIONS_INVALID');
    });
  }
});
