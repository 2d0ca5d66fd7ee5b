/** Sealing and opening by Node's WebCrypto. */
import { sealingCases } from '../../support/web-sealing.js';

describe('WebSealer', () => {
  for (const { name, run } of sealingCases) it(name, run);
});
