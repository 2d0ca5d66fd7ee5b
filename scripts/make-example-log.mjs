/** Writes examples/audit-log anew, with other keys: the logs of docs/audit.md, whose commands a test runs. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeReviewFolder } from '../dist/test/support/review-log.js';
import { root } from './setup.mjs';

const folder = join(root, 'examples/audit-log');
for (const name of ['var', 'second', 'kept', 'alice.json', 'alice.pub.json']) {
  rmSync(join(folder, name), { recursive: true, force: true });
}
mkdirSync(folder, { recursive: true });
await writeReviewFolder(folder);
