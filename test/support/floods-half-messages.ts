/** Messages of a mebibyte that lack their last byte: a hundred streams of each of several connections. */
import { type ClientHttp2Stream, connect } from 'node:http2';
import { type FloodWork, pace } from './floods-work.js';

const CONNECTIONS = 8;
const STREAMS = 100;
const BYTES = 1_048_576;
const STREAMS_PER_SECOND = 400;

export const work: FloodWork = async ({ address }, stop, report) => {
  const sessions = Array.from({ length: CONNECTIONS }, () => connect(`http://${address}`, { maxSessionMemory: 1_000 }));
  for (const session of sessions) session.on('error', () => report.count('connection lost'));
  const message = Buffer.alloc(5 + BYTES - 1, 1);
  message.writeUInt32BE(BYTES, 1);
  message.writeUInt8(0, 0);
  const headers = {
    ':method': 'POST',
    ':path': '/payments.v1.PaymentService/Authorize',
    'content-type': 'application/grpc',
    te: 'trailers',
    'x-sealwire-caller': 'half-messages',
  };
  const held = new Set<ClientHttp2Stream>();
  report.begin();
  let next = 0;
  await pace(STREAMS_PER_SECOND, stop, async () => {
    const session = sessions[next++ % CONNECTIONS];
    if (session === undefined || session.destroyed || held.size >= CONNECTIONS * STREAMS) return;
    const stream = session.request(headers, { endStream: false });
    held.add(stream);
    stream.on('response', (received) => report.count(String(received['grpc-message'] ?? 'OK')));
    stream.on('error', () => {});
    stream.on('close', () => held.delete(stream));
    stream.resume();
    stream.write(message);
  });
  for (const session of sessions) session.destroy();
};
