/** All of docs/bundlers.md. */
import { describeBundlers } from '../support/bundlers.js';

describeBundlers();
