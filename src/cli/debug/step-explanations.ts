/** What each step means, and what to do about it. docs/errors.md has the same table. */
import type { StepCode } from '../../errors.js';
import type { Explanation } from './explanations.js';

export const stepExplanations: Readonly<Record<StepCode, Explanation>> = {
  TOKEN_TOO_LARGE: {
    meaning: 'The token is longer than the limit.',
    remedy: 'Seal less: a token may have 96 KiB.',
  },
  HEADER_TOO_LARGE: {
    meaning: 'The header is longer than the limit.',
    remedy: 'Leave out header members that the profile does not have; a header may have 2 KiB.',
  },
  INNER_TOO_LARGE: {
    meaning: 'The inner message is larger than the limit.',
    remedy: 'Seal less: an inner message may have 64 KiB, or the `max_bytes` of the field.',
  },
  TOO_MANY_TOKENS: {
    meaning: 'The message holds more tokens than the limit.',
    remedy: 'Send fewer sealed elements in one message: 64 at most.',
  },
  TOO_MANY_AGREEMENTS: {
    meaning: 'The tokens of the message use more agreements than the limit.',
    remedy:
      'Seal all tokens of a message with one agreement session, which Sealwire clients do. JOSE clients make one for each token: they need the interop policy.',
  },
  NESTED_TOO_DEEP: {
    meaning: 'The sealed field is nested deeper than the limit.',
    remedy: 'Nest less.',
  },
  TOO_MANY_MESSAGES: {
    meaning: 'The message holds more nested messages and map entries than the limit.',
    remedy: 'Send less in one message; a stream takes the rest.',
  },
  MESSAGE_RATE: {
    meaning: "The caller's requests hold more nested messages than it may send for now.",
    remedy: 'Let the caller wait, or send fewer nested messages.',
  },
  RECEIVE_LIMIT: {
    meaning:
      'A message took too long to arrive, or too many bytes of messages are held: unfinished ones, or ones that wait for a handler or a caller.',
    remedy:
      'Look at the network of the caller, and for callers that begin many large messages at once or do not take their replies.',
  },
  MAP_KEY_FORBIDDEN: {
    meaning: 'A map has the key `__proto__`.',
    remedy: 'Use another key. No client of ours sends this one.',
  },
  TOKEN_PART_COUNT: {
    meaning: 'The token does not have five parts.',
    remedy: 'Send the whole token: something cut it, or the field holds something else.',
  },
  TOKEN_ENCODING: {
    meaning: 'A part is not canonical base64url, or the field holds no text at all.',
    remedy: 'Encode without padding, line breaks and stray bits (RFC 7515 §2); copy the whole token.',
  },
  TOKEN_PART_LENGTH: {
    meaning: 'The encrypted key, IV, tag or ciphertext has the wrong length for its algorithm.',
    remedy: 'Copy the whole token. If all are so, the sender uses a short tag or another algorithm.',
  },
  TOKEN_EMPTY: {
    meaning: 'An element of a repeated sealed field, or a value of a map of them, is empty.',
    remedy: 'Leave the element out, or seal something into it.',
  },
  HEADER_UTF8: {
    meaning: 'The header is not UTF-8.',
    remedy: 'Encode the header as UTF-8.',
  },
  HEADER_JSON: {
    meaning: 'The header is not a JSON object.',
    remedy: 'Make the header with a JOSE library.',
  },
  HEADER_DUPLICATE_NAME: {
    meaning: 'The header has a name twice.',
    remedy: 'Send each header member once.',
  },
  HEADER_FORBIDDEN_NAME: {
    meaning: 'The header has a name that is never accepted, such as `crit`, `zip` or `jwk`.',
    remedy: 'Leave it out.',
  },
  HEADER_VALUE: {
    meaning: 'A header value has the wrong type or form.',
    remedy: 'Run `sealwire inspect` on the token: it names the member.',
  },
  ALGORITHM_NOT_ALLOWED: {
    meaning: '`alg` or `enc` is unknown, or not allowed for this key.',
    remedy: 'Use `ECDH-ES+A256KW` with `A256GCM`.',
  },
  CURVE_NOT_ALLOWED: {
    meaning: '`epk` is on an unknown curve, or on another one than the key.',
    remedy: "Let the library make `epk` on the curve of the recipient's key.",
  },
  EPK_INVALID: {
    meaning: '`epk` is not a well-formed public key. (A point off its curve is `DECRYPTION_FAILED`.)',
    remedy: 'Let the library make `epk`: exactly `kty`, `crv`, `x` and `y`, each coordinate in full length.',
  },
  KEY_UNKNOWN: {
    meaning: '`kid` names no key of the ring.',
    remedy:
      'Let the sender fetch the key set again. A token of another service or environment has a `kid` that was never in this ring.',
  },
  KEY_RETIRED: {
    meaning: '`kid` names a key that its dates no longer let open this token.',
    remedy: 'Let the sender fetch the key set again: it has used a key for longer than its dates allow.',
  },
  POLICY_MISSING_HEADER: {
    meaning: 'A header name that the policy demands is missing.',
    remedy: 'Let the sender set the member. Stock JOSE clients need the interop policy.',
  },
  POLICY_TYPE: {
    meaning: '`typ` or `cty` is not one that Sealwire accepts.',
    remedy: 'Set `typ` to `sealed-field+jwe`, and `cty` to `application/protobuf` or `application/json`.',
  },
  FIELD_MISMATCH: {
    meaning: '`fld` names another field than the one the token came in.',
    remedy: 'Seal for the field that the token is sent in. Did somebody copy it from another one?',
  },
  BINDING_MISMATCH: {
    meaning: '`bnd` does not fit the bound siblings of this message.',
    remedy:
      'Seal after the last change of the bound fields. `bound` in the audit record has the values that came; docs/binding.md has the encoding.',
  },
  BOUND_VALUE: {
    meaning: 'A bound sibling has a value that cannot be encoded exactly.',
    remedy: 'Look at the type of the bound field: numbers must be whole and in range, texts well-formed.',
  },
  TOKEN_STALE: {
    meaning: '`iat` is more than 300 s back.',
    remedy:
      'Seal right before sending; look for queues and retries that keep tokens, and for a slow clock of the sender.',
  },
  TOKEN_FROM_FUTURE: {
    meaning: '`iat` is more than 60 s ahead.',
    remedy: 'Correct the clock of the sender, or of the service: `sealwire doctor` compares them.',
  },
  FIELD_REQUIRED: {
    meaning: 'A required field is empty.',
    remedy: 'Put the inner message into the field.',
  },
  CALLER_RATE: {
    meaning: 'The caller has used up its fresh agreements for now.',
    remedy: 'Reuse an agreement session, as Sealwire clients do; or raise `rate` in the configuration.',
  },
  POOL_FULL: {
    meaning: 'The queue of fresh agreements is full.',
    remedy: 'Try again later. If it stays so, the service needs more cores or instances.',
  },
  CUSTODY_FAILED: {
    meaning: 'The holder of the private key failed or did not answer in time.',
    remedy: 'Look at the HSM and its PIN, and at the log of the service.',
  },
  DECRYPTION_FAILED: {
    meaning: 'The key did not unwrap or the content did not decrypt: made for another key, or changed.',
    remedy: 'Copy the whole token and seal to the current key. If only some fail, something on the way changes them.',
  },
  INNER_DECODE: {
    meaning: 'The plaintext is not an encoding of the inner message.',
    remedy: 'Let the sender use the same schema as the service; under `application/json` the plaintext is proto3 JSON.',
  },
  INNER_INVALID: {
    meaning: 'The inner message breaks a validation rule.',
    remedy: 'Correct the fields that `google.rpc.BadRequest` lists.',
  },
  REPLAYED: {
    meaning: 'The token was used before.',
    remedy: 'Seal again for each call. If nobody sent it twice, look for a retry on the way, or a copied message.',
  },
  REPLAY_STORE_FULL: {
    meaning: 'The replay store has no room for another token, or none for one of this caller.',
    remedy: 'Try again in some minutes; the service takes more calls than its memory of used tokens allows for.',
  },
  STORED_BYTES: {
    meaning: "The records of this caller's stored tokens have used up their bytes for the hour.",
    remedy: 'Wait for the next hour, or open fewer stored tokens for one caller.',
  },
  METHOD_MISMATCH: {
    meaning: 'The reply token was made for another method.',
    remedy: 'Ask for a header for each method: `sealwire request METHOD --session FILE --print-header`.',
  },
  REQUEST_MISMATCH: {
    meaning: 'The reply token was made for another request.',
    remedy: 'Send the request that the reply token was made for. A gateway that re-encodes messages breaks it.',
  },
  NO_CREDENTIAL: {
    meaning: 'The service asks who calls, and the call brought no reply token to hold a credential.',
    remedy: 'Give the client a `credential`.',
  },
  CALLER_REFUSED: {
    meaning: '`authenticateCaller` did not accept the credential in the reply token.',
    remedy: 'Look at the credential: has it expired, and is it good for this method?',
  },
  REPLY_MISMATCH: {
    meaning: 'A reply does not belong to this call, field or position. Found by the client.',
    remedy:
      'Open the replies of a call in their order, with the session of that call. Otherwise something on the way mixed them up.',
  },
  NO_REPLY_KEY: {
    meaning: 'The call brought no reply token, and its response has sealed fields.',
    remedy:
      'Send the metadata `sealwire-reply`; Sealwire clients do, grpcurl needs `sealwire request METHOD --session FILE --print-header`.',
  },
  AUDIT_FAILED: {
    meaning: 'The audit log did not take the record.',
    remedy: 'Look at the disk of the audit log, and at the log of the service.',
  },
};
