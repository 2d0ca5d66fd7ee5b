/**
 * What a bound field is when it is unset, zero or neither: every codec that a plan can be made for must say the same.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type DescMessage, type FileRegistry, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { ServiceDefinition } from '@grpc/grpc-js';
import loader, { type Options } from '@grpc/proto-loader';
import { expect } from 'chai';
import { JsonSchema } from '../../src/cli/json/json-messages.js';
import { readJson } from '../../src/cli/json/json-reader.js';
import { sealed } from '../../src/gen/sealwire/v1/sealed_pb.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { KeyRing } from '../../src/keys/ring.js';
import { createPlans } from '../../src/loader/create-plans.js';
import { boundDigest } from '../../src/schema/binding.js';
import type { SealedFieldPlan, ServicePlan } from '../../src/schema/plan.js';
import { readDescriptors } from '../../src/schema/run-time/descriptor-plans.js';
import { collectToSeal, replaceSealed } from '../../src/schema/walk.js';
import { DescribedPlans } from '../../src/web/messages/described-plans.js';
import { buildProtos } from '../codegen/helpers.js';
import * as edition from '../gen/edition/v1/edition.js';
import { KeepRequestPlan as editionPlan } from '../gen/edition/v1/edition_sealed.js';
import * as old from '../gen/old/v1/old.js';
import { KeepRequestPlan as oldPlan } from '../gen/old/v1/old_sealed.js';
import * as plain from '../gen/plain/v1/plain.js';
import { KeepRequestPlan as plainPlan } from '../gen/plain/v1/plain_sealed.js';
import { makePair } from '../keys/helpers.js';
import { finish } from '../support/command.js';
import { requirePython, toolEnvironment } from '../support/tools.js';

const FOLDERS = ['test/protos', 'test/schema/fixtures'];
const STATES = ['unset', 'zero', 'set'] as const;
type State = (typeof STATES)[number];
type Fields = Record<string, unknown>;

/** Reads and writes messages of one type in one form, and has the plan of its sealed field. */
interface Codec {
  readonly field: SealedFieldPlan;
  encode(fields: Fields): Uint8Array;
  decode(bytes: Uint8Array): object;
  /** The message that a sender has. Default: an object with the fields in camel case. */
  own?(fields: Fields): object;
}

/** One message type. */
interface Subject {
  readonly service: string;
  readonly type: string;
  readonly generated?: { readonly fns: Fns; readonly plan: typeof oldPlan };
}
interface Fns {
  create(value: object): object;
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
}

const subjects: Readonly<Record<string, Subject>> = {
  proto2: {
    service: 'old.v1.OldService',
    type: 'old.v1.KeepRequest',
    generated: { fns: old.KeepRequest as Fns, plan: oldPlan },
  },
  proto3: {
    service: 'plain.v1.PlainService',
    type: 'plain.v1.KeepRequest',
    generated: { fns: plain.KeepRequest as Fns, plan: plainPlan },
  },
  'edition 2023': {
    service: 'edition.v1.EditionService',
    type: 'edition.v1.KeepRequest',
    generated: { fns: edition.KeepRequest as Fns, plan: editionPlan },
  },
  'proto2, optional and required': { service: 'loose.v1.LooseService', type: 'loose.v1.KeepRequest' },
  'edition 2023, explicit and required': {
    service: 'loose.v1.LooseEditionService',
    type: 'loose.v1.KeepEditionRequest',
  },
};

/** The bound fields in proto names, as a JavaScript program sets them; a required field cannot be unset. */
function fieldsIn(state: State, desc: DescMessage): Fields {
  const values: Fields = {
    text: ['', 'x'],
    count: [0n, 5n],
    flag: [false, true],
    data: [new Uint8Array(), new Uint8Array([7])],
    kind: [0, 1],
  };
  const fields: Fields = {};
  for (const { name } of desc.fields) {
    const pair = values[name.replace(/^(some|must)_/, '')] as unknown[] | undefined;
    if (pair === undefined || (state === 'unset' && !name.startsWith('must_'))) continue;
    fields[name] = pair[state === 'set' ? 1 : 0];
  }
  return fields;
}

const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
const renamed = (fields: Fields) => Object.fromEntries(Object.entries(fields).map(([name, v]) => [camel(name), v]));

