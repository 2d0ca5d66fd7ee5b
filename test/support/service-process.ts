/** The real service as a process of its own, for tests that kill it and break its disk. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { parseVerifierKey } from '../../src/audit/format/note-keys.js';
import { type VerifyReport, verifyLog } from '../../src/audit/read/verify-log.js';
import { SealedPaymentServiceClient } from '../../src/gen/payments/v1/payments_sealed.js';
import type { HostConfigInput } from '../../src/host/config.js';
import { fileKeySource } from '../../src/keys/key-source.js';
import { environment, listening, MAIN, type Running, run } from './command.js';

/** A service that listens, and a client of it. */
export interface ServiceProcess {
  readonly running: Running;
  readonly address: string;
  readonly client: SealedPaymentServiceClient;
}

/** Options of {@link startServiceProcess}. */
export interface ServiceProcessOptions {
  /** Folder of keys and log. */
  readonly dir: string;
  readonly config?: HostConfigInput;
  /** A module that the process loads first. */
  readonly preload?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** User that it runs as. */
  readonly uid?: number;
}

/** Starts `sealwire serve` on a free port. */
export async function startServiceProcess(options: ServiceProcessOptions): Promise<ServiceProcess> {
  const { dir, config = {}, preload, env = {}, uid } = options;
  const file = join(dir, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const imports = preload === undefined ? [] : ['--import', preload];
  const flags = ['--listen', '127.0.0.1:0', '--dir', dir, '--config', file];
  const running = run(process.execPath, [...imports, MAIN, 'serve', ...flags], {
    env: { ...environment, ...env },
    ...(uid !== undefined && { uid }),
  });
  const address = await listening(running);
  const keys = fileKeySource(join(dir, 'keys/public.jwks.json'));
  return { running, address, client: new SealedPaymentServiceClient(address, credentials.createInsecure(), { keys }) };
}

/** Ends a service in order. @returns its exit code */
export async function stopServiceProcess({ running, client }: ServiceProcess): Promise<number | string> {
  client.close();
  running.child.kill('SIGTERM');
  return running.ended;
}

/** Verifies the log of a service. */
export function verifyServiceLog(dir: string): VerifyReport {
  const audit = join(dir, 'audit');
  return verifyLog({ dir: audit, verifier: parseVerifierKey(readFileSync(join(audit, 'log.vkey'), 'utf8').trim()) });
}
