/** The origin of a service's log: which service, and which of its instances. */
import { hostname } from 'node:os';
import { SealwireError } from '../../errors.js';

/** What an instance may be called: it is part of a key's name, and a host's name is mostly one. */
export const INSTANCE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
export const INSTANCE_RULE =
  'must have 1 to 128 letters, digits, dots, hyphens and underscores, a letter or digit first';

/**
 * Chooses the origin of this process's log, `NAME/INSTANCE`. A log that has begun keeps its own, also when it has no
 * instance or the host has got another name.
 *
 * @param instance as configured; undefined: the one that the log began with, else the host's name
 * @returns the option `origin` of `AuditLog.open`; it throws SealwireError `OPTIONS_INVALID` when the host's name
 *   cannot be an instance's
 */
export function chooseOrigin(name: string, instance?: string, host = hostname()): (begun?: string) => string {
  return (begun) => {
    if (begun === name) return begun;
    const kept = begun?.startsWith(`${name}/`) ? begun.slice(name.length + 1) : '';
    const chosen = instance ?? (INSTANCE.test(kept) ? kept : host);
    if (INSTANCE.test(chosen)) return `${name}/${chosen}`;
    throw new SealwireError('OPTIONS_INVALID', `instance: ${INSTANCE_RULE}; the name of this host is none, so set one`);
  };
}