/** By the descriptor alone: what docs/binding.md says is what this writes of a message with its bound fields only. */
function reference(desc: DescMessage, wire: Uint8Array): string {
  const [message, bound] = [reflect(desc, fromBinary(desc, wire)), reflect(desc)];
  for (const field of desc.fields) {
    if (field.name === 'sealed' || field.name === 'absent' || field.name === 'other' || !message.isSet(field)) continue;
    bound.set(field, message.get(field) as never);
  }
  return createHash('sha256').update(toBinary(desc, bound.message)).digest('base64url');
}

describe('bound fields that are unset, zero or set', function () {
  this.timeout(60_000);
  let registry: FileRegistry;
  let descriptors: Uint8Array;
  before(() => {
    descriptors = toBinary(FileDescriptorSetSchema, buildProtos(...FOLDERS));
    registry = readDescriptors(descriptors);
  });
  const descOf = ({ type }: Subject) => registry.getMessage(type) ?? expect.fail(type);

  function planned({ service }: Subject, plan: ServicePlan): SealedFieldPlan {
    const [field] = plan.methods[`/${service}/Keep`]?.request?.sealed ?? [];
    return field ?? expect.fail('no plan');
  }

  function loaded(subject: Subject, options: Options): Codec {
    const files = ['old', 'plain', 'edition'].map((name) => `${name}/v1/${name}.proto`);
    const loose = ['loose/v1/loose.proto', 'loose/v1/loose_edition.proto'];
    const definitions = loader.loadSync([...files, ...loose], { ...options, includeDirs: ['proto', ...FOLDERS] });
    const definition = definitions[subject.service] as ServiceDefinition;
    const method = definition['Keep'] ?? expect.fail('no method');
    return {
      field: planned(subject, createPlans(descriptors, options).define(definition as never).plan),
      encode: (fields) => method.requestSerialize(withoutBigInts(renamed(fields))),
      decode: (bytes) => method.requestDeserialize(Buffer.from(bytes)) as object,
    };
  }

  function json(subject: Subject): Codec {
    const { request, plan } = new JsonSchema(descriptors).method(`${subject.service}/Keep`);
    const replacer = (_: string, value: unknown) => {
      if (typeof value === 'bigint') return String(value);
      return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
    };
    return {
      field: plan.request?.sealed[0] ?? expect.fail('no plan'),
      encode: (fields) => request.encode(request.fromJson(readJson(JSON.stringify(fields, replacer)))),
      decode: (bytes) => request.decode(bytes),
      own: withText,
    };
  }

  function described({ service, type }: Subject): Codec {
    const desc = registry.getMessage(type)!;
    const inner = desc.file.messages.find(({ name }) => name.endsWith('Secret'))!;
    const [method] = registry.getService(service)!.methods;
    const plans = new DescribedPlans([method!], sealed, [inner]);
    const own = (fields: Fields) => {
      const entries = desc.fields.flatMap(({ name, localName, oneof }): [string, unknown][] => {
        if (!(name in fields)) return [];
        return oneof ? [[oneof.localName, { case: localName, value: fields[name] }]] : [[localName, fields[name]]];
      });
      return create(desc, Object.fromEntries(entries));
    };
    return {
      field: plans.method(method!).request!.sealed[0]!,
      own,
      encode: (fields) => toBinary(desc, own(fields) as Message),
      decode: (bytes) => fromBinary(desc, bytes),
    };
  }

  function codecsOf(subject: Subject): Record<string, Codec> {
    const { generated } = subject;
    const filled = { defaults: true, oneofs: true, longs: String, enums: String };
    return {
      ...(generated && {
        'ts-proto': {
          field: generated.plan.sealed[0] as SealedFieldPlan,
          encode: (fields) => generated.fns.encode(generated.fns.create(renamed(fields))).finish(),
          decode: (bytes) => generated.fns.decode(bytes),
        },
        'proto-loader with defaults': loaded(subject, filled),
      }),
      'proto-loader': loaded(subject, {}),
      'the command line': json(subject),
      'the browser client': described(subject),
    };
  }

  for (const [name, subject] of Object.entries(subjects)) {
    it(`mean the same to every codec of ${name}`, () => {
      const desc = descOf(subject);
      const codecs = codecsOf(subject);
      for (const state of STATES) {
        const fields = fieldsIn(state, desc);
        const message = reflect(desc);
        for (const field of desc.fields) if (field.name in fields) message.set(field, fields[field.name] as never);
        const wires: Record<string, Uint8Array> = { 'protobuf-es': toBinary(desc, message.message) };
        for (const [sender, { encode, field, own }] of Object.entries(codecs)) {
          const wire = encode(fields);
          wires[sender] = wire;
          expect(boundDigest(field, own?.(fields) ?? renamed(fields), sha256), `${sender} sends ${state}`).to.equal(
            reference(desc, wire),
          );
        }
        for (const [sender, wire] of Object.entries(wires)) {
          const expected = reference(desc, wire);
          for (const [receiver, { decode, field }] of Object.entries(codecs)) {
            const got = boundDigest(field, decode(wire), sha256);
            expect(got, `${receiver} gets ${state} from ${sender}`).to.equal(expected);
          }
        }
      }
    });
  }

  it('are refused where a codec loses the difference', () => {
    for (const name of ['proto2, optional and required', 'edition 2023, explicit and required']) {
      const lossy = () => loaded(subjects[name] as Subject, { defaults: true });
      expect(lossy, name).to.throw(/\.text is bound, and 'defaults' hides whether it is set/);
    }
  });

  it('open with tokens that jwcrypto made', async function () {
    requirePython(this, 'jwcrypto');
    const dir = mkdtempSync(join(tmpdir(), 'sealwire-presence-'));
    try {
      const pair = makePair('P-256');
      const file = join(dir, 'ring.json');
      writeFileSync(file, JSON.stringify({ keys: [pair.jwk] }), { mode: 0o600 });
      const keys = await KeyRing.load(file);
      writeFileSync(file, JSON.stringify({ keys: [{ ...pair.jwk, kid: keys.currentKid }] }));
      const cases = Object.values(subjects).flatMap((subject) => {
        const desc = descOf(subject);
        return STATES.map((state) => {
          const message = reflect(desc);
          const fields = fieldsIn(state, desc);
          for (const field of desc.fields) if (field.name in fields) message.set(field, fields[field.name] as never);
          return { subject, state, wire: toBinary(desc, message.message), desc };
        });
      });
      const input = cases.map(({ subject, wire, desc }) => ({
        header: {
          typ: 'sealed-field+jwe',
          cty: 'application/json',
          fld: `${subject.type}.sealed`,
          iat: Math.floor(Date.now() / 1000),
          bnd: reference(desc, wire),
        },
        plaintext: '{"text": "t"}',
      }));
      const { code, stdout, stderr } = await finish('python3', ['test/interop/jwcrypto_tokens.py', 'seal', file], {
        env: toolEnvironment,
        input: JSON.stringify(input),
      });
      expect(code, stderr).to.equal(0);
      const tokens = stdout.trim().split('\n');
      expect(tokens).to.have.length(cases.length);
      const opener = new TokenOpener({ keys });
      for (const [index, { subject, state, wire }] of cases.entries()) {
        for (const [receiver, { field, decode }] of Object.entries(codecsOf(subject))) {
          const bound = boundDigest(field, decode(wire), sha256);
          const expected = { field: field.fullName, ...(bound !== undefined && { bound }) };
          const parsed = opener.check(tokens[index] as string, expected);
          const plaintext = await opener.open(parsed, 'test');
          expect(field.codec.decodeJson(plaintext.toString()), `${receiver}, ${state}`).to.include({ text: 't' });
        }
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('leave sealed fields out in every syntax', () => {
    for (const [name, subject] of Object.entries(subjects)) {
      const { generated } = subject;
      if (generated === undefined) continue;
      const desc = descOf(subject);
      const { fns, plan } = generated;
      const opened = { ...fns.create({}), sealed: { text: 't' }, absent: undefined };
      const sites = collectToSeal(plan, opened);
      expect(sites.map(({ path }) => path)).to.deep.equal(['sealed']);
      const wire = fns.encode(replaceSealed(plan, opened, sites, ['token'], { absent: '' })).finish();
      const sent = reflect(desc, fromBinary(desc, wire));
      const has = (field: string) => sent.isSet(desc.fields.find((each) => each.name === field) as never);
      expect([has('sealed'), has('absent')], name).to.deep.equal([true, false]);
    }
  });
});

/** protobufjs reads none. */
function withoutBigInts(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([name, v]) => [name, typeof v === 'bigint' ? String(v) : v]));
}

/** As the command line has them: texts for 64-bit integers, bytes and enums. */
function withText(fields: Fields): Fields {
  const text = (name: string, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
    return name.endsWith('kind') ? ['KIND_UNSPECIFIED', 'KIND_SOME'][value as number] : value;
  };
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, text(name, value)]));
}
