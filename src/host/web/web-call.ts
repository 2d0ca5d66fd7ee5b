/** One call: from a web client's request to a stream of the service, and back. No message is kept or decoded. */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { Code, ConnectError } from '@connectrpc/connect';
import { codeToString } from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import type { Answer, WebResponse } from './answers.js';
import type { WebForm } from './web-forms.js';
import { metadataOfAnswer, metadataOfRequest } from './web-metadata.js';

export type WebRequest = IncomingMessage | Http2ServerRequest;

/** How a call ended. */
export interface Outcome {
  /** As Connect writes it, `ok` for none. */
  readonly code: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** A single message whose length nobody said is collected up to this; browsers say it. */
const UNSIZED_BYTES = 65_536;
const PREFIX_BYTES = 5;
/** What {@link passCall} needs. */
export interface WebCallParts {
  readonly request: WebRequest;
  readonly response: WebResponse;
  readonly form: WebForm;
  /** The method, e.g. `/payments.v1.PaymentService/Authorize`. */
  readonly path: string;
  readonly session: Promise<ClientHttp2Session>;
}

/** Passes a call on. @throws what writing the answer throws */
export async function passCall(parts: WebCallParts): Promise<Outcome> {
  const { request, response, form } = parts;
  const answer = form.createAnswer(response, String(request.headers['content-type']));
  try {
    return await pass(parts, answer);
  } catch (error) {
    const failure = error instanceof ConnectError ? error : new ConnectError('the gateway failed', Code.Unavailable);
    return refuse(request, answer, failure);
  }
}

/** Answers a call that is not passed on. */
export function refuse(request: WebRequest, answer: Answer, error: ConnectError): Outcome {
  // What still comes of it is not kept.
  request.resume();
  answer.end(setTrailerStatus(new Headers(), error));
  return { code: codeToString(error.code), bytesIn: 0, bytesOut: 0 };
}

async function pass({ request, response, form, path, session }: WebCallParts, answer: Answer): Promise<Outcome> {
  const timeout = form.timeout(request.headers);
  const encoding = request.headers[form.encoding] as string | undefined;
  const start = form.isBare ? await startOfBare(request, encoding) : Buffer.alloc(0);
  const stream = (await session).request({
    ...metadataOfRequest(request.headers),
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: path,
    [constants.HTTP2_HEADER_TE]: 'trailers',
    [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc+proto',
    ...(timeout !== undefined && { 'grpc-timeout': timeout }),
    ...(encoding !== undefined && { 'grpc-encoding': encoding }),
  });
  const counts = { bytesIn: 0, bytesOut: 0 };
  if (start.length > 0) stream.write(start);
  request.on('data', (chunk: Buffer) => {
    counts.bytesIn += chunk.length;
  });
  request.pipe(stream);
  response.once('close', () => {
    if (response.writableFinished) return;
    stream.close(constants.NGHTTP2_CANCEL);
    // A paused stream would not come to its end.
    stream.resume();
  });
  const trailers = await readAnswer({ stream, response, answer, counts });
  request.unpipe(stream).resume();
  if (!response.destroyed) answer.end(trailers);
  return { code: codeName(trailers), ...counts };
}

interface AnswerParts {
  readonly stream: ClientHttp2Stream;
  readonly response: WebResponse;
  readonly answer: Answer;
  readonly counts: { bytesOut: number };
}

/** @returns the trailers, with a status in any case */
function readAnswer({ stream, response, answer, counts }: AnswerParts): Promise<Headers> {
  return new Promise((resolve, reject) => {
    let status: IncomingHttpHeaders | undefined;
    stream.once('response', (headers) => {
      try {
        // A call that fails at once has its status here, and nothing else.
        if (headers['grpc-status'] !== undefined) status = headers;
        else answer.begin(metadataOfAnswer(headers));
      } catch (error) {
        stream.close(constants.NGHTTP2_CANCEL);
        reject(error);
      }
    });
    stream.on('data', (chunk: Buffer) => {
      counts.bytesOut += chunk.length;
      if (answer.take(chunk)) return;
      stream.pause();
      response.once('drain', () => stream.resume());
    });
    stream.once('trailers', (trailers) => {
      status = trailers;
    });
    // What the end says is enough.
    stream.on('error', () => {});
    stream.once('close', () => resolve(status === undefined ? withoutStatus() : metadataOfAnswer(status)));
  });
}

function withoutStatus(): Headers {
  return setTrailerStatus(new Headers(), new ConnectError('the service ended the call', Code.Unavailable));
}

/** @returns the length that gRPC wants before a message; with the message where its length is not known */
async function startOfBare(request: WebRequest, encoding = 'identity'): Promise<Buffer> {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix[0] = encoding === 'identity' ? 0 : 1;
  const { 'content-length': length } = request.headers;
  if (length !== undefined) {
    prefix.writeUInt32BE(Math.min(Number(length), 0xffff_ffff), 1);
    return prefix;
  }
  const chunks: Buffer[] = [prefix];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > UNSIZED_BYTES) throw new ConnectError('a message without Content-Length', Code.ResourceExhausted);
    chunks.push(chunk as Buffer);
  }
  prefix.writeUInt32BE(bytes, 1);
  return Buffer.concat(chunks);
}

function codeName(trailers: Headers): string {
  const code = Number(trailers.get('grpc-status'));
  return code === 0 ? 'ok' : codeToString(code as Code);
}
