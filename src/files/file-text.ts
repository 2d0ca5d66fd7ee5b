/** Text files as people and their editors leave them: one tolerance for all that we read. */

/**
 * @param content of a file: UTF-8, or UTF-16 (little-endian) with its byte order mark, as PowerShell writes it
 * @returns the text without a byte order mark, and with `\n` where lines ended with `\r\n`
 */
export function decodeText(content: Uint8Array): string {
  return createDecoder(content).decode(content).replaceAll('\r\n', '\n');
}

/** @param start of a text. @returns what decodes all of it as {@link decodeText} does, and drops the byte order mark */
export function createDecoder(start: Uint8Array) {
  const isWide = start[0] === 0xff && start[1] === 0xfe;
  return new TextDecoder(isWide ? 'utf-16le' : 'utf-8');
}

/** A block of PEM (RFC 7468). */
export interface PemBlock {
  /** E.g. `PRIVATE KEY`. */
  readonly label: string;
  /** What stands between the lines: base64, without white space unless there are headers before it. */
  readonly body: string;
}

/** @returns the blocks of a text, however they are indented and broken into lines; text around them is a comment */
export function readPem(text: string): PemBlock[] {
  return [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----/gs)].map(([, label = '', body = '']) => {
    const hasHeaders = body.includes(':');
    return { label, body: hasHeaders ? body.trim().replace(/^[ \t]+|[ \t]+$/gm, '') : body.replace(/\s/g, '') };
  });
}

/** @returns PEM as every reader takes it, 64 characters to a line; text without a block is returned as it is */
export function tidyPem(text: string): string {
  const blocks = readPem(text).map(({ label, body }) => {
    const lines = body.includes(':') ? body : body.replace(/.{64}(?=.)/g, '$&\n');
    return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
  });
  return blocks.length === 0 ? text : blocks.join('');
}
