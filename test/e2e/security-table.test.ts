/** The table of bounds in SECURITY.md: each of its rows is enforced, and says the numbers that the code has. */
import { expect } from 'chai';
import { agreementProbes } from '../support/bound-probes-agreements.js';
import { auditProbes } from '../support/bound-probes-audit.js';
import { healthProbes } from '../support/bound-probes-health.js';
import { heldProbes } from '../support/bound-probes-held.js';
import { messageProbes } from '../support/bound-probes-messages.js';
import { receivingProbes } from '../support/bound-probes-receiving.js';
import { reflectionProbes } from '../support/bound-probes-reflection.js';
import { isProbeOf, readBoundTable, readNumbers } from '../support/bound-table.js';

const probes = [
  ...agreementProbes,
  ...auditProbes,
  ...messageProbes,
  ...heldProbes,
  ...receivingProbes,
  ...reflectionProbes,
  ...healthProbes,
];

describe('the bounds in SECURITY.md', () => {
  const rows = readBoundTable();

  for (const row of rows) {
    it(`${row.resource} (${row.chargedTo}): ${row.bound}`, async () => {
      const [probe, ...others] = probes.filter((candidate) => isProbeOf(candidate, row));
      if (probe === undefined) return expect.fail('no probe');
      expect(others).to.deep.equal([]);
      await probe.run(readNumbers(probe, row), row);
    });
  }

  it('are all in the table', () => {
    const idle = probes.filter((probe) => !rows.some((row) => isProbeOf(probe, row)));
    expect(idle.map(({ resource, chargedTo }) => `${resource} (${chargedTo})`)).to.deep.equal([]);
    expect(rows).to.have.lengthOf(probes.length);
  });
});
