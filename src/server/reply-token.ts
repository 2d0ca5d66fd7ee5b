/** The reply token of a call: checked on metadata and against the request, before the handler runs. */
import type { Metadata } from '@grpc/grpc-js';
import { SealwireError, type StepCode, withPath } from '../errors.js';
import type { TokenOpener } from '../jwe/opener.js';
import { type ReplySealer, requestDigest } from '../jwe/reply.js';
import type { ParsedToken } from '../jwe/token.js';
import { REPLY_FIELD, REPLY_METADATA } from '../profile/replies.js';
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

/** What a reply token is compared with. */
export interface ReplyTokenUse {
  /** Whether the method's tokens are used up. */
  readonly singleUse: boolean;
  /** Waits for the bytes of the one request, undefined if they cannot be seen; absent for request streams. */
  readonly readRequest?: (() => Promise<Uint8Array | undefined>) | undefined;
}

/** Opens reply tokens. */
export class ReplyTokenReader {
  readonly #options: ReplyTokenReaderOptions;

  constructor(options: ReplyTokenReaderOptions) {
    this.#options = options;
  }

  /** Whether callers are asked who they are: then every call needs a reply token. */
  get asksCallers(): boolean {
    return this.#options.authenticateCaller !== undefined;
  }

  /**
   * @param metadata the call's
   * @throws SealwireError `NO_REPLY_KEY` when there is no token, `NO_CREDENTIAL` when callers are asked who they are
   *   and there is none, `CALLER_REFUSED`, else as a sealed field called `sealwire-reply`
   */
  async read(metadata: Metadata, call: CallFacts, { singleUse, readRequest }: ReplyTokenUse): Promise<ReplyAgreement> {
    const startedAt = performance.now();
    const { tokenOpener, audit } = this.#options;
    const values = metadata.get(REPLY_METADATA);
    const [token] = values;
    let parsed: ParsedToken | undefined;
    try {
      const missing = this.asksCallers ? 'NO_CREDENTIAL' : 'NO_REPLY_KEY';
      if (token === undefined) throw refuse(missing, `the call has no ${REPLY_METADATA}`);
      // Two tokens would leave open whom the replies are for.
      if (typeof token !== 'string' || values.length > 1) throw refuse('TOKEN_ENCODING', 'not one reply token');
      parsed = await tokenOpener.withNewKeys(() => tokenOpener.checkReplyToken(token, call.method));
      const { req } = parsed.header;
      const request = req === undefined ? undefined : await readRequest?.();
      if (request !== undefined && requestDigest(request) !== req) {
        throw refuse('REQUEST_MISMATCH', 'made for another request');
      }
      const { credential, sealer } = await tokenOpener.openReplyToken(parsed, call.account);
      // Whoever copied it could ask something else with it, unless it says what it asks.
      const isUsedUp = singleUse || request === undefined;
      return { sealer, call: await this.#admit(parsed, credential, call, isUsedUp, startedAt) };
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

  /**
   * Claims the token, records its opening, and asks who calls. @returns the call, with the caller's name if there is a
   * hook
   */
  async #admit(
    parsed: ParsedToken,
    credential: Buffer,
    call: CallFacts,
    isUsedUp: boolean,
    startedAt: number,
  ): Promise<CallFacts> {
    const { audit, authenticateCaller } = this.#options;
    const guard = isUsedUp ? this.#options.guard : undefined;
    await guard?.claim([parsed], [REPLY_METADATA], call.account);
    try {
      // From its record a restarted service knows a used token; and nobody sees a credential without one.
      if (guard !== undefined || credential.length > 0) {
        const field = describeToken(parsed.token, parsed, 'opened', '');
        await audit.commit(createRecord('open', call, [field], '', startedAt));
      }
      const { principal, method } = call;
      if (authenticateCaller === undefined) return call;
      const name = await authenticateCaller({ credential, principal, method });
      if (name === undefined) throw refuse('CALLER_REFUSED', 'the caller was not authenticated');
      return { ...call, ...createCallerOf('credential', name) };
    } catch (error) {
      // Nothing has come of it, and strangers must not fill the guard.
      await guard?.release([parsed], call.account);
      throw error;
    } finally {
      credential.fill(0);
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

function refuse(code: StepCode, message: string): SealwireError {
  return new SealwireError(code, message, { path: REPLY_METADATA });
}
