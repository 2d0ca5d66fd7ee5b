/** A failed call in one line: what the service said, and what to do about it. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { errorDetails } from '../../client/client.js';

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

/** @returns text of a service, cut, that cannot steer a terminal */
export function clean(text: string): string {
  return text.slice(0, MAX_TEXT).replace(CONTROL, '?');
}
