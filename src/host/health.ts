/** Health checks (grpc.health.v1) whose watchers are told that the service stops, and are then let go. */
import type { Server, ServerWritableStream, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

type WatchCall = ServerWritableStream<unknown, unknown>;

/** Health of one server, until it stops. */
export class ServiceHealth {
  readonly #names: readonly string[];
  readonly #health: HealthImplementation;
  readonly #watchers = new Set<WatchCall>();
  #stopped = false;

  /** @param names services that are healthy while the server runs; '' is the server as a whole */
  constructor(names: readonly string[]) {
    this.#names = names;
    this.#health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'SERVING'])));
  }

  /** Adds the service `grpc.health.v1.Health`. */
  addTo(server: Server): void {
    // grpc-health-check never ends a Watch, which would hold a draining server until its deadline. It
    // registers handlers and keeps no other hold of the server, so its handlers are wrapped on the way.
    const registrar: Pick<Server, 'addService'> = {
      addService: (definition: ServiceDefinition, handlers: UntypedServiceImplementation) =>
        server.addService(definition, { ...handlers, watch: this.#wrapWatch(handlers['watch'] as WatchHandler) }),
    };
    this.#health.addToServer(registrar as Server);
  }

  /** Tells all watchers NOT_SERVING, then ends them; who asks later gets the same. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const name of this.#names) this.#health.setStatus(name, 'NOT_SERVING');
    for (const call of this.#watchers) call.end();
    this.#watchers.clear();
  }

  #wrapWatch(watch: WatchHandler): WatchHandler {
    return (call) => {
      watch(call);
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
