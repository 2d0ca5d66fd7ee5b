/**
 * Browsers: sealing in Chromium; what a service can take of pages that come once, each with an agreement of its own;
 * and how many fresh agreements a core makes on each curve.
 */
import { fork } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { PaymentService } from '../src/gen/payments/v1/payments_pb.js';
import { SealedPaymentServiceClient } from '../src/gen/payments/v1/payments_sealed_web.js';
import { runAgreement } from '../src/jwe/agreement.js';
import { generatePem } from '../src/keys/generate-pem.js';
import { KeyRing } from '../src/keys/ring.js';
import type { Curve } from '../src/profile/algorithms.js';
import { importWebRecipientKey, type WebRecipientKey } from '../src/web/crypto/recipient.js';
import { WebSealer } from '../src/web/crypto/sealer.js';
import { formatSummary, formatTable, type Summary, summarize } from './stats.js';

const CURVES = ['P-521', 'P-384', 'P-256'] as const;
const PAGES = 1_000;
const SECONDS = 10;
const ROUNDS = 7;
const ROUND_MS = 300;

/** What came of pages that arrived evenly within some seconds. */
export interface PagesResult {
  /** From the first arrival to the last answer. */
  readonly callsPerSecond: number;
  /** Of the payment's request, in ms. */
  readonly p50: number;
  readonly p99: number;
  /** Of the service and its gateway, per page: key set, payment, one connection. In ms. */
  readonly serverCpuMs: number;
  readonly failed: number;
}

/** Times of sealing 120 bytes in Chromium. */
export interface ChromiumResult {
  /** The first seal of a page, with the agreement that it has to make, in ms. */
  readonly coldMs: Summary;
  /** Every further one, in µs. */
  readonly warmUs: Summary;
}

/** All of it; `chromium` only where there is one. */
export interface WebResults {
  readonly freshPerSecond: Readonly<Record<Curve, Summary>>;
  readonly pages: Readonly<Partial<Record<Curve, PagesResult>>>;
  readonly chromium: Readonly<Partial<Record<Curve, ChromiumResult>>> | undefined;
}

export async function benchWeb(): Promise<WebResults> {
  return {
    freshPerSecond: benchFresh(),
    pages: { 'P-521': await benchPages('P-521'), 'P-256': await benchPages('P-256') },
    chromium: await benchChromium(),
  };
}

/** Agreements that a service makes with the keys of new senders, per second and core. */
export function benchFresh(): WebResults['freshPerSecond'] {
  const measure = (crv: Curve) => {
    const privateKey = createPrivateKey(generatePem(crv));
    const { x = '', y = '' } = createPublicKey(generatePem(crv)).export({ format: 'jwk' });
    const point = { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') };
    const startedAt = performance.now();
    let count = 0;
    for (; performance.now() - startedAt < ROUND_MS; count++)
      runAgreement({ kind: 'agree', privateKey, crv, ...point });
    return (count * 1_000) / (performance.now() - startedAt);
  };
  const rounds = Array.from({ length: ROUNDS }, () => CURVES.map(measure));
  return Object.fromEntries(
    CURVES.map((crv, index) => [crv, summarize(rounds.map((round) => round[index] as number))]),
  ) as WebResults['freshPerSecond'];
}

/**
 * What is sealed beforehand is the work of a thousand browsers, which this machine does not have to do in time.
 *
 * @param curve of the service's ring
 */
export async function benchPages(curve: Curve, pages = PAGES, seconds = SECONDS): Promise<PagesResult> {
  const child = fork(new URL('./web-server.js', import.meta.url), [curve], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [{ address, jwk }] = (await once(child, 'message')) as [{ address: string; jwk: object }];
  const cpu = async () => {
    child.send('cpu');
    const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage];
    return (user + system) / 1_000;
  };
  const key = await importWebRecipientKey(jwk);
  const requests: Uint8Array[] = [];
  for (let index = 0; index < pages; index++) requests.push(await sealRequest(key, index));
  const times: number[] = [];
  let failed = 0;
  try {
    const before = await cpu();
    const startedAt = performance.now();
    await Promise.all(
      requests.map(async (sealed, index) => {
        await new Promise((resolve) => setTimeout(resolve, (index * seconds * 1_000) / pages));
        await arrive(address, sealed, index).then(
          (ms) => times.push(ms),
          () => failed++,
        );
      }),
    );
    const ms = performance.now() - startedAt;
    const serverCpuMs = ((await cpu()) - before) / pages;
    times.sort((one, other) => one - other);
    const at = (share: number) => times[Math.floor((times.length - 1) * share)] ?? Number.NaN;
    return { callsPerSecond: (times.length * 1_000) / ms, p50: at(0.5), p99: at(0.99), serverCpuMs, failed };
  } finally {
    child.send('stop');
    await once(child, 'exit');
  }
}

/** A payment as a page seals it, with an agreement that nobody else has. */
async function sealRequest(key: WebRecipientKey, index: number): Promise<Uint8Array> {
  const { authorize } = PaymentService.method;
  let bytes = new Uint8Array();
  const keep: Transport = {
    unary: async (method, _signal, _timeoutMs, _header, input) => {
      bytes = Uint8Array.from(toBinary(authorize.input, input as never));
      const header = new Headers();
      return { stream: false, service: method.parent, method, header, trailer: header, message: create(method.output) };
    },
    stream: () => Promise.reject(new Error('no streams here')),
  };
  const sealer = new WebSealer({ keys: { current: async () => key, refresh: async () => {} } });
  await new SealedPaymentServiceClient(keep, { sealer }).authorize({
    orderId: `order-${index}`,
    amountMinor: 4999n,
    currencyCode: 'EUR',
    card: { number: '4242424242424242', expiryMonth: 12, expiryYear: 2031, holderName: 'Ada Lovelace' },
  });
  sealer.close();
  return bytes;
}

/** A page comes: a connection, the key set, the payment. Each has an address of its own. @returns ms of the payment */
async function arrive(address: string, sealed: Uint8Array, index: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, localAddress: `127.1.${index >> 8}.${index & 255}` });
  try {
    await post(agent, `http://${address}/sealwire.v1.KeyService/GetKeySet`, new Uint8Array());
    const startedAt = performance.now();
    await post(agent, `http://${address}/payments.v1.PaymentService/Authorize`, sealed);
    return performance.now() - startedAt;
  } finally {
    agent.destroy();
  }
}

