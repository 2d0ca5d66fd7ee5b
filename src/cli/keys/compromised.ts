/** What `sealwire keys rotate --compromised` says: what it did, what clients will see, and what else was taken. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { formatDate } from '../../keys/lifecycle.js';
import type { PlannedRotation } from '../../keys/rotation.js';

const CLIENTS = `Calls that are sealed to the old keys fail with SEALED_FIELD_UNKNOWN_KEY. Generated clients then fetch the new key
and make the call once more; a call with a stream of requests fails once.
`;

/** @param kid the new key */
export function describeReplacement(kid: string, { previous }: PlannedRotation): string {
  const old = [...previous].map(([each, { withdrawn, retired = 0 }]) =>
    withdrawn === undefined
      ? `key ${each} opens stored tokens until ${formatDate(retired)}, and no calls`
      : `key ${each} is retired: refused from now on, for stored tokens too`,
  );
  return `key ${kid} is new and active now: no copy of the ring has it\n${old.map((line) => `${line}\n`).join('')}${CLIENTS}`;
}

/** Files that are beside the ring of a service, and what to do when they are stolen. */
const BESIDE = {
  'root.json': 'decides which keys clients seal to; replace it: sealwire keys root rotate',
  'set-signing.json': 'signs key sets; replace it: sealwire keys root delegate --new-key',
  'log.key':
    'signs the audit log; compare the log with a checkpoint that you kept, then begin a new one, 300 s after the last call',
} as const;

/** @returns which other secrets whoever copied the folder of the ring has, or nothing */
export function describeRest(ringPath: string): string {
  const found = Object.entries(BESIDE).filter(([name]) => existsSync(join(dirname(ringPath), name)));
  if (found.length === 0) return '';
  const lines = found.map(([name, what]) => `  ${name}: ${what}\n`).join('');
  return `Whoever copied the folder of the ring has these too:\n${lines}`;
}
