/** `sealwire call -v`: what goes to the service and comes back around the messages, on stderr. */
import { InterceptingCall, type Interceptor, type Metadata, status } from '@grpc/grpc-js';
import type { RecipientKeys } from '../../client/seal-message.js';
import { clean } from '../target/call-failure.js';
import type { SchemaFlags, TargetFlags } from '../target/target-options.js';

/**
 * @param statements lines of the sealing statement for the method
 * @param keys that are sealed to, by recipient
 */
export function describeCall(
  { address, authority, tls, tlsCa, tlsCert, descriptors, proto }: TargetFlags & SchemaFlags,
  statements: readonly string[],
  keys: RecipientKeys,
): void {
  const way = (tls ?? tlsCa ?? tlsCert) === undefined ? 'plain text' : 'TLS';
  tell('*', `${address}${authority === undefined ? '' : ` as ${authority}`}, ${way}`);
  tell('*', `schema from ${descriptors ?? proto ?? 'server reflection'}`);
  for (const line of statements) {
    // What only leads to a sealed field has no recipient.
    const [, direction, field, type] = /^\S+ ([<>]) (\S+) \d+ \S+ (\S+) recipient=/.exec(line) ?? [];
    if (field !== undefined)
      tell('*', `sealed in the ${direction === '>' ? 'request' : 'response'}: ${field} (${type})`);
  }
  for (const [recipient, { kid }] of keys) tell('*', `key of ${recipient || 'the service'}: ${kid}`);
}

/** Sees opened messages, and shows none. Of the caller's metadata it shows names only: values may be credentials. */
export const tellCalls: Interceptor = (options, next) => {
  let begun = 0;
  return new InterceptingCall(next(options), {
    start(metadata, _listener, start) {
      begun = performance.now();
      const names = Object.keys(metadata.getMap());
      tell('>', `${options.method_definition.path}${names.length === 0 ? '' : `, with ${names.join(', ')}`}`);
      start(metadata, {
        onReceiveMetadata(received, pass) {
          tellMetadata(received);
          pass(received);
        },
        onReceiveStatus(ended, pass) {
          tellMetadata(ended.metadata);
          tell('<', `${status[ended.code]} after ${Math.round(performance.now() - begun)} ms`);
          pass(ended);
        },
      });
    },
  });
};

/** Binary values in base64, as `-H` takes them. */
function tellMetadata(metadata: Metadata): void {
  for (const [name, value] of Object.entries(metadata.getMap())) {
    tell('<', `${name}: ${Buffer.isBuffer(value) ? value.toString('base64') : value}`);
  }
}

function tell(mark: string, text: string): void {
  process.stderr.write(`${mark} ${clean(text)}\n`);
}
