import { clone, create, fromBinary } from '@bufbuild/protobuf';
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import {
  loadPackageDefinition,
  type Server,
  type ServiceClientConstructor,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import loader, { type Options } from '@grpc/proto-loader';
import { expect } from 'chai';
import fc from 'fast-check';
import { type ErrorCode, SealwireError } from '../../src/errors.js';
import { createPlans } from '../../src/loader/create-plans.js';
import { camelCase, type LoaderOptions } from '../../src/loader/loader-form.js';
import type { MessagePlan, SealedFieldPlan, ServicePlan } from '../../src/schema/plan.js';
import { addSealedService } from '../../src/server/add-service.js';
import { buildProtos } from '../codegen/helpers.js';
import { descriptorSet, PROTO_FILES, PROTO_FOLDERS } from '../support/descriptor-set.js';
import { protobufjs } from '../support/protobufjs.js';
import { generatedSource, loaderSettings } from '../support/sources.js';

const SERVICES = [
  'payments.v1.PaymentService',
  'clinic.v1.PatientService',
  'games.v1.ScoreService',
  'shop.v1.CheckoutService',
  'shapes.v1.FirstService',
];
const EVERYTHING = 'everything.v1';

/** A plan as plain data: types by name, each once. */
function describePlan(plan: ServicePlan): unknown {
  const messages: Record<string, unknown> = {};
  const describeMessage = (message: MessagePlan | undefined): string | undefined => {
    if (message === undefined || message.typeName in messages) return message?.typeName;
    messages[message.typeName] = undefined;
    messages[message.typeName] = {
      sealed: message.sealed.map(({ codec, bind, oneof: _oneof, ...field }: SealedFieldPlan) => ({
        ...field,
        codec: codec.typeName,
        // Names of enum values are for forms that ts-proto's default does not have.
        bind: bind.map(({ enumNumbers: _numbers, ...bound }) => bound),
      })),
      nested: message.nested.map(({ plan: child, oneof: _oneof, ...field }) => ({
        ...field,
        plan: describeMessage(child()),
      })),
    };
    return message.typeName;
  };
  const methods = Object.entries(plan.methods).map(([path, { request, response, ...method }]) => [
    path,
    { ...method, request: describeMessage(request), response: describeMessage(response) },
  ]);
  return { typeName: plan.typeName, methods: Object.fromEntries(methods), messages };
}

/** What is guarded is no longer the same function. */
function withoutDecoders(definition: ServiceDefinition): unknown {
  const strip = ({
    requestDeserialize: _request,
    responseDeserialize: _response,
    ...rest
  }: ServiceDefinition[string]) => rest;
  return Object.fromEntries(Object.entries(definition).map(([key, method]) => [key, strip(method)]));
}

function expectRefusal(action: () => unknown, code: ErrorCode, text: RegExp): void {
  expect(action).to.throw(SealwireError, text).with.property('code', code);
}

describe('run-time plans', () => {
  let set: Buffer;
  let everything: FileDescriptorSet;
  before(() => {
    set = descriptorSet();
    everything = buildProtos('test/schema/fixtures');
  });
  const loadProtos = (options: Options) =>
    loader.loadSync(PROTO_FILES, { ...options, includeDirs: PROTO_FOLDERS }) as Record<string, ServiceDefinition>;

  for (const name of SERVICES) {
    it(`of ${name} are those that the generator prints`, () => {
      const generated = generatedSource().service(name).plan;
      const described = describePlan(createPlans(set).service(name));
      expect(described).to.deep.equal(describePlan(generated));
      expect(Object.keys((described as { messages: object }).messages)).not.to.be.empty;
    });
  }

  it('are made from a parsed descriptor set too, and once each', () => {
    const plans = createPlans(fromBinary(FileDescriptorSetSchema, set));
    expect(plans.service('games.v1.ScoreService')).to.equal(plans.service('games.v1.ScoreService'));
    expect(describePlan(plans.service('games.v1.ScoreService'))).to.deep.equal(
      describePlan(createPlans(set).service('games.v1.ScoreService')),
    );
  });

  it('name properties as protobufjs does', () => {
    const names = [
      'foo_1bar',
      'a__b',
      'A_b',
      '_x',
      '__a',
      'a_',
      '_',
      'x_Y_z',
      'mixedCase_name',
      'LOUD_NAME',
      'a_1_b2c',
    ];
    for (const name of names) expect(camelCase(name), name).to.equal(protobufjs.util.camelCase(name));
    const identifier = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,12}$/);
    fc.assert(fc.property(identifier, (name) => camelCase(name) === protobufjs.util.camelCase(name)));
    const keysOf = (options: LoaderOptions) => {
      const { methods } = createPlans(everything, options).service(`${EVERYTHING}.EverythingService`);
      const [sealed] = Object.values(methods)[0]!.request!.sealed;
      return sealed!.bind.map(({ key }) => key);
    };
    expect(keysOf({})).to.deep.equal(['foo_1bar', 'a_B', 'AB']);
    expect(keysOf({ keepCase: true })).to.deep.equal(['foo_1bar', 'a__b', 'A_b']);
    expect(keysOf({ loadedFrom: 'descriptor-set' })).to.deep.equal(['foo_1bar', 'a__b', 'A_b']);
  });

  for (const [options, text] of [
    [{ longs: Object }, /'longs' must be String, Number, BigInt or left out/],
    [{ longs: 'String' }, /'longs'/],
    [{ enums: Number }, /'enums' must be String or left out/],
    [{ bytes: Uint8Array }, /'bytes' must be String, Array or left out/],
    [{ keepCase: 'true' }, /'keepCase' must be true or false/],
    [{ defaults: 1 }, /'defaults'/],
    [{ arrays: null, objects: 'no' }, /'objects'/],
    [{ oneofs: {} }, /'oneofs'/],
    [{ json: 0 }, /'json'/],
    [{ loadedFrom: 'file' }, /'loadedFrom' must be 'proto' or 'descriptor-set'/],
  ] as const) {
    it(`refuse the options ${JSON.stringify(Object.keys(options))} with ${text.source}`, () => {
      expectRefusal(() => createPlans(set, options as unknown as LoaderOptions), 'OPTIONS_INVALID', text);
    });
  }

  it("ignore proto-loader's other options", () => {
    const options = { includeDirs: ['proto'], preferTrailingComment: true, longs: String };
    expect(() => createPlans(set, options)).not.to.throw();
  });

  it('refuse what is not a complete descriptor set', () => {
    expectRefusal(() => createPlans(Buffer.from('ffff', 'hex')), 'PLAN_INVALID', /not a complete/);
    const complete = fromBinary(FileDescriptorSetSchema, set);
    const without = (name: string) =>
      create(FileDescriptorSetSchema, { file: complete.file.filter((file) => file.name !== name) });
    expectRefusal(() => createPlans(without('sealwire/v1/sealed.proto')), 'PLAN_INVALID', /not a complete/);
    expectRefusal(
      () => createPlans(create(FileDescriptorSetSchema)),
      'PLAN_INVALID',
      /lacks sealwire\/v1\/sealed.proto/,
    );
  });

  it('refuse a service that is unknown, has nothing sealed, or whose options were lost', () => {
    expectRefusal(() => createPlans(set).service('no.such.Service'), 'PLAN_INVALID', /no service 'no.such.Service'/);
    const clear = () => createPlans(everything).service(`${EVERYTHING}.ClearService`);
    expectRefusal(clear, 'PLAN_INVALID', /ClearService has no sealed fields/);
    const stripped = clone(FileDescriptorSetSchema, fromBinary(FileDescriptorSetSchema, set));
    for (const file of stripped.file) {
      for (const message of file.messageType) for (const field of message.field) delete field.options;
    }
    const lost = () => createPlans(stripped).service('payments.v1.PaymentService');
    expectRefusal(lost, 'PLAN_INVALID', /without options/);
  });

  it("refuse what the generator refuses, with the generator's words and places", () => {
    const broken = clone(FileDescriptorSetSchema, buildProtos('test/protos'));
    const file = broken.file.find(({ name }) => name === 'games/v1/games.proto')!;
    file.messageType.find(({ name }) => name === 'SubmitRequest')!.field[0]!.name = 'other_id';
    const text = /^games\/v1\/games\.proto:\d+: games\.v1\.SubmitRequest\.scores: bind: 'match_id' is not a field/;
    expectRefusal(() => createPlans(broken), 'PLAN_INVALID', text);
  });

  it("refuse names that would print an inner message or change an object's kind", () => {
    const service = (name: string, options: LoaderOptions) => () =>
      createPlans(everything, options).service(`${EVERYTHING}.${name}`);
    expectRefusal(service('PrintService', {}), 'PLAN_INVALID', /everything.v1.Json would get a property 'toJSON'/);
    expect(service('PrintService', { keepCase: true })).not.to.throw();
    expectRefusal(service('PrototypeService', { keepCase: true }), 'PLAN_INVALID', /'__proto__'/);
    expect(service('PrototypeService', {})).not.to.throw();
  });

  it('refuse defaults that hide the presence of a bound proto2 field', () => {
    const service = (options: LoaderOptions) => () =>
      createPlans(everything, options).service(`${EVERYTHING}.LetterService`);
    expectRefusal(
      service({ defaults: true }),
      'OPTIONS_INVALID',
      /^everything.v1.Letter.serial is bound, and 'defaults'/,
    );
    // A required field is always set.
    expect(service({})).not.to.throw();
  });

  describe('joined with a definition', () => {
    for (const [name, options] of Object.entries(loaderSettings)) {
      it(`fit it when both have ${name}`, () => {
        const loaded =
          options.loadedFrom === undefined
            ? loadProtos(options)
            : (loader.loadFileDescriptorSetFromBuffer(set, options) as Record<string, ServiceDefinition>);
        const plans = createPlans(set, options);
        for (const service of SERVICES) {
          const definition = loaded[service]!;
          const defined = plans.define(definition);
          expect(defined.plan).to.equal(plans.service(service));
          expect(withoutDecoders(defined.definition)).to.deep.equal(withoutDecoders(definition));
        }
      });
    }

    it('fit the service of a grpc-js client constructor', () => {
      const packages = loadPackageDefinition(loader.loadSync(PROTO_FILES, { includeDirs: PROTO_FOLDERS }));
      const { payments } = packages as unknown as {
        payments: { v1: { PaymentService: ServiceClientConstructor } };
      };
      const service = createPlans(set).define(payments.v1.PaymentService.service);
      expect(service.plan.typeName).to.equal('payments.v1.PaymentService');
      // Handlers by method name or, as grpc-js has it too, in camel case.
      let added: object = {};
      const server = {
        addService(_definition: unknown, handlers: object) {
          added = handlers;
        },
      };
      addSealedService(server as unknown as Server, service, { authorize() {}, GetPayment() {} });
      expect(Object.keys(added)).to.have.members(['Authorize', 'GetPayment']);
    });

    for (const [title, planned, actual, text] of [
      ['keepCase', { keepCase: true }, {}, /AuthorizeRequest\.order_id is not where/],
      ['keepCase the other way', {}, { keepCase: true }, /AuthorizeRequest\.order_id is not where/],
    ] as const) {
      it(`refuse another ${title}`, () => {
        const definition = loadProtos(actual)['payments.v1.PaymentService']!;
        expectRefusal(() => createPlans(set, planned).define(definition), 'PLAN_INVALID', text);
      });
    }

    it('refuse a descriptor set where protos were loaded, and the reverse', () => {
      const fromSet = loader.loadFileDescriptorSetFromBuffer(set, {}) as Record<string, ServiceDefinition>;
      const reverse = () => createPlans(set).define(fromSet['payments.v1.PaymentService']!);
      expectRefusal(reverse, 'PLAN_INVALID', /is not where/);
      const other = () =>
        createPlans(set, { loadedFrom: 'descriptor-set' }).define(loadProtos({})['payments.v1.PaymentService']!);
      expectRefusal(other, 'PLAN_INVALID', /is not where/);
    });

    it('refuse a definition that lacks a method or is of another service', () => {
      const { Authorize: _left, ...partial } = loadProtos({})['payments.v1.PaymentService']!;
      expectRefusal(
        () => createPlans(set).define(partial),
        'PLAN_INVALID',
        /no method .payments.v1.PaymentService.Authorize/,
      );
      expectRefusal(() => createPlans(set).define({}), 'PLAN_INVALID', /no service ''/);
    });

    it('fit proto2 messages with required fields', () => {
      const options = { includeDirs: ['proto', 'test/schema/fixtures'] };
      const loaded = loader.loadSync('everything/v1/everything.proto', options) as Record<string, ServiceDefinition>;
      const definition = loaded[`${EVERYTHING}.LetterService`]!;
      expect(createPlans(everything).define(definition).plan.typeName).to.equal(`${EVERYTHING}.LetterService`);
    });
  });
});
