import { expect } from 'chai';
import { fillRepeatedly, requireMount } from '../support/fill-disk.js';
import { killRepeatedly } from '../support/kill-service.js';

describe('the audit log of the real service', () => {
  it('survives 200 kills under load: every acknowledged call has its record', async () => {
    const result = await killRepeatedly(200);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    expect(result).to.deep.include({ unrecorded: [], misnumbered: 0, findings: [] });
    expect(result.acknowledged).to.be.greaterThan(10_000);
  });

  it('survives 20 cycles of a full disk without a restart', async function () {
    requireMount(this);
    const result = await fillRepeatedly(20);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    expect(result).to.deep.include({ failures: ['UNAVAILABLE'], unrecorded: [], findings: [], exitCode: 0 });
  });
});
