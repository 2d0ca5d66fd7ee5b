/** Turns the transport-free error status into grpc-js's status object. */
import { Metadata, type StatusObject } from '@grpc/grpc-js';
import { type ErrorStatusContext, errorStatus, STATUS_DETAILS_KEY } from '../schema/error-status.js';

/**
 * Maps any error to the status a caller receives; see {@link errorStatus}.
 *
 * @param error anything thrown
 * @param context facts for the reasons that tell something
 */
export function toStatusObject(error: unknown, context?: ErrorStatusContext): StatusObject {
  const { code, details, statusDetails } = errorStatus(error, context);
  const metadata = new Metadata();
  if (statusDetails !== undefined) metadata.set(STATUS_DETAILS_KEY, Buffer.from(statusDetails));
  return { code, details, metadata };
}
