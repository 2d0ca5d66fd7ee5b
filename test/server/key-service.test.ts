import { credentials, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { type GetKeySetResponse, KeyServiceClient } from '../../src/gen/sealwire/v1/keys.js';
import { addKeyService } from '../../src/server/key-service.js';

function getKeySet(client: KeyServiceClient, recipient: string): Promise<GetKeySetResponse> {
  return new Promise((resolve, reject) => {
    client.getKeySet({ recipient }, (error, value) => (error ? reject(error) : resolve(value)));
  });
}

describe('the key service', () => {
  let server: Server;
  let client: KeyServiceClient;
  let own: { jws: string; maxAgeSeconds: number; statementJws: string } | undefined;

  before(async () => {
    server = new Server();
    addKeyService(server, [
      { issuer: 'payments', current: () => own },
      { issuer: 'fraud-team', current: () => ({ jws: 'theirs', maxAgeSeconds: 7 }) },
    ]);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    client = new KeyServiceClient(`127.0.0.1:${port}`, credentials.createInsecure());
  });
  after(() => {
    client.close();
    server.forceShutdown();
  });

  it("gives the service's own set for an empty recipient and for its name", async () => {
    own = { jws: 'ours', maxAgeSeconds: 900, statementJws: 'stated' };
    for (const recipient of ['', 'payments']) {
      expect(await getKeySet(client, recipient)).to.deep.equal({
        keySetJws: 'ours',
        maxAge: { seconds: '900', nanos: 0 },
        sealingStatement: 'stated',
      });
    }
  });

  it("gives another recipient's set by its name", async () => {
    const answer = await getKeySet(client, 'fraud-team');
    expect([answer.keySetJws, answer.sealingStatement]).to.deep.equal(['theirs', '']);
  });

  it('knows no other recipient', async () => {
    for (const recipient of ['Payments', 'constructor', '__proto__', 'x'.repeat(2_000)]) {
      const error = (await getKeySet(client, recipient).catch((caught: unknown) => caught)) as ServiceError;
      expect([error.code, error.details]).to.deep.equal([
        status.NOT_FOUND,
        'no key set of this recipient is served here',
      ]);
    }
  });

  it('is unavailable without a valid set', async () => {
    own = undefined;
    const error = (await getKeySet(client, '').catch((caught: unknown) => caught)) as ServiceError;
    expect(error.code).to.equal(status.UNAVAILABLE);
  });
});
