/** JSON messages from `-d`, a file or stdin, one after the other. */
import { createReadStream } from 'node:fs';
import { SealwireError } from '../../errors.js';
import { createDecoder } from '../../files/file-text.js';
import { inputError, type JsonNode, JsonSplitter } from './json-reader.js';

/** In UTF-16 units. Tokens and errors of services are far smaller. */
const MAX_TEXT = 1_048_576;

/**
 * @param data JSON text, `@` for stdin, `@FILE`; undefined is no message at all
 * @param signal ends the reading: a stdin that stays open would hold the process
 * @returns each message as soon as it is complete
 * @throws SealwireError `SEAL_INPUT` with line and column, `OPTIONS_INVALID` for a file that cannot be read
 */
export async function* readMessages(data: string | undefined, signal?: AbortSignal): AsyncGenerator<JsonNode> {
  const splitter = new JsonSplitter();
  if (data === undefined) return;
  if (!data.startsWith('@')) yield* splitter.push(data);
  else for await (const chunk of readText(data.slice(1), signal)) yield* splitter.push(chunk);
  yield* splitter.end();
}

/** @throws SealwireError `SEAL_INPUT` when there is not exactly one message */
export async function readOne(option: string, data: string | undefined): Promise<JsonNode> {
  let only: JsonNode | undefined;
  for await (const node of readMessages(data)) {
    if (only !== undefined) throw inputError(node.at, `${option} takes one message, but this is a second one`);
    only = node;
  }
  if (only === undefined) throw new SealwireError('SEAL_INPUT', `${option}: contains no message`);
  return only;
}

/** @param path '' is stdin. @throws SealwireError `OPTIONS_INVALID` */
export async function* readText(path: string, signal?: AbortSignal): AsyncGenerator<string> {
  const stream = path === '' ? process.stdin : createReadStream(path);
  const stop = () => stream.destroy();
  signal?.addEventListener('abort', stop);
  try {
    let decoder: ReturnType<typeof createDecoder> | undefined;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      decoder ??= createDecoder(chunk);
      yield decoder.decode(chunk, { stream: true });
    }
    if (decoder !== undefined) yield decoder.decode();
  } catch (error) {
    // The rest is not wanted.
    if (signal?.aborted) return;
    throw new SealwireError(
      'OPTIONS_INVALID',
      `${path || 'stdin'}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`,
    );
  }
}

/** All of {@link readText}. @throws SealwireError `SEAL_INPUT` when the text is longer than such inputs can be */
export async function readAllText(path: string): Promise<string> {
  let text = '';
  for await (const chunk of readText(path)) {
    text += chunk;
    if (text.length > MAX_TEXT) throw new SealwireError('SEAL_INPUT', `${path || 'stdin'}: over 1 MiB of text`);
  }
  return text;
}
