/** Seals and opens the calls of a client, with or without interceptors. */
import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { SealwireError } from '../errors.js';
import type { RecipientKey } from '../jwe/recipient.js';
import { requestDigest } from '../jwe/reply.js';
import type { KeySource } from '../keys/key-source.js';
import { readErrorDetails, STATUS_DETAILS_KEY } from '../schema/error-status.js';
import type { MessagePlan, MethodPlan } from '../schema/plan.js';
import { hasOwnFields, recipientsOf } from '../schema/walk.js';
import type { ClientMetrics } from './client-metrics.js';
import { type CallReplies, keepTokens } from './open-reply.js';
import type { KeyLookup, MessageSealer } from './seal-message.js';

/** @param method path, e.g. `/payments.v1.PaymentService/GetPayment`. @returns at most a few hundred bytes */
export type CredentialFunction = (method: string) => Uint8Array | Promise<Uint8Array>;

/** What the calls of a method need before they start. */
interface CallNeeds {
  readonly recipients: readonly string[];
  readonly hasReplies: boolean;
}
const needs = new WeakMap<MethodPlan, CallNeeds>();

/** Worked out once per method. */
function needsOf(method: MethodPlan): CallNeeds {
  const known = needs.get(method);
  if (known !== undefined) return known;
  const { request, response } = method;
  const recipients = new Set(request === undefined ? [] : recipientsOf(request));
  const hasReplies = hasOwnFields(response);
  if (hasReplies) recipients.add('');
  const found = { recipients: [...recipients], hasReplies };
  needs.set(method, found);
  return found;
}

/** What can be sent at once. */
export interface SealedNow {
  /** The sealed request, encoded: its caller may use the object again. */
  readonly request: Buffer;
  readonly replies: CallReplies | undefined;
}

/** From a message to the bytes that the service gets. */
export type Serialize = (message: unknown) => Buffer;

const EMPTY = new Uint8Array();
/** The credential of a caller that gives none. */
export const NO_CREDENTIAL: CredentialFunction = () => EMPTY;

/** What {@link CallSealer} is made of. */
export interface CallSealerOptions {
  readonly sealer: MessageSealer;
  readonly keys: KeySource;
  readonly credential: CredentialFunction;
  readonly metrics: ClientMetrics;
}

/** Keys, replies and messages of calls; each at once if nothing has to be waited for, else as a promise. */
export class CallSealer {
  readonly #sealer: MessageSealer;
  readonly #keys: KeySource;
  readonly #credential: CredentialFunction;
  readonly #metrics: ClientMetrics;

  constructor(options: CallSealerOptions) {
    this.#sealer = options.sealer;
    this.#keys = options.keys;
    this.#credential = options.credential;
    this.#metrics = options.metrics;
  }

  /** Whether a method has sealed fields; then its calls will be counted. */
  begin({ request, response, path }: MethodPlan): boolean {
    if (request === undefined && response === undefined) return false;
    this.#metrics.begin(path);
    return true;
  }

  /**
   * Whether a method's calls carry a reply token: for sealed responses, and for the credential wherever something is
   * sealed.
   */
  needsReplyToken(method: MethodPlan): boolean {
    return this.#credential !== NO_CREDENTIAL || needsOf(method).hasReplies;
  }

  /** All to whom something is sealed in a method's calls. */
  recipientsOf(method: MethodPlan): readonly string[] {
    const { recipients } = needsOf(method);
    return this.needsReplyToken(method) && !recipients.includes('') ? [...recipients, ''] : recipients;
  }

