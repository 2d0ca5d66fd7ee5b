/** What the reference service is called in its log, audit records and key set, unless it is configured otherwise. */
export const PAYMENTS_NAME = 'sealwire-payments';
