/** Why a signed key set is not used, and what to do about it. docs/key-sets.md has the same table. */
import type { KeySetCode } from '../../errors.js';
import type { Explanation } from './explanations.js';

/** What no publisher of ours makes. */
const BROKEN =
  'Compare it with what the service gives directly (`sealwire keys verify`): something else made or changed it.';

export const keySetExplanations: Readonly<Record<KeySetCode, Explanation>> = {
  KEY_SET_TOO_LARGE: { meaning: 'The text is longer than 64 KiB.', remedy: BROKEN },
  KEY_SET_FORM: { meaning: 'Not three parts of canonical base64url.', remedy: BROKEN },
  KEY_SET_JSON: { meaning: 'Header or payload is not a JSON object in UTF-8.', remedy: BROKEN },
  KEY_SET_DUPLICATE_NAME: { meaning: 'An object has a name twice.', remedy: BROKEN },
  KEY_SET_ALGORITHM: {
    meaning: '`alg` is anything but `ES512`: `none`, HMAC with a public key, another curve.',
    remedy: BROKEN,
  },
  KEY_SET_TYPE: {
    meaning: '`typ` is wrong, e.g. that of a delegation.',
    remedy: 'Give the key set, `keys/key-set.jws`, and not the delegation.',
  },
  KEY_SET_HEADER: {
    meaning: 'A header name is missing or unexpected: `crit`, `jwk`, `jku`, `x5u`, …',
    remedy: BROKEN,
  },
  KEY_SET_UNSIGNED: { meaning: 'The signature has been stripped.', remedy: BROKEN },
  KEY_SET_DELEGATION: {
    meaning: 'The delegation is malformed, from the future, or longer than 90 days.',
    remedy: 'Make a new one: `sealwire keys root delegate`. Compare the clocks of both machines.',
  },
  KEY_SET_ROOT_UNKNOWN: {
    meaning: "The delegation's root is not pinned.",
    remedy:
      'Compare the thumbprint of the pinned root with `sealwire keys root show` at the service. A service that was set up anew has a new root: pin it if its owner says so.',
  },
  KEY_SET_DELEGATION_SIGNATURE: {
    meaning: 'The delegation was not signed by the root that it names.',
    remedy: BROKEN,
  },
  KEY_SET_DELEGATION_EXPIRED: {
    meaning: 'The delegation has expired.',
    remedy: 'Run `sealwire keys root delegate` with the root, and compare the clocks.',
  },
  KEY_SET_SIGNER: {
    meaning: 'The set was signed by a key without a delegation.',
    remedy: 'Delegate to the set-signing key that the service has: `sealwire keys root delegate`.',
  },
  KEY_SET_SIGNATURE: { meaning: 'The signature is wrong: something was changed.', remedy: BROKEN },
  KEY_SET_CONTENT: { meaning: 'A member is missing or has the wrong type.', remedy: BROKEN },
  KEY_SET_ISSUER: {
    meaning: 'The set or the delegation is for another recipient.',
    remedy: 'Ask for the service by the `origin` of its configuration: with `--name`, or `issuer` of a key directory.',
  },
  KEY_SET_TIME: {
    meaning: 'The set is from the future, longer than 24 hours, or outlives its delegation.',
    remedy: 'Compare the clocks; `sealwire doctor` does.',
  },
  KEY_SET_EXPIRED: {
    meaning: 'The set has expired: somebody withholds newer ones, or an outage lasted too long.',
    remedy: 'See whether the service can be reached, and whether it still signs (`sealwire_key_set_time_left`).',
  },
  KEY_SET_ROLLED_BACK: {
    meaning: 'The set is older than one seen before.',
    remedy:
      'Was the service restored from a copy? Then run `sealwire keys rotate --now` there. Otherwise somebody replays an old set.',
  },
  KEY_SET_CONFLICT: {
    meaning: 'The set has the version of one seen before, and other keys.',
    remedy: 'Do two instances have different rings? Run `sealwire keys stamp` on the right one, and give it to all.',
  },
  KEY_SET_PRIVATE_MEMBER: {
    meaning: 'A key contains a private or symmetric part.',
    remedy: 'Stop using that key: its private half has been published.',
  },
  KEY_SET_DUPLICATE_KID: { meaning: 'Two keys have the same kid.', remedy: BROKEN },
  KEY_SET_KID: { meaning: "A kid is not its key's thumbprint.", remedy: BROKEN },
  KEY_SET_KEY: { meaning: 'A key is not a valid point on its curve, or not for encryption.', remedy: BROKEN },
  KEY_SET_MIXED_CURVES: { meaning: 'The keys are on several curves.', remedy: BROKEN },
  KEY_SET_NO_ACTIVE_KEY: {
    meaning: 'The set is valid, but none of its keys is active now.',
    remedy: 'Look at the dates with `sealwire keys list` at the service, and compare the clocks.',
  },
  KEY_SET_UNAVAILABLE: {
    meaning: 'No set is at hand and none could be fetched.',
    remedy: 'Run `sealwire doctor`: is the service there, and may this client ask it for keys?',
  },
};
