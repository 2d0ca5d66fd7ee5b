/** Honest callers that the service does not know: each begins a session, makes one call and goes. Five in a second. */
import { createNamedClient, type FloodWork, pace } from './floods-work.js';
import { validRequest } from './harness.js';

const CALLS_PER_SECOND = 5;

export const work: FloodWork = (target, stop, report) => {
  let caller = 0;
  report.begin();
  return pace(CALLS_PER_SECOND, stop, async () => {
    const name = `new-${caller++}`;
    const client = createNamedClient(target, name);
    await report.time(() => client.authorize({ ...validRequest, orderId: `${name}-${process.pid}` }));
    client.close();
  });
};
