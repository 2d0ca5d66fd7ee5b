/** `target=web`: opened types and clients for protobuf-es's messages, for browsers. */
import type { DescFile } from '@bufbuild/protobuf';
import { createEcmaScriptPlugin, type Schema } from '@bufbuild/protoplugin';
import { Analysis, allMessages } from '../../schema/analysis.js';
import { DeclaredNames } from '../declared-names.js';
import { printClient } from './print-client.js';
import { printOpened } from './print-opened.js';
import { createWebFile, nameInProto } from './web-file.js';

/** Options beside those that protoplugin reads, such as `import_extension`. */
interface WebOptions {
  /** Module that generated code imports; relative to the output root, or a package. */
  readonly runtimeImport: string;
}

/** Options of protoc-gen-es that give types which are not used here. */
const HARMLESS = ['json_types', 'valid_types', 'erasable_syntax'];

/** Runs as `target=ts`: protoplugin knows no other target in TypeScript. */
export const webGenerator = createEcmaScriptPlugin<WebOptions>({
  name: 'protoc-gen-sealwire',
  version: 'v1',
  parseOptions,
  generateTs: generate,
});

/** @throws Error that names the option */
function parseOptions(raw: readonly { readonly key: string; readonly value: string }[]): WebOptions {
  let runtimeImport = 'sealwire/web';
  for (const { key, value } of raw) {
    if (key === 'runtime_import') runtimeImport = value;
    else if (!HARMLESS.includes(key)) throw new Error(`option '${key}' is unknown with target=web`);
  }
  return { runtimeImport };
}

/** Presence is kept by protobuf-es, so any field may be bound that has one encoding. */
function generate(schema: Schema<WebOptions>): void {
  const analysis = new Analysis(schema.allFiles);
  if (analysis.problems.length > 0) throw new Error(analysis.problems.join('\n'));
  const names = new DeclaredNames(analysis, nameInProto);
  for (const file of schema.files) generateFile(schema, file, analysis, names);
}

function generateFile(schema: Schema<WebOptions>, file: DescFile, analysis: Analysis, names: DeclaredNames): void {
  const messages = allMessages(file).flatMap((message) => analysis.describe(message) ?? []);
  const services = file.services.filter(({ methods }) =>
    methods.some(({ input, output }) => analysis.describe(input) ?? analysis.describe(output)),
  );
  if (messages.length === 0 && services.length === 0) return;
  const output = schema.generateFile(`${file.name}_sealed_web.ts`);
  output.preamble(file);
  const webFile = createWebFile(file, output, names, schema.options.runtimeImport);
  for (const message of messages) printOpened(webFile, message);
  for (const service of services) printClient(webFile, service, analysis);
}
