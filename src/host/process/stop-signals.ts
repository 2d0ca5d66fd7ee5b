/** SIGTERM, SIGINT and SIGHUP ask to stop; a second SIGTERM or SIGINT asks to stop at once. */

/** npm passes on the Ctrl-C that the terminal sends to the whole group. Within these ms it is the same one. */
const ECHO_MS = 150;

/** The environment of {@link onStopSignals}. */
export interface StopSignalOptions {
  /** Called at the second signal. */
  readonly exit: (signal: NodeJS.Signals) => void;
  /** Default `process`. */
  readonly source?: Pick<NodeJS.Process, 'on'>;
  /** Default `process.env`; `npm_lifecycle_event` tells that npm started this process. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Monotonic clock in ms. Default `performance.now`. */
  readonly now?: () => number;
}

/**
 * Listens from now on to the end of the process. SIGHUP never ends it at once: a terminal that closes sends several,
 * and service managers send one after SIGTERM.
 *
 * @returns resolves at the first signal, with its name
 */
export function onStopSignals(options: StopSignalOptions): Promise<NodeJS.Signals> {
  const { exit, source = process, environment = process.env, now = () => performance.now() } = options;
  const isUnderNpm = environment['npm_lifecycle_event'] !== undefined;
  return new Promise((resolve) => {
    let first: { readonly signal: string; readonly at: number } | undefined;
    const onSignal = (signal: NodeJS.Signals) => {
      if (first === undefined) {
        first = { signal, at: now() };
        resolve(signal);
        return;
      }
      const isEcho = signal === 'SIGINT' && first.signal === 'SIGINT' && now() - first.at < ECHO_MS;
      // Whoever asks twice does not want to wait any longer.
      if (!(isUnderNpm && isEcho)) exit(signal);
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) source.on(signal, onSignal);
    source.on('SIGHUP', resolve);
  });
}

/** A stop that may be asked for. */
export interface Stopping {
  /** Resolves at the first signal, with its name. */
  readonly asked: Promise<NodeJS.Signals>;
  /** Aborted then. */
  readonly signal: AbortSignal;
  /** Called at a second signal that ends the process at once, before it does. */
  onSecond: (signal: NodeJS.Signals) => void;
}

/** Catches the signals of this process from now on: the sooner, the fewer find it without a handler. */
export function catchStopSignals(): Stopping {
  const aborting = new AbortController();
  const exit = (signal: NodeJS.Signals) => {
    stopping.onSecond(signal);
    process.exit(0);
  };
  const asked = onStopSignals({ exit });
  asked.then(() => aborting.abort());
  const stopping: Stopping = { asked, signal: aborting.signal, onSecond: () => {} };
  return stopping;
}
