/** A TCP relay that keeps every byte that passes, as a proxy could. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A relay in front of a service. */
export interface RecordingRelay {
  /** `127.0.0.1:PORT` to call instead of the service. */
  readonly address: string;
  /** Everything that passed, both ways, as Latin-1 text. */
  seen(): string;
  close(): Promise<void>;
}

/** @param target `HOST:PORT` of the service */
export async function startRecordingRelay(target: string): Promise<RecordingRelay> {
  const chunks: Buffer[] = [];
  const sockets = new Set<Socket>();
  const colon = target.lastIndexOf(':');
  // With Nagle's algorithm on, small frames would wait 40 ms for each other.
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: Number(target.slice(colon + 1)), host: target.slice(0, colon), noDelay: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        to.write(chunk);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: () => Buffer.concat(chunks).toString('latin1'),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
