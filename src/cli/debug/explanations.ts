/** What each reason means and what to do about it. docs/errors.md has the same table. */
import type { Reason } from '../../errors.js';

/** One reason. */
export interface Explanation {
  /** What has happened. */
  readonly meaning: string;
  /** What to do; the most likely remedy first. */
  readonly remedy: string;
}

export const explanations: Readonly<Record<Reason, Explanation>> = {
  SEALED_FIELD_REQUIRED: {
    meaning: 'The field in `field` must be set and is empty.',
    remedy: 'Put the inner message into that field; `sealwire request` seals it.',
  },
  SEALED_FIELD_INVALID: {
    meaning:
      'The token in `field` was not made for this field, these bound values and this key, or it was changed or cut on the way. Callers are not told which.',
    remedy:
      'Run `sealwire inspect` on the token: it names each rule that the token breaks. If it breaks none, seal again after the last change of the bound fields. The audit record has the step that failed.',
  },
  SEALED_FIELD_STALE: {
    meaning:
      'The token is more than 300 s old, or more than 60 s ahead of the clock of the service. `ageSeconds` is its age, `serverTime` that clock.',
    remedy: 'Seal right before sending. If `ageSeconds` is negative, the clock of the sender is ahead: correct it.',
  },
  SEALED_FIELD_REPLAYED: {
    meaning: 'The token in `field` has been used before. Each token is good for one call.',
    remedy:
      'Seal again for each call: run `sealwire request` again. If the first call ended without an answer, check whether it took effect.',
  },
  SEALED_FIELD_UNKNOWN_KEY: {
    meaning: 'The token in `field` is sealed to a key that the service does not have or has retired.',
    remedy: 'Seal to the key in `currentKid`: fetch the key set again, or read `keys/public.jwks.json` again.',
  },
  INNER_MESSAGE_INVALID: {
    meaning:
      'The inner message breaks rules of the service. `google.rpc.BadRequest` lists each field and its rule, up to 3 KiB; `violationsOmitted` counts the rest.',
    remedy: 'Correct these fields and seal again.',
  },
  LIMIT_EXCEEDED: {
    meaning: 'The call exceeded a limit. `limit` says which kind: size, count, rate or capacity.',
    remedy:
      'size: inner messages up to 64 KiB. count: up to 64 tokens a message, of 2 agreements (interop: 64). rate, capacity: try again later; reuse an agreement session.',
  },
  REPLY_KEY_MISSING: {
    meaning:
      'The response has sealed fields, and the call brought no key to seal them with (metadata `sealwire-reply`).',
    remedy:
      'Send the metadata `sealwire-reply`: `sealwire request METHOD --session FILE --print-header` prints it, `sealwire response` opens the replies.',
  },
  CALLER_NOT_AUTHENTICATED: {
    meaning:
      'The service asks who calls (`authenticateCaller`), and the credential in the reply token is missing or was refused.',
    remedy:
      'Give the client a `credential` that is good for this service: it seals one into the metadata `sealwire-reply` of each call. The audit record says whether there was none.',
  },
  AUDIT_UNAVAILABLE: {
    meaning: 'The service cannot write its audit log, and it opens nothing without a record.',
    remedy: 'Try again later. The operator should check the disk of the audit log.',
  },
  CUSTODY_UNAVAILABLE: {
    meaning: 'The HSM or other custody that holds the private key of the service does not answer.',
    remedy: 'Try again later. The operator should check the HSM and its PIN.',
  },
};
