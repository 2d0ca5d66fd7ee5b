/** A client of grpc.health.v1. */
import { once } from 'node:events';
import { Client, credentials, type StatusObject, status } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';

interface HealthAnswer {
  readonly status: string;
}

type Method = NonNullable<(typeof healthService)[string]>;

export function makeHealthClient(address: string): Client {
  return new Client(address, credentials.createInsecure());
}

export function checkHealth(client: Client, service: string): Promise<HealthAnswer> {
  const { path, requestSerialize, responseDeserialize } = healthService['Check'] as Method;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, (error, value) =>
      error ? reject(error) : resolve(value as HealthAnswer),
    );
  });
}

/**
 * @param onFirst called at the first answer
 * @returns what a watcher was told, and the status when the service ended the stream
 */
export async function watchUntilEnd(client: Client, service: string, onFirst = () => {}): Promise<string[]> {
  const { path, requestSerialize, responseDeserialize } = healthService['Watch'] as Method;
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service });
  const seen: string[] = [];
  call.on('data', (answer: HealthAnswer) => {
    if (seen.push(answer.status) === 1) onFirst();
  });
  const [end] = (await once(call, 'status')) as [StatusObject];
  return [...seen, status[end.code] as string];
}

/** Waits until a service is told to be so. @returns that status */
export async function untilHealth(client: Client, service: string, wanted: string): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = healthService['Watch'] as Method;
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service });
  call.on('error', () => {});
  try {
    for await (const { status: told } of call as AsyncIterable<HealthAnswer>) if (told === wanted) return told;
    throw new Error(`the watch ended before ${wanted}`);
  } finally {
    call.cancel();
  }
}
