/** A server that was given no open interceptor, or one without the service, serves no sealed method. */
import { Server, ServerCredentials, type ServerInterceptor, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { staticKeySource } from '../../src/keys/key-source.js';
import { KeyRing } from '../../src/keys/ring.js';
import { addSealedService } from '../../src/server/add-service.js';
import { createOpenInterceptor } from '../../src/server/open-interceptor.js';
import { SealedRequestService, SealedResponseService } from '../gen/matrix/v1/matrix_sealed.js';
import { AnyClient, createHandlers } from '../support/any-client.js';
import { failureOf } from '../support/harness.js';

const services = [SealedRequestService, SealedResponseService];
const message = { label: '', many: [], named: {}, leaves: [], leafByName: {}, parts: [] };

describe('a call that no open interceptor has seen', () => {
  let keys: KeyRing;
  let received: object[];
  let reported: unknown[];
  before(async () => {
    keys = await KeyRing.create();
  });

  /** Calls all methods of services of one server. */
  async function callAll(interceptors: ServerInterceptor[], use: (call: Promise<object[]>) => Promise<unknown>) {
    received = [];
    reported = [];
    const server = new Server({ interceptors });
    const conversation = () => ({ receive: (request: object) => received.push(request), replies: [message] });
    for (const service of services) {
      addSealedService(server, service, createHandlers(service, conversation), (error) => reported.push(error));
    }
    const port = await new Promise<number>((resolve, reject) => {
      const bound = (error: Error | null, value: number) => (error ? reject(error) : resolve(value));
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
    });
    const options = { keys: staticKeySource(keys.current()) };
    for (const service of services) {
      const client = new AnyClient(`127.0.0.1:${port}`, service, options);
      for (const method of ['Unary', 'ClientStream', 'ServerStream', 'BidiStream']) {
        await use(client.exchange(method, [message]));
      }
      client.close();
    }
    server.forceShutdown();
  }

  function open(opened: typeof services): ServerInterceptor {
    const audit = { commit: () => Promise.resolve(), note() {} };
    return createOpenInterceptor({ services: opened, keys, audit }).interceptor;
  }

  for (const [name, interceptors] of Object.entries({
    'of a server without interceptors': () => [],
    'of services that the interceptor was not given': () => [open([])],
  })) {
    it(`${name} ends with INTERNAL before its handler, and the report says why`, async () => {
      await callAll(interceptors(), async (call) => {
        expect(await failureOf(call)).to.include({ code: status.INTERNAL, details: 'internal error' });
        const [error] = reported.splice(0);
        expect(error).to.be.instanceOf(SealwireError).and.include({ code: 'OPTIONS_INVALID' });
        expect((error as Error).message).to.match(/^no open interceptor .*createOpenInterceptor/);
      });
      expect(received).to.deep.equal([]);
    });
  }

  it('is told apart from one that another server has seen', async () => {
    await callAll([open(services)], async (call) => expect(await call).to.have.length(1));
    expect(received).to.have.length(8);
    await callAll([], async (call) => expect(await failureOf(call)).to.include({ code: status.INTERNAL }));
  });
});
