/**
 * Rebuilds test/codegen/fixtures/golden from the fixtures with the compiled generator. Read the diff:
 * it is what users will see.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildProtos, FIXTURES, generateSealed, writeFiles } from '../dist/test/codegen/helpers.js';
import { root } from './setup.mjs';

process.chdir(root);
const golden = join(FIXTURES, 'golden');
rmSync(golden, { recursive: true, force: true });
const options = ['outputServices=grpc-js', 'esModuleInterop=true', 'importSuffix=.js', 'env=node', 'forceLong=string'];
const protos = buildProtos(FIXTURES);
writeFiles(golden, generateSealed(protos, options), generateSealed(protos, ['target=web', 'import_extension=js']));
