import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { expect } from 'chai';
import { SealwireError } from '../../../src/errors.js';
import { descriptorSet } from '../../../src/gen/descriptors.js';
import { DescriptorFiles } from '../../../src/schema/run-time/descriptor-files.js';

const set = Buffer.from(descriptorSet, 'base64');
const PAYMENTS = 'payments/v1/payments.proto';

const nameOf = (bytes: Uint8Array) => fromBinary(FileDescriptorProtoSchema, bytes).name;

describe('DescriptorFiles', () => {
  const files = new DescriptorFiles(set);

  it('gives each file as the very bytes of the set, with all it imports, also for options only', () => {
    const found = files.withImports(PAYMENTS) ?? [];
    expect(found.map(nameOf)).to.have.members([
      PAYMENTS,
      'sealwire/v1/sealed.proto',
      'google/protobuf/descriptor.proto',
    ]);
    expect(nameOf(found[0] as Uint8Array)).to.equal(PAYMENTS);
    for (const bytes of found) expect(set.includes(Buffer.from(bytes))).to.equal(true);
    // 51789 as a field's tag with wire type 2 (protobuf encoding): the option is in there.
    expect(Buffer.from(found[0] as Uint8Array).includes(Buffer.from([0xea, 0xa4, 0x19]))).to.equal(true);
  });

  for (const symbol of [
    'payments.v1.PaymentService',
    'payments.v1.PaymentService.Authorize',
    'payments.v1.AuthorizeRequest',
    'payments.v1.AuthorizeRequest.card',
  ]) {
    it(`finds ${symbol}`, () => expect(files.fileOfSymbol(symbol)).to.equal(PAYMENTS));
  }

  it('finds extensions, nested messages, oneofs, and enum values where C++ has them', () => {
    expect(files.fileOfSymbol('sealwire.v1.sealed')).to.equal('sealwire/v1/sealed.proto');
    expect(files.fileOfSymbol('google.rpc.BadRequest.FieldViolation')).to.equal('google/rpc/error_details.proto');
    const health = 'health/v1/health.proto';
    expect(files.fileOfSymbol('grpc.health.v1.HealthCheckResponse.SERVING')).to.equal(health);
    expect(files.fileOfSymbol('grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING')).to.equal(undefined);
    const reflection = 'grpc/reflection/v1/reflection.proto';
    expect(files.fileOfSymbol('grpc.reflection.v1.ServerReflectionRequest.message_request')).to.equal(reflection);
    expect(files.fileOfExtension('google.protobuf.FieldOptions', 51_789)).to.equal('sealwire/v1/sealed.proto');
    expect(files.fileOfExtension('google.protobuf.FieldOptions', 1)).to.equal(undefined);
    expect(files.extensionNumbers('google.protobuf.FieldOptions')).to.deep.equal([51_789]);
    expect(files.extensionNumbers('payments.v1.Payment')).to.deep.equal([]);
  });

  it('has nothing under names of object members', () => {
    for (const name of ['constructor', '__proto__', '', '.', 'payments']) {
      expect(files.fileOfSymbol(name)).to.equal(undefined);
      expect(files.withImports(name)).to.equal(undefined);
      expect(files.extensionNumbers(name)).to.equal(undefined);
    }
  });

  it('takes the first of files that are there twice', () => {
    const twice = new DescriptorFiles(Buffer.concat([set, set]));
    expect(twice.withImports(PAYMENTS)).to.have.length(3);
    expect(twice.services).to.deep.equal(files.services);
  });

  it('refuses sets that are malformed or lack an import', () => {
    const { file } = fromBinary(FileDescriptorSetSchema, set);
    const lone = create(FileDescriptorSetSchema, { file: file.filter(({ name }) => name === PAYMENTS) });
    for (const bytes of [toBinary(FileDescriptorSetSchema, lone), Buffer.from([0x0a, 0xff]), Buffer.from('no set')]) {
      expect(() => new DescriptorFiles(bytes))
        .to.throw(SealwireError)
        .with.property('code', 'PLAN_INVALID');
    }
  });
});
