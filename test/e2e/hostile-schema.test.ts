/**
 * A relay, or a reflection server that loses options, says what is sealed: nothing that the service has sealed goes out
 * in clear.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { expect } from 'chai';
import { ServerReflectionResponse, ServerReflectionService } from '../../src/gen/grpc/reflection/v1/reflection.js';
import { PaymentServiceService } from '../../src/gen/payments/v1/payments.js';
import { GetKeySetResponse, KeyServiceService } from '../../src/gen/sealwire/v1/keys.js';
import { finishSealwire } from '../support/command.js';
import { card, type DebugService, order, PAYMENTS, startDebugService } from '../support/debug-service.js';
import { type RewritingRelay, rewriteAs, startRewritingRelay } from '../support/rewriting-relay.js';

const AUTHORIZE = `${PAYMENTS}/Authorize`;
const IMPORT = `${PAYMENTS}/ImportPayments`;
/** The end of the line that states the card. */
const CARD_FACTS =
  'payments.v1.CardDetails recipient= required=1 transient=0 max_bytes=1024 bind=amount_minor:2:int64,currency_code:3:string,order_id:1:string';

describe('a schema from somebody else’s hands', () => {
  let service: DebugService;
  let relay: RewritingRelay;
  /** Changes payments.proto as the relay shows it. */
  let forge: (file: FileDescriptorProto) => void;
  let hidesOption = false;
  let changeKeySet: (answer: GetKeySetResponse) => GetKeySetResponse;

  before(async () => {
    service = await startDebugService();
    relay = await startRewritingRelay(service.address, [
      PaymentServiceService,
      KeyServiceService,
      ServerReflectionService,
    ]);
    const reflection = rewriteAs(ServerReflectionResponse, (answer) => {
      const files = answer.fileDescriptorResponse?.fileDescriptorProto.map(rewriteFile).filter(isShown);
      return files === undefined ? answer : { ...answer, fileDescriptorResponse: { fileDescriptorProto: files } };
    });
    const keySet = rewriteAs(GetKeySetResponse, (answer) => changeKeySet(answer));
    relay.hooks.response = (bytes, call, index) => {
      if (call.path.endsWith('/ServerReflectionInfo')) return reflection(bytes, call, index);
      return call.path.endsWith('/GetKeySet') ? keySet(bytes, call, index) : bytes;
    };
  });

  beforeEach(() => {
    relay.calls.length = 0;
    forge = () => {};
    hidesOption = false;
    changeKeySet = (answer) => answer;
  });

  after(async () => {
    relay.close();
    await service.stop();
  });

  /** A server that lost the option does not show its file either. */
  function isShown(bytes: Uint8Array): boolean {
    return !hidesOption || fromBinary(FileDescriptorProtoSchema, bytes).name !== 'sealwire/v1/sealed.proto';
  }

  function rewriteFile(bytes: Uint8Array): Buffer {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    if (file.name === 'payments/v1/payments.proto') forge(file);
    return Buffer.from(toBinary(FileDescriptorProtoSchema, file));
  }

  const run = (command: string, method: string, input: string, flags: readonly string[] = pinned()) =>
    finishSealwire([command, method, '--address', relay.address, ...flags, '-d', '@'], { input });
  const pinned = () => service.flags.slice(2);
  const withKeysFile = () => ['--keys', `${service.dir}/keys/public.jwks.json`];

  /** Everything that the relay, and so anybody on the way, has seen. */
  const seen = () => relay.calls.map(({ requests }) => Buffer.concat(requests).toString('latin1')).join('');

  it('is used as long as it says what the service states', async () => {
    const { code, stdout } = await run('call', AUTHORIZE, order('honest-1'));
    expect([code, JSON.parse(stdout).status]).to.deep.equal([0, 'authorized']);
    expect(seen()).not.to.include(card.number);
  });

  const forgeries: readonly [
    name: string,
    method: string,
    change: (file: FileDescriptorProto) => void,
    named: RegExp,
  ][] = [
    [
      'types the card as a plain message',
      AUTHORIZE,
      (file) => unseal(field(file, 'AuthorizeRequest', 'card')),
      /AuthorizeRequest\.card/,
    ],
    [
      'loses every option, as some reflection servers do',
      AUTHORIZE,
      (file) => {
        for (const each of message(file, 'AuthorizeRequest').field) if (each.options) unseal(each);
      },
      /AuthorizeRequest\./,
    ],
    [
      'hides a plain message behind a decoy that has everything sealed',
      IMPORT,
      (file) => {
        addPlainCopy(file);
        const request = message(file, 'ImportPaymentsRequest');
        const [payment] = request.field as [FieldDescriptorProto];
        request.field.push({ ...payment, name: 'decoy', jsonName: 'decoy', number: 2 });
        payment.typeName = '.payments.v1.Plain';
      },
      /ImportPaymentsRequest\.payment/,
    ],
    [
      'swaps the request type of the method',
      AUTHORIZE,
      (file) => {
        addPlainCopy(file);
        const [method] = file.service[0]?.method ?? [];
        if (method !== undefined) method.inputType = '.payments.v1.Plain';
      },
      /types of request and response/,
    ],
    [
      'seals it with other rules',
      AUTHORIZE,
      (file) => moveOption(file, 'billing_address', 'card'),
      /AuthorizeRequest\.card/,
    ],
    [
      'has the stated line in the JSON name of another field',
      AUTHORIZE,
      (file) => {
        unseal(field(file, 'AuthorizeRequest', 'card'));
        const jsonName = `x\n/${AUTHORIZE} > payments.v1.AuthorizeRequest.card 4 card ${CARD_FACTS}\n`;
        const decoy = { ...field(file, 'AuthorizeRequest', 'billing_address'), name: 'decoy', number: 50, jsonName };
        message(file, 'AuthorizeRequest').field.push(decoy);
      },
      /AuthorizeRequest\.card/,
    ],
    [
      'gives a bound amount a kind that doubles it on the wire',
      AUTHORIZE,
      (file) => {
        field(file, 'AuthorizeRequest', 'amount_minor').type = FieldDescriptorProto_Type.SINT64;
      },
      /AuthorizeRequest\.card/,
    ],
    [
      'exchanges the numbers of two bound fields',
      AUTHORIZE,
      (file) => {
        field(file, 'AuthorizeRequest', 'order_id').number = 3;
        field(file, 'AuthorizeRequest', 'currency_code').number = 1;
      },
      /AuthorizeRequest\.card/,
    ],
  ];
  for (const [name, method, change, named] of forgeries) {
    for (const command of ['call', 'request']) {
      it(`that ${name} is refused by ${command}, and nothing is sent or printed`, async () => {
        forge = change;
        const input = method === IMPORT ? `{"payment": ${order('forged-1')}}` : order('forged-1');
        const { code, stdout, stderr } = await run(command, method, input);
        expect(code, stderr).to.equal(1);
        expect(stderr).to.match(named);
        expect(stdout).to.equal('');
        expect(seen()).not.to.include(card.number);
        expect(relay.calls.map(({ path }) => path)).not.to.include(`/${method}`);
      });
    }
  }

  it('in which two fields answer to one JSON name is refused', async () => {
    forge = (file) => {
      const request = message(file, 'AuthorizeRequest');
      const sealed = field(file, 'AuthorizeRequest', 'card');
      sealed.jsonName = 'sealedCard';
      const plain = { ...sealed, name: 'plain', jsonName: 'card', number: 99 };
      delete plain.options;
      request.field.unshift(unseal(plain));
    };
    const { code, stderr } = await run('call', AUTHORIZE, order('forged-2'));
    expect(code).to.equal(2);
    expect(stderr).to.match(/two fields answer to the JSON name 'card'/);
    expect(seen()).not.to.include(card.number);
  });

  it('in which a message is declared twice is refused: a plan would follow one, and an encoder the other', async () => {
    forge = (file) => {
      // What the service states is found by way of another field; what is encoded is not that.
      const sealed = message(file, 'AuthorizeRequest');
      file.messageType.push({ ...sealed, field: sealed.field.map((each) => unsealCopy(each)) });
    };
    for (const command of ['call', 'request']) {
      const { code, stdout, stderr } = await run(command, AUTHORIZE, order('forged-4'));
      expect(code).to.equal(2);
      expect(stderr).to.match(/payments\.v1\.AuthorizeRequest is declared twice/);
      expect(stdout).to.equal('');
      expect(seen()).not.to.include(card.number);
    }
  });

  const statements: readonly [name: string, change: (answer: GetKeySetResponse) => GetKeySetResponse, said: RegExp][] =
    [
      ['is cut out', (answer) => ({ ...answer, sealingStatement: '' }), /gives no sealing statement/],
      ['is the key set', (answer) => ({ ...answer, sealingStatement: answer.keySetJws }), /typ is not/],
      [
        'was changed',
        (answer) => ({ ...answer, sealingStatement: changePayload(answer.sealingStatement) }),
        /signature is not that of the delegated key/,
      ],
    ];
  for (const [name, change, said] of statements) {
    it(`is not believed when the statement ${name}`, async () => {
      forge = (file) => unseal(field(file, 'AuthorizeRequest', 'card'));
      changeKeySet = change;
      const { code, stderr } = await run('call', AUTHORIZE, order('forged-3'));
      expect(code).to.equal(1);
      expect(stderr).to.match(said);
      expect(seen()).not.to.include(card.number);
    });
  }

  it('without any pinned root is refused when nothing in the request is sealed, unless a flag trusts it', async () => {
    forge = (file) => {
      for (const each of message(file, 'AuthorizeRequest').field) if (each.options) unseal(each);
    };
    const refused = await run('call', AUTHORIZE, order('forged-4'), withKeysFile());
    expect(refused.code).to.equal(1);
    expect(refused.stderr).to.match(/nothing in a request of \S+ is sealed.*--trust-schema/);
    expect(seen()).not.to.include(card.number);
    const printed = await run('request', AUTHORIZE, order('forged-4'), [...withKeysFile(), '--trust-schema']);
    expect([printed.code, printed.stdout.includes(card.number)]).to.deep.equal([0, true]);
  });

  it('of which the option is lost altogether is named', async () => {
    hidesOption = true;
    forge = (file) => {
      file.dependency = file.dependency.filter((name) => name !== 'sealwire/v1/sealed.proto');
      for (const type of file.messageType) for (const each of type.field) if (each.options) unseal(each);
    };
    const { code, stderr } = await run('call', AUTHORIZE, order('forged-5'), withKeysFile());
    expect(code).to.equal(2);
    expect(stderr).to.match(/the descriptor set lacks sealwire\/v1\/sealed\.proto, so nothing is sealed/);
    expect(seen()).not.to.include(card.number);
  });

  it('is looked at by doctor', async () => {
    const doctor = () => finishSealwire(['doctor', relay.address, ...pinned()]);
    expect((await doctor()).stdout).to.match(/sealing statement +ok +reflection says the same of \d+ methods/);
    forge = (file) => unseal(field(file, 'AuthorizeRequest', 'card'));
    const { code, stdout } = await doctor();
    expect(code).to.equal(1);
    expect(stdout).to.match(/sealing statement +bad .*AuthorizeRequest\.card/);
  });
});

