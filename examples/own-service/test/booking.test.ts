import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { errorDetails, fileKeySource } from 'sealwire';
import { type RunningHost, startHost } from 'sealwire/host';
import { SealedBookingServiceClient } from '../gen/clinic/v1/booking_sealed.js';
import { createBookingApp } from '../src/app.js';

const dir = mkdtempSync(join(tmpdir(), 'booking-'));
let host: RunningHost;
let client: SealedBookingServiceClient;

before(async () => {
  host = await startHost(createBookingApp(), { config: { listen: '127.0.0.1:0', dir } });
  const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
  client = new SealedBookingServiceClient(host.address, credentials.createInsecure(), { keys });
});
after(async () => {
  client.close();
  await host.stop();
});

test('a booking comes back with its patient, whose name is not in the audit log', async () => {
  const { bookingId } = await client.book({ slot: 'mon-9', patient: { name: 'Ada', complaint: 'cough' } });
  assert.equal((await client.getBooking({ bookingId })).patient?.name, 'Ada');
  const log = readdirSync(join(dir, 'audit')).filter((name) => name.endsWith('.jsonl'));
  assert.doesNotMatch(readFileSync(join(dir, 'audit', log[0] ?? ''), 'utf8'), /Ada|cough/);
});

test('a patient without a name is refused', async () => {
  const refused = client.book({ slot: 'mon-9', patient: { name: '', complaint: 'cough' } });
  await assert.rejects(refused, (error) => errorDetails(error as never)?.reason === 'INNER_MESSAGE_INVALID');
});
