import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { readDescriptors } from '../../src/schema/run-time/descriptor-plans.js';
import { missingFromSchema, SealingStatements } from '../../src/schema/sealing-statement.js';
import { descriptorSet } from '../support/descriptor-set.js';

const PATH = '/payments.v1.PaymentService/Authorize';

describe('SealingStatements', () => {
  let statements: SealingStatements;

  before(function () {
    this.timeout(30_000);
    statements = new SealingStatements(readDescriptors(descriptorSet()));
  });

  it('state the reference service byte for byte as docs/key-sets.md shows it', async () => {
    const [, shown] = /```text\n(\/payments[\s\S]*?)```/.exec(await readFile('docs/key-sets.md', 'utf8')) ?? [];
    expect(statements.ofServices(['payments.v1.PaymentService'])).to.equal(shown);
  });

  it('are sorted lines without repetition, also for recursive types, maps, lists and named recipients', () => {
    const text = statements.ofServices([
      'matrix.v1.ExchangeService',
      'shapes.v1.FirstService',
      'shop.v1.CheckoutService',
    ]);
    const lines = text.split('\n').slice(0, -1);
    expect(lines).to.have.length.above(20);
    expect(lines).to.deep.equal([...new Set(lines)].sort());
    expect(text).to.match(/^[\x20-\x7e\n]*\n$/);
  });

  it('of a method are its lines in the statement of its service', () => {
    const whole = statements.ofServices(['payments.v1.PaymentService']).split('\n');
    const own = statements.ofMethod('payments.v1.PaymentService', 'Authorize').split('\n').slice(0, -1);
    expect(own).to.deep.equal(whole.filter((line) => line.startsWith(`${PATH} `)));
  });

  it('leave out services and methods that the schema lacks', () => {
    expect(statements.ofServices(['payments.v1.Nobody'])).to.equal('');
    expect(statements.ofMethod('payments.v1.PaymentService', 'Nothing')).to.equal('');
  });
});

describe('missingFromSchema', () => {
  const stated = `${PATH} A B\n${PATH} > A.card 4 card C recipient= required=1\n/other.S/M X Y\n`;
  const own = stated.split('\n').slice(0, 2).join('\n');

  it('finds nothing where the schema says the same, or more', () => {
    expect(missingFromSchema(stated, own, PATH)).to.deep.equal([]);
    expect(missingFromSchema(stated, `${own}\n${PATH} > A.more 5 more C`, PATH)).to.deep.equal([]);
  });

  it('finds what the schema lacks or says differently', () => {
    expect(missingFromSchema(stated, `${PATH} A B\n`, PATH)).to.deep.equal([stated.split('\n')[1]]);
    expect(missingFromSchema(stated, own.replace('required=1', 'required=0'), PATH)).to.have.length(1);
    expect(missingFromSchema(stated, '', PATH)).to.have.length(2);
  });

  it('says when the method is not stated; a method whose name only begins like another one is none of it', () => {
    expect(missingFromSchema(stated, own, '/payments.v1.PaymentService/Auth')).to.equal(undefined);
    expect(missingFromSchema('', own, PATH)).to.equal(undefined);
  });
});
