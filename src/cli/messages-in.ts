/** JSON messages from `-d`, a file or stdin, one after the other. */
import { createReadStream } from 'node:fs';
import { SealwireError } from '../errors.js';
import { type JsonNode, JsonSplitter } from '../schema/json-reader.js';

/**
 * @param data JSON text, `@` for stdin, `@FILE`; undefined is no message at all
 * @returns each message as soon as it is complete
 * @throws SealwireError `SEAL_INPUT` with line and column, `OPTIONS_INVALID` for a file that cannot be read
 */
export async function* readMessages(data: string | undefined): AsyncGenerator<JsonNode> {
  const splitter = new JsonSplitter();
  if (data === undefined) return;
  if (!data.startsWith('@')) yield* splitter.push(data);
  else for await (const chunk of readText(data.slice(1))) yield* splitter.push(chunk);
  yield* splitter.end();
}

/** @param path '' is stdin. @throws SealwireError `OPTIONS_INVALID` */
export async function* readText(path: string): AsyncGenerator<string> {
  const stream = path === '' ? process.stdin : createReadStream(path);
  stream.setEncoding('utf8');
  try {
    for await (const chunk of stream) yield chunk as string;
  } catch (error) {
    throw new SealwireError(
      'OPTIONS_INVALID',
      `${path || 'stdin'}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`,
    );
  }
}

/** All of {@link readText}. */
export async function readAllText(path: string): Promise<string> {
  let text = '';
  for await (const chunk of readText(path)) text += chunk;
  return text;
}
