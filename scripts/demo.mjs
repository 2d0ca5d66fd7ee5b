/**
 * One sealed call, shown from every side: the typed request, the bytes that a relay between client and service sees,
 * the handler's view, the audit record, what happens when the relay changes the amount, and the log verified.
 *
 * Uses the service on 127.0.0.1:50051 with ./var when it runs; otherwise starts one in a temporary folder.
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { credentials, Metadata, makeGenericClientConstructor, status } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { PaymentServiceClient } from '../dist/src/gen/payments/v1/payments.js';
import { SealedPaymentServiceClient } from '../dist/src/gen/payments/v1/payments_sealed.js';
import { errorDetails, fileKeySource } from '../dist/src/index.js';
import { root } from './setup.mjs';

const plain = credentials.createInsecure();
const cleanups = [];

/** Each expectation is checked, so that the demo cannot claim what did not happen. */
function expect(condition, claim) {
  if (!condition) throw new Error(`expected: ${claim}`);
}

function heading(text) {
  console.log(`\n── ${text}`);
}

/** The service of `npm start`, if it runs and its keys are ours to read. */
async function findService() {
  const address = '127.0.0.1:50051';
  const dir = join(root, 'var');
  if (!existsSync(join(dir, 'keys/public.jwks.json'))) return undefined;
  const Health = makeGenericClientConstructor(healthService, 'Health');
  const health = new Health(address, plain);
  const answer = await new Promise((resolve) => {
    const options = { deadline: Date.now() + 2_000 };
    health.check({ service: 'payments.v1.PaymentService' }, new Metadata(), options, (_error, value) => resolve(value));
  });
  health.close();
  return answer?.status === 'SERVING' ? { address, dir } : undefined;
}

/** A service of our own that logs what its handlers get. */
async function startService() {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-demo-'));
  cleanups.push(() => rm(dir, { recursive: true, force: true }));
  const flags = ['serve', '--listen', '127.0.0.1:0', '--dir', dir, '--log-level', 'debug'];
  const child = spawn(process.execPath, [join(root, 'dist/src/cli/main.js'), ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  cleanups.push(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const log = [];
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('listening on ')) return line.slice('listening on '.length);
    }
    throw new Error(`the service did not start: ${log.at(-1) ?? 'no message'}`);
  })();
  return { address: await ready, dir, log };
}

/** A TCP relay that keeps every byte it passes on. */
async function startRelay(address) {
  const [host, port] = address.split(':');
  const seen = [];
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(from);
      from.on('data', (chunk) => seen.push(chunk));
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${server.address().port}`, bytes: () => Buffer.concat(seen) };
}

function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    const hex = row.toString('hex').replace(/../g, '$& ').padEnd(48);
    lines.push(`  ${hex} ${row.toString('latin1').replace(/[^\x20-\x7e]/g, '·')}`);
  }
  return lines.join('\n');
}

/** The audit record of a request; refusals are written without anybody waiting for them. */
async function readRecord(dir, requestId) {
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; ) {
    for (const name of (await readdir(join(dir, 'audit'))).filter((file) => file.endsWith('.jsonl'))) {
      const lines = (await readFile(join(dir, 'audit', name), 'utf8')).split('\n');
      const line = lines.find((text) => text.includes(`"requestId":"${requestId}"`));
      if (line !== undefined) return { line, record: JSON.parse(line) };
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no audit record of ${requestId}`);
}

function showRecord({ fields, ...rest }) {
  console.log(`  ${JSON.stringify(rest)}`);
  for (const { token, ...field } of fields) {
    const shown =
      typeof token === 'string' ? `${token.slice(0, 40)}… (${token.length} characters)` : { ...token, header: '…' };
    console.log(`  ${JSON.stringify({ ...field, token: shown })}`);
  }
}

function metadataWith(requestId) {
  const metadata = new Metadata();
  metadata.set('x-request-id', requestId);
  return metadata;
}

