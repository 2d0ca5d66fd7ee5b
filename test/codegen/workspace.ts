/** Runs the generators on protos in a folder of the project's, so that their output can be compiled. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const buf = resolve('node_modules/@bufbuild/buf/bin/buf');
const tsc = resolve('node_modules/typescript-7/bin/tsc');

/** What a program said. */
export interface Outcome {
  readonly status: number | null;
  readonly output: string;
}

/** A folder with protos and what was generated from them. */
export class Workspace {
  readonly dir: string;

  constructor() {
    mkdirSync('.cache', { recursive: true });
    this.dir = mkdtempSync(resolve('.cache/codegen-'));
    cpSync('proto/sealwire', join(this.dir, 'proto/sealwire'), { recursive: true });
    writeFileSync(join(this.dir, 'buf.yaml'), 'version: v2\nmodules:\n  - path: proto\n');
  }

  addProto(name: string, text: string): void {
    mkdirSync(join(this.dir, 'proto', name, '..'), { recursive: true });
    writeFileSync(join(this.dir, 'proto', name), text);
  }

  copyProtos(from: string): void {
    cpSync(from, join(this.dir, 'proto'), { recursive: true, filter: (path) => !path.endsWith('.yaml') });
  }

  /** @param ours options of protoc-gen-sealwire, where they differ from ts-proto's */
  generate(options: readonly string[], ours: readonly string[] = options): Outcome {
    const common = ['esModuleInterop=true', 'importSuffix=.js', 'env=node', 'outputServices=grpc-js'];
    const plugin = (path: string, values: readonly string[]) => ({
      local: ['node', resolve(path)],
      out: 'gen',
      opt: [...values],
      // One process for all folders, not one for each.
      strategy: 'all',
    });
    const template = {
      version: 'v2',
      plugins: [
        {
          ...plugin('node_modules/ts-proto/protoc-gen-ts_proto', [...common, ...options]),
          include_imports: true,
          include_wkt: true,
        },
        // The compiled declarations: to check all our sources again for each folder takes most of the time.
        plugin('dist/src/codegen/main.js', [...common, ...ours, 'runtime_import=../../../dist/src/runtime.js']),
      ],
    };
    return run([buf, 'generate', '--template', JSON.stringify(template)], this.dir);
  }

  /** Type-checks everything that was generated, as strictly as the project itself. */
  compile(): Outcome {
    const config = {
      extends: resolve('tsconfig.json'),
      compilerOptions: { noEmit: true, rootDir: resolve('.'), typeRoots: [resolve('node_modules/@types')] },
      include: ['gen', '*.ts'],
      exclude: [],
    };
    writeFileSync(join(this.dir, 'tsconfig.json'), JSON.stringify(config));
    return run([tsc, '-p', 'tsconfig.json'], this.dir);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.dir, name), text);
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function run(args: readonly string[], cwd: string): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}
