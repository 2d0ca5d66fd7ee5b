/**
 * Limits on connections. Each takes a descriptor, whoever opened it and whatever it says; without any a service can
 * neither take calls nor write its audit log.
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';

/** Descriptors in four that connections may take: the others are for files. */
const QUARTERS = 3;
/** Where the system does not tell how many there are. */
const SOME_DESCRIPTORS = 8_192;
const MOST_CONNECTIONS = 65_536;

/** @returns how many connections this process can have and still open files */
export function affordableConnections(limits = readLimits()): number {
  const [, soft] = /^Max open files +(\d+) /m.exec(limits) ?? [];
  return Math.min(MOST_CONNECTIONS, Math.floor((Number(soft ?? SOME_DESCRIPTORS) * QUARTERS) / 4));
}

/** proc(5); Node has raised the soft limit to the hard one. */
function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}

/** Open connections by the network that they come from. */
export class Connections {
  readonly #most: (network: string) => number;
  readonly #total: number;
  readonly #networks = new Map<string, Set<Socket>>();
  #count = 0;

  /**
   * @param most how many a network may have
   * @param total how many all may have; past it the network with the most loses its latest
   */
  constructor(most: (network: string) => number, total: number) {
    this.#most = most;
    this.#total = total;
  }

  /** @returns the connection that has to go for the new one, which may be the new one itself */
  add(socket: Socket, network: string): Socket | undefined {
    const own = this.#networks.get(network) ?? new Set();
    this.#networks.set(network, own.add(socket));
    this.#count++;
    socket.once('close', () => {
      own.delete(socket);
      if (own.size === 0) this.#networks.delete(network);
      this.#count--;
    });
    if (own.size > this.#most(network)) return socket;
    return this.#count > this.#total ? this.#latestOfGreatest(own) : undefined;
  }

  #latestOfGreatest(comer: Set<Socket>): Socket | undefined {
    let most = comer;
    for (const own of this.#networks.values()) if (own.size > most.size) most = own;
    return [...most].at(-1);
  }
}
