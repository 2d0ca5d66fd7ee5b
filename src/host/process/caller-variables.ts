/** Environment variables of the commands that call a service. A service on the same machine has no use for them. */
export const CALLER_VARIABLES = {
  address: 'SEALWIRE_ADDRESS',
  root: 'SEALWIRE_ROOT',
  name: 'SEALWIRE_NAME',
} as const;
