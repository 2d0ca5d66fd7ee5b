/** One long stream: messages per second and peak memory, in clear, sealed, and sealed with durable audit. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { formatTable } from './stats.js';
import type { StreamOrder } from './stream-client.js';

const VARIANTS = ['clear', 'sealed', 'audited'] as const;

/** What one variant gave. */
export interface StreamResult {
  readonly messagesPerSecond: number;
  /** Of the clear variant's. */
  readonly ratio: number;
  /** Bytes, of a process that did nothing else. */
  readonly clientPeakRss: number;
  readonly serverPeakRss: number;
}

/** Results by variant. */
export interface StreamsResult {
  readonly messages: number;
  readonly results: Readonly<Record<string, StreamResult>>;
}

/** @param messages of each stream */
export async function benchStreams(messages = 100_000): Promise<StreamsResult> {
  const results: Record<string, StreamResult> = {};
  let clear = Number.NaN;
  for (const variant of VARIANTS) {
    const { seconds, clientPeakRss, serverPeakRss } = await runStream(variant, messages);
    const messagesPerSecond = messages / seconds;
    if (variant === 'clear') clear = messagesPerSecond;
    results[variant] = { messagesPerSecond, ratio: messagesPerSecond / clear, clientPeakRss, serverPeakRss };
  }
  return { messages, results };
}

/** New processes for each variant: a peak cannot be taken back. */
async function runStream(variant: string, messages: number) {
  const start = (file: string, ...args: string[]) =>
    fork(new URL(file, import.meta.url), args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const server = start('./stream-server.js', variant);
  try {
    const [{ port, jwks }] = (await once(server, 'message')) as [Pick<StreamOrder, 'port' | 'jwks'>];
    const client = start('./stream-client.js');
    client.send({ port, jwks, sealed: variant !== 'clear', messages } satisfies StreamOrder);
    const failed = once(client, 'exit').then(() => {
      throw new Error(`the ${variant} stream did not end well`);
    });
    const [sent] = (await Promise.race([once(client, 'message'), failed])) as [{ seconds: number; peakRss: number }];
    failed.catch(() => {});
    server.send('peak');
    const [received] = (await once(server, 'message')) as [{ peakRss: number }];
    return { seconds: sent.seconds, clientPeakRss: sent.peakRss, serverPeakRss: received.peakRss };
  } finally {
    if (server.connected) server.disconnect();
    if (server.exitCode === null) await once(server, 'exit');
  }
}

/** The table that `npm run bench` prints. */
export function formatStreams({ results }: StreamsResult): string {
  const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
  return formatTable(
    ['one stream', 'messages/s', '× clear', 'client peak RSS MiB', 'server peak RSS MiB'],
    Object.entries(results).map(([variant, { messagesPerSecond, ratio, clientPeakRss, serverPeakRss }]) => [
      variant,
      messagesPerSecond.toFixed(0),
      ratio.toFixed(2),
      mebibytes(clientPeakRss),
      mebibytes(serverPeakRss),
    ]),
  );
}
