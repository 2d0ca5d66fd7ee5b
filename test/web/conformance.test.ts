/** The browser client against the vectors, hostile key sets and hostile replies, by Node's WebCrypto. */
import { conformanceCases } from '../support/web-conformance.js';
import { makeConformanceInput } from '../support/web-conformance-input.js';

const input = await makeConformanceInput();

describe('the browser client conforms', () => {
  for (const { name, run } of conformanceCases(input)) it(name, run);
});
