/** The short form: npm. `npm run soak -- toolchains` has pnpm and yarn. */
import { describeToolchains } from '../support/toolchains.js';

describeToolchains(['npm']);
