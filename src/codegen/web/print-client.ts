/** Prints a service's client for browsers. */
import type { DescExtension, DescMessage, DescMethod, DescService } from '@bufbuild/protobuf';
import type { Printable } from '@bufbuild/protoplugin';
import type { Analysis, SealedField } from '../../schema/analysis.js';
import { quoteKey } from '../names.js';
import { innerSchema, type WebFile } from './web-file.js';

const CONNECT = '@connectrpc/connect';
/** Names that the generated client inherits, or that mean something to JavaScript. */
const CLIENT_MEMBERS = ['then', 'unary', 'serverStream'];

/** Browsers cannot send a stream of requests: methods with one are left out. */
export function printClient(file: WebFile, service: DescService, analysis: Analysis): void {
  const { output } = file;
  const methods = service.methods.filter(canCarry);
  if (methods.length === 0) return;
  const left = service.methods.filter((method) => !canCarry(method)).map(({ name }) => `\`${name}\``);
  const descriptor = output.importSchema(service);
  const inner = innerSchemas(file, methods, analysis);
  const option = output.importSchema(analysis.option as DescExtension);
  output.print(
    output.jsDoc(
      [
        `Client of \`${service.typeName}\` for browsers: takes opened messages and seals them.`,
        ...(left.length === 0 ? [] : [`Without ${left.join(', ')}: browsers cannot send a stream of requests.`]),
      ].join('\n'),
    ),
  );
  const name = file.scope.claim(`Sealed${service.name}Client`);
  output.print(output.export('class', name), ' extends ', file.runtime('SealedWebClient', false), ' {');
  const transport = output.import('Transport', CONNECT, true);
  output.print('  constructor(transport: ', transport, ', options: ', file.runtime('SealedWebClientOptions'), ') {');
  output.print('    super(', descriptor, ', ', option, ', ', output.array(inner), ', transport, options);');
  output.print('  }');
  for (const method of methods) printMethod(file, method, descriptor, analysis);
  output.print('}');
  output.print();
}

function canCarry({ methodKind }: DescMethod): boolean {
  return methodKind === 'unary' || methodKind === 'server_streaming';
}

function printMethod(file: WebFile, method: DescMethod, descriptor: Printable, analysis: Analysis): void {
  const { output } = file;
  const { localName, input } = method;
  const name = CLIENT_MEMBERS.includes(localName) ? `${localName}_` : localName;
  const isStream = method.methodKind === 'server_streaming';
  const request = analysis.describe(input)
    ? [file.runtime('OpenedInit'), '<', file.opened(input), '>']
    : [
        output.import('MessageInitShape', '@bufbuild/protobuf', true),
        '<typeof ',
        output.importSchema(input, true),
        '>',
      ];
  const result = [file.builtIn(isStream ? 'AsyncIterable' : 'Promise'), '<', responseType(file, method, analysis), '>'];
  const options = output.import('CallOptions', CONNECT, true);
  output.print();
  output.print('  ', quoteKey(name), '(request: ', request, ', options?: ', options, '): ', result, ' {');
  const call = isStream ? 'serverStream' : 'unary';
  const access = /^[\w$]+$/.test(localName) ? `.${localName}` : `[${JSON.stringify(localName)}]`;
  output.print(`    return this.${call}(`, descriptor, `.method${access}, request, options);`);
  output.print('  }');
}

function responseType(file: WebFile, { output: message }: DescMethod, analysis: Analysis): Printable {
  return analysis.describe(message) ? file.opened(message) : file.output.importShape(message);
}

/** Descriptors of all inner messages that requests and responses can hold, each once. */
function innerSchemas(file: WebFile, methods: readonly DescMethod[], analysis: Analysis): Printable[] {
  const fields = new Map<string, SealedField>();
  // A set grows while it is walked.
  const seen = new Set<DescMessage>(methods.flatMap(({ input, output }) => [input, output]));
  for (const message of seen) {
    const described = analysis.describe(message);
    for (const field of described?.sealed ?? []) fields.set(field.option.type, field);
    for (const field of described?.nested ?? []) seen.add(field.message as DescMessage);
  }
  return [...fields.values()].map((field) => innerSchema(file, field));
}
