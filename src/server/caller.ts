/** Who calls: feeds limits per caller and the audit record's `peer` and `principal`. */
import { createHash } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import type { PeerCertificate } from 'node:tls';
import type { Metadata, ServerInterceptingCall } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';

/** What is known of the connection and the call when the caller is determined. */
export interface CallerContext {
  /** Address of the connection, `ip:port`. */
  readonly peer: string;
  readonly metadata: Metadata;
  /** Identity in the verified client certificate: a URI or DNS name of subjectAltName, else the CN. */
  readonly tlsIdentity: string | undefined;
}

/**
 * What a caller's name was taken from. `custom`: a caller function that gives plain strings. `credential`: what
 * `authenticateCaller` said. `internal`: the service itself.
 */
export type CallerKind = 'certificate' | 'proxy' | 'address' | 'custom' | 'credential' | 'internal';

/** A caller. */
export interface Caller {
  /** Its name, as audit records have it. */
  readonly principal: string;
  /** What everything bounded is charged to: `kind:name`, so that equal names of two kinds are two callers. */
  readonly account: string;
}

/** Says who calls; a plain string is a name of the kind `custom`. What it throws refuses the call. */
export type CallerFunction = (context: CallerContext) => Caller | string;

/** Options of {@link createCaller}. */
export interface CallerOptions {
  /**
   * Proxies whose header is believed: IP addresses, CIDR ranges, or mTLS identities. Default: none.
   */
  readonly trustedProxies?: readonly string[];
  /**
   * Metadata key in which a trusted proxy names the caller. Default `x-sealwire-caller`. The proxy must set it, and not
   * add to what the caller sent: more than one value, a value with a comma, or one of more than 256 characters refuses
   * the call.
   */
  readonly callerHeader?: string;
}

const MAX_CALLER_LENGTH = 256;

/** @param name whose account; of any length */
export function createAccount(kind: CallerKind, name: string): string {
  // Cut off, two names could become one; and so that none is another's digest, names that look like one have theirs.
  if (name.length <= MAX_CALLER_LENGTH && !name.startsWith('sha256:')) return `${kind}:${name}`;
  return `${kind}:sha256:${createHash('sha256').update(name).digest('base64url')}`;
}

/** @throws what the caller function throws */
export function askCaller(callerOf: CallerFunction, context: CallerContext): Caller {
  const caller = callerOf(context);
  return typeof caller === 'string' ? createCallerOf('custom', caller) : caller;
}

/** @returns the caller of that kind and name */
export function createCallerOf(kind: CallerKind, name: string): Caller {
  return { principal: name, account: createAccount(kind, name) };
}

/**
 * The default caller function: a trusted proxy's header, else the mTLS identity, else the IP address, of IPv6 its /64.
 * The header of anybody else is ignored.
 *
 * @param options trusted proxies and header name
 * @returns a function that throws `CALLER_REFUSED` when a trusted proxy's header is not one name
 * @throws SealwireError `OPTIONS_INVALID` for a malformed range
 *
 * @example
 * ```ts
 * import { createCaller } from 'sealwire';
 *
 * const caller = createCaller({ trustedProxies: ['10.0.0.0/8'] });
 * ```
 */
export function createCaller(options: CallerOptions = {}): (context: CallerContext) => Caller {
  const header = options.callerHeader ?? 'x-sealwire-caller';
  const addresses = new BlockList();
  const identities = new Set<string>();
  const proxies = options.trustedProxies ?? [];
  for (const proxy of proxies) addProxy(proxy, addresses, identities);
  return ({ peer, metadata, tlsIdentity }) => {
    const address = peerAddress(peer);
    const direct = () =>
      tlsIdentity === undefined
        ? createCallerOf('address', networkOf(address))
        : createCallerOf('certificate', tlsIdentity);
    if (proxies.length === 0) return direct();
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    const trusted =
      (isIP(address) !== 0 && addresses.check(address, family)) ||
      (tlsIdentity !== undefined && identities.has(tlsIdentity));
    const named = trusted ? readName(metadata, header) : undefined;
    return named === undefined ? direct() : createCallerOf('proxy', named);
  };
}

