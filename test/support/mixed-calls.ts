/**
 * Calls of all kinds to one service, good and bad, with a canary in everything sealed and rubbish in everything else.
 */
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { credentials, InterceptingCall, type Interceptor, Metadata } from '@grpc/grpc-js';
import type { AuthorizeRequest } from '../../src/gen/payments/v1/payments.js';
import { type OpenedAuthorizeRequest, SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { CANARY, canariesIn } from './canary.js';
import { validRequest } from './harness.js';
import { startServiceProcess, stopServiceProcess, verifyServiceLog } from './service-process.js';

const RECORD_KEYS = 'v,seq,time,event,origin,method,peer,principal,requestId,traceparent,fields,durationUs,detail';
const FIELD_KEYS = 'field,path,kid,alg,enc,token,bound,outcome,reason,grant';
/** Ends a string, an object and a line, and begins a record. */
const INJECTION = '\\","seq":0}\n{"v":1,"seq":0,"event":"open"}\r\n\u2028\u0085\u001b[2J\u202e\u0000';

/** What was done, and what is in the logs. */
export interface MixedResult {
  readonly good: number;
  readonly failed: number;
  /** Records of the calls that were opened. */
  readonly opened: number;
  /** Forms of the canary that are in a log. */
  readonly leaks: readonly string[];
  /** Lines that are not what a log's lines must be. */
  readonly badLines: readonly string[];
  readonly findings: readonly unknown[];
}

type Wire = Partial<AuthorizeRequest>;

/** What happens to a call on its way; the others go as they are. */
const TAMPERINGS: readonly ((request: Wire) => Wire)[] = [
  (request) => request,
  (request) => request,
  (request) => ({ ...request, card: flip(request.card ?? '') }),
  (request) => ({ ...request, amountMinor: '1' }),
  // A client that forgot to seal.
  (request) => ({ ...request, card: CANARY }),
  (request) => ({ ...request, card: `${request.card}.${randomBytes(30).toString('latin1')}` }),
  (request) => ({ ...request, card: Buffer.from(INJECTION).toString('base64url') + (request.card ?? '') }),
  (request) => ({ ...request, card: 'A'.repeat(100_000) }),
];
const OVERSIZED = TAMPERINGS.length - 1;

/** @param calls how many; 32 at a time */
export async function callMixed(dir: string, calls: number): Promise<MixedResult> {
  const service = await startServiceProcess({
    dir,
    config: { logLevel: 'debug', trustedProxies: ['127.0.0.1'], audit: { segmentBytes: 4_194_304 } },
  });
  const client = createTamperingClient(dir, service.address);
  const counts = { next: 0, good: 0, failed: 0 };
  const lane = async () => {
    while (counts.next < calls) {
      const call = counts.next++;
      await client.authorize(makeRequest(call), { metadata: makeMetadata(call) }).then(
        () => counts.good++,
        () => counts.failed++,
      );
    }
  };
  await Promise.all(Array.from({ length: 32 }, lane));
  await sendLatin1(service.address);
  client.close();
  await stopServiceProcess(service);
  const { leaks, badLines, opened } = await inspectLogs(dir, service.running.stderr());
  return {
    good: counts.good,
    failed: counts.failed,
    opened,
    leaks,
    badLines,
    findings: verifyServiceLog(dir).findings,
  };
}

/** The kind of a call stands at the end of its order id, which the wire shows. */
function kindOf(call: number): number {
  const kind = call % (TAMPERINGS.length + 1);
  // Few of them: they are large. One in nine has an inner message that breaks the rules.
  return kind === OVERSIZED && call % 50 > 0 ? 0 : kind;
}

function makeRequest(call: number): OpenedAuthorizeRequest {
  const kind = kindOf(call);
  const card = { ...validRequest.card, holderName: CANARY, ...(kind > OVERSIZED && { number: CANARY }) };
  const billingAddress = { line1: CANARY, line2: '', city: CANARY, postalCode: '', countryCode: 'ES' };
  return {
    ...validRequest,
    orderId: `${call}${INJECTION}#${kind}`,
    card,
    billingAddress,
    securityCode: { value: CANARY },
  };
}

function makeMetadata(call: number): Metadata {
  const metadata = new Metadata();
  metadata.set('x-request-id', '","event":"open","x":"\\');
  metadata.set('traceparent', `00-${'"}{'.repeat(10)}-01`);
  metadata.set('x-sealwire-caller', `caller-${call % 7}"}{"seq":1"\\u000a`);
  metadata.set('x-rubbish-bin', randomBytes(200));
  metadata.set('sealwire-reply', call % 3 === 0 ? '{"seq":0}' : '');
  return metadata;
}

function createTamperingClient(dir: string, address: string): SealedPaymentServiceClient {
  const tamper: Interceptor = (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      sendMessage: (message: Wire, next) => {
        const kind = Number(message.orderId?.split('#')[1]);
        next(TAMPERINGS[kind]?.(message) ?? message);
      },
    });
  const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
  return new SealedPaymentServiceClient(address, credentials.createInsecure(), { keys, wireInterceptors: [tamper] });
}

/** Bytes in metadata that no gRPC library would send. */
async function sendLatin1(address: string): Promise<void> {
  const session = connect(`http://${address}`);
  session.on('error', () => {});
  for (const value of ['\u00ff\u0085\u00a0"', 'é'.repeat(500)]) {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/payments.v1.PaymentService/Authorize',
      'content-type': 'application/grpc',
      te: 'trailers',
      'x-request-id': value,
      traceparent: value,
      'x-sealwire-caller': value,
    });
    stream.on('error', () => {});
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    await new Promise((resolve) => stream.resume().once('close', resolve));
  }
  session.close();
}

async function inspectLogs(dir: string, stderr: string) {
  const badLines = stderr
    .split('\n')
    .slice(0, -1)
    .filter((line) => !/^\d{4}-[\d-]+T[\d:.]+Z (?:debug|info|warn|error) /.test(line));
  const leaks = [...canariesIn(stderr)];
  const audit = join(dir, 'audit');
  let seq = 0;
  let opened = 0;
  for (const name of (await readdir(audit)).sort()) {
    const bytes = await readFile(join(audit, name));
    leaks.push(...canariesIn(bytes.toString('utf8')), ...canariesIn(bytes.toString('latin1')));
    if (!name.endsWith('.jsonl')) continue;
    for (const line of bytes.toString('utf8').split('\n').slice(0, -1)) {
      const record = parseRecord(line, seq++);
      if (record === undefined) badLines.push(line.slice(0, 300));
      else if (record.event === 'open') opened++;
    }
  }
  return { leaks: [...new Set(leaks)], badLines: badLines.slice(0, 5), opened };
}

interface FoundRecord {
  readonly seq: unknown;
  readonly event: unknown;
  readonly fields: readonly object[];
}

/** @returns undefined unless the line is a record with exactly its keys, in its place, of printable characters */
function parseRecord(line: string, seq: number): FoundRecord | undefined {
  try {
    const record = JSON.parse(line) as FoundRecord;
    const isRight =
      record.seq === seq &&
      Object.keys(record).join() === RECORD_KEYS &&
      record.fields.every((field) => Object.keys(field).join() === FIELD_KEYS) &&
      !/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(line);
    return isRight ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Changes a character of the ciphertext. */
function flip(token: string): string {
  const at = token.lastIndexOf('.') - 5;
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
}
