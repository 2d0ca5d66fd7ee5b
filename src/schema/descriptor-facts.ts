/** What descriptors say of fields and methods, sealed or not. */
import { type DescField, type DescMessage, type DescMethod, ScalarType } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import type { BoundKind, FieldShape, MethodPlan } from './plan.js';

/** The members of each oneof that can have two set by mistake. */
export function oneofsOf({ oneofs }: DescMessage): (readonly DescField[])[] {
  return oneofs.map(({ fields }) => fields).filter(({ length }) => length > 1);
}

/** The kind of a field that may be bound; undefined for floats and everything that is not a scalar. */
export function boundKind(field: DescField): BoundKind | undefined {
  if (field.fieldKind === 'enum') return 'enum';
  if (field.fieldKind !== 'scalar' || field.scalar === ScalarType.DOUBLE || field.scalar === ScalarType.FLOAT) return;
  return ScalarType[field.scalar].toLowerCase() as BoundKind;
}

/** A field's shape, whatever its type. */
export function shapeOf(field: DescField): FieldShape {
  if (field.fieldKind === 'list') return 'repeated';
  if (field.fieldKind === 'map') return 'map';
  if (field.oneof !== undefined) return 'oneof';
  const isOptional = field.fieldKind !== 'message' && field.presence === FeatureSet_FieldPresence.EXPLICIT;
  return isOptional ? 'optional' : 'singular';
}

/** By their numbers in `google.protobuf.MethodOptions.IdempotencyLevel`. */
const IDEMPOTENCY = ['unknown', 'no-side-effects', 'idempotent'] as const;

/** The plan of a method without sealed fields. */
export function methodFacts({ parent, name, idempotency, methodKind }: DescMethod): MethodPlan {
  return {
    path: `/${parent.typeName}/${name}`,
    idempotency: IDEMPOTENCY[idempotency],
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
  };
}
