/**
 * Main module of a worker thread: fresh EC work costs milliseconds and `diffieHellman` is synchronous. Threads get it
 * as text (`src/gen/programs.ts`, made by `npm run generate`), since a bundle of an application has no such file beside
 * it.
 */
import { parentPort } from 'node:worker_threads';
import { type AgreementOutcome, type AgreementTask, runAgreement } from './agreement.js';

/** A thread's answer. `point`: it is not on the curve. Errors may carry the task: nothing of them leaves the thread. */
export type AgreementReply = AgreementOutcome | 'point' | 'failed';

parentPort?.on('message', (task: AgreementTask) => parentPort?.postMessage(answer(task)));

function answer(task: AgreementTask): AgreementReply {
  try {
    return runAgreement(task) ?? 'point';
  } catch {
    return 'failed';
  }
}
