/** What docs/generator.md says about buf is what buf does. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'chai';

const PLUGIN = 'node_modules/.bin/protoc-gen-sealwire';
const BLOCK = /```(?:yaml|ts)\n([\s\S]*?)```/g;
const LINTED = '// buf:lint:ignore IMPORT_USED\nimport "inner/v1/inner.proto";';

const inner = 'syntax = "proto3";\npackage inner.v1;\nmessage Card { string number = 1; }\n';
/** Line 6 holds the sealed field when there is one line of imports more. */
const shop = (imports: string) => `syntax = "proto3";
package shop.v1;
import "sealwire/v1/sealed.proto";
${imports}
message PayRequest {
  string card = 1 [(sealwire.v1.sealed) = {type: "inner.v1.Card"}]; }
`;

/** Line 9 holds the sealed field. */
const LOST = `syntax = "proto2";
package shop.v1;
import "sealwire/v1/sealed.proto";

message Card {}

message PayRequest {
  optional string order = 1;
  optional string card = 2 [(sealwire.v1.sealed) = {type: "shop.v1.Card", bind: ["order"]}];
}
`;

describe('docs/generator.md', function () {
  this.timeout(60_000);
  const text = readFileSync('docs/generator.md', 'utf8');
  const template = /```yaml\n([^`]+)```/.exec(text)?.[1] ?? '';
  let dir: string;

  beforeEach(() => {
    mkdirSync('.cache', { recursive: true });
    dir = mkdtempSync(resolve('.cache/generator-docs-'));
    cpSync('proto/sealwire', join(dir, 'sealwire/sealwire'), { recursive: true });
    writeFileSync(join(dir, 'buf.yaml'), 'version: v2\nmodules: [{path: proto}, {path: sealwire}, {path: lib}]\n');
    write('lib/lib/v1/lib.proto', 'syntax = "proto3";\npackage lib.v1;\n');
    write('proto/inner/v1/inner.proto', inner);
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  function write(path: string, content: string): void {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content);
  }

  function buf(...args: string[]) {
    const { status, stderr, stdout } = spawnSync(
      process.execPath,
      [resolve('node_modules/@bufbuild/buf/bin/buf'), ...args],
      {
        cwd: dir,
        encoding: 'utf8',
      },
    );
    return { status, output: `${stdout}${stderr}` };
  }

  /** @param change applied to the documented template */
  function generate(change = (yaml: string) => yaml) {
    const tsProto = resolve('node_modules/ts-proto/protoc-gen-ts_proto');
    const es = resolve('node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es');
    const yaml = change(template)
      .replaceAll(PLUGIN, `[node, ${resolve('dist/src/codegen/main.js')}]`)
      .replace('node_modules/.bin/protoc-gen-es', `[node, ${es}]`)
      .replace('node_modules/.bin/protoc-gen-ts_proto', `[node, ${tsProto}]`);
    write('buf.gen.yaml', yaml);
    return buf('generate');
  }
  /** The template without ts-proto, which takes its time. */
  const alone = (yaml: string) =>
    `version: v2\ninputs: [{directory: proto}]\nplugins:\n  - local: ${yaml.slice(yaml.indexOf(PLUGIN))}`;
  const has = (path: string) => existsSync(join(dir, 'src/gen', path));

  it('shows first typed calls that compile with the documented tsconfig, and work', function () {
    this.timeout(180_000);
    const section = (page: string, heading: string) => readFileSync(page, 'utf8').split(`\n## ${heading}\n`)[1] ?? '';
    const proto = /```proto\n(.*?)```/s.exec(section('README.md', 'A first sealed call'))?.[1] ?? '';
    const config = /```json\n(.*?)```/s.exec(section('docs/packages.md', 'TypeScript'))?.[1] ?? '';
    const main = /```ts\n(.*?)```/s.exec(section('docs/generator.md', 'Using what it writes'))?.[1] ?? '';
    const [web = '', page = ''] = [...section('docs/generator.md', 'For browsers: target=web').matchAll(BLOCK)].map(
      ([, block]) => block,
    );
    write('proto/shop.proto', proto);
    expect(generate((yaml) => yaml + web)).to.deep.equal({ status: 0, output: '' });
    write('src/main.ts', main);
    write('src/page.ts', page);
    write('tsconfig.json', config);
    const node = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: dir, encoding: 'utf8' });
      return { status, output: `${stdout}${stderr}` };
    };
    expect(node(resolve('node_modules/typescript-7/bin/tsc'))).to.deep.equal({ status: 0, output: '' });
    expect(node(resolve('dist/src/cli/main.js'), 'keys', 'init').status).to.equal(0);
    expect(node('out/main.js')).to.deep.equal({ status: 0, output: 'paid with a card ending in 4242\n' });
  });

  const [lostPresence = 'nothing', notImported = 'nothing'] = [...text.matchAll(/```text\n([^`]+)```/g)].map(
    ([, said = '']) => said.trim(),
  );

  it('names the error of a bound field whose presence ts-proto loses', () => {
    write('proto/shop/v1/shop.proto', LOST);
    const { status, output } = generate(alone);
    expect(status).not.to.equal(0);
    expect(output).to.include(lostPresence);
  });

  it('names the error of an inner type whose file is not imported', () => {
    write('proto/shop/v1/shop.proto', shop(''));
    const { status, output } = generate(alone);
    expect(status).not.to.equal(0);
    expect(output).to.include(notImported);
  });

  it('is right that an import mends it, and that lint accepts it with the comment only', () => {
    write('proto/shop/v1/shop.proto', shop(LINTED));
    expect(text).to.include(LINTED);
    expect(generate()).to.deep.equal({ status: 0, output: '' });
    expect(has('shop/v1/shop_sealed.ts')).to.equal(true);
    const unused = 'Import "inner/v1/inner.proto" is unused';
    expect(buf('lint').output).not.to.include(unused);
    write('proto/shop/v1/shop.proto', shop('import "inner/v1/inner.proto";'));
    expect(buf('lint').output).to.include(unused);
  });

  it('is right that strategy: all mends it too', () => {
    write('proto/shop/v1/shop.proto', shop(''));
    const { status } = generate((yaml) => alone(yaml).replace('    opt:', '    strategy: all\n    opt:'));
    expect(status).to.equal(0);
  });

  it('is right that messages of another module need include_imports', () => {
    write('lib/lib/v1/lib.proto', shop('import "inner/v1/inner.proto";').replace('shop.v1', 'lib.v1'));
    const outer = 'message Order { lib.v1.PayRequest payment = 1; }\n';
    write('proto/shop/v1/shop.proto', `syntax = "proto3";\npackage shop.v1;\nimport "lib/v1/lib.proto";\n${outer}`);
    expect(generate((yaml) => alone(yaml).replace('    include_imports: true\n', '')).status).to.equal(0);
    const sealed = readFileSync(join(dir, 'src/gen/shop/v1/shop_sealed.ts'), 'utf8');
    expect(sealed).to.include("'../../lib/v1/lib_sealed.js'".replaceAll("'", '"'));
    expect(has('lib/v1/lib_sealed.ts')).to.equal(false);
    expect(generate(alone).status).to.equal(0);
    expect(has('lib/v1/lib_sealed.ts')).to.equal(true);
  });
});