async function main() {
  const found = await findService();
  const own = found ? undefined : await startService();
  const service = found ?? own;
  console.log(
    found
      ? `using the service on ${found.address}`
      : `no service on 127.0.0.1:50051 with ./var; started one on ${own.address}`,
  );
  const relay = await startRelay(service.address);
  const keys = fileKeySource(join(service.dir, 'keys/public.jwks.json'));
  const client = new SealedPaymentServiceClient(relay.address, plain, { keys });
  cleanups.push(() => client.close());

  const run = randomBytes(4).toString('hex');
  const request = {
    orderId: `order-${run}`,
    amountMinor: '4999',
    currencyCode: 'EUR',
    card: {
      number: '4242424242424242',
      expiryMonth: 12,
      expiryYear: new Date().getFullYear() + 3,
      holderName: 'Ada Lovelace',
    },
    billingAddress: {
      line1: '12 St James Square',
      line2: '',
      city: 'London',
      postalCode: 'SW1Y 4JH',
      countryCode: 'GB',
    },
    securityCode: { value: '737' },
  };
  const secrets = [request.card.number, request.card.holderName, request.billingAddress.line1];

  heading('1. the typed request, as the client has it');
  console.log(request);
  const response = await client.authorize(request, {
    metadata: metadataWith(`demo-${run}`),
    deadline: Date.now() + 10_000,
  });
  console.log('the answer:', response);
  expect(response.status === 'authorized' && response.cardLast4 === '4242', 'an authorized payment');

  heading('2. the bytes, as a relay between client and service saw them');
  const bytes = relay.bytes();
  const at = bytes.indexOf(request.orderId);
  expect(at > 0, 'the order id, which is not sealed, in the bytes');
  console.log(hexDump(bytes.subarray(at - 2, at + 158)));
  console.log(`  ${bytes.length} bytes in both directions; order id: found at ${at}`);
  for (const secret of secrets) {
    const isFound = bytes.includes(secret);
    console.log(`  "${secret}": ${isFound ? 'FOUND' : 'not found'}`);
    expect(!isFound, 'no plaintext on the wire');
  }

  heading("3. the handler's typed card, as it prints");
  const observed = own ?? (await startService());
  if (found) {
    console.log('  (the same call to a second service with --log-level debug)');
    const ownKeys = fileKeySource(join(observed.dir, 'keys/public.jwks.json'));
    const direct = new SealedPaymentServiceClient(observed.address, plain, { keys: ownKeys });
    await direct.authorize(request).finally(() => direct.close());
  }
  const logged = await waitForLine(observed.log, request.orderId);
  console.log(`  ${logged}`);
  expect(logged.includes('[opened payments.v1.CardDetails]'), 'a redacted card');
  expect(!secrets.some((secret) => observed.log.join('\n').includes(secret)), 'no plaintext in the log');

  heading('4. the audit record, on disk before the handler ran');
  const { line, record } = await readRecord(service.dir, `demo-${run}`);
  showRecord(record);
  expect(!secrets.some((secret) => line.includes(secret)), 'no plaintext in the audit log');

  heading('5. the relay sends the same token again, for 1.00 instead of 49.99');
  const [token] = /eyJ[\w-]+(?:\.[\w-]+){4}/.exec(bytes.toString('latin1')) ?? [];
  const attacker = new PaymentServiceClient(relay.address, plain);
  cleanups.push(() => attacker.close());
  const tampered = {
    orderId: request.orderId,
    amountMinor: '100',
    currencyCode: 'EUR',
    card: token,
    billingAddress: '',
    securityCode: '',
  };
  const refusal = await new Promise((resolve) =>
    attacker.authorize(tampered, metadataWith(`demo-${run}-tampered`), resolve),
  );
  expect(refusal !== null, 'a refused call');
  const { reason, field } = errorDetails(refusal) ?? {};
  console.log(`  the caller sees: ${status[refusal.code]} "${refusal.details}", reason ${reason}, field ${field}`);
  expect(reason === 'SEALED_FIELD_INVALID', 'SEALED_FIELD_INVALID');
  const { record: rejected } = await readRecord(service.dir, `demo-${run}-tampered`);
  console.log(`  only the audit log knows why: ${rejected.fields[0].reason}`);
  expect(rejected.fields[0].reason === 'BINDING_MISMATCH', 'BINDING_MISMATCH');

  heading('6. the audit log, verified: sealwire audit verify');
  const verify = [join(root, 'dist/src/cli/main.js'), 'audit', 'verify', '--dir', join(service.dir, 'audit')];
  const { stdout } = await promisify(execFile)(process.execPath, verify);
  console.log(stdout.trimEnd().replace(/^/gm, '  '));
  expect(stdout.trimEnd().endsWith('verified'), 'a log that verifies');
}

async function waitForLine(log, text) {
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; ) {
    const line = log.find((entry) => entry.includes(text));
    if (line !== undefined) return line;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('the handler logged nothing');
}

try {
  await main();
} catch (error) {
  console.error(`demo failed: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
process.exit();
