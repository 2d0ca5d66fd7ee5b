/** Health checks (grpc.health.v1) that follow what calls need, and whose watchers are let go when the service stops. */
import {
  type Server,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { CallerFunction } from '../server/caller.js';
import { addSmallService } from '../server/receive/small-requests.js';
import { StreamShares } from '../server/receive/stream-shares.js';

type WatchCall = ServerWritableStream<{ readonly service: string }, unknown>;

/** What calls need and may be without for a while. */
const NEEDS = ['audit log', 'audit disk', 'key custody'] as const;
export type Need = (typeof NEEDS)[number];

/** Watches of one caller: a client has one for each connection at most. */
const MAX_WATCHES = 32;

/** Health of one server, until it stops. */
export class ServiceHealth {
  readonly #names: readonly string[];
  readonly #others: readonly string[];
  readonly #missing = new Set<Need>();
  readonly #health: HealthImplementation;
  readonly #watchers = new Set<WatchCall>();
  #stopped = false;

  /**
   * @param names services that are healthy while nothing is missing; '' is the server as a whole
   * @param others services that are healthy until the stop
   */
  constructor(names: readonly string[], others: readonly string[] = []) {
    this.#names = names;
    this.#others = others;
    const statuses = [...names, ...others].map((name) => [name, 'SERVING'] as const);
    this.#health = new HealthImplementation(Object.fromEntries(statuses));
  }

  /**
   * Adds the service `grpc.health.v1.Health`.
   *
   * @param caller whose a watch is: of one caller 32 may be open. Default: as the open interceptor's
   */
  addTo(server: Server, caller?: CallerFunction): void {
    const streams = new StreamShares(MAX_WATCHES, caller);
    // grpc-health-check never ends a Watch, which would hold a draining server until its deadline. It
    // registers handlers and keeps no other hold of the server, so its handlers are wrapped on the way.
    const registrar: Pick<Server, 'addService'> = {
      addService: (definition: ServiceDefinition, handlers: UntypedServiceImplementation) =>
        addSmallService(server, definition, {
          ...handlers,
          watch: this.#wrapWatch(handlers['watch'] as WatchHandler, streams),
        }),
    };
    this.#health.addToServer(registrar as Server);
  }

  /** NOT_SERVING while anything is missing, SERVING again when nothing is. */
  set(need: Need, isThere: boolean): void {
    const before = this.#missing.size;
    if (isThere) this.#missing.delete(need);
    else this.#missing.add(need);
    const isChanged = (before === 0) !== (this.#missing.size === 0);
    if (isChanged && !this.#stopped) this.#tell(this.#missing.size === 0 ? 'SERVING' : 'NOT_SERVING');
  }

  /** @returns of each need whether it is there */
  needs(): [Need, boolean][] {
    return NEEDS.map((need) => [need, !this.#missing.has(need)]);
  }

  /** Sends all watchers NOT_SERVING, then ends them; later checks get the same answer. @returns how many they were */
  stop(): number {
    if (this.#stopped) return 0;
    this.#stopped = true;
    // Those who were told already are not told twice.
    this.#tell('NOT_SERVING', this.#missing.size === 0 ? [...this.#names, ...this.#others] : this.#others);
    const { size } = this.#watchers;
    for (const call of this.#watchers) call.end();
    this.#watchers.clear();
    return size;
  }

  #tell(status: 'SERVING' | 'NOT_SERVING', names = this.#names): void {
    for (const name of names) this.#health.setStatus(name, status);
  }

  #wrapWatch(watch: WatchHandler, streams: StreamShares): WatchHandler {
    return (call) => {
      if (!streams.take(call)) {
        call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'too many watches of health' });
        return;
      }
      // The names are all known: another one has no status to wait for, and must not be remembered.
      if (this.#names.includes(call.request.service) || this.#others.includes(call.request.service)) watch(call);
      else call.write({ status: 'SERVICE_UNKNOWN' });
      if (this.#stopped) {
        call.end();
        return;
      }
      this.#watchers.add(call);
      call.on('cancelled', () => this.#watchers.delete(call));
    };
  }
}

type WatchHandler = (call: WatchCall) => void;
