/** A service that only forwards: everything sealed is for somebody else. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import {
  createFileRegistry,
  type DescMessage,
  type DescMethodUnary,
  type DescService,
  fromBinary,
} from '@bufbuild/protobuf';
import { createRouterTransport } from '@connectrpc/connect';
import { expect } from 'chai';
import { sealed } from '../../src/gen/sealwire/v1/sealed_pb.js';
import { TokenOpener } from '../../src/jwe/opener.js';
import { KeyRing } from '../../src/keys/ring.js';
import { errorDetails, SealedWebClient, WebSealer } from '../../src/web/index.js';
import { buildProtos, makeFolder } from '../codegen/helpers.js';
import { webKey } from '../support/web-client.js';
import { failureOf } from './helpers.js';

const PROTO = `syntax = "proto3";
package mail.v1;
import "sealwire/v1/sealed.proto";
message Letter { string text = 1; }
message Parcel { string letter = 1 [(sealwire.v1.sealed) = {type: "mail.v1.Letter", recipient: "bank"}]; }
service MailService { rpc Forward(Parcel) returns (Parcel); }
`;

class MailClient extends SealedWebClient {
  forward(service: DescService, request: object): Promise<{ readonly letter: unknown }> {
    return this.unary(service.method['forward'] as DescMethodUnary, request);
  }
}

describe('a call with fields for another recipient alone', () => {
  let service: DescService;
  let letter: DescMessage;
  before(() => {
    const folder = makeFolder();
    mkdirSync(join(folder.path, 'mail/v1'), { recursive: true });
    writeFileSync(join(folder.path, 'mail/v1/mail.proto'), PROTO);
    const registry = createFileRegistry(buildProtos(relative('.', folder.path)));
    folder.remove();
    service = registry.getService('mail.v1.MailService')!;
    letter = registry.getMessage('mail.v1.Letter')!;
  });

  it("asks for no other's key, sends no reply token, and leaves tokens of responses as they are", async () => {
    const bank = await KeyRing.create('P-256');
    const asked: string[] = [];
    const seen: [string, string | null][] = [];
    const current = (recipient: string) => {
      asked.push(recipient);
      return webKey(bank);
    };
    const transport = createRouterTransport(({ service: add }) =>
      add(service, {
        forward(parcel: { readonly letter: string }, { requestHeader }: { readonly requestHeader: Headers }) {
          seen.push([parcel.letter, requestHeader.get('sealwire-reply')]);
          return parcel;
        },
      } as never),
    );
    const sealer = new WebSealer({ keys: { current, refresh: async () => {} } });
    const client = new MailClient(service, sealed, [letter], transport, { sealer });
    const answer = await client.forward(service, { letter: { text: 'for the bank' } });
    const [[token, replyToken]] = seen as [[string, string | null]];
    expect([answer.letter, replyToken, asked]).to.deep.equal([token, null, ['bank']]);
    const opener = new TokenOpener({ keys: bank });
    const plaintext = await opener.open(opener.check(token, { field: 'mail.v1.Parcel.letter' }), 'test');
    expect(fromBinary(letter, plaintext)).to.include({ text: 'for the bank' });

    expect(await client.forward(service, { letter: token })).to.include({ letter: token });
    expect(await client.forward(service, {})).to.have.property('letter', undefined);
    expect(asked, 'nothing to seal, nobody to ask').to.deep.equal(['bank']);
    const error = await failureOf(client.forward(service, { letter: 'in clear' }));
    expect(errorDetails(error)).to.include({ code: 'SEAL_INPUT', field: 'letter' });
    expect(seen).to.have.length(3);
  });
});
