/** Asks server reflection for its largest answer, over and over, and takes none of them. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { ServerReflectionRequest } from '../../src/gen/grpc/reflection/v1/reflection.js';
import { type FloodWork, pace } from './floods-work.js';

const CONNECTIONS = 4;
const REQUESTS = 500;
const STREAMS_PER_SECOND = 100;

export const work: FloodWork = async ({ address }, stop, report) => {
  const sessions = Array.from({ length: CONNECTIONS }, () => open(address));
  const requests = Buffer.concat(Array<Buffer>(REQUESTS).fill(frameOf('payments/v1/payments.proto')));
  report.begin();
  let next = 0;
  await pace(STREAMS_PER_SECOND, stop, async () => {
    const stream = sessions[next++ % CONNECTIONS]?.request(headers, { endStream: false });
    stream?.on('response', (received) => report.count(String(received['grpc-message'] ?? 'unread')));
    stream?.on('error', () => {});
    stream?.write(requests);
  });
  for (const session of sessions) session.destroy();
};

const headers = {
  ':method': 'POST',
  ':path': '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  'content-type': 'application/grpc',
  te: 'trailers',
};

/** A window of nothing: what the service sends stays with the service. */
function open(address: string): ClientHttp2Session {
  const session = connect(`http://${address}`, { settings: { initialWindowSize: 0 } });
  session.on('error', () => {});
  return session;
}

function frameOf(fileByFilename: string): Buffer {
  const bytes = ServerReflectionRequest.encode(ServerReflectionRequest.fromPartial({ fileByFilename })).finish();
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}
