/** What the codes of failures on the caller's side mean, and what to do. docs/errors.md has the same table. */
import type { KeySetCode, LocalCode } from '../../errors.js';
import type { Explanation } from './explanations.js';

export const localExplanations: Readonly<Record<Exclude<LocalCode, KeySetCode>, Explanation>> = {
  OPTIONS_INVALID: {
    meaning: 'An option, an argument or a configuration has a value that cannot be used; the message names it.',
    remedy: 'Correct it: `--help`, docs/configuration.md and the API pages give types, ranges and defaults.',
  },
  PLAN_INVALID: {
    meaning: 'The schema cannot be used: a descriptor is missing or broken, or a field cannot be sealed as it says.',
    remedy: 'Give a descriptor set with all imports, such as `buf build -o` writes; the generator names file and line.',
  },
  KEY_INVALID: {
    meaning: 'A key is not one that Sealwire takes.',
    remedy:
      'Give an EC key on P-521, P-384 or P-256, for a ring with its private half; `sealwire keys init` makes a ring.',
  },
  KEY_FILE_MISSING: {
    meaning: 'A key file is not there, or this user cannot open it.',
    remedy: 'Look at path, owner and mode of the file; each service has a folder `keys` of its own.',
  },
  KEY_FILE_MODE: {
    meaning: 'Others can read or change a key file, or it belongs to another user.',
    remedy: 'Run `chmod 600` on it, as the user who runs the service; if others could read it, rotate the key.',
  },
  KEY_FILE_INVALID: {
    meaning: 'A key file has something else in it than it should.',
    remedy: 'Put the file back from a copy; `sealwire keys verify` reads it as a service would.',
  },
  KEY_FILE_WRITE: {
    meaning: 'A key file cannot be written, or another one is in its place. The one that was there is unchanged.',
    remedy: 'Look at the rights of its folder and at the room on the disk, or name another file.',
  },
  KEY_FILE_INCOMPLETE: {
    meaning: 'The end of a key file is missing.',
    remedy: 'Put the file back from a copy. A copy in progress is complete in a moment: try again.',
  },
  KEY_FILE_BUSY: {
    meaning: 'Another command is changing the key ring.',
    remedy: 'Try again when it has ended.',
  },
  KEY_FILE_ENCRYPTED: {
    meaning: 'A key file is encrypted, and there is no passphrase.',
    remedy: 'Give `--passphrase-file`, or set `SEALWIRE_KEY_PASSPHRASE`.',
  },
  KEY_PASSPHRASE_WRONG: {
    meaning:
      'The passphrase is not the one that the key file was encrypted with, or the file was changed; or a token refuses its PIN.',
    remedy: 'Look for another passphrase, then for a copy of the file. A PIN: give the right one, since tokens lock.',
  },
  KEY_DATES_INVALID: {
    meaning: 'The dates of a key contradict each other, or are no dates.',
    remedy: 'Let `sealwire keys rotate` and `sealwire keys retire` set dates; docs/keys.md has their order.',
  },
  KEY_NOT_DUE: {
    meaning: 'The change of keys comes too early: clients would not know the new key yet.',
    remedy: 'Wait until the time that the message gives; docs/keys.md says what `--now` and `--compromised` do.',
  },
  KEY_IN_USE: {
    meaning: 'The change would take away a key that is still needed.',
    remedy: 'Rotate first, and wait for the dates that `sealwire keys list` shows.',
  },
  KEY_NOT_FOUND: {
    meaning: 'There is no key with that ID, or none for that recipient.',
    remedy: 'See `sealwire keys list`; a field with a recipient of its own needs a key source for that name.',
  },
  KEY_MEMORY_FAILED: {
    meaning: "The browser's storage, where a page remembers the highest version of a key set, cannot be used.",
    remedy: 'Let the page use IndexedDB, or give its key directory another memory, or none.',
  },
  SEAL_INPUT: {
    meaning: 'What was to be sealed or read has not the form that it should; the path says where.',
    remedy: 'Correct the message or the token; nothing was sent.',
  },
  CLOSED: {
    meaning: 'A client, key directory or session is used after it was closed.',
    remedy: 'Close it when the last call has ended.',
  },
  AUDIT_FILE_INVALID: {
    meaning: 'An audit log cannot be read, written or continued; the message names file and record.',
    remedy: 'Run `sealwire audit verify`; docs/operations.md says what to do in each case.',
  },
  AUDIT_NOTE_INVALID: {
    meaning: 'A checkpoint, a proof or a verifier key is malformed, or signed by another key.',
    remedy: 'Give the file of this very log; `sealwire audit checkpoint` prints its latest checkpoint.',
  },
  SCHEMA_UNAVAILABLE: {
    meaning: 'A command cannot get the schema, or not reach the service.',
    remedy: 'Run `sealwire doctor`; without reflection, give `--descriptors` or `--proto`.',
  },
  SCHEMA_UNTRUSTED: {
    meaning:
      'The schema and what the service states, under its signature, about what is sealed do not fit. Nothing was sent.',
    remedy:
      'Get the schema of the version that runs. If it came by reflection, something on the way may have changed it.',
  },
  SESSION_INVALID: {
    meaning: 'The file of `--session` is none, is over 15 minutes old, or belongs to another call.',
    remedy: 'Begin the call again with `sealwire request`.',
  },
};
