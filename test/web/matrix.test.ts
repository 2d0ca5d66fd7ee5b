/** Every place of a sealed field, each way and both ways, between a browser client and a service on grpc-js. */
import { fromBinary } from '@bufbuild/protobuf';
import { sealed } from '../../src/gen/sealwire/v1/sealed_pb.js';
import { methodFacts } from '../../src/schema/descriptor-facts.js';
import type { SealedServiceDefinition } from '../../src/schema/plan.js';
import { WebSealer } from '../../src/web/crypto/sealer.js';
import { DescribedPlans } from '../../src/web/messages/described-plans.js';
import { SecretSchema } from '../gen/matrix/v1/matrix_pb.js';
import {
  SealedExchangeServiceClient,
  SealedRequestServiceClient,
  SealedResponseServiceClient,
} from '../gen/matrix/v1/matrix_sealed_web.js';
import { collect } from '../support/any-client.js';
import { type ClientWays, callTypes, describeMatrix } from '../support/matrix.js';
import { descriptorRegistry, generatedSource, type Source } from '../support/sources.js';
import { grpcTransport, webKeys } from '../support/web-client.js';

/** Plans from descriptors, for protobuf-es's messages. */
function describedSource(): Source {
  const registry = descriptorRegistry();
  const inner = [SecretSchema.typeName, 'google.protobuf.StringValue'].map((name) => registry.getMessage(name)!);
  return {
    name: 'protobuf-es',
    service(typeName) {
      const { methods } = registry.getService(typeName)!;
      const plans = new DescribedPlans(methods, sealed, inner);
      const entries = methods.map((method) => {
        const { path, request, response } = plans.method(method);
        return [path, { ...methodFacts(method), ...(request && { request }), ...(response && { response }) }] as const;
      });
      return { definition: {}, plan: { typeName, methods: Object.fromEntries(entries) } };
    },
    decode: (typeName, bytes) => fromBinary(registry.getMessage(typeName)!, bytes),
  };
}

const clients = { SealedExchangeServiceClient, SealedRequestServiceClient, SealedResponseServiceClient };

type Call = (request: object) => Promise<object> | AsyncIterable<object>;

const connect: ClientWays['connect'] = (address, { plan }: SealedServiceDefinition, ring) => {
  const name = `Sealed${plan.typeName.split('.').at(-1)}Client` as keyof typeof clients;
  const sealer = new WebSealer({ keys: webKeys(ring) });
  const client = new clients[name](grpcTransport(address), { sealer, binary: true });
  const calls = client as unknown as Record<string, Call>;
  return {
    async exchange(method, [request]) {
      const called = calls[method === 'Unary' ? 'unary_' : 'serverStream_']!.call(client, request!);
      return called instanceof Promise ? [await called] : await collect(called);
    },
    close: () => sealer.close(),
  };
};

const { Unary, ServerStream } = callTypes;
describeMatrix('a browser client and a generated server', describedSource, generatedSource, {
  connect,
  methods: { Unary, ServerStream },
});
