/** What the command line does with messages of one type. */
import type { JsonNode, PlainJson } from './json-reader.js';

/** One message type. */
export interface JsonMessage {
  readonly typeName: string;
  /**
   * @param node a JSON object; sealed fields hold inner messages, or tokens that stay as they are
   * @throws SealwireError `SEAL_INPUT` with line and column; no value is quoted
   */
  fromJson(node: JsonNode): object;
  /**
   * @param message tokens or inner messages in its sealed fields
   * @param note told what is shown in another form than proto3 JSON's, because the schema or JSON lacks one
   */
  toJson(message: object, note?: Note): PlainJson;
  /** @throws SealwireError `SEAL_INPUT` with the path of a required field of proto2 that is not there */
  checkRequired(message: object): void;
  /** Wire format; sealed fields hold tokens. @throws SealwireError `SEAL_INPUT` with the property's path */
  encode(message: object): Uint8Array;
  /** @throws SealwireError `SEAL_INPUT` for malformed bytes */
  decode(bytes: Uint8Array): object;
}

/** Told, in words without values, of what JSON cannot show as it should. */
export type Note = (text: string) => void;
