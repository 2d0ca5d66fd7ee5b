/** Where in its file a field stands, for messages about it. */
import type { DescExtension, DescField, DescMessage } from '@bufbuild/protobuf';

/** The line of a field in its file, from 1; 0 when the compiler gave none. */
export function lineOf(field: DescField | DescExtension): number {
  const file = field.kind === 'extension' ? field.file : field.parent.file;
  const path = fieldPath(field);
  const locations = file.proto.sourceCodeInfo?.location ?? [];
  const location = locations.find(({ path: at }) => at.length === path.length && at.every((n, i) => n === path[i]));
  return location?.span[0] === undefined ? 0 : location.span[0] + 1;
}

/** Path in a FileDescriptorProto: field numbers of descriptor.proto and positions. */
function fieldPath(field: DescField | DescExtension): number[] {
  if (field.kind === 'field') return [...messagePath(field.parent), 2, field.parent.proto.field.indexOf(field.proto)];
  if (field.parent === undefined) return [7, field.file.proto.extension.indexOf(field.proto)];
  return [...messagePath(field.parent), 6, field.parent.proto.extension.indexOf(field.proto)];
}

function messagePath(message: DescMessage): number[] {
  if (message.parent === undefined) return [4, message.file.proto.messageType.indexOf(message.proto)];
  return [...messagePath(message.parent), 3, message.parent.proto.nestedType.indexOf(message.proto)];
}
