/** One suite for every source of plans: sealed calls over a real grpc-js server. */
import { type FileRegistry, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import {
  Client,
  credentials,
  InterceptingCall,
  type Interceptor,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client/client.js';
import { createSealInterceptor } from '../../src/client/seal-interceptor.js';
import { type KeySource, staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { addSealedService } from '../../src/server/add-service.js';
import type { CallRecord } from '../../src/server/audit-sink.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';
import { type RefusalCase, refusalCases, requestCases } from './conformance-cases.js';
import { asOpened, buildMessage, textsOf, withoutUndefined } from './sealed-json.js';
import { descriptorRegistry, type Source } from './sources.js';

const SERVICES = [
  'payments.v1.PaymentService',
  'clinic.v1.PatientService',
  'games.v1.ScoreService',
  'shop.v1.CheckoutService',
  'shapes.v1.FirstService',
];

/**
 * Declares the suite: a client of one source calls a server of another (or the same).
 *
 * @param client made in a hook, since some sources need descriptors
 */
export function describeConformance(name: string, client: () => Source, server: () => Source = client): void {
  describe(`conformance of ${name}`, () => {
    let bench: Bench;
    before(async () => {
      bench = await Bench.start(client(), server());
    });
    after(() => bench.stop());

    for (const [title, { service, method, request, json, fields, bound = {} }] of Object.entries(requestCases)) {
      it(`seals and opens ${title}`, async () => {
        const { registry } = bench;
        const message = buildMessage(registry, bench.client, request, json);
        const before = structuredClone(plain(message));
        const { error, sent } = await bench.call(service, method, request, message);

        expect(error, error?.details).to.equal(null);
        expect(textsOf(sent).filter((text) => text.includes('canary') && text !== bench.clearText)).to.deep.equal([]);
        expect(plain(message), 'the sent object').to.deep.equal(before);
        const plan = bench.server.service(service).plan.methods[`/${service}/${method}`]!.request!;
        const expected = asOpened(plan, buildMessage(registry, bench.server, request, json));
        expect(withoutUndefined(tokensAside(bench.handled))).to.deep.equal(
          withoutUndefined(tokensAside(expected, fields)),
        );
        const [record] = bench.records;
        expect((record?.fields ?? []).map(({ path, outcome }) => `${path} ${outcome}`)).to.have.members(fields);
        for (const [path, values] of Object.entries(bound)) {
          expect(record?.fields.find((field) => field.path === path)?.bound, path).to.deep.equal(values);
        }
      });
    }

    for (const [title, refused] of Object.entries(refusalCases)) {
      it(`refuses ${title}`, async () => {
        const message = buildMessage(bench.registry, bench.client, refused.request, refused.json);
        const { error } = await bench.call(refused.service, refused.method, refused.request, message, refused.tamper);
        const details = error && errorDetails(error);
        expect(`${status[error?.code ?? 0]} ${details?.reason} ${details?.field}`, error?.details).to.equal(
          refused.refusal,
        );
        expect(bench.handled, 'what the handler got').to.equal(undefined);
      });
    }
  });
}

/** A server with all services, and a client that seals; what was sent, handled and recorded last. */
class Bench {
  readonly registry: FileRegistry = descriptorRegistry();
  readonly clearText = 'canary ñ漢🎴';
  handled: object | undefined;
  records: CallRecord[] = [];
  #sent: unknown;
  readonly #grpcServer: Server;
  readonly #interceptors: Interceptor[];
  #grpcClient: Client | undefined;

  private constructor(
    readonly client: Source,
    readonly server: Source,
    ring: KeyRing,
    keys: KeySource,
  ) {
    const audit = { commit: async (record: CallRecord) => void this.records.push(record), note: () => {} };
    const services = SERVICES.map((name) => server.service(name));
    const { interceptor } = createOpenInterceptor({ services, keys: ring, audit });
    this.#grpcServer = new Server({ interceptors: [interceptor] });
    for (const service of services) {
      const handlers = Object.entries(service.definition).map(([name, { path }]) => {
        const [, typeName, method] = path.split('/');
        const output = this.registry.getService(typeName!)?.methods.find((one) => one.name === method)?.output;
        const reply = server.decode(output!.typeName, new Uint8Array());
        return [
          name,
          (call: ServerUnaryCall<object, object>, callback: (error: null, value: object) => void) => {
            this.handled = call.request;
            callback(null, reply);
          },
        ] as const;
      });
      addSealedService(this.#grpcServer, service, Object.fromEntries(handlers));
    }
    this.#interceptors = [
      createSealInterceptor({ services: SERVICES.map((name) => client.service(name)), keys }),
      (options, next) =>
        new InterceptingCall(next(options), {
          sendMessage: (message, send) => {
            this.#sent = message;
            send(message);
          },
        }),
    ];
  }

  static async start(client: Source, server: Source): Promise<Bench> {
    const ring = await KeyRing.create();
    const other = (await KeyRing.create('P-256')).current();
    const bench = new Bench(client, server, ring, staticKeySource({ '': ring.current(), insurer: other, other }));
    const port = await new Promise<number>((resolve, reject) => {
      const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
      bench.#grpcServer.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
    });
    bench.#grpcClient = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      interceptors: bench.#interceptors,
    });
    return bench;
  }

  stop(): void {
    this.#grpcClient?.close();
    this.#grpcServer.forceShutdown();
  }

  /** @param tamper changes what is on the wire, as proto3 JSON */
  async call(
    service: string,
    method: string,
    request: string,
    message: object,
    tamper?: RefusalCase['tamper'],
  ): Promise<{ error: ServiceError | null; sent: unknown }> {
    this.handled = undefined;
    this.records = [];
    this.#sent = undefined;
    const path = `/${service}/${method}`;
    const definition = Object.values(this.client.service(service).definition).find((one) => one.path === path)!;
    const desc = this.registry.getMessage(request)!;
    const serialize = (value: object): Buffer => {
      const bytes = definition.requestSerialize(value);
      if (tamper === undefined) return bytes;
      const json = toJson(desc, fromBinary(desc, bytes)) as Record<string, never>;
      tamper(json);
      return Buffer.from(toBinary(desc, fromJson(desc, json)));
    };
    const error = await new Promise<ServiceError | null>((resolve) => {
      const { responseDeserialize } = definition;
      this.#grpcClient?.makeUnaryRequest(path, serialize, responseDeserialize, message, new Metadata(), resolve);
    });
    return { error, sent: this.#sent };
  }
}

/** Tokens of other recipients differ with every sealing, and so does what stands in their place before. */
function tokensAside(message: object | undefined, fields: readonly string[] = []): unknown {
  const passed = fields.filter((field) => field.endsWith(' passed')).map((field) => field.split(' ')[0]!);
  const mark = (value: unknown, path: string): unknown => {
    if (typeof value === 'string' && /^ey[\w-]+(\.[\w-]+){4}$/.test(value)) return 'token';
    if (passed.some((name) => name.replaceAll('_', '') === path.replaceAll('_', '').toLowerCase())) return 'token';
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array || 'low' in value) return value;
    if (Array.isArray(value)) return value.map((part, index) => mark(part, `${path}[${index}]`));
    const named = (name: string) => (path === '' ? name : `${path}.${name}`);
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, mark(part, named(name))]));
  };
  return mark(message, '');
}

/** Without what `structuredClone` does not copy as it is. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part)));
}
