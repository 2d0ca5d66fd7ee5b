/**
 * Limits on connections, and on messages that were begun and not finished. grpc-js keeps the parts of a message until
 * its last byte has come, for as long as that takes: a hundred streams of one connection would hold a hundred messages
 * but a byte.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Metadata, type Server } from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import { checkRange } from '../../profile/check-range.js';
import { errorStatus, STATUS_DETAILS_KEY } from '../../schema/error-status.js';
import { accountOfAddress, askCaller, type CallerFunction, createCaller, identityOf } from '../caller.js';
import { affordableConnections, Connections } from './connections.js';
import { deliverFew, deliverSingly, MessageBounds, type StreamTurns, Turns } from './single-messages.js';

/** Options of {@link limitReceiving}. */
export interface ReceiveLimitOptions {
  /** How long one message may take from its first byte to its last, ms. Default 30,000; 100 to 600,000. */
  readonly messageTimeoutMs?: number;
  /** Bytes of unfinished messages of one connection. Default 8,388,608; 65,536 to 1,073,741,824. */
  readonly connectionBytes?: number;
  /** Likewise of one caller, over all of its connections. Default 16,777,216. */
  readonly callerBytes?: number;
  /** Likewise of all callers. Beyond it the caller who holds most loses its oldest message. Default 134,217,728. */
  readonly totalBytes?: number;
  /**
   * Connections from one address, of IPv6 from one /64; further ones are closed. Default 1,024; 1 to 1,000,000. A proxy
   * for many callers needs a share.
   */
  readonly addressConnections?: number;
  /**
   * Connections of all callers. Beyond it the address that has most loses its latest. Default: three quarters of the
   * descriptors that the process may have, at most 65,536; 1 to 1,000,000.
   */
  readonly totalConnections?: number;
  /** Whom bytes are charged to. Default: as the open interceptor's. */
  readonly caller?: CallerFunction;
  /** Multiples of `callerBytes` and `addressConnections` by account, as the open interceptor's. Default: none. */
  readonly shares?: Readonly<Record<string, number>>;
}

/** What is held at the moment. */
export interface ReceiveLimits {
  /** Bytes of unfinished messages. */
  readonly heldBytes: number;
  /** Streams and connections that were ended by a limit so far. */
  readonly refusals: number;
}

type Limits = Required<Omit<ReceiveLimitOptions, 'caller' | 'totalConnections'>>;
/** Bytes that one connection, or one caller, holds in unfinished messages. */
interface Holding {
  bytes: number;
  /** In the order in which their messages began. */
  readonly streams: Set<Reception>;
}

/** Compressed messages of one caller that are decompressed at once. */
const UNPACKED_AT_ONCE = 32;
const BYTES: readonly [number, number] = [65_536, 1_073_741_824];
const CONNECTIONS: readonly [number, number] = [1, 1_000_000];
/** A call is over for its caller when the answer has come; who does not close the stream then has it closed. */
const LINGER_MS = 1_000;

/**
 * Limits what a server keeps of unfinished messages. To be called when the server is bound, before calls come; and
 * again after a further `bindAsync` or `createConnectionInjector`. A stream beyond a limit ends with `LIMIT_EXCEEDED`.
 *
 * @param server a bound grpc-js server
 * @returns what is held
 * @throws SealwireError `OPTIONS_INVALID` for a server that is not bound, or of a grpc-js that is not known to work:
 *   its HTTP/2 servers are in no documented place
 */
export function limitReceiving(server: Server, options: ReceiveLimitOptions = {}): ReceiveLimits {
  const { messageTimeoutMs = 30_000, connectionBytes = 8_388_608, callerBytes = 16_777_216 } = options;
  const { totalBytes = 134_217_728, caller = createCaller(), shares = {} } = options;
  const { addressConnections = 1_024, totalConnections = affordableConnections() } = options;
  checkRange('messageTimeoutMs', messageTimeoutMs, [100, 600_000]);
  for (const [account, share] of Object.entries(shares)) checkRange(`shares: ${account}`, share, [1, 1_000]);
  for (const [name, value] of Object.entries({ connectionBytes, callerBytes, totalBytes }))
    checkRange(name, value, BYTES);
  for (const [name, value] of Object.entries({ addressConnections, totalConnections }))
    checkRange(name, value, CONNECTIONS);
  const limits = { messageTimeoutMs, connectionBytes, callerBytes, totalBytes, addressConnections, shares };
  const book = new Book(limits, totalConnections, caller);
  for (const http2Server of http2ServersOf(server)) {
    http2Server.on('connection', (socket) => book.connect(socket));
    http2Server.on('stream', (stream, headers) => new Reception(stream, headers, book));
  }
  return book;
}

