import { missingMemoryCase } from '../../support/web-memory.js';

describe('createIndexedDbMemory, in Node', () => {
  it(missingMemoryCase.name, missingMemoryCase.run);
});
