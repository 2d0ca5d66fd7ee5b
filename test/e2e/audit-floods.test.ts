/** What one caller can make a service write: bounded for that caller, and nobody else's. */
import { readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { work as sendRubbish } from '../support/floods-refused.js';
import { work as askAgain } from '../support/floods-stored.js';
import { FloodReport } from '../support/floods-work.js';
import { failureOf, validRequest } from '../support/harness.js';
import { readRecords } from '../support/payments-load.js';
import {
  type ServiceProcess,
  startServiceProcess,
  stopServiceProcess,
  verifyServiceLog,
} from '../support/service-process.js';

const STORED_BYTES = 300_000;
const REJECT_BYTES = 60_000;

describe('the audit log under a caller', () => {
  let dir: string;
  let service: ServiceProcess;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-audit-flood-'));
    const audit = { storedBytesPerHour: STORED_BYTES, rejectBytesPerHour: REJECT_BYTES };
    service = await startServiceProcess({ dir, config: { audit, trustedProxies: ['127.0.0.1'], logLevel: 'error' } });
  });
  afterEach(async () => {
    await stopServiceProcess(service);
    await rm(dir, { recursive: true, force: true });
  });

  const sizeOfLines = () => {
    const audit = join(dir, 'audit');
    const names = readdirSync(audit).filter((name) => name.endsWith('.jsonl'));
    return names.reduce((total, name) => total + statSync(join(audit, name)).size, 0);
  };
  const target = () => ({ address: service.address, publicKeys: join(dir, 'keys/public.jwks.json') });
  /** Counts until there are enough of one name. */
  const countUntil = (name: string, enough: number) => {
    const stop = new AbortController();
    const counts: Record<string, number> = {};
    const report = new FloodReport(() => {});
    report.count = (seen) => {
      counts[seen] = (counts[seen] ?? 0) + 1;
      if ((counts[name] ?? 0) >= enough) stop.abort();
    };
    return { stop, counts, report };
  };

  it('who asks for a stored card again and again grows by no more than its hour, and others are served', async () => {
    const { stop, counts, report } = countUntil('RESOURCE_EXHAUSTED', 100);
    await askAgain(target(), stop.signal, report);
    expect(counts['OK']).to.be.within(20, 400);
    expect(sizeOfLines()).to.be.lessThan(STORED_BYTES + 3 * REJECT_BYTES);
    const { paymentId } = await service.client.authorize(validRequest);
    await service.client.getPayment({ paymentId });
    const stored = readRecords(dir).filter(({ event }) => event === 'openStored');
    // Each token is in the log once.
    expect(stored.every(({ fields }) => typeof fields[0]?.token === 'object')).to.equal(true);
    expect(verifyServiceLog(dir).findings).to.deep.equal([]);
  }).timeout(60_000);

  it('who sends rubbish that is dear to write grows by no more than its hour, and the probes of others are told', async () => {
    const { stop, report } = countUntil('a sealed field could not be opened', 300);
    await sendRubbish(target(), stop.signal, report);
    expect(sizeOfLines()).to.be.lessThan(REJECT_BYTES + 20_000);
    await failureOf(service.client.authorize({ ...validRequest, card: { ...validRequest.card, number: '1' } }));
    await stopServiceProcess(service);
    const rejects = readRecords(dir).filter(({ event }) => event === 'reject');
    const probes = rejects.filter(({ principal, fields }) => principal === '127.0.0.1' && fields.length > 0);
    expect(probes).to.have.length(1);
    expect(rejects.filter(({ fields }) => fields.length === 0).map(({ principal }) => principal)).to.deep.include(
      'refused',
    );
  }).timeout(60_000);
});
