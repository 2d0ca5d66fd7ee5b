import { expect } from 'chai';
import { methodKey, propertyName } from '../../src/codegen/names.js';
import { parseOptions } from '../../src/codegen/options.js';

function parse(...options: string[]) {
  return parseOptions(
    options.map((option) => {
      const [key = '', value = ''] = option.split('=');
      return { key, value };
    }),
  );
}

describe('generator options', () => {
  it('have ts-proto’s defaults', () => {
    expect(parse()).to.deep.equal({
      forceLong: 'number',
      oneof: 'properties',
      useOptionals: 'none',
      camelKeys: true,
      importSuffix: '',
      useDate: 'date',
      stringEnums: false,
      grpcServices: false,
      runtimeImport: 'sealwire/runtime',
    });
  });

  for (const [option, expected] of [
    ['forceLong=long', { forceLong: 'long' }],
    ['oneof=unions-value', { oneof: 'unions-value' }],
    ['useOptionals=true', { useOptionals: 'messages' }],
    ['useOptionals=all', { useOptionals: 'all' }],
    ['snakeToCamel=false', { camelKeys: false }],
    ['snakeToCamel=json', { camelKeys: false }],
    ['snakeToCamel=keys_json', { camelKeys: true }],
    ['importSuffix=.js', { importSuffix: '.js' }],
    ['useDate=false', { useDate: 'timestamp' }],
    ['useDate=string-nano', { useDate: 'string' }],
    ['stringEnums=true', { stringEnums: true }],
    ['stringEnums=false', { stringEnums: false }],
    ['outputServices=grpc-js', { grpcServices: true }],
    ['runtime_import=./a.js', { runtimeImport: './a.js' }],
  ] as const) {
    it(`follow ${option}`, () => {
      expect(parse(option)).to.deep.include(expected);
    });
  }

  it('let further services be made beside those of grpc-js', () => {
    expect(parse('outputServices=grpc-js', 'outputServices=generic-definitions').grpcServices).to.equal(true);
  });

  it('pass by what changes no name and no type', () => {
    for (const option of ['esModuleInterop=true', 'env=node', 'comments=false', 'useMapType=false', 'fileSuffix=']) {
      expect(parse(option), option).to.deep.equal(parse());
    }
  });

  for (const option of [
    'useMapType=true',
    'useJsonName=true',
    'onlyTypes=true',
    'nestJs=true',
    'useReadonlyTypes=true',
    'useNullAsOptional=true',
    'usePrototypeForDefaults=true',
    'useSnakeTypeName=false',
    'useJsTypeOverride=true',
    'noDefaultsForOptionals=true',
    'disableProto2Optionals=true',
    'outputEncodeMethods=false',
    'outputEncodeMethods=encode-only',
    'lowerCaseServiceMethods=true',
    'fileSuffix=.pb',
    'typePrefix=T',
    'messageSuffix=M',
    'rpcBeforeRequest=true',
    'outputServices=nice-grpc',
    'forceLong=true',
    'oneof=maybe',
    'useOptionals=deprecatedOnly',
    'snakeToCamel=',
    'stringEnums=',
    'useDate=never',
    'Ma/b.proto=./x',
    'runtime_imports=x',
  ]) {
    it(`refuse ${option} by name`, () => {
      const [name = ''] = option.split('=');
      expect(() => parse(option)).to.throw(`option '${name}`);
    });
  }

  it('refuse an option that is given twice', () => {
    expect(() => parse('oneof=unions', 'oneof=properties')).to.throw("option 'oneof' is given twice");
  });
});

describe('names', () => {
  it('of properties are ts-proto’s', () => {
    const camel = ['order_id', 'LOUD_NAME', 'a__b_1c', '_lead', 'trail_', 'mixedCase_ID', 'plain', 'URL', 'x_2y'];
    expect(camel.map((name) => propertyName({ name }, parse()))).to.deep.equal([
      'orderId',
      'loudName',
      'aB1c',
      'Lead',
      'trail',
      'mixedCaseID',
      'plain',
      'URL',
      'x2y',
    ]);
    expect(camel.map((name) => propertyName({ name }, parse('snakeToCamel=false')))).to.deep.equal(camel);
  });

  it('of methods are grpc-js’s', () => {
    const names = ['Authorize', 'GetAPIValue', 'V1beta1Get', 'get2faCode', 'S3', 'do_it', 'IPv4Lookup', 'ABc'];
    expect(names.map((name) => methodKey({ name }))).to.deep.equal([
      'authorize',
      'getApiValue',
      'v1Beta1Get',
      'get2FaCode',
      's3',
      'doIt',
      'iPv4Lookup',
      'aBc',
    ]);
  });
});
