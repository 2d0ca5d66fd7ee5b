/**
 * What is known about a message's sealed fields, computed once: which fields, of which inner type,
 * bound to which siblings, and how to reach them. Generated code and run-time descriptors are two
 * sources of this one type.
 */

/** Turns an inner message into bytes and back. */
export interface InnerCodec<T = unknown> {
  /** Full name of the message, e.g. `payments.v1.CardDetails`. */
  readonly typeName: string;
  /** Protobuf wire format of `value`; throws for a value that is none, and for two members of a oneof. */
  encode(value: T): Uint8Array;
  /** What is wrong with a message that `encode` refused: a property's path and a few words, never its value. */
  findFault?(value: T): string | undefined;
  /** Decodes protobuf wire format; throws on malformed input. */
  decode(bytes: Uint8Array): T;
  /** Decodes proto3 JSON text against the descriptor; throws on malformed input. */
  decodeJson(json: string): T;
}

/** How a field sits in its message. */
export type FieldShape = 'singular' | 'optional' | 'oneof' | 'repeated' | 'map';

/**
 * Where a member of a `oneof` is found. ts-proto's default puts members beside their siblings
 * (no locator needed); `oneof=unions` and `unions-value` group them under one property, and so does protobuf-es.
 * proto-loader's `oneofs` puts them beside their siblings too and adds a property that names the one that is set.
 */
export interface OneofLocator {
  /** Property that holds the union or the member's name, e.g. `method`. */
  readonly property: string;
  /**
   * `unions`: `{ $case: 'card', card: … }`; `unions-value`: `{ $case: 'card', value: … }`;
   * `case`: `{ case: 'card', value: … }`; `named`: `method: 'card', card: …` in the message itself.
   */
  readonly style: 'unions' | 'unions-value' | 'case' | 'named';
}

/** Scalar kinds that can be bound, by their protobuf names, plus `enum`. */
export type BoundKind =
  | 'int32'
  | 'int64'
  | 'uint32'
  | 'uint64'
  | 'sint32'
  | 'sint64'
  | 'fixed32'
  | 'fixed64'
  | 'sfixed32'
  | 'sfixed64'
  | 'bool'
  | 'string'
  | 'bytes'
  | 'enum';

/** A sibling that is authenticated with the token through `bnd`. */
export interface BoundFieldPlan {
  /** Proto name, e.g. `amount_minor`. */
  readonly name: string;
  /** Field number; records are encoded in ascending order of it. */
  readonly number: number;
  readonly kind: BoundKind;
  /** `optional` or oneof member: emitted when set, even when zero. */
  readonly explicitPresence: boolean;
  /** Property in the message object, e.g. `amountMinor`. */
  readonly key: string;
  readonly oneof?: OneofLocator;
  /** Numbers by enum value name, for sources that carry enums as names. */
  readonly enumNumbers?: Readonly<Record<string, number>>;
}

/** One sealed field. */
export interface SealedFieldPlan {
  /** Full name as it stands in `fld`, e.g. `payments.v1.AuthorizeRequest.card`. */
  readonly fullName: string;
  /** Proto name, e.g. `billing_address`; paths shown to callers use it. */
  readonly name: string;
  /** Property in the message object, e.g. `billingAddress`. */
  readonly key: string;
  readonly shape: FieldShape;
  readonly oneof?: OneofLocator;
  readonly codec: InnerCodec;
  /** Who can open it; empty: the service that owns the method. */
  readonly recipient: string;
  readonly required: boolean;
  readonly transient: boolean;
  /** The longest inner message, in encoded bytes. Default: the general limit. */
  readonly maxBytes?: number;
  /** Ascending by field number; empty when nothing is bound. */
  readonly bind: readonly BoundFieldPlan[];
}

/** A message-typed field below which sealed fields exist. */
export interface NestedFieldPlan {
  readonly name: string;
  readonly key: string;
  readonly shape: FieldShape;
  readonly oneof?: OneofLocator;
  /** Lazy, because message types may be recursive. */
  readonly plan: () => MessagePlan;
}

/** A member of a oneof that stands beside its siblings. */
export interface OneofMemberPlan {
  readonly name: string;
  readonly key: string;
}

/** The sealed fields of one message type, its own and those below it. */
export interface MessagePlan {
  /** Full name, e.g. `payments.v1.AuthorizeRequest`. */
  readonly typeName: string;
  /** The members of each oneof, where a message object could have two set. Absent: it cannot, or there is none. */
  readonly oneofs?: readonly (readonly OneofMemberPlan[])[];
  readonly sealed: readonly SealedFieldPlan[];
  readonly nested: readonly NestedFieldPlan[];
}

/** One method; `request`/`response` are absent when nothing sealed is reachable from that type. */
export interface MethodPlan {
  /** `/payments.v1.PaymentService/Authorize`. */
  readonly path: string;
  readonly idempotency: 'unknown' | 'no-side-effects' | 'idempotent';
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request?: MessagePlan;
  readonly response?: MessagePlan;
}

/** One service with the plans of all its methods. */
export interface ServicePlan {
  /** Full name, e.g. `payments.v1.PaymentService`. */
  readonly typeName: string;
  /** By method path. */
  readonly methods: Readonly<Record<string, MethodPlan>>;
}

/**
 * A generated service: its transport definition (grpc-js's `ServiceDefinition`; kept generic because
 * this folder knows no transport) and its plans.
 */
export interface SealedServiceDefinition<D = unknown> {
  readonly definition: D;
  readonly plan: ServicePlan;
}
