/** The form of the log before the configuration has been checked: its faults are lines of the log, too. */
import { readFileSync } from 'node:fs';
import { decodeText } from '../../files/file-text.js';
import type { ConfigSources } from '../config.js';
import type { LogFormat } from '../log/logger.js';

/** @returns as configured, as far as that can be read; else text */
export function findLogFormat({ config, configFile, environment = process.env }: ConfigSources): LogFormat {
  const given = config?.logFormat ?? environment['SEALWIRE_LOG_FORMAT'] ?? readFrom(configFile);
  return given === 'json' ? 'json' : 'text';
}

function readFrom(path: string | undefined): unknown {
  if (path === undefined) return undefined;
  try {
    return (JSON.parse(decodeText(readFileSync(path))) as { logFormat?: unknown } | null)?.logFormat;
  } catch {
    return undefined;
  }
}
