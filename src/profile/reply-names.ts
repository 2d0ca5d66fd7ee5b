/** Names of what belongs to sealed replies. */

/** Metadata key of the reply token. */
export const REPLY_METADATA = 'sealwire-reply';
/** `fld` of a reply token. */
export const REPLY_FIELD = 'sealwire.v1.reply';
