import { readFile } from 'node:fs/promises';
import {
  type DescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
} from '@bufbuild/protobuf/wkt';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { readDescriptors } from '../../src/schema/run-time/descriptor-plans.js';
import { missingFromSchema, SealingStatements } from '../../src/schema/sealing-statement.js';
import { completeDescriptorSet, descriptorSet } from '../support/descriptor-set.js';

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

  it('are not made from a package that reads like further lines, nor split by a JSON name', () => {
    const stated = statements.ofMethod('payments.v1.PaymentService', 'Authorize');
    const forged = (packageName: string, jsonName: string) => {
      const set = completeDescriptorSet();
      const file = set.file.find(({ name }) => name === 'payments/v1/payments.proto') as FileDescriptorProto;
      const request = file.messageType.find(({ name }) => name === 'AuthorizeRequest') as DescriptorProto;
      // The card is plain; another message, with something sealed in it, is on the way below.
      const other = { ...request, name: 'Other' };
      set.file.splice(set.file.indexOf(file), 0, {
        ...file,
        name: 'other.proto',
        package: packageName,
        messageType: [other, ...file.messageType.filter(({ name }) => /^(?:Card|Postal)/.test(name))],
        service: [],
      });
      file.dependency = [...file.dependency, 'other.proto'];
      const card = request.field.find(({ name }) => name === 'card') as FieldDescriptorProto;
      request.field = request.field.filter((field) => field !== card);
      const type = FieldDescriptorProto_Type.MESSAGE;
      const { options: _, ...plain } = card;
      request.field.push({ ...plain, type, typeName: '.payments.v1.CardDetails' });
      request.field.push({ ...plain, name: 'other', number: 9, jsonName, type, typeName: `.${packageName}.Other` });
      return new SealingStatements(readDescriptors(set)).ofMethod('payments.v1.PaymentService', 'Authorize');
    };
    expect(missingFromSchema(stated, forged('other.v1', 'other'), PATH)).to.have.length(1);
    expect(missingFromSchema(stated, forged('other.v1', `x\n${stated}y`), PATH)).to.have.length(1);
    expect(() => forged(`x\n${stated}y`, 'other'))
      .to.throw(SealwireError)
      .with.property('code', 'PLAN_INVALID');
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
