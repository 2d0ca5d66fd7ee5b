/** Configuration of the web gateway. */
import { z } from 'zod';

/** `https://shop.example`, as browsers write an origin. */
const ORIGIN = /^https?:\/\/(?:\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::\d{1,5})?$/;

/** @param hostPort form of an address */
export function createWebSchema(hostPort: RegExp) {
  return z
    .strictObject({
      listen: z
        .union([z.literal('off'), z.string().regex(hostPort, 'must be HOST:PORT or off')])
        .optional()
        .describe(
          'Address of the web gateway, which takes Connect and gRPC-Web; port 0 picks a free one; off for none. ' +
            "Without it the app decides: the payments service serves its example on 127.0.0.1:8080, others' is off.",
        ),
      origins: z
        .array(z.string().regex(ORIGIN, 'must be an origin, such as https://shop.example'))
        .max(256)
        .default([])
        .describe("Origins of pages that may call, besides the gateway's own; at most 256."),
    })
    .prefault({})
    .describe('The web gateway, for calls from browsers.');
}
