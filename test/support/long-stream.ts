/** One stream of many sealed messages in both directions, and the memory it leaves behind while it runs. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { OpenedReconcileRequest, OpenedReconcileResponse } from '../../src/gen/payments/v1/payments_sealed.js';
import { startRecordingServer } from '../client/helpers.js';

/** Characters of each sealed line: anything that keeps messages shows. */
const LINE = 'x'.repeat(4_000);

/** What a stream did. */
export interface LongStream {
  readonly received: number;
  /** Whether each answer was that to the next request. */
  readonly inOrder: boolean;
  /** Bytes of heap in use, after collection, at the last quarter above those at the first. */
  readonly growth: number;
}

/** @param count messages in each direction */
export async function runLongStream(count: number): Promise<LongStream> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const server = await startRecordingServer({ reconcile: (call) => void answerAll(call) }, { record: false });
  const used = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const requests = async function* () {
    for (let index = 0; index < count; index++) yield { paymentId: String(index), statementLine: { value: LINE } };
  };
  let received = 0;
  let inOrder = true;
  let first = 0;
  let last = 0;
  try {
    for await (const { paymentId, note } of server.client().reconcile(requests())) {
      inOrder &&= paymentId === String(received) && note?.value === LINE;
      received++;
      if (received === Math.floor(count / 4)) first = used();
      if (received === Math.floor((count * 3) / 4)) last = used();
    }
  } finally {
    server.close();
  }
  return { received, inOrder, growth: last - first };
}

async function answerAll(call: ServerDuplexStream<OpenedReconcileRequest, OpenedReconcileResponse>): Promise<void> {
  for await (const { paymentId, statementLine } of call as AsyncIterable<OpenedReconcileRequest>) {
    const answer = { paymentId, matched: true, note: statementLine };
    if (!call.write(answer)) await new Promise((resolve) => call.once('drain', resolve));
  }
  call.end();
}
