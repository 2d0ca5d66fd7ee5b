/** A failed call in one line: what the service said, and what to do about it. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { errorDetails } from '../../client/client.js';
import { SealwireError } from '../../errors.js';
import type { TargetFlags } from './target-options.js';

const MAX_TEXT = 300;
/** Characters that a terminal could take for a command. */
const CONTROL = /\p{C}/gu;

/** The service, or something on the way to it, is unreachable. */
export function isUnavailable({ code }: ServiceError): boolean {
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED;
}

/** @returns one line; text of the service is cut and cannot steer a terminal */
export function describeFailure(error: ServiceError): string {
  const line = `${status[error.code] ?? error.code}: ${clean(error.details)}`;
  const details = errorDetails(error);
  if (details === undefined) return line;
  const { reason, code = reason, metadata, violations } = details;
  // A failure of this side that no service could have: its text says all.
  if (reason === undefined || code === undefined) return line;
  const facts = [
    ...Object.entries(metadata).map(([name, value]) => `${clean(name)} ${clean(value)}`),
    ...violations.map(({ path, rule }) => `${clean(path)} ${clean(rule)}`),
  ];
  return `${line} (${[reason, ...facts].join('; ')}); run sealwire explain ${code}`;
}

/** @returns the error of a service that cannot be asked, with what the transport said */
export function withTransport(error: SealwireError): SealwireError {
  const { details = '' } = (error.cause ?? {}) as Partial<ServiceError>;
  return details === '' ? error : new SealwireError(error.code, `${error.message}: ${clean(details)}`);
}

/** @returns the error; that of a service that cannot be asked, with the command that finds out why */
export function withHint(error: unknown, flags: TargetFlags): unknown {
  if (!(error instanceof SealwireError) || !/^(?:SCHEMA|KEY_SET)_UNAVAILABLE$/.test(error.code)) return error;
  const { tls, tlsCa, tlsCert, tlsKey, authority } = flags;
  const given = Object.entries({ 'tls-ca': tlsCa, 'tls-cert': tlsCert, 'tls-key': tlsKey, authority });
  const words = given.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]));
  const command = ['sealwire doctor', flags.address, ...(tls === true ? ['--tls'] : []), ...words].join(' ');
  return new SealwireError(error.code, `${withTransport(error).message}; run ${command}`);
}

/** @returns text of a service, cut, that cannot steer a terminal */
export function clean(text: string): string {
  return text.slice(0, MAX_TEXT).replace(CONTROL, '?');
}
