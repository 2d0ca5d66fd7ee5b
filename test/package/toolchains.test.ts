/** The short form: npm, and each newer TypeScript once. `npm run soak -- toolchains` has pnpm, yarn and all pairs. */
import { describeToolchains } from '../support/toolchains.js';

describeToolchains(['npm'], 'each once');
