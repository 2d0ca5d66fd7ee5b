/** Where servers of HTTP listen, and the names under which they are asked. */
import type { AddressInfo, Server } from 'node:net';
import { isLoopback } from './describe-service.js';

/** @param address `HOST:PORT` @returns it with the port as bound @throws Error with code `EADDRINUSE` and the like */
export function listen(server: Server, address: string): Promise<string> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port: Number(address.slice(at + 1)) }, () => {
      server.off('error', reject);
      resolve(`${address.slice(0, at)}:${(server.address() as AddressInfo).port}`);
    });
  });
}

/**
 * Names under which a loopback address is asked. A page in the operator's browser could otherwise read what is there by
 * a name of its own that leads to that address. Other addresses have names that nobody here knows: any is good.
 *
 * @returns whether a `Host` header may be answered
 */
export function createNameCheck(address: string): (host: string | undefined) => boolean {
  if (!isLoopback(address)) return () => true;
  const names = new Set([hostOf(address), 'localhost', '127.0.0.1', '[::1]']);
  return (host) => names.has(hostOf(host));
}

function hostOf(address = ''): string {
  return address.replace(/:\d*$/, '').toLowerCase();
}
