/** A reviewer opens records of a real service with nothing but the log and a key of their own. */
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { LogRecord } from '../../src/audit/format/log-record.js';
import { createReviewerKey } from '../../src/keys/reviewer-keys.js';
import { finishSealwire } from '../support/command.js';
import { descriptorSet } from '../support/descriptor-set.js';
import { failureOf, type Harness, startHarness, validRequest } from '../support/harness.js';

const request = {
  ...validRequest,
  billingAddress: { line1: 'Calle 1', line2: '', city: 'Málaga', postalCode: '29001', countryCode: 'ES' },
  securityCode: { value: '737' },
};

describe('a reviewer grant', function () {
  this.timeout(120_000);
  let root: string;
  let harness: Harness;
  let dir: string;
  let key: string;
  let records: readonly LogRecord[];

  before(async function () {
    this.timeout(60_000);
    root = mkdtempSync(join(tmpdir(), 'sealwire-grant-'));
    key = join(root, 'alice.json');
    const { publicFile } = await createReviewerKey(key);
    harness = await startHarness({ config: { instance: 'n-1', audit: { reviewerKey: publicFile } } });
    const { paymentId } = await harness.client.authorize(request);
    await harness.client.getPayment({ paymentId });
    await failureOf(harness.client.authorize({ ...request, card: { ...request.card, number: '1' } } as never));
    records = (await harness.auditRecords()) as unknown as LogRecord[];
    // The log alone: none of the service's keys is there.
    dir = join(root, 'audit');
    cpSync(join(harness.dir, 'audit'), dir, { recursive: true });
    await harness.stop();
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  const find = (event: string) => records.find((record) => record.event === event) as LogRecord;
  const open = (seq: number, ...flags: string[]) => {
    const reviews = flags.includes('--review-log') ? [] : ['--review-log', join(root, 'reviews')];
    const reason = flags.includes('--reason') ? [] : ['--reason', 'dispute 881'];
    const reviewer = flags.includes('--reviewer-key') ? [] : ['--reviewer-key', key];
    return finishSealwire(['audit', 'open', String(seq), '--dir', dir, ...reviewer, ...reason, ...reviews, ...flags]);
  };

  it('opens a request, and tells who and why in a log of the reviewer’s own', async () => {
    const { seq } = find('open');
    const { code, stdout, stderr } = await open(seq, '--who', 'alice');
    expect(code, stderr).to.equal(0);
    const { fields, origin } = JSON.parse(stdout) as {
      origin: string;
      fields: { path: string; type: string; value: unknown }[];
    };
    expect(origin).to.equal('sealwire-payments/n-1');
    expect(fields.map(({ path, type, value }) => ({ path, type, value }))).to.deep.equal([
      { path: 'card', type: 'payments.v1.CardDetails', value: request.card },
      { path: 'billing_address', type: 'payments.v1.PostalAddress', value: request.billingAddress },
    ]);
    const log = join(root, 'reviews');
    const reveal = await finishSealwire(['audit', 'search', '--dir', log, '--event', 'reveal', '--format', 'json']);
    const [record] = JSON.parse(reveal.stdout) as LogRecord[];
    expect(record).to.include({ principal: 'alice', detail: `record ${seq} of sealwire-payments/n-1: dispute 881` });
    expect(record?.fields.map(({ path, outcome, grant }) => [path, outcome, grant])).to.deep.equal([
      ['card', 'opened', null],
      ['billing_address', 'opened', null],
    ]);
    expect(reveal.stdout).to.not.include('4111');
    expect((await finishSealwire(['audit', 'verify', '--dir', log])).code).to.equal(0);
  });

  it('opens one field, and a reply, and a stored token', async () => {
    const one = await open(find('open').seq, '--path', 'billing_address');
    expect(one.stdout).to.include('Málaga').and.to.not.include('4111111111111111');
    for (const event of ['seal', 'openStored']) {
      const { code, stdout, stderr } = await open(find(event).seq);
      expect(code, stderr).to.equal(0);
      expect((JSON.parse(stdout) as { fields: { value: unknown }[] }).fields[0]?.value).to.deep.equal(request.card);
    }
  });

  it('decodes with a descriptor set', async () => {
    const set = join(root, 'protos.binpb');
    writeFileSync(set, descriptorSet());
    const { code, stdout, stderr } = await open(find('open').seq, '--descriptors', set);
    expect(code, stderr).to.equal(0);
    expect((JSON.parse(stdout) as { fields: { value: unknown }[] }).fields[0]?.value).to.deep.equal(request.card);
    writeFileSync(set, 'no descriptor set');
    const none = await open(find('open').seq, '--descriptors', set);
    expect([none.code, none.stdout]).to.deep.equal([2, '']);
  });

  it('is not made for what is not kept, nor for what was refused', () => {
    const grants = records.flatMap(({ event, fields }) =>
      fields.map(({ path, grant }) => [event, path, grant !== null]),
    );
    expect(grants).to.deep.include(['open', 'security_code', false]).and.to.deep.include(['open', 'card', true]);
    expect(grants.filter(([event]) => event === 'reject')).to.have.length.greaterThan(0);
    expect(grants.filter(([event, , granted]) => event === 'reject' && granted)).to.deep.equal([]);
  });

  it('says so where there is none', async () => {
    for (const seq of [find('start').seq, find('reject').seq]) {
      const { code, stdout, stderr } = await open(seq);
      expect([code, stdout]).to.deep.equal([1, '']);
      expect(stderr).to.match(/^record \d+: (no such field|it carries no grant, so no reviewer can open it)\n$/);
    }
    const transient = await open(find('open').seq, '--path', 'security_code');
    expect([transient.code, transient.stderr]).to.deep.equal([
      1,
      `record ${find('open').seq}: security_code: transient, never granted\n`,
    ]);
    expect((await open(9_999)).code).to.equal(1);
  });

  it('shows nothing, and records nothing, for another key or a grant of another token', async () => {
    const log = join(root, 'no-reviews');
    const bob = join(root, 'bob.json');
    await createReviewerKey(bob);
    const other = await open(find('open').seq, '--reviewer-key', bob, '--review-log', log);
    expect([other.code, other.stdout]).to.deep.equal([1, '']);
    expect(other.stderr).to.include('the grant is for another key');
    const { card, address } = { card: find('open').fields[0], address: find('open').fields[1] };
    const swapped = join(root, 'swapped');
    cpSync(dir, swapped, { recursive: true });
    const path = join(swapped, `${'0'.repeat(20)}.jsonl`);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(card?.grant as string, address?.grant as string));
    const { code, stdout, stderr } = await open(find('open').seq, '--dir', swapped, '--review-log', log);
    expect([code, stdout]).to.deep.equal([1, '']);
    expect(stderr).to.include('card: the grant does not open the token');
    expect(existsSync(log)).to.equal(false);
  });

  it('tells the record and the reason, whatever the log’s writer made of the line', async () => {
    const forged = join(root, 'forged');
    cpSync(dir, forged, { recursive: true });
    const path = join(forged, `${'0'.repeat(20)}.jsonl`);
    const text = readFileSync(path, 'utf8');
    const { seq } = find('open');
    const head = `"seq":${seq},`;
    writeFileSync(path, text.replace(head, '"seq":7777,'));
    const log = join(root, 'forged-reviews');
    const renamed = await open(seq, '--dir', forged, '--review-log', log);
    expect([renamed.code, renamed.stdout]).to.deep.equal([1, '']);
    expect(renamed.stderr).to.include('has another number');
    expect(existsSync(log)).to.equal(false);
    const lines = text.split('\n');
    lines[seq] = (lines[seq] as string).replace('"origin":"', `"origin":"${'o'.repeat(600)}`);
    writeFileSync(path, lines.join('\n'));
    expect((await open(seq, '--dir', forged, '--review-log', log)).code).to.equal(0);
    const reveal = await finishSealwire(['audit', 'search', '--dir', log, '--event', 'reveal', '--format', 'json']);
    const [record] = JSON.parse(reveal.stdout) as LogRecord[];
    expect(record?.detail).to.equal(`record ${seq} of ${'o'.repeat(64)}: dispute 881`);
  });

  it('shows nothing when the opening cannot be recorded', async () => {
    const file = join(root, 'a-file');
    writeFileSync(file, '');
    const { code, stdout, stderr } = await open(find('open').seq, '--review-log', join(file, 'reviews'));
    expect([code, stdout]).to.deep.equal([3, '']);
    expect(stderr).to.match(/^sealwire: .*a-file/);
  });

  it('wants a reason, and a key file that nobody else can read', async () => {
    for (const reason of ['', '  ', 'x'.repeat(401)]) {
      const { code, stdout } = await open(find('open').seq, '--reason', reason);
      expect([code, stdout]).to.deep.equal([2, '']);
    }
    const loose = join(root, 'loose.json');
    cpSync(key, loose);
    chmodSync(loose, 0o644);
    const { code, stdout, stderr } = await open(find('open').seq, '--reviewer-key', loose);
    expect([code, stdout]).to.deep.equal([3, '']);
    expect(stderr).to.include('lets others read it');
    const half = await open(find('open').seq, '--reviewer-key', key.replace('.json', '.pub.json'));
    expect(half.code).to.equal(2);
    expect(half.stderr).to.include('the public key; --reviewer-key takes the private one');
  });

  it('uses keys that `sealwire audit reviewer-key` made, encrypted too', async () => {
    const file = join(root, 'carol.json');
    const secret = join(root, 'passphrase');
    writeFileSync(secret, 'correct horse battery staple\n', { mode: 0o600 });
    const made = await finishSealwire(['audit', 'reviewer-key', file, '--encrypt', '--passphrase-file', secret]);
    expect(made.code, made.stderr).to.equal(0);
    expect(readFileSync(file, 'utf8')).to.not.include('"d"');
    expect(JSON.parse(readFileSync(file.replace('.json', '.pub.json'), 'utf8'))).to.have.nested.property(
      'keys[0].kty',
      'EC',
    );
    const { stderr } = await open(find('open').seq, '--reviewer-key', file, '--passphrase-file', secret);
    expect(stderr).to.include('the grant is for another key');
    expect((await finishSealwire(['audit', 'reviewer-key', file])).code).to.equal(2);
  });

  it('refuses a private key in the service’s configuration', async () => {
    const refused = await startHarness({ config: { audit: { reviewerKey: key } } }).catch((error: unknown) => error);
    expect(refused).to.have.property('code', 'KEY_FILE_INVALID');
    expect(refused).to.have.property('message').that.includes('the service needs the public one only');
  });
});

describe('without a reviewer', () => {
  it('no record carries a grant', async () => {
    const harness = await startHarness();
    try {
      await harness.client.authorize(request);
      const records = (await harness.auditRecords()) as unknown as LogRecord[];
      expect(records.flatMap(({ fields }) => fields.map(({ grant }) => grant))).to.deep.equal([null, null, null]);
    } finally {
      await harness.stop();
    }
  });
});
