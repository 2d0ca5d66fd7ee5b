/** Requests to a web gateway, byte by byte, in each form of a call. */
import { Buffer } from 'node:buffer';
import { type RequestOptions, request } from 'node:http';

/** What came back. */
export interface WebReply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** Posts bytes. */
export async function post(url: string, body: Uint8Array, headers: Record<string, string> = {}): Promise<WebReply> {
  const response = await fetch(url, { method: 'POST', body: Buffer.from(body), headers });
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
}

/** Sends a request as it is: `fetch` tidies paths and sets `host`. @returns the status */
export function statusOf(url: string, options: RequestOptions): Promise<number> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, ...options }, (response) => {
      response.resume();
      resolve(response.statusCode as number);
    });
    asked.on('error', reject).end();
  });
}

/** A frame of a stream: flags, length, bytes. */
export function frame(bytes: Uint8Array, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** The frames of a stream. */
export function framesOf(body: Buffer): { readonly flags: number; readonly bytes: Buffer }[] {
  const frames: { flags: number; bytes: Buffer }[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    frames.push({ flags: body[at] as number, bytes: body.subarray(at + 5, end) });
    at = end;
  }
  return frames;
}

/** What a call gave, in whichever form it was made. */
export interface WebOutcome {
  readonly messages: Buffer[];
  readonly headers: Headers;
  readonly trailers: Headers;
  /** As Connect names it; undefined for success. */
  readonly code: string | undefined;
  readonly message: string;
}

/** The forms: how a message is asked, and an answer is read. */
export const FORMS = ['connect', 'connect stream', 'grpc-web'] as const;
export type Form = (typeof FORMS)[number];

const TYPES: Readonly<Record<Form, string>> = {
  connect: 'application/proto',
  'connect stream': 'application/connect+proto',
  'grpc-web': 'application/grpc-web+proto',
};

/** Calls in a form. @param url of the method */
export async function callWeb(
  form: Form,
  url: string,
  message: Uint8Array,
  headers: Record<string, string> = {},
): Promise<WebOutcome> {
  const body = form === 'connect' ? message : frame(message);
  return readWeb(form, await post(url, body, { 'content-type': TYPES[form], ...headers }));
}

/** Reads an answer. */
export function readWeb(form: Form, { status, headers, body }: WebReply): WebOutcome {
  const trailers = new Headers();
  if (form === 'connect') {
    for (const [name, value] of headers) if (name.startsWith('trailer-')) trailers.append(name.slice(8), value);
    if (status === 200) return { messages: [body], headers, trailers, code: undefined, message: '' };
    const { code = '', message = '' } = JSON.parse(body.toString()) as { code?: string; message?: string };
    return { messages: [], headers, trailers, code, message };
  }
  const frames = framesOf(body);
  const last = frames.pop()?.bytes.toString() ?? '';
  const messages = frames.map(({ bytes }) => bytes);
  if (form === 'grpc-web') {
    for (const line of last.split('\r\n').filter(Boolean)) {
      const at = line.indexOf(': ');
      trailers.append(line.slice(0, at), line.slice(at + 2));
    }
    const code = Number(trailers.get('grpc-status'));
    const message = decodeURIComponent(trailers.get('grpc-message') ?? '');
    return { messages, headers, trailers, code: code === 0 ? undefined : CODES[code], message };
  }
  const { error, metadata = {} } = JSON.parse(last) as {
    error?: { code: string; message?: string };
    metadata?: Record<string, string[]>;
  };
  for (const [name, values] of Object.entries(metadata)) for (const value of values) trailers.append(name, value);
  return { messages, headers, trailers, code: error?.code, message: error?.message ?? '' };
}

/** By gRPC's numbers. */
const CODES = (
  'ok canceled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied ' +
  'resource_exhausted failed_precondition aborted out_of_range unimplemented internal unavailable data_loss ' +
  'unauthenticated'
).split(' ');
