/** `sealwire audit reviewer-key`: a key pair for a reviewer. */

import { ExitCode } from '../../host/process/exit.js';
import { PASSPHRASE_VARIABLE } from '../../keys/passphrase.js';
import { createReviewerKey } from '../../keys/reviewer-keys.js';
import { print } from '../output.js';
import { readSecret } from '../secret-input.js';

/** Flags of the command. */
export interface ReviewerKeyFlags {
  readonly encrypt?: boolean;
  readonly passphraseFile?: string;
}

/** @returns exit code */
export async function makeReviewerKey(path: string, { encrypt, passphraseFile }: ReviewerKeyFlags): Promise<number> {
  const passphrase = () =>
    readSecret({ name: 'passphrase', file: passphraseFile, variable: PASSPHRASE_VARIABLE, confirm: true });
  const { kid, privateFile, publicFile } = await createReviewerKey(path, encrypt ? passphrase : undefined);
  await print(
    `key ${kid}\nprivate ${privateFile}: stays with the reviewer\npublic ${publicFile}: audit.reviewerKey of the service\n`,
  );
  return ExitCode.DONE;
}