/** An HTTP/2 server of grpc-js. */
export interface Http2Events {
  on(event: 'connection', listener: (socket: Socket) => void): unknown;
  on(event: 'stream', listener: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void): unknown;
  on(event: 'tlsClientError', listener: (error: Error, socket: TLSSocket) => void): unknown;
}

/** Fails where it does not find them: a service must not start without its limits and not say so. */
export function http2ServersOf(server: Server): readonly Http2Events[] {
  const held: unknown = (server as unknown as { readonly http2Servers?: unknown }).http2Servers;
  const servers = held instanceof Map ? [...held.keys()] : [];
  const known = servers.filter((one): one is Http2Events => typeof (one as Http2Events | null)?.on === 'function');
  if (known.length > 0 && known.length === servers.length) return known;
  throw new SealwireError(
    'OPTIONS_INVALID',
    'the server is not bound, or this version of grpc-js is not known to work',
  );
}

/** Who holds how much. */
class Book implements ReceiveLimits {
  readonly limits: Limits;
  heldBytes = 0;
  refusals = 0;
  readonly #caller: CallerFunction;
  readonly #connections = new WeakMap<object, Holding>();
  readonly #callers = new Map<string, Holding>();
  readonly #turns = new Turns(UNPACKED_AT_ONCE);
  readonly #open: Connections;

  constructor(limits: Limits, totalConnections: number, caller: CallerFunction) {
    this.limits = limits;
    this.#caller = caller;
    this.#open = new Connections((network) => limits.addressConnections * this.#shareOf(network), totalConnections);
  }

  /** Takes a new connection, or closes one. */
  connect(socket: Socket): void {
    const closed = this.#open.add(socket, accountOfAddress(socket.remoteAddress ?? ''));
    if (closed === undefined) return;
    this.refusals++;
    closed.destroy();
  }

  /** What a stream's connection holds. */
  connection(stream: ServerHttp2Stream): Holding {
    // Without a session the stream has ended.
    const session = stream.session ?? stream;
    const account = this.#connections.get(session) ?? createHolding();
    this.#connections.set(session, account);
    return account;
  }

  /**
   * Only asked of streams with an unfinished message, or compressed ones: most messages come whole, and as they are.
   */
  accountOf(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): string {
    const socket = stream.session?.socket;
    // As grpc-js has it: whoever is let in without a certificate has an empty one.
    const certificate = (socket as Partial<TLSSocket> | undefined)?.getPeerCertificate?.();
    const address = socket?.remoteAddress ?? '';
    try {
      return askCaller(this.#caller, {
        peer: `${address}:${socket?.remotePort ?? 0}`,
        metadata: Metadata.fromHttp2Headers(headers),
        tlsIdentity: certificate?.raw && identityOf(certificate),
      }).account;
    } catch {
      // The call itself will be refused for this.
      return accountOfAddress(address);
    }
  }

  /** Turns of a stream whose messages are compressed. */
  turnsOf(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): StreamTurns {
    const account = this.accountOf(stream, headers);
    const share = this.#shareOf(account);
    return {
      ask: (begin) => this.#turns.ask(account, share, begin),
      end: () => this.#turns.end(account),
    };
  }

  #shareOf(account: string): number {
    const { shares } = this.limits;
    return Object.hasOwn(shares, account) ? (shares[account] as number) : 1;
  }

  /** Charges bytes, and ends streams until they fit. */
  hold(reception: Reception, connection: Holding, name: string, bytes: number): void {
    const caller = this.#callers.get(name) ?? createHolding();
    this.#callers.set(name, caller);
    for (const account of [connection, caller]) {
      account.bytes += bytes;
      account.streams.add(reception);
    }
    this.heldBytes += bytes;
    const { connectionBytes, callerBytes, totalBytes } = this.limits;
    if (connection.bytes > connectionBytes || caller.bytes > callerBytes * this.#shareOf(name)) reception.refuse();
    while (this.heldBytes > totalBytes) this.#greatest().refuse();
  }

  release(reception: Reception, connection: Holding, name: string, bytes: number): void {
    const caller = this.#callers.get(name) as Holding;
    for (const account of [connection, caller]) {
      account.bytes -= bytes;
      account.streams.delete(reception);
    }
    this.heldBytes -= bytes;
    if (caller.streams.size === 0) this.#callers.delete(name);
  }

  /** The oldest stream of the caller who holds most. */
  #greatest(): Reception {
    let most: Holding | undefined;
    for (const account of this.#callers.values()) if (account.bytes > (most?.bytes ?? -1)) most = account;
    return [...(most as Holding).streams][0] as Reception;
  }
}

