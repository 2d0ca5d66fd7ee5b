/** The two sources of plans behind one interface: generated code, and descriptors loaded at run time. */
import { type FileRegistry, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import type { ServiceDefinition } from '@grpc/grpc-js';
import loader, { type Options } from '@grpc/proto-loader';
import * as payments from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { createPlans } from '../../src/loader/create-plans.js';
import type { LoaderOptions } from '../../src/loader/loader-form.js';
import type { SealedServiceDefinition } from '../../src/schema/plan.js';
import { wellKnownCodecs } from '../../src/schema/well-known.js';
import * as clinic from '../gen/clinic/v1/clinic.js';
import { SealedPatientService } from '../gen/clinic/v1/clinic_sealed.js';
import * as games from '../gen/games/v1/games.js';
import { SealedScoreService } from '../gen/games/v1/games_sealed.js';
import * as matrix from '../gen/matrix/v1/matrix.js';
import { SealedExchangeService, SealedRequestService, SealedResponseService } from '../gen/matrix/v1/matrix_sealed.js';
import * as inner from '../gen/shapes/v1/inner.js';
import * as shapes from '../gen/shapes/v1/shapes.js';
import { SealedFirstService } from '../gen/shapes/v1/shapes_sealed.js';
import * as shop from '../gen/shop/v1/shop.js';
import { SealedCheckoutService } from '../gen/shop/v1/shop_sealed.js';
import { descriptorRegistry, descriptorSet, PROTO_FILES, PROTO_FOLDERS } from './descriptor-set.js';
import { loadTypes } from './protobufjs.js';

/** Where services with plans come from. */
export interface Source {
  readonly name: string;
  service(typeName: string): SealedServiceDefinition<ServiceDefinition>;
  /** A message of any type in this source's own form; decoded without the code under test. */
  decode(typeName: string, bytes: Uint8Array): object;
}

/** Decodes one message type. */
interface Decoder {
  decode(bytes: Uint8Array): object;
}

const generatedServices: readonly SealedServiceDefinition<ServiceDefinition>[] = [
  SealedPaymentService,
  SealedPatientService,
  SealedScoreService,
  SealedFirstService,
  SealedCheckoutService,
  SealedRequestService,
  SealedResponseService,
  SealedExchangeService,
];
const generatedModules: Readonly<Record<string, object>> = {
  'payments.v1': payments,
  'clinic.v1': clinic,
  'games.v1': games,
  'shapes.v1': { ...inner, ...shapes },
  'shop.v1': shop,
  'matrix.v1': matrix,
};

/** Plans that the generator printed, for ts-proto's messages. */
export function generatedSource(): Source {
  return {
    name: 'generated code',
    service: (typeName) => generatedServices.find(({ plan }) => plan.typeName === typeName)!,
    decode(typeName, bytes) {
      const known = typeName.replace('google.protobuf.', '') as keyof typeof wellKnownCodecs;
      if (known !== typeName) return wellKnownCodecs[known].decode(bytes) as object;
      const [, file, name] = /^(\w+\.\w+)\.(.+)$/.exec(typeName)!;
      const module = generatedModules[file!] as Record<string, Decoder>;
      return module[name!.replaceAll('.', '_')]!.decode(bytes);
    },
  };
}

/** Plans made at run time, for proto-loader's messages. */
export function loadedSource(name: string, options: Options & LoaderOptions): Source {
  const set = descriptorSet();
  const plans = createPlans(set, options);
  const loaded =
    options.loadedFrom === 'descriptor-set'
      ? loader.loadFileDescriptorSetFromBuffer(set, options)
      : loader.loadSync(PROTO_FILES, { ...options, includeDirs: PROTO_FOLDERS });
  const typeOf = loadTypes(options, options.loadedFrom === 'descriptor-set');
  return {
    name: `proto-loader with ${name}`,
    service: (typeName) => plans.define(loaded[typeName] as ServiceDefinition),
    decode: (typeName, bytes) => typeOf(typeName).toObject(typeOf(typeName).decode(Buffer.from(bytes)), options),
  };
}

/** proto-loader's options in combinations in which every setting appears. */
export const loaderSettings: Readonly<Record<string, Options & LoaderOptions>> = {
  'its defaults': {},
  'names kept and texts': {
    keepCase: true,
    longs: String,
    enums: String,
    bytes: String,
    defaults: true,
    oneofs: true,
  },
  'safe numbers and arrays': { longs: Number, bytes: Array, arrays: true, objects: true, oneofs: true, json: true },
  'bigints and defaults': { longs: BigInt, defaults: true },
  'a descriptor set': { loadedFrom: 'descriptor-set', longs: String, enums: String, defaults: true, oneofs: true },
  'a descriptor set, bare': { loadedFrom: 'descriptor-set' },
};

/** proto3 JSON to wire format, by descriptor. */
export function encodeJson(registry: FileRegistry, typeName: string, json: JsonValue): Uint8Array {
  const desc = registry.getMessage(typeName);
  if (desc === undefined) throw new Error(`no ${typeName}`);
  return toBinary(desc, fromJson(desc, json, { registry }));
}

export { descriptorRegistry };
