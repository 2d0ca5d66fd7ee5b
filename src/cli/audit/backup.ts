/** `sealwire audit backup`: a copy of a log, also of one that is being written. */
import { Progress, print } from '../output.js';
import { copyLog } from './copy-log.js';
import { readVerifier, verify } from './verify.js';

/** Flags of `backup`. */
export interface BackupFlags {
  readonly dir: string;
  readonly checkpoint?: readonly string[];
  readonly vkey?: string;
}

/**
 * @param to an empty folder, or the name of a new one
 * @returns exit code: 1 when something is wrong with the copy, and so with the log
 */
export async function backup(to: string, flags: BackupFlags): Promise<number> {
  const { dir, vkey } = flags;
  let all = 0;
  const progress = new Progress((bytes) => `${kilobytes(bytes)} of ${kilobytes(all)}`);
  const { files, bytes } = await copyLog({
    dir,
    to,
    verifier: readVerifier(dir, vkey),
    progress: (done, total) => {
      all = total;
      progress.update(done);
    },
  }).finally(() => progress.end());
  await print(`copied ${files} files of ${dir}, ${kilobytes(bytes)}, to ${to}\n`);
  return verify({ ...flags, dir: to, format: 'table' });
}

function kilobytes(bytes: number): string {
  return `${Math.ceil(bytes / 1_000).toLocaleString('en')} kB`;
}
