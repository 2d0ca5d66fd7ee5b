/** The plugin's options: ts-proto's own, repeated, since both must make the same names and types. */

/** What the generator follows. */
export interface GeneratorOptions {
  readonly forceLong: 'number' | 'long' | 'string' | 'bigint';
  readonly oneof: 'properties' | 'unions' | 'unions-value';
  readonly useOptionals: 'none' | 'messages' | 'all';
  /** Properties are camel case; false: proto names. */
  readonly camelKeys: boolean;
  /** Ending of relative imports, e.g. `.js`. */
  readonly importSuffix: string;
  readonly useDate: 'date' | 'string' | 'timestamp' | 'temporal';
  readonly stringEnums: boolean;
  /** Whether ts-proto makes the service definitions that clients and servers need. */
  readonly grpcServices: boolean;
  /** Module that generated code imports its runtime from; `./`-relative to the output root, or a package. */
  readonly runtimeImport: string;
}

/** ts-proto options that give types or names this generator does not follow, with the values that are harmless. */
const REJECTED: Readonly<Record<string, readonly string[]>> = {
  disableProto2DefaultValues: ['false'],
  disableProto2Optionals: ['false'],
  enumPrefix: [''],
  enumSuffix: [''],
  fileSuffix: [''],
  lowerCaseServiceMethods: ['false'],
  messagePrefix: [''],
  messageSuffix: [''],
  nestJs: ['false'],
  noDefaultsForOptionals: ['false'],
  onlyTypes: ['false'],
  outputEncodeMethods: ['true'],
  rpcAfterResponse: ['false'],
  rpcBeforeRequest: ['false'],
  rpcErrorHandler: ['false'],
  typePrefix: [''],
  typeSuffix: [''],
  useJsonName: ['false'],
  useJsonWireFormat: ['false'],
  useJsTypeOverride: ['false'],
  useMapType: ['false'],
  useNullAsOptional: ['false'],
  // Defaults on a prototype are lost when a message is copied.
  usePrototypeForDefaults: ['false'],
  useReadonlyTypes: ['false'],
  useSnakeTypeName: ['true'],
};

/** Values of the options that are followed. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  forceLong: ['number', 'long', 'string', 'bigint'],
  oneof: ['properties', 'unions', 'unions-value'],
  useOptionals: ['none', 'messages', 'all', 'true', 'false'],
  snakeToCamel: ['true', 'false', 'keys', 'json', 'keys_json'],
  stringEnums: ['true', 'false'],
  useDate: ['true', 'false', 'date', 'string', 'string-nano', 'timestamp', 'temporal'],
  outputServices: ['grpc-js', 'generic-definitions', 'none', 'false'],
};

const DATES: Readonly<Record<string, GeneratorOptions['useDate']>> = {
  true: 'date',
  false: 'timestamp',
  'string-nano': 'string',
};

/**
 * @param raw key and value pairs as the compiler passes them
 * @throws Error that names the option
 */
export function parseOptions(raw: readonly { readonly key: string; readonly value: string }[]): GeneratorOptions {
  const values = new Map<string, string>();
  const services = new Set<string>();
  for (const { key, value } of raw) {
    checkOption(key, value);
    if (key === 'outputServices') services.add(value);
    else if (values.has(key)) throw new Error(`option '${key}' is given twice`);
    values.set(key, value);
  }
  const get = (key: string, fallback: string) => values.get(key) ?? fallback;
  const optionals = get('useOptionals', 'none');
  const date = get('useDate', 'true');
  return {
    forceLong: get('forceLong', 'number') as GeneratorOptions['forceLong'],
    oneof: get('oneof', 'properties') as GeneratorOptions['oneof'],
    useOptionals: optionals === 'true' ? 'messages' : optionals === 'false' ? 'none' : (optionals as 'none'),
    camelKeys: ['true', 'keys', 'keys_json'].includes(get('snakeToCamel', 'true')),
    importSuffix: get('importSuffix', ''),
    useDate: DATES[date] ?? (date as 'date'),
    stringEnums: get('stringEnums', 'false') === 'true',
    grpcServices: services.has('grpc-js'),
    runtimeImport: get('runtime_import', 'sealwire/runtime'),
  };
}

function checkOption(key: string, value: string): void {
  if (/^M.*\.proto$/.test(key)) throw new Error(`option '${key}': import mappings are not supported`);
  const harmless = Object.hasOwn(REJECTED, key) ? REJECTED[key] : undefined;
  if (harmless !== undefined && !harmless.includes(value)) {
    throw new Error(`option '${key}=${value}' of ts-proto is not supported by protoc-gen-sealwire`);
  }
  const allowed = Object.hasOwn(ALLOWED, key) ? ALLOWED[key] : undefined;
  if (allowed !== undefined && !allowed.includes(value)) {
    throw new Error(`option '${key}' must be one of ${allowed.join(', ')}; it is '${value}'`);
  }
  // Our own options have an underscore, ts-proto's have none.
  if (key.includes('_') && key !== 'runtime_import') throw new Error(`option '${key}' is unknown`);
}
