/** The short form: without Jest, Vitest, NestJS and fastify, which `npm run soak -- bundlers` installs. */
import { describeBundlers } from '../support/bundlers.js';

describeBundlers(['The example', 'tsconfig.json', 'esbuild', 'CommonJS']);
