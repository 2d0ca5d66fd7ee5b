/** The three forms in which web clients call, by content type: what a request says in each. */
import type { IncomingHttpHeaders } from 'node:http';
import { Code, ConnectError } from '@connectrpc/connect';
import { parseTimeout } from '@connectrpc/connect/protocol-connect';
import { type Answer, ConnectStreamAnswer, ConnectUnaryAnswer, GrpcWebAnswer, type WebResponse } from './answers.js';

/** One form. */
export interface WebForm {
  readonly name: 'connect' | 'connect stream' | 'grpc-web';
  /** Whether the body is one message without a length before it. */
  readonly isBare: boolean;
  /** Header that names the compression of messages. */
  readonly encoding: string;
  /** @returns the value of `grpc-timeout` @throws ConnectError for one that is malformed */
  timeout(headers: IncomingHttpHeaders): string | undefined;
  createAnswer(response: WebResponse, contentType: string): Answer;
}

const connectUnary: WebForm = {
  name: 'connect',
  isBare: true,
  encoding: 'content-encoding',
  timeout: connectTimeout,
  createAnswer: (response, contentType) => new ConnectUnaryAnswer(response, contentType),
};
const connectStream: WebForm = {
  name: 'connect stream',
  isBare: false,
  encoding: 'connect-content-encoding',
  timeout: connectTimeout,
  createAnswer: (response, contentType) => new ConnectStreamAnswer(response, contentType),
};
const grpcWeb: WebForm = {
  name: 'grpc-web',
  isBare: false,
  encoding: 'grpc-encoding',
  timeout: ({ 'grpc-timeout': timeout }) => timeout as string | undefined,
  createAnswer: (response, contentType) => new GrpcWebAnswer(response, contentType),
};

const NO_JSON =
  'this gateway passes messages on as they are and knows no JSON: let the client use the binary format ' +
  '(useBinaryFormat: true)';
/** Content types that are taken. */
export const CONTENT_TYPES = 'application/proto, application/connect+proto, application/grpc-web+proto';

/** Forms by content type; of those with a text a client understands the refusal. */
const FORMS: readonly [type: RegExp, form: WebForm, refused?: string][] = [
  [/^application\/proto$/i, connectUnary],
  [/^application\/connect\+proto$/i, connectStream],
  [/^application\/grpc-web(?:\+proto)?$/i, grpcWeb],
  [/^application\/json *(?:;|$)/i, connectUnary, NO_JSON],
  [/^application\/connect\+json *(?:;|$)/i, connectStream, NO_JSON],
  [/^application\/grpc-web\+json *(?:;|$)/i, grpcWeb, NO_JSON],
];

/** @returns the form of a request, and why it is refused; undefined for a content type of none of them */
export function formOf(contentType = ''): { readonly form: WebForm; readonly refused?: ConnectError } | undefined {
  const [, form, refused] = FORMS.find(([type]) => type.test(contentType)) ?? [];
  if (form === undefined) return undefined;
  return { form, ...(refused !== undefined && { refused: new ConnectError(refused, Code.Unimplemented) }) };
}

/** gRPC takes eight digits at most. */
const MAX_DIGITS = 99_999_999;

function connectTimeout({ 'connect-timeout-ms': value }: IncomingHttpHeaders): string | undefined {
  const { timeoutMs, error } = parseTimeout(value === undefined ? null : String(value), Number.MAX_SAFE_INTEGER);
  if (error !== undefined) throw error;
  if (timeoutMs === undefined) return undefined;
  return timeoutMs <= MAX_DIGITS ? `${timeoutMs}m` : `${Math.ceil(timeoutMs / 1_000)}S`;
}
