/** Honest callers whose sessions the service knows: four, ten calls in a second each. */
import { createNamedClient, type FloodWork, pace } from './floods-work.js';
import { validRequest } from './harness.js';

const CALLERS = 4;
const CALLS_PER_SECOND = 10;

export const work: FloodWork = async (target, stop, report) => {
  let order = 0;
  const clients = Array.from({ length: CALLERS }, (_, n) => createNamedClient(target, `warm-${n}`));
  report.begin();
  await Promise.all(
    clients.map((client) =>
      pace(CALLS_PER_SECOND, stop, () =>
        report.time(() => client.authorize({ ...validRequest, orderId: `warm-${process.pid}-${order++}` })),
      ),
    ),
  );
  for (const client of clients) client.close();
};
