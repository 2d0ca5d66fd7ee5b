/** protoc-gen-sealwire as a pure function from request to response. */
import { create, type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { createEcmaScriptPlugin, type Plugin, type Schema } from '@bufbuild/protoplugin';
import { Analysis, allMessages, type SealedMessage, wellKnownName } from '../schema/analysis.js';
import { isLostByTsProto } from '../schema/checks/presence.js';
import { wellKnownFileNames } from '../schema/codec.js';
import { DeclaredNames } from './declared-names.js';
import { FileContext } from './file-context.js';
import { typeScriptName } from './names.js';
import { type GeneratorOptions, parseOptions } from './options.js';
import { printMessage } from './print-messages.js';
import { hasSealed, printService } from './print-service.js';
import { webGenerator } from './web/web-generator.js';

const generator = createEcmaScriptPlugin<GeneratorOptions>({
  name: 'protoc-gen-sealwire',
  version: 'v1',
  parseOptions: (raw) => parseOptions(raw),
  generateTs: generate,
});

/** The plugin: `target=ts`, the default, is for ts-proto's messages, `target=web` for protobuf-es's. */
export const plugin: Plugin = {
  ...generator,
  run(request) {
    const options = request.parameter.split(',').filter(Boolean);
    const others = options.filter((option) => option !== 'target=web');
    const isWeb = others.length < options.length;
    const parameter = ['target=ts', ...others].join(',');
    const response = (isWeb ? webGenerator : generator).run({ ...request, parameter });
    // What generated files say of themselves.
    if (isWeb)
      for (const file of response.file) file.content = file.content?.replace('"target=ts', '"target=web') ?? '';
    return response;
  },
};

function generate(schema: Schema<GeneratorOptions>): void {
  const analysis = new Analysis(schema.allFiles, isLostByTsProto);
  if (analysis.problems.length > 0) throw new Error(analysis.problems.join('\n'));
  const names = new DeclaredNames(analysis, (message) => typeScriptName(message, schema.options));
  for (const file of schema.files) {
    const messages = allMessages(file).flatMap((message) => analysis.describe(message) ?? []);
    if (messages.length === 0 && file.services.length === 0) continue;
    const context = new FileContext(file, names, schema.options);
    printDescriptors(
      context,
      messages,
      file.services.some((service) => hasSealed(service, analysis)),
    );
    for (const message of messages) printMessage(context, message);
    for (const service of file.services) printService(context, service, analysis);
    const lines = context.toLines();
    if (!lines.some((line) => line.startsWith('export'))) continue;
    const output = schema.generateFile(`${file.name}_sealed.ts`);
    output.preamble(file);
    for (const line of lines) output.print(line);
  }
}

/** The files of the inner types and of the services' messages, for what is checked before a message is decoded. */
function printDescriptors(context: FileContext, messages: readonly SealedMessage[], hasServices: boolean): void {
  const inner = messages.flatMap(({ sealed }) =>
    sealed.flatMap(({ inner: desc, option }) => (desc && wellKnownName(option.type) === undefined ? [desc] : [])),
  );
  const roots = inner.map(({ file }) => file);
  if (hasServices) roots.push(context.file);
  if (roots.length === 0) return;
  const files = closure(roots).map((file) => {
    const { sourceCodeInfo: _comments, ...proto } = file.proto;
    return proto as typeof file.proto;
  });
  const bytes = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: files }));
  const text = Buffer.from(bytes).toString('base64');
  const chunks = text.match(/.{1,100}/g) ?? [];
  context.print(
    '/** The files that declare the messages, as a serialized `google.protobuf.FileDescriptorSet`. */',
    'const $descriptors = $sealwire.embeddedDescriptors(',
    ...chunks.map((chunk, index) => `  ${index === 0 ? '' : '+ '}${JSON.stringify(chunk)}`),
    ');',
    '',
  );
}

/** Files in dependency order, without the well-known ones that the runtime has. */
function closure(roots: readonly DescFile[]): DescFile[] {
  const files = new Set<DescFile>();
  const visit = (file: DescFile) => {
    if (files.has(file) || wellKnownFileNames.includes(file.proto.name)) return;
    for (const dependency of file.dependencies) visit(dependency);
    files.add(file);
  };
  for (const root of roots) visit(root);
  return [...files];
}
