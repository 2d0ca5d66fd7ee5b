import { readFileSync } from 'node:fs';
import { expect } from 'chai';

interface Entry {
  readonly integrity?: string;
  readonly link?: boolean;
}

describe('package-lock.json', () => {
  it('has a digest of every package', () => {
    const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, Entry> };
    const without = Object.entries(packages).filter(
      ([path, { integrity, link }]) => path !== '' && !link && !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ''),
    );
    expect(without.map(([path]) => path)).to.deep.equal([]);
    expect(Object.keys(packages).length).to.be.greaterThan(100);
  });
});