/** The one name in a trusted proxy's header; HTTP joins values that are sent apart by commas. */
function readName(metadata: Metadata, header: string): string | undefined {
  const values = metadata.get(header);
  const [name = ''] = values;
  if (values.length <= 1 && name === '') return undefined;
  if (values.length > 1 || typeof name !== 'string' || name.includes(',') || name.length > MAX_CALLER_LENGTH) {
    throw new SealwireError('CALLER_REFUSED', 'the proxy did not name one caller', { path: header });
  }
  return name;
}

function addProxy(proxy: string, addresses: BlockList, identities: Set<string>): void {
  const [address = '', prefix] = proxy.split('/');
  const version = isIP(address);
  if (version === 0) {
    identities.add(proxy);
    return;
  }
  const family = version === 6 ? 'ipv6' : 'ipv4';
  if (prefix === undefined) {
    addresses.addAddress(address, family);
    return;
  }
  const bits = Number(prefix);
  if (!/^\d{1,3}$/.test(prefix) || bits > (version === 6 ? 128 : 32)) {
    throw new SealwireError('OPTIONS_INVALID', `trustedProxies: not an address range: ${proxy}`);
  }
  addresses.addSubnet(address, bits, family);
}

/** @returns the account of whoever calls from an IP address, as {@link createCaller} has it */
export function accountOfAddress(address: string): string {
  return createAccount('address', networkOf(bareAddress(address)));
}

/** Whoever has one IPv6 address has the 2^64 of its network: per-address limits would be none. IPv4 addresses stay. */
function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = (address.split('%', 1)[0] as string).split('::');
  const groups = head.split(':').filter(Boolean);
  const after = (tail ?? '').split(':').filter(Boolean);
  if (tail !== undefined)
    groups.push(...Array<string>(Math.max(0, 8 - groups.length - after.length)).fill('0'), ...after);
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** The IP address in grpc-js's `ip:port` peer string; IPv4-mapped IPv6 addresses become IPv4. */
export function peerAddress(peer: string): string {
  const end = peer.lastIndexOf(':');
  const address = end > 0 ? peer.slice(0, end) : peer;
  return bareAddress(address.startsWith('[') ? address.slice(1, -1) : address);
}

function bareAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}

/** The identity in the client certificate of a call, if there was mTLS and the certificate was verified. */
export function tlsIdentity(call: ServerInterceptingCall): string | undefined {
  const certificate = call.getAuthContext().sslPeerCertificate;
  return certificate && identityOf(certificate);
}

/** The identity in a verified certificate. */
export function identityOf(certificate: Pick<PeerCertificate, 'subject' | 'subjectaltname'>): string | undefined {
  const names = readAltNames(certificate.subjectaltname ?? '');
  if (names === undefined) return undefined;
  const find = (kind: string) => names.find(([found]) => found === kind)?.[1];
  const identity = find('URI') ?? find('DNS') ?? certificate.subject?.CN;
  return typeof identity === 'string' && identity !== '' ? identity : undefined;
}

/**
 * The names in Node's text form of subjectAltName: `DNS:a, URI:b`, where a value with a comma or a quote in it is a
 * JSON string (CVE-2021-44532: whoever splits at commas takes a part of one name for another).
 *
 * @returns pairs of kind and value; undefined for a text of another form
 */
export function readAltNames(text: string): readonly (readonly [kind: string, value: string])[] | undefined {
  const names: [string, string][] = [];
  const form = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
  while (form.lastIndex < text.length) {
    const [, kind = '', value = ''] = form.exec(text) ?? [];
    if (kind === '') return undefined;
    try {
      names.push([kind, value.startsWith('"') ? (JSON.parse(value) as string) : value]);
    } catch {
      return undefined;
    }
  }
  return names;
}
