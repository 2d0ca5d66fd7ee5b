/** Sealing a request of protobuf-es: WebCrypto takes its time, so everything is read from the message before. */
import { create, type DescMessage } from '@bufbuild/protobuf';
import { SealwireError } from '../../errors.js';
import { encodeBound } from '../../schema/binding.js';
import type { MessagePlan } from '../../schema/plan.js';
import { atSite, encodeInner, forwardedToken } from '../../schema/seal-sites.js';
import { collectToSeal, replaceSealed, type SealedSite } from '../../schema/walk.js';
import type { WebSealingCall } from '../crypto/sealer.js';

/** What a sealed field gets: bytes to seal, or a token for another recipient that is forwarded. */
type Slot = string | { readonly site: SealedSite; readonly inner: Uint8Array; readonly bound: Uint8Array | undefined };

/** A request whose inner messages are encoded; it can be sealed more than once. */
export class SealedRequest {
  readonly #plan: MessagePlan | undefined;
  readonly #message: object;
  readonly #sites: readonly SealedSite[];
  readonly #slots: readonly Slot[];

  /**
   * @param desc the request's type
   * @param plan its sealed fields
   * @param request the opened message, or what protobuf-es makes one from; never modified
   * @throws SealwireError `FIELD_REQUIRED`, `INNER_TOO_LARGE`, `SEAL_INPUT`, with the field's path
   */
  constructor(desc: DescMessage, plan: MessagePlan | undefined, request: object) {
    this.#plan = plan;
    try {
      // Each property is read here, once; inner messages stay where their tokens will be.
      this.#message = create(desc, request as Record<string, unknown>);
      this.#sites = plan === undefined ? [] : collectToSeal(plan, this.#message);
      this.#slots = this.#sites.map(fillSlot);
    } catch (error) {
      if (error instanceof SealwireError) throw error;
      // What a getter of the message has thrown may quote a value: it must not become a cause.
      throw new SealwireError('SEAL_INPUT', 'the request cannot be read');
    }
  }

  /** Whether it has something to seal, and so needs a call to seal it with. */
  get needsSealing(): boolean {
    return this.#slots.some((slot) => typeof slot !== 'string');
  }

  /**
   * @param call may be left out where nothing is to be sealed
   * @returns the message with tokens
   * @throws SealwireError those of {@link WebSealingCall.seal}, with the field's path
   */
  async seal(call?: WebSealingCall): Promise<object> {
    if (this.#plan === undefined) return this.#message;
    const tokens = await Promise.all(this.#slots.map((slot) => (typeof slot === 'string' ? slot : seal(slot, call))));
    return replaceSealed(this.#plan, this.#message, this.#sites, tokens, { absent: '' });
  }
}

function fillSlot(site: SealedSite): Slot {
  const { field, holder } = site;
  const forwarded = forwardedToken(site);
  if (forwarded !== undefined) return forwarded;
  const inner = encodeInner(site);
  try {
    return { site, inner, bound: field.bind.length === 0 ? undefined : encodeBound(field, holder) };
  } catch (error) {
    throw atSite(site, error);
  }
}

async function seal({ site, inner, bound }: Exclude<Slot, string>, call: WebSealingCall | undefined): Promise<string> {
  try {
    return await (call as WebSealingCall).seal(site.field, inner, bound);
  } catch (error) {
    throw atSite(site, error);
  }
}
