/** Static files of an app: read once, so that no request names a path of the disk. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { SealwireError } from '../../errors.js';
import type { WebResponse } from './answers.js';
import type { WebRequest } from './web-call.js';

interface Page {
  readonly bytes: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** Files of other kinds are not served. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
};
const MAX_BYTES = 16_777_216;

/** Nothing from elsewhere, no script in the page itself, no form that sends without a script, no frame around it. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** Headers of every page. */
const SAFE_HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'cache-control': 'no-cache',
} as const;

export class Pages {
  readonly #pages = new Map<string, Page>();

  /** @throws SealwireError `OPTIONS_INVALID` for a folder that cannot be read, or whose files have over 16 MiB */
  constructor(folder: string) {
    let total = 0;
    try {
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        const type = TYPES[extname(entry.name)];
        if (!entry.isFile() || type === undefined) continue;
        const path = join(entry.parentPath, entry.name);
        const bytes = readFileSync(path);
        total += bytes.length;
        this.#add(`/${relative(folder, path).split(sep).join('/')}`, bytes, type);
      }
    } catch (error) {
      throw new SealwireError('OPTIONS_INVALID', `web pages: ${folder}: ${(error as NodeJS.ErrnoException).code}`);
    }
    if (total > MAX_BYTES) throw new SealwireError('OPTIONS_INVALID', `web pages: ${folder}: more than 16 MiB`);
  }

  #add(path: string, bytes: Buffer, type: string): void {
    const etag = `"${createHash('sha256').update(bytes).digest('base64url')}"`;
    const page = { bytes, headers: { ...SAFE_HEADERS, 'content-type': type, etag } };
    this.#pages.set(path, page);
    if (path.endsWith('/index.html')) this.#pages.set(path.slice(0, -'index.html'.length), page);
  }

  /** Answers a GET or HEAD. @returns false where there is no such page */
  serve(path: string, request: WebRequest, response: WebResponse): boolean {
    const page = this.#pages.get(path);
    if (page === undefined) return false;
    const isKnown = request.headers['if-none-match'] === page.headers['etag'];
    for (const [name, value] of Object.entries(page.headers)) response.setHeader(name, value);
    if (!isKnown) response.setHeader('content-length', page.bytes.length);
    response.writeHead(isKnown ? 304 : 200);
    response.end(isKnown || request.method === 'HEAD' ? '' : page.bytes);
    return true;
  }
}
