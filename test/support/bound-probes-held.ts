/** Probe of the bound on whole messages that wait, by calls to a real server whose replies nobody takes. */
import { once } from 'node:events';
import { connect } from 'node:http2';
import { setImmediate } from 'node:timers/promises';
import { expect } from 'chai';
import { MessageSealer } from '../../src/client/seal-message.js';
import { ReconcileRequest, type ReconcileResponse } from '../../src/gen/payments/v1/payments.js';
import { SealedPaymentService } from '../../src/gen/payments/v1/payments_sealed.js';
import { SealingSessions } from '../../src/jwe/sender.js';
import { REPLY_METADATA } from '../../src/profile/replies.js';
import { readErrorDetails } from '../../src/schema/error-status.js';
import { createProbe } from './bound-table.js';
import { startBench } from './sealed-bench.js';

const MIB = 2 ** 20;
const PATH = '/payments.v1.PaymentService/Reconcile';
/** More than grpc-js keeps for a handler that is at work, and we read ahead. */
const MESSAGES = 24;
const STREAMS = 5;

type Call = NodeJS.ReadableStream &
  AsyncIterable<ReconcileRequest> & { write(answer: ReconcileResponse): boolean; end(): void; cancelled: boolean };

/** Answers with as much as was asked, and waits until that is taken. */
async function reconcile(call: Call): Promise<void> {
  call.on('error', () => {});
  for await (const { paymentId } of call) {
    const taken = new Promise((resolve) => {
      for (const event of ['drain', 'cancelled']) call.once(event, resolve);
    });
    if (!call.write({ paymentId, matched: false, note: '' })) await taken;
  }
  call.end();
}

export const heldProbes = [
  createProbe(
    {
      resource: 'bytes of whole messages that a handler is at work on or has not come to, or a caller does not take',
      chargedTo: 'account',
      bound: '{most}',
      outcome: 'LIMIT_EXCEEDED, limit: capacity',
    },
    async ({ most }, { outcome }) => {
      const bench = await startBench({
        services: [{ service: SealedPaymentService, handlers: { reconcile } }],
        open: { caller: ({ metadata }) => String(metadata.get('who')[0]) },
      });
      const sealer = new MessageSealer({ sessions: new SealingSessions() });
      const settings = { initialWindowSize: 0 };
      const open = () =>
        connect(`http://${bench.address}`, { maxSessionMemory: 1_000, settings }).on('error', () => {});
      let session = open();
      const { decode } = ReconcileRequest;
      let decoded = 0;
      ReconcileRequest.decode = (...values) => {
        decoded++;
        return decode(...values);
      };
      let refusal: string | undefined;
      const body = Buffer.from(
        ReconcileRequest.encode({ paymentId: 'x'.repeat(MIB - 1_024), statementLine: '' }).finish(),
      );
      const message = Buffer.concat([Buffer.alloc(5), body]);
      message.writeUInt32BE(body.length, 1);
      const talk = async (who: string) => {
        const { token } = await sealer.beginReplies(bench.ring.current(), new Uint8Array(), { mth: PATH });
        const headers = { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers' };
        const stream = session.request({ ...headers, who, [REPLY_METADATA]: token }, { endStream: false });
        stream.on('error', () => {});
        const note = (received: { readonly [name: string]: unknown }) => {
          const details = readErrorDetails(Buffer.from(String(received['grpc-status-details-bin'] ?? ''), 'base64'));
          if (details !== undefined) refusal ??= `${details.reason}, limit: ${details.metadata['limit']}`;
        };
        stream.on('response', note);
        stream.on('trailers', note);
        return stream;
      };
      try {
        for (let stream = 0; stream < STREAMS; stream++) {
          const sending = await talk('a');
          for (let sent = 0; sent < MESSAGES; sent++) sending.write(message);
        }
        // A stream that has no answer yet is told at once.
        while (refusal === undefined) {
          const before = decoded;
          (await talk('a')).write(message);
          while (decoded === before && refusal === undefined) await setImmediate();
        }
        expect(refusal).to.equal(outcome);
        // The message that a handler is at work on counts twice, with its answer; those that are refused were decoded
        // too.
        expect(decoded * MIB).to.be.within(most * 0.5, most * 1.25);
        const counted = decoded;
        (await talk('another')).write(message);
        while (decoded === counted) await setImmediate();
        // All of it is given back when its streams are gone.
        session.destroy();
        session = open();
        for (let isTaken = false; !isTaken; ) {
          const again = await talk('a');
          again.write(message);
          const [received] = (await once(again, 'response')) as [{ readonly [name: string]: unknown }];
          isTaken = received['grpc-status'] === undefined;
        }
      } finally {
        ReconcileRequest.decode = decode;
        session.destroy();
        bench.stop();
      }
    },
  ),
];
