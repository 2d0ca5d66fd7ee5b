/** What descriptors say of fields and methods, sealed or not. */
import { type DescField, type DescMessage, type DescMethod, ScalarType } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence, MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { BoundKind, FieldShape, MethodPlan } from './plan.js';

const BOUND_KINDS: Readonly<Partial<Record<ScalarType, BoundKind>>> = {
  [ScalarType.INT32]: 'int32',
  [ScalarType.INT64]: 'int64',
  [ScalarType.UINT32]: 'uint32',
  [ScalarType.UINT64]: 'uint64',
  [ScalarType.SINT32]: 'sint32',
  [ScalarType.SINT64]: 'sint64',
  [ScalarType.FIXED32]: 'fixed32',
  [ScalarType.FIXED64]: 'fixed64',
  [ScalarType.SFIXED32]: 'sfixed32',
  [ScalarType.SFIXED64]: 'sfixed64',
  [ScalarType.BOOL]: 'bool',
  [ScalarType.STRING]: 'string',
  [ScalarType.BYTES]: 'bytes',
};

/** The members of each oneof that can have two set by mistake. */
export function oneofsOf({ oneofs }: DescMessage): (readonly DescField[])[] {
  return oneofs.map(({ fields }) => fields).filter(({ length }) => length > 1);
}

/** The kind of a field that may be bound; undefined for floats and everything that is not a scalar. */
export function boundKind(field: DescField): BoundKind | undefined {
  if (field.fieldKind === 'enum') return 'enum';
  return field.fieldKind === 'scalar' ? BOUND_KINDS[field.scalar] : undefined;
}

/** A field's shape, whatever its type. */
export function shapeOf(field: DescField): FieldShape {
  if (field.fieldKind === 'list') return 'repeated';
  if (field.fieldKind === 'map') return 'map';
  if (field.oneof !== undefined) return 'oneof';
  const isOptional = field.fieldKind !== 'message' && field.presence === FeatureSet_FieldPresence.EXPLICIT;
  return isOptional ? 'optional' : 'singular';
}

const IDEMPOTENCY = {
  [MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN]: 'unknown',
  [MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS]: 'no-side-effects',
  [MethodOptions_IdempotencyLevel.IDEMPOTENT]: 'idempotent',
} as const;

/** The plan of a method without sealed fields. */
export function methodFacts({ parent, name, idempotency, methodKind }: DescMethod): MethodPlan {
  return {
    path: `/${parent.typeName}/${name}`,
    idempotency: IDEMPOTENCY[idempotency],
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
  };
}
