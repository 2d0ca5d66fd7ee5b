/** Every place that a sealed field can have in a message. */
import { CANARY } from './canary.js';
import { type MessageJson, type SealedJson, sealed } from './sealed-json.js';

/** A message and where it is sealed. */
export interface PlacedMessage {
  readonly json: { readonly [name: string]: MessageJson | undefined };
  /** Paths of the tokens, in proto names. */
  readonly paths: readonly string[];
}

/** Different in each place and message, so that no two can be taken for each other. */
const secret = (place: string, index: number): SealedJson =>
  sealed('matrix.v1.Secret', { text: `${CANARY} ${place} ${index}`, more: [CANARY, ''] });

/** Messages of `matrix.v1.Places` by shape. @param index which message of a stream */
export const places: Readonly<Record<string, (index: number) => PlacedMessage>> = {
  singular: (n) => ({ json: { singular: secret('singular', n) }, paths: ['singular'] }),
  optional: (n) => ({ json: { maybe: secret('maybe', n) }, paths: ['maybe'] }),
  oneof: (n) =>
    n % 2 === 0
      ? { json: { left: secret('left', n) }, paths: ['left'] }
      : { json: { right: sealed('google.protobuf.StringValue', `${CANARY} right ${n}`) }, paths: ['right'] },
  repeated: (n) => ({
    json: { many: [secret('first', n), sealed('matrix.v1.Secret', {}), secret('third', n)] },
    paths: ['many[0]', 'many[1]', 'many[2]'],
  }),
  map: (n) => ({
    json: { named: { 7: secret('7', n), 'a "ñ"': secret('a', n), '': secret('empty', n) } },
    paths: ['named["7"]', 'named["a \\"ñ\\""]', 'named[""]'],
  }),
  nested: (n) => ({
    json: {
      leaf: leaf('leaf', n),
      leaves: [leaf('first', n), { label: 'without' }, leaf('third', n)],
      leafByName: { k: leaf('k', n) },
    },
    paths: ['leaf.secret', 'leaves[0].secret', 'leaves[2].secret', 'leaf_by_name["k"].secret'],
  }),
  recursive: (n) => ({
    json: {
      inside: { label: 'inside', singular: secret('inside', n), inside: { many: [secret('inside inside', n)] } },
      parts: [{ maybe: secret('part', n) }, { parts: [{ leaves: [leaf('leaf of a part', n)] }] }],
    },
    paths: ['inside.singular', 'inside.inside.many[0]', 'parts[0].maybe', 'parts[1].parts[0].leaves[0].secret'],
  }),
};

function leaf(place: string, index: number): MessageJson {
  return { label: `leaf ${index}`, secret: secret(place, index) };
}
