import { expect } from 'chai';
import { finish } from '../support/command.js';

describe('npm run demo', () => {
  it('shows one call from every side, and the tampered one refused', async () => {
    const { code, stdout, stderr } = await finish(process.execPath, ['scripts/demo.mjs']);
    expect(code, stderr).to.equal(0);
    const headings = stdout.match(/^── \d/gm) ?? [];
    expect(headings).to.deep.equal(['── 1', '── 2', '── 3', '── 4', '── 5', '── 6']);
    expect(stdout).to.include('"4242424242424242": not found').and.include('[opened payments.v1.CardDetails]');
    expect(stdout.trimEnd()).to.match(/\n {2}verified$/);
    expect(stdout).to.match(/the caller sees: INVALID_ARGUMENT .*SEALED_FIELD_INVALID, field card\n.*BINDING_MISMATCH/);
  }).timeout(60_000);
});
