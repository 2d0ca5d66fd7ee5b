/** Go's own code for signed notes and transparency logs verifies what we write and prove. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { splitCheckpoints } from '../../../src/audit/format/checkpoint.js';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import { finish, finishSealwire } from '../../support/command.js';
import { requireTool, toolEnvironment } from '../../support/tools.js';
import { input } from '../helpers.js';

describe('an audit log verified by golang.org/x/mod/sumdb', () => {
  let root = '';
  let dir: string;
  let program: string;
  const proofs: string[] = [];

  before(async function () {
    this.timeout(300_000);
    requireTool(this, 'go');
    root = mkdtempSync(join(tmpdir(), 'sealwire-go-'));
    dir = join(root, 'audit');
    program = join(root, 'go-verify');
    const built = await finish('go', ['build', '-o', program, '.'], {
      cwd: 'test/audit/go-verify',
      env: toolEnvironment,
    });
    expect(built.code, built.stderr).to.equal(0);
    // The real writer, over several segments; commits one by one make many checkpoints.
    const log = await AuditLog.open({
      dir,
      origin: 'sealwire-payments/node-1.eu',
      segmentBytes: 8_192,
      checkpointRecords: 7,
    });
    for (let index = 0; index < 100; index++) await log.commit(input({ requestId: `r-${index}` }));
    await log.close();
    const prove = async (name: string, ...args: string[]) => {
      const { code, stdout, stderr } = await finishSealwire(['audit', 'prove', ...args, '--dir', dir]);
      expect(code, stderr).to.equal(0);
      proofs.push(join(root, name));
      writeFileSync(join(root, name), stdout);
    };
    const { notes } = splitCheckpoints(readFileSync(join(dir, 'checkpoints'), 'utf8'));
    const signed = notes.filter((note) => !note.includes('\n0\n'));
    for (const [index, note] of signed.filter((_, at) => at % 4 === 0).entries()) {
      const kept = join(root, `kept-${index}`);
      writeFileSync(kept, note);
      await prove(`consistency-${index}`, 'consistency', kept);
    }
    for (const seq of [0, 1, 31, 63, 64, 99, 100]) await prove(`inclusion-${seq}`, 'inclusion', String(seq));
  });
  after(() => {
    if (root !== '') rmSync(root, { recursive: true, force: true });
  });

  const verify = (folder: string, ...files: string[]) => finish(program, [folder, ...files]);

  it('opens each checkpoint, computes each root, and agrees with each proof', async () => {
    const { code, stdout, stderr } = await verify(dir, ...proofs);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/^101 records, \d{2} checkpoints, \d{2} proofs\n$/);
    expect(proofs.length).to.be.greaterThan(10);
  });

  it('refuses what was changed, like we do', async () => {
    const changes: readonly (readonly [string, RegExp, string])[] = [
      [`${'0'.repeat(20)}.jsonl`, /"r-3"/, '"r-4"'],
      ['checkpoints', /\n7\n/, '\n8\n'],
      ['checkpoint', /(\u2014 \S+) ..../, '$1 AAAA'],
    ];
    for (const [name, pattern, replacement] of changes) {
      const changed = join(root, `changed-${name}`);
      cpSync(dir, changed, { recursive: true });
      const text = readFileSync(join(changed, name), 'utf8');
      writeFileSync(join(changed, name), text.replace(pattern, replacement));
      expect(readFileSync(join(changed, name), 'utf8'), name).to.not.equal(text);
      expect((await verify(changed)).code, name).to.equal(1);
      expect((await finishSealwire(['audit', 'verify', '--dir', changed])).code, name).to.equal(1);
    }
    const [proof = ''] = proofs.filter((path) => path.endsWith('inclusion-31'));
    writeFileSync(proof, readFileSync(proof, 'utf8').replace('index 31', 'index 30'));
    expect((await verify(dir, proof)).code).to.equal(1);
    expect((await finishSealwire(['audit', 'check-proof', proof, '--vkey', join(dir, 'log.vkey')])).code).to.equal(1);
  });
});
