/** Environment variables of the commands that call a service. A service on the same machine has no use for them. */
export const CALLER_VARIABLES = {
  address: 'SEALWIRE_ADDRESS',
  root: 'SEALWIRE_ROOT',
  name: 'SEALWIRE_NAME',
  tlsCa: 'SEALWIRE_TLS_CA',
  tlsCert: 'SEALWIRE_TLS_CERT',
  tlsKey: 'SEALWIRE_TLS_KEY',
} as const;
