/** Headers of HTTP and metadata of gRPC. */
import type { IncomingHttpHeaders } from 'node:http';

/**
 * What belongs to the hop from the web client, to its form of calls, or to the browser. Cookies are among it: a browser
 * adds them for any page, so they must not say who calls.
 */
const OF_THE_HOP = new Set(
  (
    'connection keep-alive proxy-connection transfer-encoding upgrade te trailer host content-length content-type ' +
    'content-encoding accept accept-encoding accept-language accept-charset cache-control pragma cookie dnt expect ' +
    'origin priority referer connect-protocol-version connect-timeout-ms connect-content-encoding ' +
    'connect-accept-encoding grpc-timeout grpc-encoding grpc-accept-encoding x-grpc-web date'
  ).split(' '),
);
const NAME = /^[a-z0-9_.-]+$/;

/** @returns what of a web request's headers goes on as metadata */
export function metadataOfRequest(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const passed: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || OF_THE_HOP.has(name) || name.startsWith('sec-') || !NAME.test(name)) continue;
    passed[name] = value;
  }
  return passed;
}

/** @returns what of the service's headers or trailers is metadata, statuses included */
export function metadataOfAnswer(headers: IncomingHttpHeaders): Headers {
  const passed = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(':') || OF_THE_HOP.has(name)) continue;
    for (const each of Array.isArray(value) ? value : [value]) passed.append(name, each);
  }
  return passed;
}
