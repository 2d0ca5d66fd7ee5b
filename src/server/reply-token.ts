/** The reply token of a call: checked on metadata, before the handler runs. */
import type { Metadata } from '@grpc/grpc-js';
import { SealwireError, withPath } from '../errors.js';
import type { TokenOpener } from '../jwe/opener.js';
import type { ReplySealer } from '../jwe/reply.js';
import type { ParsedToken } from '../jwe/token.js';
import { REPLY_FIELD, REPLY_METADATA } from '../profile/reply-names.js';
import type { AuditSink, CallRecordField } from './audit-sink.js';
import { createCallerOf } from './caller.js';
import type { TokenGuard } from './open-message.js';
import { type CallFacts, createRecord, createRejectRecord } from './records.js';

/** What an {@link AuthenticateCaller} gets to see. */
export interface CallerCredential {
  /** What the caller sealed into its reply token; empty when nothing. */
  readonly credential: Buffer;
  /** The caller by connection, see `CallerFunction`. */
  readonly principal: string;
  /** Method path. */
  readonly method: string;
}

/**
 * Says who made a call, by a credential that no relay can copy into a token of its own.
 *
 * @returns the caller's name, which becomes the record's `principal`; undefined refuses the call
 */
export type AuthenticateCaller = (caller: CallerCredential) => string | undefined | Promise<string | undefined>;

/** Options of {@link ReplyTokenReader}. */
export interface ReplyTokenReaderOptions {
  readonly tokenOpener: TokenOpener;
  readonly audit: AuditSink;
  readonly guard?: TokenGuard | undefined;
  readonly authenticateCaller?: AuthenticateCaller | undefined;
}

/** A call whose replies can be sealed. */
export interface ReplyAgreement {
  readonly sealer: ReplySealer;
  /** The call, with the caller's name if a credential gave one. */
  readonly call: CallFacts;
}

/** Opens reply tokens. */
export class ReplyTokenReader {
  readonly #options: ReplyTokenReaderOptions;

  constructor(options: ReplyTokenReaderOptions) {
    this.#options = options;
  }

  /**
   * @param metadata the call's
   * @param singleUse whether the method's tokens are used up
   * @throws SealwireError `NO_REPLY_KEY` when there is no token, else as a sealed field called `sealwire-reply`
   */
  async read(metadata: Metadata, call: CallFacts, singleUse: boolean): Promise<ReplyAgreement> {
    const startedAt = performance.now();
    const { tokenOpener, audit } = this.#options;
    const values = metadata.get(REPLY_METADATA);
    const [token] = values;
    let parsed: ParsedToken | undefined;
    try {
      if (token === undefined) throw refuse('NO_REPLY_KEY', `the call has no ${REPLY_METADATA}`);
      // Two tokens would leave open whom the replies are for.
      if (typeof token !== 'string' || values.length > 1) throw refuse('TOKEN_ENCODING', 'not one reply token');
      parsed = await tokenOpener.withNewKeys(() => tokenOpener.checkReplyToken(token));
      const { credential, sealer } = await tokenOpener.openReplyToken(parsed, call.account);
      const facts = await this.#authenticate(credential, call);
      credential.fill(0);
      if (singleUse) await this.#useUp(parsed, facts, startedAt);
      return { sealer, call: facts };
    } catch (error) {
      const located = withPath(error, REPLY_METADATA);
      audit.note(
        createRejectRecord(located, call, startedAt, (_path, code) =>
          typeof token === 'string' ? [describeToken(token, parsed, 'refused', code)] : [],
        ),
      );
      throw located;
    }
  }

  async #authenticate(credential: Buffer, call: CallFacts): Promise<CallFacts> {
    const { authenticateCaller } = this.#options;
    if (authenticateCaller === undefined) return call;
    const { principal, method } = call;
    const name = await authenticateCaller({ credential, principal, method });
    if (name === undefined) throw refuse('CALLER_REFUSED', 'the caller was not authenticated');
    return { ...call, ...createCallerOf('credential', name) };
  }

  /** The record is what a restarted service knows used tokens from. */
  async #useUp(parsed: ParsedToken, call: CallFacts, startedAt: number): Promise<void> {
    const { guard, audit } = this.#options;
    if (guard === undefined) return;
    await guard.claim([parsed], [REPLY_METADATA]);
    try {
      await audit.commit(
        createRecord('open', call, [describeToken(parsed.token, parsed, 'opened', '')], '', startedAt),
      );
    } catch (error) {
      await guard.release([parsed]);
      throw error;
    }
  }
}

/** Never kept: it may hold a credential. */
function describeToken(
  token: string,
  parsed: ParsedToken | undefined,
  outcome: CallRecordField['outcome'],
  reason: string,
): CallRecordField {
  return {
    field: REPLY_FIELD,
    path: REPLY_METADATA,
    token,
    keep: false,
    header: parsed?.header,
    bound: [],
    outcome,
    reason,
  };
}

function refuse(code: 'NO_REPLY_KEY' | 'TOKEN_ENCODING' | 'CALLER_REFUSED', message: string): SealwireError {
  return new SealwireError(code, message, { path: REPLY_METADATA });
}
