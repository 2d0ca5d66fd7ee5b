/** One payment: where the shop's key comes from, and how the card is sealed and sent. */
import type { Interceptor, Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';
import type { AuthorizeRequest, AuthorizeResponse } from 'gen/payments/v1/payments_pb.js';
import { SealedPaymentServiceClient } from 'gen/payments/v1/payments_sealed_web.js';
import { createIndexedDbMemory, WebKeyDirectory, WebSealer } from 'sealwire/web';
import type { Details } from './form.js';

/** What is bought; whoever reads the call on its way sees it. */
export interface Order {
  readonly orderId: string;
  /** In cents. */
  readonly amountMinor: bigint;
  readonly currencyCode: string;
}

/** What left the browser. */
export interface Sent {
  readonly url: string;
  readonly requestId: string;
  /** The request as it was sent, with a token in each sealed field. */
  readonly message: AuthorizeRequest;
  /** From the click to the request, in ms. */
  readonly sealedInMs: number;
}

/** What the demo's service tells this page, and no other. */
export interface Insight {
  /** The service's name. */
  readonly service: string;
  /** Thumbprint of its signing root. Your own page has it in its script. */
  readonly root: string;
  readonly calls: readonly object[];
  readonly records: readonly AuditRecord[];
}

/** As much of an audit record as is shown apart. */
export interface AuditRecord {
  readonly seq: number;
  readonly time: string;
  readonly event: string;
  readonly principal: string;
  readonly fields: readonly {
    readonly path: string;
    readonly outcome: string;
    readonly reason: string;
    /** The token, or what is kept in its place. */
    readonly token: unknown;
  }[];
}

/** A payment takes no longer, in ms. */
const TIMEOUT_MS = 20_000;

/** @param requestId of the call that is asked about. Default: none */
export async function readInsight(requestId = ''): Promise<Insight> {
  const answer = await fetch(`/insight?${new URLSearchParams({ request: requestId })}`);
  if (!answer.ok) throw new TypeError('no insight');
  return (await answer.json()) as Insight;
}

/** @returns by how many ms this clock is behind that of the server; 0 if that cannot be told */
export async function measureClock(): Promise<number> {
  const date = await fetch('/', { method: 'HEAD', cache: 'no-store' }).then(
    ({ headers }) => Date.parse(headers.get('date') ?? ''),
    () => Number.NaN,
  );
  return Number.isNaN(date) ? 0 : date - Date.now();
}

/** Pays. One for a page: its calls share the keys and one agreement. */
export class Payer {
  readonly #client: SealedPaymentServiceClient;
  readonly #keys: WebKeyDirectory;
  #onSent: (sent: Omit<Sent, 'sealedInMs'>) => void = () => {};

  private constructor({ service, root }: Insight, isGrpcWeb: boolean) {
    const transport = this.#createTransport(isGrpcWeb);
    const memory = createIndexedDbMemory();
    this.#keys = new WebKeyDirectory({ transport, roots: [root], issuer: service, memory });
    const sealer = new WebSealer({ keys: this.#keys });
    this.#client = new SealedPaymentServiceClient(transport, { sealer, binary: true });
  }

  /** @param isGrpcWeb whether gRPC-Web is spoken instead of Connect */
  static async create(isGrpcWeb: boolean): Promise<Payer> {
    return new Payer(await readInsight(), isGrpcWeb);
  }

  /** @param onSent told what leaves the browser; again if a call is made once more with a newer key */
  pay(order: Order, details: Details, onSent: (sent: Sent) => void): Promise<AuthorizeResponse> {
    const startedAt = performance.now();
    this.#onSent = (sent) => onSent({ ...sent, sealedInMs: performance.now() - startedAt });
    const headers = { 'x-request-id': crypto.randomUUID() };
    return this.#client.authorize({ ...order, ...details }, { headers, timeoutMs: TIMEOUT_MS });
  }

  close(): void {
    this.#keys.close();
  }

  #createTransport(isGrpcWeb: boolean): Transport {
    // An interceptor is where Connect shows what it is about to send.
    const show: Interceptor = (next) => (request) => {
      if (!request.stream && request.method.name === 'Authorize') {
        const requestId = request.header.get('x-request-id') ?? '';
        this.#onSent({ url: request.url, requestId, message: request.message as AuthorizeRequest });
      }
      return next(request);
    };
    const options = { baseUrl: location.origin, useBinaryFormat: true, interceptors: [show] };
    return isGrpcWeb ? createGrpcWebTransport(options) : createConnectTransport(options);
  }
}
