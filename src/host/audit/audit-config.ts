/** The options of the audit log in the configuration file. */
import { z } from 'zod';

/** `audit` of the service's configuration. */
export const auditSchema = z
  .strictObject({
    mode: z
      .enum(['sync', 'async'])
      .default('sync')
      .describe('sync: a record is on disk before the handler runs; async: it is queued.'),
    deadlineMs: z
      .int()
      .min(100)
      .max(60_000)
      .default(5_000)
      .describe('How long a call waits for its record, ms; 100 to 60,000.'),
    segmentBytes: z
      .int()
      .min(4_096)
      .max(1_073_741_824)
      .default(67_108_864)
      .describe('Size at which a segment of the log ends and the next one begins, bytes; 4,096 to 1,073,741,824.'),
    segmentAgeMs: z
      .int()
      .min(1_000)
      .max(2_147_483_647)
      .default(86_400_000)
      .describe('Age at which a segment ends, ms; 1,000 to 2,147,483,647.'),
    checkpointRecords: z
      .int()
      .min(1)
      .max(100_000)
      .default(10_000)
      .describe('Records after which a checkpoint is signed; 1 to 100,000.'),
    checkpointMs: z
      .int()
      .min(10)
      .max(86_400_000)
      .default(10_000)
      .describe('How long a record waits for a checkpoint, ms; 10 to 86,400,000.'),
    retainMs: z
      .int()
      .min(3_600_000)
      .max(10_000_000_000_000)
      .optional()
      .describe('Age at which whole segments are removed, ms; 3,600,000 to 10^13. Without it none is.'),
    retainBytes: z
      .int()
      .min(1_048_576)
      .max(Number.MAX_SAFE_INTEGER)
      .optional()
      .describe(
        'Size of the log above which its oldest segments are removed, bytes; from 1,048,576. Without it none is.',
      ),
    rejectBytesPerHour: z
      .int()
      .min(1_024)
      .max(1_099_511_627_776)
      .default(2_097_152)
      .describe(
        'Size of the records of refused calls per hour and caller, bytes; what comes on top is counted. 1,024 to 2^40. ' +
          '128 callers an hour have this each, all others together once.',
      ),
    storedBytesPerHour: z
      .int()
      .min(65_536)
      .max(1_099_511_627_776)
      .default(1_073_741_824)
      .describe(
        'Size of the records that openings of stored tokens make per hour and caller, with the tokens that answers seal anew, ' +
          'bytes; past it calls get LIMIT_EXCEEDED. 65,536 to 2^40.',
      ),
    transports: z
      .array(
        z.strictObject({
          transport: z.string().min(1),
          export: z.string().min(1).optional(),
          options: z.record(z.string(), z.unknown()).default({}),
        }),
      )
      .max(16)
      .default([])
      .describe('winston transports that get a copy of each record, see below.'),
    reviewerKey: z
      .string()
      .min(1)
      .optional()
      .describe(
        'File of the public key of a reviewer, who can then open each recorded token with the private key alone.',
      ),
  })
  .prefault({})
  .describe('The audit log.');

/** Checked, with defaults in place. */
export type AuditConfig = z.output<typeof auditSchema>;
