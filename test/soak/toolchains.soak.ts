/** The package installed by pnpm and yarn, under each TypeScript. */
import { describeToolchains } from '../support/toolchains.js';

describeToolchains(['pnpm', 'yarn'], 'all');
