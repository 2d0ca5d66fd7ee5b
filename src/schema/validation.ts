/** Validation of opened inner messages: rules of the application, told to the caller by path and rule. */
import { SealwireError, type Violation } from '../errors.js';
import type { SealedSite } from './walk.js';

export type { Violation } from '../errors.js';

/**
 * Checks one inner message.
 *
 * @param message the opened message
 * @returns what it breaks: `path` from the inner message on (`number`, `items[0].name`; '' is the message itself),
 *   `rule` in words that hold no value
 */
export type Validator<T> = (message: T) => Iterable<Violation>;

/** Validators by the full name of the inner type. */
export type Validators = Readonly<Record<string, Validator<never> | undefined>>;

/** Violations that are kept: more than an error can tell. The others are counted. */
const MAX_VIOLATIONS = 1_000;
/** Violations that are counted; a validator that never ends must not hold the process. */
const MAX_COUNTED = 1_000_000;

/**
 * Runs the validators of all inner messages of one message.
 *
 * @param sites where they stand
 * @param values the inner messages, one for each site; anything but an object is skipped
 * @throws SealwireError `INNER_INVALID` with all violations
 */
export function validateInner(validators: Validators, sites: readonly SealedSite[], values: readonly unknown[]): void {
  const violations: Violation[] = [];
  let counted = 0;
  sites.forEach(({ field, path }, index) => {
    const value = values[index];
    const name = field.codec.typeName;
    const validator = Object.hasOwn(validators, name) ? validators[name] : undefined;
    if (validator === undefined || typeof value !== 'object' || value === null) return;
    for (const { path: inner, rule } of validator(value as never)) {
      if (++counted <= MAX_VIOLATIONS) violations.push({ path: inner === '' ? path : `${path}.${inner}`, rule });
      if (counted >= MAX_COUNTED) return;
    }
  });
  const [first] = violations;
  if (first === undefined) return;
  const violationsOmitted = counted - violations.length;
  throw new SealwireError('INNER_INVALID', 'an inner message breaks a rule', {
    path: first.path,
    violations,
    violationsOmitted,
  });
}
