import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { explain } from '../../../src/audit/write/log-folder.js';

describe('an error of the system under a log', () => {
  it('is told with the file that it names, which may be another than the folder', async () => {
    const said = (work: () => Promise<unknown>) => explain('/log', work).catch(({ message }: Error) => message);
    expect(await said(() => readFile('/absent/log.key'))).to.equal('/absent/log.key: ENOENT');
    expect(await said(() => Promise.reject(Object.assign(new Error(), { code: 'EIO' })))).to.equal('/log: EIO');
  });
});
