/** How to reach a service and whose keys to trust, from flags. */
import { readFileSync } from 'node:fs';
import { type ChannelCredentials, type ClientOptions, credentials, type Metadata } from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import { decodeText, tidyPem } from '../../files/file-text.js';
import { readCertificates } from '../../files/pem-certificates.js';
import { loadVerificationKey } from '../../keys/signed-set/signing-key.js';
import { readHeaders } from './headers.js';
import type { ConnectionFlags, TargetFlags } from './target-options.js';

const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/** What every client of a service needs. */
export interface Target {
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly channelOptions: ClientOptions;
  /** Sent with each call, those for the schema and for keys too. */
  readonly metadata: Metadata;
}

/** @throws SealwireError `OPTIONS_INVALID` for files and headers that cannot be used */
export function readTarget(flags: TargetFlags): Target {
  const { address, authority, header } = flags;
  const channelOptions =
    authority === undefined
      ? {}
      : { 'grpc.default_authority': authority, 'grpc.ssl_target_name_override': authority.replace(/:\d+$/, '') };
  return { address, credentials: readCredentials(flags), channelOptions, metadata: readHeaders(header) };
}

/** @throws SealwireError `OPTIONS_INVALID` for files that cannot be used */
function readCredentials({ tls, tlsCa, tlsCert, tlsKey }: ConnectionFlags): ChannelCredentials {
  if (tlsCa === undefined && tlsCert === undefined && tlsKey === undefined) {
    return tls === true ? credentials.createSsl() : credentials.createInsecure();
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new SealwireError('OPTIONS_INVALID', 'give --tls-cert and --tls-key together');
  }
  const read = (path: string | undefined) => (path === undefined ? null : readPemFile(path));
  try {
    const ca = read(tlsCa);
    // With no certificate in it, nothing would be trusted and each handshake would fail.
    if (tlsCa !== undefined) expectCertificates(tlsCa);
    return credentials.createSsl(ca, read(tlsKey), read(tlsCert));
  } catch (error) {
    const { path = 'certificate or key', code } = error as NodeJS.ErrnoException;
    throw new SealwireError('OPTIONS_INVALID', `TLS: ${path}: ${code ?? 'not PEM'}`);
  }
}

function expectCertificates(path: string): void {
  try {
    readCertificates(decodeText(readFileSync(path)));
  } catch (error) {
    throw Object.assign(error as Error, { path });
  }
}

/** @returns the file's PEM in the form that every TLS library reads. @throws the errors of the file system */
export function readPemFile(path: string): Buffer {
  return Buffer.from(tidyPem(decodeText(readFileSync(path))));
}

/** @param values thumbprints, or files with the public JWK of a root */
export function readRoots(values: readonly string[]): Promise<string[]> {
  return Promise.all(
    values.map(async (value) => (THUMBPRINT.test(value) ? value : (await loadVerificationKey(value)).kid)),
  );
}