function message(file: FileDescriptorProto, name: string): DescriptorProto {
  return file.messageType.find((each) => each.name === name) as DescriptorProto;
}

function field(file: FileDescriptorProto, type: string, name: string): FieldDescriptorProto {
  return message(file, type).field.find((each) => each.name === name) as FieldDescriptorProto;
}

/** A sealed field as a plain message of the inner type, which is what its JSON looks like. */
function unseal(desc: FieldDescriptorProto): FieldDescriptorProto {
  const inner = { billing_address: '.payments.v1.PostalAddress', security_code: '', statement_line: '', note: '' };
  const typeName = inner[desc.name as keyof typeof inner] ?? '.payments.v1.CardDetails';
  delete desc.options;
  if (typeName === '') return desc;
  desc.type = FieldDescriptorProto_Type.MESSAGE;
  desc.label = FieldDescriptorProto_Label.OPTIONAL;
  desc.typeName = typeName;
  return desc;
}

/** The request as a message of another name, with nothing sealed. */
function addPlainCopy(file: FileDescriptorProto): void {
  const request = message(file, 'AuthorizeRequest');
  const copies = request.field.map((each) => unsealCopy(each));
  file.messageType.push({ ...request, name: 'Plain', field: copies });
}

function unsealCopy(desc: FieldDescriptorProto): FieldDescriptorProto {
  const copy = { ...desc };
  return copy.options === undefined ? copy : unseal(copy);
}

/** Gives a field the option of another: another inner type and other bound siblings. */
function moveOption(file: FileDescriptorProto, from: string, to: string): void {
  const { options } = field(file, 'AuthorizeRequest', from);
  if (options !== undefined) field(file, 'AuthorizeRequest', to).options = options;
}

function changePayload(jws: string): string {
  const [header, payload, signature] = jws.split('.') as [string, string, string];
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { statement: string };
  const statement = claims.statement.replaceAll(/^.*AuthorizeRequest\.card .*\n/gm, '');
  return [header, Buffer.from(JSON.stringify({ ...claims, statement })).toString('base64url'), signature].join('.');
}
