/** Prints a service: definition with plans, handler types, client class, and the function that adds it. */
import type { DescMessage, DescMethod, DescService } from '@bufbuild/protobuf';
import { type Analysis, messageOf } from '../schema/analysis.js';
import { methodFacts } from '../schema/descriptor-facts.js';
import type { FileContext } from './file-context.js';
import { methodKey, quoteKey } from './names.js';
import { innerMessageType } from './print-messages.js';

const HANDLERS = {
  unary: 'handleUnaryCall',
  client_streaming: 'handleClientStreamingCall',
  server_streaming: 'handleServerStreamingCall',
  bidi_streaming: 'handleBidiStreamingCall',
} as const;

/** Names that the generated client inherits, or that mean something to JavaScript. */
const CLIENT_MEMBERS = ['constructor', 'then', 'unary', 'clientStream', 'serverStream', 'bidiStream', 'close'];

/** Whether any request or response of a service has sealed fields. */
export function hasSealed(service: DescService, analysis: Analysis): boolean {
  return service.methods.some(({ input, output }) => analysis.describe(input) ?? analysis.describe(output));
}

/**
 * Prints a service; nothing when it has nothing sealed.
 *
 * @throws Error when ts-proto makes no definition of it
 */
export function printService(context: FileContext, service: DescService, analysis: Analysis): void {
  if (!hasSealed(service, analysis)) return;
  const reaches = (message: DescMessage) => analysis.describe(message) !== undefined;
  if (!context.options.grpcServices) {
    throw new Error(
      `${context.file.proto.name}: ${service.typeName} has sealed fields and needs ts-proto's option 'outputServices=grpc-js'; repeat it to protoc-gen-sealwire`,
    );
  }
  const type = (message: DescMessage) => (reaches(message) ? context.openedName(message) : context.typeOf(message));
  const claim = (name: string) => context.scope.claim(name);
  const names = {
    service: claim(`Sealed${service.name}`),
    server: claim(`Sealed${service.name}Server`),
    client: claim(`Sealed${service.name}Client`),
    add: claim(`addSealed${service.name}`),
    validators: claim(`${service.name}Validators`),
  };
  const isCommon = service.methods.some((method) => methodKey(method) in Object.prototype);
  const some = isCommon ? '$sealwire.SomeHandlers' : 'Partial';
  const plan = (message: DescMessage) => (reaches(message) ? context.planName(message) : undefined);
  context.print(
    `/** \`${service.typeName}\`: its grpc-js definition and the plans of its methods. */`,
    `export const ${names.service} = {`,
    `  definition: $sealwire.guardDefinition(${context.own}.${service.name}Service, $descriptors),`,
    '  plan: {',
    `    typeName: ${JSON.stringify(service.typeName)},`,
    '    methods: {',
    ...service.methods.flatMap((method) => methodPlan(method, plan(method.input), plan(method.output))),
    '    },',
    '  },',
    '} as const satisfies $sealwire.SealedServiceDefinition<$grpc.ServiceDefinition>;',
    '',
    '/** Does not compile when ts-proto named the methods in another way. */',
    `export type ${claim(`Assert${service.name}`)} = $sealwire.AssertBound<`,
    `  ${service.methods.map((method) => JSON.stringify(methodKey(method))).join(' | ')},`,
    `  keyof typeof ${context.own}.${service.name}Service`,
    '>;',
    '',
    `/** Handlers of \`${service.typeName}\`: they get and return opened messages. */`,
    `export interface ${names.server} {`,
    ...service.methods.map((method) => {
      const handler = `$grpc.${HANDLERS[method.methodKind]}<${type(method.input)}, ${type(method.output)}>`;
      return `  ${quoteKey(methodKey(method))}: $sealwire.SealedHandler<${handler}>;`;
    }),
    '}',
    '',
    ...printValidators(context, names.validators, service, analysis),
    `/** Client of \`${service.typeName}\`: takes opened messages and seals them. */`,
    `export class ${names.client} extends $sealwire.SealedClient {`,
    '  constructor(address: string, credentials: $grpc.ChannelCredentials, options: $sealwire.SealedClientOptions) {',
    `    super(address, credentials, ${names.service}, options);`,
    '  }',
    ...service.methods.flatMap((method) => clientMethod(method, type(method.input), type(method.output))),
    '}',
    '',
    '/**',
    ` * Adds \`${service.typeName}\` with its handlers wrapped: what they throw reaches no caller. Methods left out`,
    ' * answer UNIMPLEMENTED.',
    ' */',
    `export function ${names.add}(server: $grpc.Server, handlers: ${some}<${names.server}>, report?: $sealwire.HandlerErrorReport): void {`,
    `  $sealwire.addSealedService(server, ${names.service}, handlers, report);`,
    '}',
    '',
  );
}

/** A type with one optional validator for each inner type that the service's requests can hold. */
function printValidators(context: FileContext, name: string, service: DescService, analysis: Analysis): string[] {
  const types = new Map<string, string>();
  const seen = new Set<DescMessage>();
  const visit = (message: DescMessage) => {
    const sealed = seen.has(message) ? undefined : analysis.describe(message);
    seen.add(message);
    for (const field of sealed?.sealed ?? []) types.set(field.option.type, innerMessageType(context, field));
    for (const field of sealed?.nested ?? []) visit(messageOf(field)!);
  };
  for (const { input } of service.methods) visit(input);
  return [
    `/** Rules for the inner messages of requests, for the open interceptor's option \`validators\`. */`,
    `export type ${name} = {`,
    ...[...types].map(([type, inner]) => `  readonly ${JSON.stringify(type)}?: $sealwire.Validator<${inner}>;`),
    '};',
    '',
  ];
}

function methodPlan(method: DescMethod, request: string | undefined, response: string | undefined): string[] {
  const { idempotency, requestStream, responseStream, ...facts } = methodFacts(method);
  const path = JSON.stringify(facts.path);
  return [
    `      ${path}: {`,
    `        path: ${path},`,
    `        idempotency: '${idempotency}',`,
    `        requestStream: ${requestStream},`,
    `        responseStream: ${responseStream},`,
    ...(request === undefined ? [] : [`        request: ${request},`]),
    ...(response === undefined ? [] : [`        response: ${response},`]),
    '      },',
  ];
}

function clientMethod(method: DescMethod, input: string, output: string): string[] {
  const key = methodKey(method);
  const name = CLIENT_MEMBERS.includes(key) ? `${key}_` : key;
  const quoted = JSON.stringify(key);
  const options = 'options?: $sealwire.SealedCallOptions';
  const stream = `requests: AsyncIterable<${input}> | Iterable<${input}>`;
  const shapes = {
    unary: [`request: ${input}`, `Promise<${output}>`, 'this.unary', 'request'],
    client_streaming: [stream, `Promise<${output}>`, 'this.clientStream', 'requests'],
    server_streaming: [`request: ${input}`, `AsyncIterable<${output}>`, 'this.serverStream', 'request'],
    bidi_streaming: [stream, `AsyncIterable<${output}>`, 'this.bidiStream', 'requests'],
  } as const;
  const [parameter, result, call, argument] = shapes[method.methodKind];
  return [
    '',
    `  ${quoteKey(name)}(${parameter}, ${options}): ${result} {`,
    `    return ${call}(${quoted}, ${argument}, options);`,
    '  }',
  ];
}
