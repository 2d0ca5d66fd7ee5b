/** How a call's answer is written to a web client, in each of the three forms. Bytes of messages pass as they are. */
import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { Code, ConnectError } from '@connectrpc/connect';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import {
  codeToHttpStatus,
  contentTypeUnaryJson,
  endStreamFlag,
  endStreamToJson,
  errorToJsonBytes,
  trailerMux,
} from '@connectrpc/connect/protocol-connect';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerSerialize } from '@connectrpc/connect/protocol-grpc-web';

export type WebResponse = ServerResponse | Http2ServerResponse;

/** An answer that is being written. */
export interface Answer {
  /** Metadata has come. */
  begin(metadata: Headers): void;
  /** Bytes of length-prefixed messages. @returns whether more are welcome now; else after `drain` of the response */
  take(chunk: Buffer): boolean;
  /** @param trailers as gRPC has them, with `grpc-status` */
  end(trailers: Headers): void;
}

/** What is gRPC's own among trailers. */
const STATUS = ['grpc-status', 'grpc-message', 'grpc-status-details-bin'];
/** Largest answer that is kept until its status has come; gRPC's clients take as much. */
const MAX_ANSWER_BYTES = 4_194_304;
const PREFIX_BYTES = 5;

/** Messages as they come, and a last frame with the status. */
abstract class StreamedAnswer implements Answer {
  readonly #response: WebResponse;
  readonly #contentType: string;

  constructor(response: WebResponse, contentType: string) {
    this.#response = response;
    this.#contentType = contentType;
  }

  begin(metadata: Headers): void {
    writeHead(this.#response, 200, metadata, this.#contentType);
  }

  take(chunk: Buffer): boolean {
    return write(this.#response, chunk);
  }

  end(trailers: Headers): void {
    if (!this.#response.headersSent) this.begin(new Headers());
    this.#response.end(this.lastFrame(trailers));
  }

  protected abstract lastFrame(trailers: Headers): Uint8Array;
}

/** gRPC-Web: the last frame has the trailers. */
export class GrpcWebAnswer extends StreamedAnswer {
  protected lastFrame(trailers: Headers): Uint8Array {
    return encodeEnvelope(trailerFlag, trailerSerialize(trailers));
  }
}

/** Connect's streams: the last frame has status and trailers as JSON. */
export class ConnectStreamAnswer extends StreamedAnswer {
  protected lastFrame(trailers: Headers): Uint8Array {
    const json = JSON.stringify(endStreamToJson(withoutStatus(trailers), findError(trailers), undefined));
    return encodeEnvelope(endStreamFlag, Buffer.from(json));
  }
}

/** Connect's single calls: the status is HTTP's, so the message waits for it. */
export class ConnectUnaryAnswer implements Answer {
  readonly #response: WebResponse;
  readonly #contentType: string;
  #metadata = new Headers();
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(response: WebResponse, contentType: string) {
    this.#response = response;
    this.#contentType = contentType;
  }

  begin(metadata: Headers): void {
    this.#metadata = metadata;
  }

  take(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    // What is too long is not kept, and refused at the end.
    if (this.#bytes > MAX_ANSWER_BYTES) this.#chunks = [];
    else this.#chunks.push(chunk);
    return true;
  }

  end(trailers: Headers): void {
    const frame = Buffer.concat(this.#chunks);
    const error = findError(trailers) ?? this.#findFault(frame);
    const metadata = trailerMux(this.#metadata, withoutStatus(trailers));
    const body = error === undefined ? frame.subarray(PREFIX_BYTES) : Buffer.from(errorToJsonBytes(error, undefined));
    const status = error === undefined ? 200 : codeToHttpStatus(error.code);
    metadata.set('content-length', String(body.length));
    writeHead(this.#response, status, metadata, error === undefined ? this.#contentType : contentTypeUnaryJson);
    this.#response.end(body);
  }

  #findFault(frame: Buffer): ConnectError | undefined {
    if (this.#bytes > MAX_ANSWER_BYTES) return new ConnectError('the answer is too long', Code.ResourceExhausted);
    const isOne = frame.length >= PREFIX_BYTES && frame.length === PREFIX_BYTES + frame.readUInt32BE(1);
    if (isOne && frame[0] === 0) return undefined;
    return new ConnectError('the method answers with a stream: call it as one', Code.Unimplemented);
  }
}

function findError(trailers: Headers): ConnectError | undefined {
  const error = findTrailerError(trailers);
  if (error !== undefined || trailers.has('grpc-status')) return error;
  return new ConnectError('the service gave no status', Code.Internal);
}

function withoutStatus(trailers: Headers): Headers {
  const rest = new Headers(trailers);
  for (const name of STATUS) rest.delete(name);
  return rest;
}

function writeHead(response: WebResponse, status: number, metadata: Headers, contentType: string): void {
  for (const [name, value] of metadata) response.setHeader(name, value);
  response.setHeader('content-type', contentType);
  response.writeHead(status);
}

/** The two responses of Node have no `write` in common. */
function write(response: WebResponse, chunk: Buffer): boolean {
  return 'stream' in response ? response.write(chunk) : response.write(chunk);
}
