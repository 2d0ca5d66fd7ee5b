/** `sealwire audit reviewer-key`: a key pair for a reviewer. */
import { createReviewerKey } from '../keys/reviewer-keys.js';
import { ExitCode } from './exit.js';
import { print } from './output.js';

/** @returns exit code */
export async function makeReviewerKey(path: string): Promise<number> {
  const { kid, privateFile, publicFile } = await createReviewerKey(path);
  await print(
    `key ${kid}\nprivate ${privateFile}: stays with the reviewer\npublic ${publicFile}: audit.reviewerKey of the service\n`,
  );
  return ExitCode.DONE;
}
