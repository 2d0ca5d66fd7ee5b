/** Probes of the bounds on what callers have written into the audit log. */
import { expect } from 'chai';
import { encodedBytes, type RecordInput } from '../../src/audit/format/record.js';
import { RejectNotes } from '../../src/audit/write/reject-notes.js';
import { StoredBudget } from '../../src/audit/write/stored-budget.js';
import { auditSchema } from '../../src/host/audit/audit-config.js';
import { MemoryReplayStore } from '../../src/server/replay/memory-replay-store.js';
import { ReplayGuard } from '../../src/server/replay/replay-guard.js';
import { field, input, reject } from '../audit/helpers.js';
import { createProbe, refusalText } from './bound-table.js';

const START = Date.UTC(2026, 0, 1);

export const auditProbes = [
  createProbe(
    {
      resource: 'remembered tokens',
      chargedTo: 'account',
      bound: '{times} for each place that is free of {capacity}',
      outcome: 'LIMIT_EXCEEDED, limit: capacity',
    },
    ({ times, capacity }, { outcome }) => {
      expect(new MemoryReplayStore().stats().capacity).to.equal(capacity);
      const small = 400;
      const guard = new ReplayGuard({ store: new MemoryReplayStore({ capacity: small }) });
      let next = 0;
      const claim = (account: string) => {
        try {
          void guard.claim([{ token: String(next++), header: {} }], [], account);
          return 'served';
        } catch (error) {
          return refusalText(error);
        }
      };
      const most = (small * times) / (times + 1);
      for (let one = 0; one < most; one++) expect(claim('address:1')).to.equal('served');
      expect(claim('address:1')).to.equal(outcome);
      expect(claim('address:2')).to.equal('served');
      void guard.release(
        [
          { token: '0', header: {} },
          { token: '1', header: {} },
        ],
        'address:1',
      );
      expect(claim('address:1')).to.equal('served');
      expect(claim('address:1')).to.equal('served');
      expect(claim('address:1')).to.equal(outcome);
    },
  ),
  createProbe(
    {
      resource: 'bytes of records that stored tokens were opened',
      chargedTo: 'account; all beyond {accounts} accounts together',
      bound: 'audit.storedBytesPerHour, {perHour}, with the tokens that answers seal anew',
      outcome: 'LIMIT_EXCEEDED, limit: rate',
    },
    ({ accounts, perHour }, { outcome }) => {
      expect(auditSchema.parse({}).storedBytesPerHour).to.equal(perHour);
      let budget = new StoredBudget({});
      const record = (account: string, size: number) =>
        input({ event: 'openStored', account, fields: [field({ token: 'x'.repeat(size) })] });
      const take = (record: RecordInput, now = START) => {
        try {
          budget.take(record, 'test', now);
          return 'served';
        } catch (error) {
          return refusalText(error);
        }
      };
      // Its record has a digest of the token, but the token itself counts.
      const great = { ...record('address:1', 0), fields: [field({ token: 'x'.repeat(2 ** 24), keep: false })] };
      const each = encodedBytes(great, 'test') + 2 ** 24;
      const fitting = Math.floor(perHour / each);
      for (let one = 0; one < fitting; one++) expect(take(great)).to.equal('served');
      // One more character in a token is two more bytes: as many as are left, and then nothing.
      const rest = perHour - fitting * each;
      const least = encodedBytes(record('address:1', 0), 'test');
      const last = record('address:1', Math.floor((rest - least) / 2));
      expect(take(record('address:1', Math.floor((rest - least) / 2) + 1))).to.equal(outcome);
      expect(take(last)).to.equal('served');
      expect(take(record('address:1', 0))).to.equal(outcome);
      expect(take(great, START + 3_600_000 - 1)).to.equal(outcome);
      expect(take(record('address:2', 0))).to.equal('served');
      expect(take(great, START + 3_600_000)).to.equal('served');
      // Who comes late shares what is left to all of them.
      budget = new StoredBudget({ storedBytesPerHour: 65_536 });
      for (let one = 1; one <= accounts; one++) expect(take(record(`early:${one}`, 0))).to.equal('served');
      expect(take(record('late:1', 30_000))).to.equal('served');
      expect(take(record('late:2', 30_000))).to.equal(outcome);
      expect(take(record(`early:${accounts}`, 30_000))).to.equal('served');
    },
  ),
  createProbe(
    {
      resource: 'bytes of records of refused calls',
      chargedTo: 'account; all beyond {accounts} accounts together',
      bound: 'audit.rejectBytesPerHour, {perHour}',
      outcome: 'they are counted, by account',
    },
    ({ accounts, perHour }) => {
      expect(auditSchema.parse({}).rejectBytesPerHour).to.equal(perHour);
      let now = START;
      const written: RecordInput[] = [];
      const notes = new RejectNotes({ now: () => now }, 'test', (note) => written.push(note));
      const note = (account: string): boolean => {
        const before = written.length;
        // A second has a budget of its own.
        now += 1_000;
        notes.note({ ...reject('x'.repeat(10_000)), account, principal: `name of ${account}` });
        return written.slice(before).some(({ fields }) => fields.length > 0);
      };
      /** Sends until nothing is written any more. */
      const exhaust = (account: string) => {
        const from = written.length;
        while (note(account));
        const own = written.slice(from).filter(({ fields }) => fields.length > 0);
        const sizes = own.map((record) => encodedBytes(record, 'test'));
        const total = sizes.reduce((sum, size) => sum + size, 0);
        expect(total).to.be.within(perHour - (sizes[0] as number), perHour);
      };
      for (let one = 1; one < accounts; one++) expect(note(`early ${one}`)).to.equal(true);
      exhaust('last with its own');
      exhaust('one of the others');
      expect(['another of the others', 'last with its own', 'early 1'].map(note)).to.deep.equal([false, false, true]);
      notes.close();
      const counted = written.filter(({ detail }) => / more refused calls/.test(detail));
      expect(counted.map(({ principal, detail }) => [principal, detail])).to.deep.include.members([
        ['name of last with its own', '1 more refused calls'],
        ['', '1 more refused calls of other callers'],
      ]);
      expect(now - START).to.be.lessThan(3_600_000);
    },
  ),
];
