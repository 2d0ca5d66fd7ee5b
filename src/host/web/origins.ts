/** Which pages may call (CORS): those of the gateway's own origin, and those of listed ones. */
import type { WebResponse } from './answers.js';
import type { WebRequest } from './web-call.js';

/** How long browsers remember that a page may call, in s; they keep it for two hours at most. */
const PREFLIGHT_SECONDS = 7_200;
/** Names of headers, as a browser lists those that a page wants to send. */
const HEADER_NAMES = /^[a-zA-Z0-9_.\-, ]{0,4096}$/;

export class Origins {
  readonly #listed: ReadonlySet<string>;

  constructor(listed: readonly string[]) {
    this.#listed = new Set(listed);
  }

  /**
   * Sets what tells the browser that a page of a listed origin may read the answer.
   *
   * @returns whether the request may be answered: clients that are no browsers name no origin
   */
  admit(request: WebRequest, response: WebResponse): boolean {
    const { origin } = request.headers;
    response.setHeader('vary', 'Origin');
    if (origin === undefined || isOwn(origin, request)) return true;
    if (!this.#listed.has(origin)) return false;
    response.setHeader('access-control-allow-origin', origin);
    // No credentials of the browser's are taken, so this may be everything.
    response.setHeader('access-control-expose-headers', '*');
    return true;
  }

  /** Answers whether a page of a listed origin may make a call. */
  preflight(request: WebRequest, response: WebResponse): void {
    const names = String(request.headers['access-control-request-headers'] ?? '');
    response.setHeader('access-control-allow-methods', 'POST');
    if (HEADER_NAMES.test(names)) response.setHeader('access-control-allow-headers', names);
    response.setHeader('access-control-max-age', PREFLIGHT_SECONDS);
    response.writeHead(204);
    response.end();
  }
}

/** Whoever ends TLS before the gateway makes `https` of `http`. */
function isOwn(origin: string, request: WebRequest): boolean {
  const host = 'authority' in request ? request.authority : request.headers.host;
  return host !== undefined && origin.replace(/^https?:\/\//, '') === host;
}
