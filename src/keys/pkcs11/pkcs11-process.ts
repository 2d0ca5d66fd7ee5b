/**
 * Main module of a process that talks to a PKCS#11 token: opens it, runs one task after another, and ends when it
 * fails. Processes get it as text (`src/gen/programs.ts`), as worker threads get theirs.
 */
import { endsSession, type OpenRequest, type Pkcs11Reply, type Pkcs11Task } from './pkcs11-messages.js';
import { Pkcs11Failure, Pkcs11Session } from './pkcs11-session.js';

let session: Pkcs11Session | undefined;

process.on('message', (message: OpenRequest | Pkcs11Task) => {
  try {
    reply(answer(message));
  } catch (error) {
    const failure = error instanceof Pkcs11Failure ? error : new Pkcs11Failure('token', 'the module failed');
    const isOver = endsSession('kind' in message ? message : undefined, failure.problem);
    reply({ problem: failure.problem, text: failure.message }, isOver ? () => process.exit(1) : undefined);
  }
});
// The service has ended, in whatever way.
process.on('disconnect', () => process.exit(0));
// Ctrl-C in a terminal, and signals that a service manager sends to all processes, are meant for the service: it
// still has calls to finish, and ends this process itself.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

function answer(message: OpenRequest | Pkcs11Task): Pkcs11Reply {
  if (session === undefined) {
    session = new Pkcs11Session(message as OpenRequest);
    return { serial: session.serial };
  }
  const task = message as Pkcs11Task;
  switch (task.kind) {
    case 'agree':
      return { z: session.agree(task.key, task.crv, task.x, task.y) };
    case 'describe':
      return { key: session.describe(task.key) };
    case 'generate':
      return { key: session.generate(task.key, task.crv) };
  }
}

function reply(value: Pkcs11Reply, sent?: () => void): void {
  process.send?.(value, undefined, {}, () => sent?.());
}