function createHolding(): Holding {
  return { bytes: 0, streams: new Set() };
}

/** One stream: follows where its messages begin and end, and keeps none of their bytes. */
class Reception {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #book: Book;
  readonly #bounds = new MessageBounds();
  /** Bytes of the unfinished message that were charged. */
  #held = 0;
  #connection: Holding | undefined;
  #caller = '';
  #timer: NodeJS.Timeout | undefined;
  #isRefused = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, book: Book) {
    this.#stream = stream;
    this.#headers = headers;
    this.#book = book;
    // Nobody reads what comes for an unknown method: a listener would make it flow. Where grpc-js listens, it says
    // when.
    if (stream.listenerCount('data') === 0) return;
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    const { 'grpc-encoding': encoding = 'identity' } = headers;
    if (encoding === 'identity') deliverFew(stream);
    else deliverSingly(stream, book.turnsOf(stream, headers));
    stream.once('finish', () => this.#letGo());
    stream.once('close', () => this.#release());
  }

  /** Nobody reads what still comes of a call that was answered. */
  #letGo(): void {
    const stream = this.#stream;
    if (stream.readableEnded) return;
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS).unref();
    stream.once('close', () => clearTimeout(timer));
  }

  #take(chunk: Buffer): void {
    let begun = this.#held;
    for (let at = 0; at < chunk.length; ) {
      const { end, isWhole } = this.#bounds.take(chunk, at);
      begun = isWhole ? 0 : begun + end - at;
      at = end;
      if (isWhole) this.#release();
    }
    if (begun > this.#held) this.#hold(begun - this.#held);
  }

  #hold(bytes: number): void {
    if (this.#isRefused || this.#stream.closed) return;
    if (this.#connection === undefined) {
      this.#connection = this.#book.connection(this.#stream);
      this.#caller = this.#book.accountOf(this.#stream, this.#headers);
    }
    this.#timer ??= setTimeout(() => this.refuse(), this.#book.limits.messageTimeoutMs).unref();
    this.#held += bytes;
    this.#book.hold(this, this.#connection, this.#caller, bytes);
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#held === 0) return;
    const held = this.#held;
    this.#held = 0;
    this.#book.release(this, this.#connection as Holding, this.#caller, held);
  }

  /** Forgets the stream's bytes at once, and ends it; grpc-js then drops what it has kept of the message. */
  refuse(): void {
    this.#release();
    if (this.#isRefused || this.#stream.closed) return;
    this.#isRefused = true;
    this.#book.refusals++;
    // Not amid the bytes that have come: the session is reading.
    setImmediate(() => this.#end());
  }

  #end(): void {
    if (this.#stream.closed) return;
    if (this.#stream.headersSent) {
      // To clients of gRPC this says RESOURCE_EXHAUSTED.
      this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return;
    }
    const { code, details, statusDetails } = errorStatus(new SealwireError('RECEIVE_LIMIT', 'an unfinished message'));
    const trailers = new Metadata();
    trailers.set(STATUS_DETAILS_KEY, Buffer.from(statusDetails as Uint8Array));
    const status = { 'grpc-status': String(code), 'grpc-message': details, ...trailers.toHttp2Headers() };
    this.#stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto', ...status }, { endStream: true });
    this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }
}
