/** The service's keys in PKCS#11 tokens: opened when the ring has such keys, checked before calls are served. */
import type { Logger } from 'winston';
import { SealwireError } from '../errors.js';
import { opensOnWire } from '../keys/lifecycle.js';
import { readSecretFile } from '../keys/passphrase.js';
import { Pkcs11Custody } from '../keys/pkcs11/pkcs11-custody.js';
import type { Pkcs11Uri } from '../keys/pkcs11/pkcs11-uri.js';
import type { KeyRing } from '../keys/ring.js';
import { type HostConfig, HSM_PIN_VARIABLE } from './config.js';

/** Asks a person for the PIN of a token. */
export type AskPin = (token: Pkcs11Uri) => Promise<string>;

/** What {@link createHardware} needs. */
export interface HardwareOptions {
  readonly config: HostConfig['hsm'];
  readonly logger: Logger;
  /** Asked when neither the URI, the configuration nor the environment gives a PIN. Default: nobody is. */
  readonly askPin?: AskPin | undefined;
  /** Told when a token goes, and when it is back. */
  readonly onChange: () => void;
}

/** @returns the custody of keys in tokens; no library is loaded until there is such a key */
export function createHardware({ config, logger, askPin, onChange }: HardwareOptions): Pkcs11Custody {
  const { module, pinFile, sessions, deadlineMs } = config;
  // Processes started later must not inherit it.
  const fromEnvironment = process.env[HSM_PIN_VARIABLE];
  delete process.env[HSM_PIN_VARIABLE];
  return new Pkcs11Custody({
    modulePath: module,
    sessions,
    deadlineMs,
    readPin: async (token) => {
      const file = token.pinSource ?? pinFile;
      if (file !== undefined) return readSecretFile(file, 'PIN');
      if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment;
      if (askPin !== undefined) return askPin(token);
      const ways = `pin-source in its URI, hsm.pinFile or ${HSM_PIN_VARIABLE}`;
      throw new SealwireError(
        'OPTIONS_INVALID',
        `the PIN of the token '${token.token ?? token.serial ?? ''}' is needed: ${ways}`,
      );
    },
    onChange: (available, why) => {
      if (available) logger.info('the key custody serves again');
      else logger.error('the key custody cannot serve; cached agreements go on', { error: why });
      onChange();
    },
  });
}

/**
 * Checks that each key in a token that opens calls is present and usable. The key that senders use must be; problems
 * with others is logged.
 *
 * @throws SealwireError `CUSTODY_FAILED`, `KEY_INVALID`, `OPTIONS_INVALID`
 */
export async function checkHardware(ring: KeyRing, hardware: Pkcs11Custody, logger: Logger): Promise<void> {
  for (const { kid, custody } of ring.keys()) {
    const state = ring.stateOf(kid);
    if (custody === undefined || state === undefined || !opensOnWire(state)) continue;
    try {
      const { kid: found } = await hardware.describe(custody);
      if (found !== kid) throw new SealwireError('KEY_INVALID', 'the token has another key under that name');
    } catch (error) {
      const why = error instanceof SealwireError ? error.message : 'it cannot be asked';
      if (kid === ring.currentKid) {
        const code = error instanceof SealwireError ? error.code : 'CUSTODY_FAILED';
        throw new SealwireError(code, `key ${kid}: ${why}`);
      }
      logger.error('a key in a token cannot be used', { kid, error: why });
    }
  }
}

/**
 * Checks again whenever the ring changes. A running service goes on, and its log says what is wrong.
 * @returns ends it
 */
export function watchHardware(ring: KeyRing, hardware: Pkcs11Custody, logger: Logger): () => void {
  return ring.onChange(() => {
    // A retired key can come back only through its file, which then names its token again.
    const kids = ring.keys().filter(({ kid }) => ring.stateOf(kid) !== 'retired');
    hardware.retain(new Set(kids.map(({ kid }) => kid)));
    checkHardware(ring, hardware, logger).catch((error: unknown) => {
      const why = error instanceof SealwireError ? error.message : 'it cannot be asked';
      logger.error('the key that senders use cannot be used', { error: why });
    });
  });
}
