/**
 * Connections to the service within this process, one for each connection of a web client and with that client's
 * address. So every limit, account and record of the service sees the client, and no header has to be believed.
 */
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type ConnectionInjector, type Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';

/** A web client's connection: a socket, or a session of HTTP/2. */
export interface WebConnection {
  readonly destroyed: boolean;
  once(event: 'close', listener: () => void): unknown;
}

/** Who is at the other end of it. */
export interface WebPeer {
  readonly address: string;
  readonly port: number;
}

const LOOPBACK = '127.0.0.1';
/** How long whoever comes to our port may wait to be asked for, in ms. */
const MEETING_MS = 5_000;

export class OwnConnections {
  readonly #injector: ConnectionInjector;
  readonly #server: Server;
  /** Accepted ends that nobody has asked for yet, by the port of their other end. */
  readonly #accepted = new Map<number, Socket>();
  readonly #asked = new Map<number, (end: Socket) => void>();
  readonly #sessions = new WeakMap<WebConnection, Promise<ClientHttp2Session>>();

  /** @param server must be given its limits of receiving after this */
  constructor(server: GrpcServer) {
    this.#injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    // Node has no pair of connected sockets. Only our own connections to this port go further.
    this.#server = createServer((end) => this.#accept(end));
  }

  async listen(): Promise<void> {
    this.#server.listen(0, LOOPBACK);
    await once(this.#server, 'listening');
  }

  close(): void {
    this.#server.close();
  }

  /** @returns the session for a connection, which ends with it; another one after the service has renewed it */
  sessionOf(connection: WebConnection, peer: WebPeer): Promise<ClientHttp2Session> {
    const known = this.#sessions.get(connection);
    if (known !== undefined) return known;
    const opening = this.#open(connection, peer);
    this.#sessions.set(connection, opening);
    const forget = () => {
      if (this.#sessions.get(connection) === opening) this.#sessions.delete(connection);
    };
    opening.then((session) => session.once('goaway', forget).once('close', forget), forget);
    return opening;
  }

  async #open(connection: WebConnection, peer: WebPeer): Promise<ClientHttp2Session> {
    const near = connect((this.#server.address() as AddressInfo).port, LOOPBACK);
    await once(near, 'connect');
    const far = await this.#meet(near);
    far.setTimeout(0);
    Object.defineProperty(far, 'remoteAddress', { value: peer.address });
    Object.defineProperty(far, 'remotePort', { value: peer.port });
    this.#injector.injectConnection(far);
    const session = connectHttp2('http://own', { createConnection: () => near });
    // Its streams say what went wrong.
    session.on('error', () => {});
    if (connection.destroyed) session.close();
    else connection.once('close', () => session.close());
    return session;
  }

  #accept(end: Socket): void {
    end.on('error', () => {});
    if (end.remoteAddress !== LOOPBACK) {
      end.destroy();
      return;
    }
    const port = end.remotePort as number;
    const asked = this.#asked.get(port);
    if (asked !== undefined) {
      asked(end);
      return;
    }
    this.#accepted.set(port, end);
    end.once('close', () => this.#accepted.delete(port));
    end.setTimeout(MEETING_MS, () => end.destroy());
  }

  /** @returns the accepted end of a connection to our port */
  #meet(near: Socket): Promise<Socket> {
    const port = near.localPort as number;
    const end = this.#accepted.get(port);
    if (end !== undefined) {
      this.#accepted.delete(port);
      return Promise.resolve(end);
    }
    return new Promise((resolve, reject) => {
      near.once('error', reject).once('close', () => reject(new Error('closed')));
      this.#asked.set(port, (late) => {
        this.#asked.delete(port);
        resolve(late);
      });
    });
  }
}
