/**
 * Private keys that stay in an HSM. Needs the optional package `pkcs11js`.
 *
 * @module sealwire/pkcs11
 */

export type { EphemeralPoint } from '../../jwe/header.js';
export type { Custody } from '../../jwe/recipient.js';
export type { Curve } from '../../profile/algorithms.js';
export type { HardwareCustody } from '../custody.js';
export type { PublicJwk } from '../import.js';
export { Pkcs11Custody, type Pkcs11CustodyOptions } from './pkcs11-custody.js';
export type { Pkcs11Limits, Pkcs11Stats } from './pkcs11-pool.js';
export type { Pkcs11Uri } from './pkcs11-uri.js';
