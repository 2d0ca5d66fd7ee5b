import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createFileRegistry, type FileRegistry, fromBinary, fromJson, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema, StringValueSchema } from '@bufbuild/protobuf/wkt';
import loader, { Long, type Options } from '@grpc/proto-loader';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { sealed } from '../../src/gen/sealwire/v1/sealed_pb.js';
import { sha256 } from '../../src/jwe/sha256.js';
import { createPlans } from '../../src/loader/create-plans.js';
import type { LoaderOptions } from '../../src/loader/loader-form.js';
import { boundDigest, encodeBound } from '../../src/schema/binding.js';
import type { BoundKind, SealedFieldPlan } from '../../src/schema/plan.js';
import { wellKnownCodecs } from '../../src/schema/well-known.js';
import { DescribedPlans } from '../../src/web/messages/described-plans.js';
import { type BndVector, bndVectors, type JsonScalar, vectorDescriptorSet } from '../support/bnd-vectors.js';

const SIXTY_FOUR: readonly BoundKind[] = ['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64'];

/** How ts-proto's `forceLong` and `stringEnums` present a JSON value. */
const generatedForms: Readonly<Record<string, (kind: BoundKind, value: JsonScalar) => unknown>> = {
  'forceLong=string': (kind, value) => (kind === 'bytes' ? Buffer.from(value as string, 'base64') : value),
  'forceLong=bigint': (kind, value) => {
    if (kind === 'bytes') return new Uint8Array(Buffer.from(value as string, 'base64'));
    return SIXTY_FOUR.includes(kind) ? BigInt(value as string) : value;
  },
  'forceLong=long': (kind, value) => {
    if (kind === 'bytes') return Buffer.from(value as string, 'base64');
    if (!SIXTY_FOUR.includes(kind)) return value;
    return Long.fromString(value as string, kind === 'uint64' || kind === 'fixed64');
  },
};

/** Every setting of proto-loader that changes how a bound sibling looks. */
const loaderForms: readonly (Options & LoaderOptions)[] = [undefined, String, Number, BigInt].flatMap((longs) =>
  [false, true].map((plain) => ({
    loadedFrom: 'descriptor-set' as const,
    ...(longs && { longs }),
    ...(plain ? { enums: String, bytes: String, defaults: true, oneofs: true } : { bytes: Array }),
  })),
);

function planOf({ fields }: BndVector): SealedFieldPlan {
  const bind = fields.map((field) => ({ ...field, key: field.name })).sort((a, b) => a.number - b.number);
  const codec = wellKnownCodecs.StringValue;
  const flags = { recipient: '', required: false, transient: false };
  return { fullName: 'bnd.M.token', name: 'token', key: 'token', shape: 'singular', codec, ...flags, bind };
}

function isSafe({ fields, values }: BndVector): boolean {
  return fields.every(
    ({ kind, name }) => !SIXTY_FOUR.includes(kind) || Number.isSafeInteger(Number(values[name] ?? 0)),
  );
}

describe('bnd vectors', () => {
  let set: Buffer;
  let registry: FileRegistry;
  before(() => {
    set = vectorDescriptorSet();
    registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
  });

  it('are what scripts/make-bnd-vectors.mjs writes', () => {
    const committed = readFileSync('test/vectors/bnd.json', 'utf8');
    const folder = mkdtempSync('dist/vectors-');
    try {
      const script = readFileSync('scripts/make-bnd-vectors.mjs', 'utf8').replaceAll('../test/vectors/', './');
      execFileSync(process.execPath, ['--input-type=module'], {
        input: script.replace('import.meta.url', JSON.stringify(`file://${process.cwd()}/${folder}/`)),
      });
      expect(readFileSync(`${folder}/bnd.json`, 'utf8')).to.equal(committed);
    } finally {
      rmSync(folder, { recursive: true });
    }
    const kinds = new Set(bndVectors.flatMap(({ fields }) => fields.map(({ kind }) => kind)));
    expect(kinds.size, 'every kind').to.equal(14);
  });

  it('are what an independent encoder makes of the same messages', () => {
    bndVectors.forEach(({ values, encoded, bnd, comment }, index) => {
      const desc = registry.getMessage(`bnd.M${index}`)!;
      const bytes = toBinary(desc, fromJson(desc, values));
      expect(Buffer.from(bytes).toString('hex'), comment).to.equal(encoded);
      expect(createHash('sha256').update(bytes).digest('base64url'), comment).to.equal(bnd);
    });
  });

  it('begin with the example of docs/binding.md', () => {
    const example = /```text\n(.+?)```/s.exec(readFileSync('docs/binding.md', 'utf8'))?.[1] ?? '';
    const bytes = [...example.matchAll(/^ *([0-9a-f]+) {2}/gm)].map(([, hex]) => hex).join('');
    expect(bytes).to.equal(bndVectors[0]!.encoded);
    expect(example).to.contain(bndVectors[0]!.bnd);
  });

  for (const [name, present] of Object.entries(generatedForms)) {
    it(`hold for ts-proto's messages with ${name}`, () => {
      for (const vector of bndVectors) {
        const entries = vector.fields.flatMap(({ name: key, kind }) => {
          const value = vector.values[key];
          return value === undefined ? [] : [[key, present(kind, value)] as const];
        });
        const message = Object.fromEntries(entries);
        const plan = planOf(vector);
        expect(Buffer.from(encodeBound(plan, message)).toString('hex'), vector.comment).to.equal(vector.encoded);
        expect(boundDigest(plan, message, sha256), vector.comment).to.equal(vector.bnd);
      }
    });
  }

  it("hold for protobuf-es's messages", () => {
    const { methods } = registry.getService('bnd.Vectors')!;
    const plans = new DescribedPlans(methods, sealed, [StringValueSchema]);
    bndVectors.forEach((vector, index) => {
      const [field] = plans.method(methods[index]!).request!.sealed;
      const message = fromBinary(registry.getMessage(`bnd.M${index}`)!, Buffer.from(vector.encoded, 'hex'));
      expect(Buffer.from(encodeBound(field!, message)).toString('hex'), vector.comment).to.equal(vector.encoded);
    });
  });

  for (const options of loaderForms) {
    const shown = Object.entries(options).map(
      ([key, value]) => `${key}: ${typeof value === 'function' ? value.name : value}`,
    );
    it(`hold for proto-loader's messages with ${shown.join(', ')}`, () => {
      const loaded = loader.loadFileDescriptorSetFromBuffer(set, options);
      const plan = createPlans(set, options).service('bnd.Vectors');
      let refused = 0;
      bndVectors.forEach((vector, index) => {
        const decoder = loaded[`bnd.M${index}`] as unknown as { deserialize(bytes: Buffer): object };
        const message = decoder.deserialize(Buffer.from(vector.encoded, 'hex'));
        const field = plan.methods[`/bnd.Vectors/CallM${index}`]!.request!.sealed[0]!;
        if (options.longs !== Number || isSafe(vector)) {
          expect(boundDigest(field, message, sha256), vector.comment).to.equal(vector.bnd);
          return;
        }
        refused++;
        expect(() => boundDigest(field, message, sha256), vector.comment)
          .to.throw(SealwireError, /is not a valid/)
          .with.property('code', 'SEAL_INPUT');
      });
      expect(refused > 0).to.equal(options.longs === Number);
    });
  }
});