  /**
   * The keys of a method's calls: the service's own, if they need it, and others when something is sealed to them. A
   * client need not have keys for fields that it never fills.
   */
  findKeys(method: MethodPlan): KeyLookup | Promise<KeyLookup> {
    const own = this.recipientsOf(method).includes('') ? this.#keys.current('') : undefined;
    const lookUp = (ready: RecipientKey | undefined): KeyLookup => ({
      get: (recipient) => (recipient === '' ? ready : this.#askFor(recipient)),
    });
    return own instanceof Promise ? own.then(lookUp) : lookUp(own);
  }

  /** What a key source throws is no fault of the message that is being sealed. */
  #askFor(recipient: string): RecipientKey | Promise<RecipientKey> {
    try {
      return this.#keys.current(recipient);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Reply token and sealed request, if they can be made at once.
   *
   * @param serialize gives the bytes that the service gets
   * @returns undefined when something has to be waited for, and for methods without sealed fields; nothing is begun
   * @throws SealwireError those of {@link seal}
   */
  sealNow(method: MethodPlan, message: object, serialize: Serialize): SealedNow | undefined {
    if (method.request === undefined && method.response === undefined) return undefined;
    // It may be asked once per call only, and what it promises would have to be waited for.
    if (this.#credential !== NO_CREDENTIAL) return undefined;
    const { hasReplies } = needsOf(method);
    const startedAt = performance.now();
    const keys = this.findKeys(method);
    if (keys instanceof Promise) {
      // Whoever asks for them again gets the error.
      keys.catch(() => {});
      return undefined;
    }
    const begin = hasReplies ? this.#sealer.prepareReplies(keys.get('') as RecipientKey) : undefined;
    if (hasReplies && begin === undefined) return undefined;
    const sealed = method.request === undefined ? message : this.#sealer.sealNow(method.request, message, keys);
    if (sealed === undefined) return undefined;
    if (method.request !== undefined) this.#metrics.recordSeal(method.path, startedAt);
    const request = serialize(sealed);
    return { request, replies: begin?.(EMPTY, { mth: method.path, req: requestDigest(request) }) };
  }

  /**
   * The service checks the reply token before its handler runs, so it goes with the call's metadata.
   *
   * @param request the bytes of the one request, if they are known
   */
  beginReplies(
    method: MethodPlan,
    keys: KeyLookup | Promise<KeyLookup>,
    request?: Uint8Array,
  ): CallReplies | Promise<CallReplies> {
    const credential = this.#credential(method.path);
    const call = { mth: method.path, req: request && requestDigest(request) };
    const begin = (ready: KeyLookup, bytes: Uint8Array) =>
      this.#sealer.beginReplies(ready.get('') as RecipientKey, bytes, call);
    if (!(keys instanceof Promise) && !(credential instanceof Promise)) return begin(keys, credential);
    return Promise.all([keys, credential]).then((ready) => begin(...ready));
  }

  /**
   * Seals one request; the message itself where the method's requests have no sealed fields.
   *
   * @throws SealwireError those of `MessageSealer`
   */
  seal({ request, path }: MethodPlan, message: object, keys: KeyLookup): object | Promise<object> {
    if (request === undefined) return message;
    const startedAt = performance.now();
    const finish = (sealed: object) => {
      this.#metrics.recordSeal(path, startedAt);
      return sealed;
    };
    const sealed = this.#trySeal(request, message, keys);
    return sealed instanceof Promise ? sealed.then(finish) : finish(sealed);
  }

  #trySeal(plan: MessagePlan, message: object, keys: KeyLookup): object | Promise<object> {
    try {
      return this.#sealer.seal(plan, message, keys);
    } catch (error) {
      if (error instanceof SealwireError) throw error;
      // What a getter of the message has thrown may quote a value: it must not become a cause.
      throw new SealwireError('SEAL_INPUT', 'the request cannot be read');
    }
  }

  /**
   * Opens one response; the message itself where the method's responses have no sealed fields.
   *
   * @throws SealwireError those of `CallReplies`
   */
  open({ response, path }: MethodPlan, message: object, replies: CallReplies | undefined): object {
    if (response === undefined) return message;
    const startedAt = performance.now();
    const opened = replies === undefined ? keepTokens(response, message) : replies.open(response, message);
    this.#metrics.recordOpen(path, startedAt);
    return opened;
  }

  /** Counts a call that has ended. */
  count(method: MethodPlan, ended: EndOfCall): void {
    this.#metrics.countCall(method.path, endOf(ended));
  }
}

/** What a status and an error have in common. */
type EndOfCall = Pick<StatusObject, 'code' | 'metadata'>;

/** The service's reason where it gave one, else the name of the code. */
function endOf({ code, metadata }: EndOfCall): string {
  if (code === status.OK) return 'OK';
  const [details] = metadata.get(STATUS_DETAILS_KEY);
  const reason = Buffer.isBuffer(details) ? readErrorDetails(details)?.reason : undefined;
  return reason ?? status[code] ?? 'UNKNOWN';
}

/** How a call ends that failed on this side. grpc-js makes an error of it, with the same `cause`. */
export interface LocalStatus extends StatusObject {
  readonly cause?: unknown;
}

/** The caller's own finding, not the service's: what came back is not what the service sealed. */
export function replyRefusal(error: unknown): LocalStatus {
  const cause = error instanceof SealwireError ? error : undefined;
  const at = cause?.path === undefined ? '' : ` at ${cause.path}`;
  const details = `the sealed reply was refused: ${cause?.code ?? 'INTERNAL'}${at}`;
  return { code: status.DATA_LOSS, details, metadata: new Metadata(), ...(cause && { cause }) };
}
