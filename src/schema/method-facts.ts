/** What a method's descriptor says of it, sealed fields apart. */
import type { DescMethod } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { MethodPlan } from './plan.js';

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