function post(agent: Agent, url: string, body: Uint8Array): Promise<void> {
  const headers = { 'content-type': 'application/proto', 'content-length': body.length };
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent, method: 'POST', headers }, (response) => {
      response.resume().once('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`HTTP ${response.statusCode}`));
      });
    });
    asked.once('error', reject).end(body);
  });
}

/** What the page of the bench runs, in one call per round so that its coarse clock does not matter. */
const PAGE = `
import { importWebRecipientKey } from './dist/src/web/crypto/recipient.js';
import { WebSealer } from './dist/src/web/crypto/sealer.js';
const field = { fullName: 'bench.v1.Message.card', recipient: '' };
const inner = new Uint8Array(120);
globalThis.seal = async (jwk, count) => {
  const key = await importWebRecipientKey(jwk);
  const sealer = new WebSealer({ keys: { current: async () => key, refresh: async () => {} } });
  const once = async () => (await sealer.startCall({ recipient: '', method: '/bench' })).seal(field, inner, undefined);
  const startedAt = performance.now();
  await once();
  const cold = performance.now();
  for (let index = 0; index < count; index++) await once();
  const warm = performance.now();
  sealer.close();
  return { coldMs: cold - startedAt, warmUs: ((warm - cold) * 1000) / count };
};`;

async function benchChromium(): Promise<WebResults['chromium']> {
  const bundle = await build({
    stdin: { contents: PAGE, resolveDir: process.cwd() },
    bundle: true,
    write: false,
    minify: true,
    format: 'iife',
    platform: 'browser',
  });
  const script = bundle.outputFiles[0]?.text ?? '';
  const server = createServer(({ url }, response) => {
    response.writeHead(200, { 'content-type': url === '/bench.js' ? 'text/javascript' : 'text/html' });
    response.end(url === '/bench.js' ? script : '<!doctype html><script src="/bench.js"></script>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const browser = await chromium
    .launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
    .catch(() => undefined);
  const results: Partial<Record<Curve, ChromiumResult>> = {};
  for (const crv of browser === undefined ? [] : CURVES) {
    const jwk = JSON.stringify((await KeyRing.create(crv)).current().publicKey.export({ format: 'jwk' }));
    const rounds: { coldMs: number; warmUs: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // A page of its own: the first seal of a page is what its visitor waits for.
      const page = await browser?.newPage();
      await page?.goto(url);
      rounds.push((await page?.evaluate(`globalThis.seal(${jwk}, 500)`)) as never);
      await page?.close();
    }
    results[crv] = {
      coldMs: summarize(rounds.map(({ coldMs }) => coldMs)),
      warmUs: summarize(rounds.map(({ warmUs }) => warmUs)),
    };
  }
  server.close();
  await browser?.close();
  return browser && results;
}

/** Tables of the results. */
export function formatWeb({ freshPerSecond, pages, chromium: sealing }: WebResults): string {
  const fresh = formatTable(
    ['curve', 'fresh agreements/s and core'],
    CURVES.map((crv) => [crv, formatSummary(freshPerSecond[crv], 0)]),
  );
  const arrivals = formatTable(
    [`${PAGES} pages in ${SECONDS} s, ring on`, 'calls/s', 'p50 ms', 'p99 ms', 'server CPU ms per page', 'failed'],
    Object.entries(pages).map(([crv, { callsPerSecond, p50, p99, serverCpuMs, failed }]) => [
      crv,
      callsPerSecond.toFixed(0),
      p50.toFixed(1),
      p99.toFixed(1),
      serverCpuMs.toFixed(1),
      String(failed),
    ]),
  );
  const chromiumTable =
    sealing === undefined
      ? 'sealing in Chromium left out: it is not installed'
      : formatTable(
          ['120 bytes in Chromium, key on', 'first seal of a page, ms', 'further ones, µs'],
          Object.entries(sealing).map(([crv, { coldMs, warmUs }]) => [
            crv,
            formatSummary(coldMs),
            formatSummary(warmUs, 0),
          ]),
        );
  return [fresh, arrivals, chromiumTable].join('\n\n');
}
