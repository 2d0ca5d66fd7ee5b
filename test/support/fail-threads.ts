/** Loaded first into a service (`node --import`): threads begin, and their program ends at once with an error. */
import { syncBuiltinESMExports } from 'node:module';
import threads, { Worker, type WorkerOptions } from 'node:worker_threads';

threads.Worker = class extends Worker {
  constructor(_program: string, options: WorkerOptions) {
    super("throw new TypeError('of unknown making')", options);
  }
} as typeof Worker;
syncBuiltinESMExports();
