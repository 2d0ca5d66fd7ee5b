/**
 * `npm run bench`: prints tables and writes `bench/results/latest.json`. `npm run bench -- web`: browsers alone. With
 * `--node LINE`, once or more, it measures only tokens, on this Node and on those lines; `--tokens` prints their times
 * as JSON.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { benchAudit } from './audit.js';
import { benchAuditRead } from './audit-read.js';
import { benchCalls } from './calls.js';
import { benchEventLoop } from './event-loop.js';
import { benchHsm } from './hsm.js';
import { benchNodes } from './nodes.js';
import { benchParts } from './parts.js';
import { formatSummary, formatTable } from './stats.js';
import { benchStreams, formatStreams } from './streams.js';
import { benchTokens, type TokenResults } from './tokens.js';
import { benchWeb, formatWeb } from './web.js';

const { values, positionals } = parseArgs({
  options: {
    out: { type: 'string', default: 'bench/results/latest.json' },
    node: { type: 'string', multiple: true, default: [] },
    tokens: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function ratios(results: TokenResults): Record<string, number> {
  const median = (name: string) => results[name]?.median ?? Number.NaN;
  return {
    'warm seal, × node-jose encrypt': median('seal, node-jose') / median('seal, warm session'),
    'warm seal, × jose encrypt': median('seal, jose') / median('seal, warm session'),
    'warm open, × node-jose decrypt': median('open, node-jose') / median('open, warm session'),
    'warm open, × jose decrypt': median('open, jose') / median('open, warm session'),
  };
}

const { openssl } = process.versions;
if (values.tokens) {
  say(JSON.stringify({ node: process.version, openssl, tokens: await benchTokens() }));
  process.exit();
}

const machine = {
  node: process.version,
  openssl,
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
};
say(`Node ${machine.node}, OpenSSL ${machine.openssl}, ${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB\n`);

if (positionals.includes('web')) {
  say(formatWeb(await benchWeb()));
  process.exit(0);
}

say('Tokens, 120-byte inner message, P-521; µs per operation, median (range) of 7 interleaved rounds');
if (values.node.length > 0) {
  const results = await benchNodes(values.node);
  const [first] = results;
  say(
    formatTable(
      ['operation', ...results.map((result) => `Node ${result.node}, OpenSSL ${result.openssl}`)],
      Object.keys(first?.tokens ?? {}).map((name) => [
        name,
        ...results.map(({ tokens }) => (tokens[name] ? formatSummary(tokens[name]) : '')),
      ]),
    ),
  );
  process.exit();
}
const tokens = await benchTokens();
say(
  formatTable(
    ['operation', 'µs'],
    Object.entries(tokens).map(([name, summary]) => [name, formatSummary(summary)]),
  ),
);
const tokenRatios = ratios(tokens);
say('');
say(
  formatTable(
    ['ratio of medians', '×'],
    Object.entries(tokenRatios).map(([name, value]) => [name, value.toFixed(0)]),
  ),
);

say('\nEvent loop while new agreements arrive');
const eventLoop = await benchEventLoop();
say(
  `${eventLoop.agreements} agreements opened in ${eventLoop.seconds.toFixed(2)} s; ` +
    `delay p50 ${eventLoop.p50.toFixed(1)} ms, p99 ${eventLoop.p99.toFixed(1)} ms, max ${eventLoop.max.toFixed(1)} ms`,
);

say(
  '\nOpening on a key inside a PKCS#11 token (SoftHSM2) and on a local key; µs, median (range) of 9 interleaved rounds',
);
const hsm = await benchHsm();
if (hsm === undefined) say('left out: SoftHSM2 is not installed');
else {
  say(
    formatTable(
      ['key', 'cached agreement', 'fresh agreement'],
      [
        ['local', formatSummary(hsm.warmLocal), formatSummary(hsm.freshLocal, 0)],
        ['token', formatSummary(hsm.warmHsm), formatSummary(hsm.freshHsm, 0)],
      ],
    ),
  );
  say(`cached, token × local: ${formatSummary(hsm.warmRatio, 2)}`);
}

say('\nAudit records, 64 callers; median (range) of 5 interleaved rounds');
const audit = await benchAudit();
say(
  formatTable(
    ['mode', 'records/s', 'CPU µs', 'records per sync'],
    Object.entries(audit.results).map(([name, result]) => [
      name,
      formatSummary(result.recordsPerSecond, 0),
      formatSummary(result.cpuUs, 0),
      formatSummary(result.recordsPerSync, 0),
    ]),
  ),
);
say(
  `bytes per record: ${audit.lineBytes.toFixed(0)} of the line, ${audit.proofBytes.toFixed(1)} of leaves and checkpoints`,
);

say('\nUnary calls, client and server in separate processes; median (range) of interleaved rounds');
say('bare: an interceptor pair that does nothing, and a clear message as long as the sealed one');
say('intercepted: sealed, by a client that has an interceptor of its own');
const calls = await benchCalls();
say(
  formatTable(
    ['variant@in flight', 'calls/s', '× clear', 'client CPU µs', 'server CPU µs'],
    Object.entries(calls.results).map(([name, result]) => [
      name,
      formatSummary(result.callsPerSecond, 0),
      formatSummary(result.ratio, 2),
      formatSummary(result.clientCpuUs, 0),
      formatSummary(result.serverCpuUs, 0),
    ]),
  ),
);
say(`fdatasync of one 1,000-byte append: ${formatSummary(calls.fdatasyncMs, 2)} ms`);

say('\nWhere the time goes: CPU µs per call without a network, median (range) of 15 interleaved rounds');
const parts = await benchParts();
say(
  formatTable(
    ['part', 'CPU µs'],
    Object.entries(parts).map(([name, summary]) => [name, formatSummary(summary)]),
  ),
);

say(
  '\nReading an audit log of 100,000 records, each command a process; records per second, median (range) of 3 rounds',
);
const auditRead = await benchAuditRead();
say(
  formatTable(
    ['command', 'records/s'],
    Object.entries(auditRead.recordsPerSecond).map(([name, rate]) => [name, formatSummary(rate, 0)]),
  ),
);
say(`${auditRead.bytesPerRecord.toFixed(0)} bytes per record`);

say('\nOne stream of 100,000 messages, client and server in processes of their own; one run each');
const streams = await benchStreams();
say(formatStreams(streams));

say('\nBrowsers');
const web = await benchWeb();
say(formatWeb(web));

await mkdir('bench/results', { recursive: true });
await writeFile(
  values.out,
  `${JSON.stringify({ machine, tokens, tokenRatios, eventLoop, hsm, audit, calls, parts, auditRead, streams, web }, null, 2)}\n`,
);
say(`\nwritten to ${values.out}`);
process.exit(0);
