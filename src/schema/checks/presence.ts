/** What the absence of a field means, and which codecs lose it. */
import type { DescField } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';

/** Whether a field that is set to its zero value differs from one that is absent. */
export function hasPresence(field: DescField): boolean {
  return field.presence !== FeatureSet_FieldPresence.IMPLICIT;
}

/** Whether a message without this field cannot be encoded. */
export function isRequired(field: DescField): boolean {
  return field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;
}

/** Whether a field is in a oneof; proto3's `optional` makes one too. Every codec keeps which member is set. */
export function isInOneof(field: DescField): boolean {
  return field.oneof !== undefined || field.proto.proto3Optional;
}

/** Whether a codec that fills in zero values when it decodes loses that this field is not set. */
export function mayLosePresence(field: DescField): boolean {
  return isLostByTsProto(field) && !isRequired(field);
}

/** Whether ts-proto loses that this field is not set. It also leaves out zero values, even of required fields. */
export function isLostByTsProto(field: DescField): boolean {
  return hasPresence(field) && !isInOneof(field);
}

/** Whether ts-proto encodes this field even if it is undefined, and so fails. */
export function isNeededByTsProto(field: DescField): boolean {
  if (field.fieldKind === 'message' || isInOneof(field)) return false;
  return !mayLosePresence(field) || isPlainInTsProto(field);
}

/** Whether ts-proto gives a field that has presence the type of one that has none, as it does in editions. */
export function isPlainInTsProto(field: DescField): boolean {
  return mayLosePresence(field) && field.parent.file.proto.syntax === 'editions';
}
