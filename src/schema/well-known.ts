/** Well-known types as inner messages: in message form (`{ value: … }`), so that opened and sealed differ. */

import { Any } from '../gen/google/protobuf/any.js';
import { Duration } from '../gen/google/protobuf/duration.js';
import { Empty } from '../gen/google/protobuf/empty.js';
import { FieldMask } from '../gen/google/protobuf/field_mask.js';
import { ListValue, Struct, Value } from '../gen/google/protobuf/struct.js';
import { Timestamp } from '../gen/google/protobuf/timestamp.js';
import {
  BoolValue,
  BytesValue,
  DoubleValue,
  FloatValue,
  Int32Value,
  Int64Value,
  StringValue,
  UInt32Value,
  UInt64Value,
} from '../gen/google/protobuf/wrappers.js';
import { createInnerCodec, embeddedDescriptors, type MessageFns } from './codec.js';
import type { InnerCodec } from './plan.js';

const descriptors = embeddedDescriptors('');

function codec<N extends string, T>(name: N, fns: MessageFns<T>): InnerCodec<T> {
  return createInnerCodec(`google.protobuf.${name}`, fns, descriptors);
}

/** A `Struct` in message form: `{ fields: { name: { stringValue: … } } }`. */
const structCodec = codec('Struct', Struct as MessageFns<Struct>);

/** Codecs by type name without `google.protobuf.`. */
export const wellKnownCodecs = {
  Any: codec('Any', Any),
  BoolValue: codec('BoolValue', BoolValue),
  BytesValue: codec('BytesValue', BytesValue),
  DoubleValue: codec('DoubleValue', DoubleValue),
  Duration: codec('Duration', Duration),
  Empty: codec('Empty', Empty),
  FieldMask: codec('FieldMask', FieldMask),
  FloatValue: codec('FloatValue', FloatValue),
  Int32Value: codec('Int32Value', Int32Value),
  Int64Value: codec('Int64Value', Int64Value),
  ListValue: codec('ListValue', ListValue as MessageFns<ListValue>),
  StringValue: codec('StringValue', StringValue),
  Struct: structCodec,
  Timestamp: codec('Timestamp', Timestamp),
  UInt32Value: codec('UInt32Value', UInt32Value),
  UInt64Value: codec('UInt64Value', UInt64Value),
  Value: codec('Value', Value as MessageFns<Value>),
} as const;

/** Message types by the same names. */
export type WellKnown = {
  [N in keyof typeof wellKnownCodecs]: (typeof wellKnownCodecs)[N] extends InnerCodec<infer T> ? T : never;
};
