/** What an app and the host that runs it know of each other. */
import type { Server } from '@grpc/grpc-js';
import type { ZodType } from 'zod';
import type { SealedToken } from '../schema/opened.js';
import type { SealedServiceDefinition } from '../schema/plan.js';
import type { Validators } from '../schema/validation.js';
import type { HandlerErrorReport } from '../server/add-service.js';
import type { OpenStored } from '../server/stored/open-stored.js';
import type { ResealStored } from '../server/stored/reseal-stored.js';

/**
 * Sealed services and their handlers, for a host to run.
 *
 * @typeParam R what `start` returns; the host hands it on as `RunningHost.app`
 * @typeParam O the app's own options
 */
export interface HostApp<R extends RunningApp = RunningApp, O = unknown> {
  /** Begins the log, and is the default of the option `origin`: 1 to 128 characters without white space and `+`. */
  readonly name: string;
  /** The generated services whose calls are opened and sealed, and whose health is told. */
  readonly services: readonly SealedServiceDefinition[];
  /**
   * A serialized `google.protobuf.FileDescriptorSet` of the app's protos with all imports, as `buf build
   * --as-file-descriptor-set` writes it: for server reflection and the signed statement of what is sealed. Default:
   * neither describes the app's services.
   */
  readonly descriptors?: Uint8Array;
  /** Rules for inner messages. Default: none. */
  readonly validators?: Validators;
  /** Schema of the app's own options, which stand under `app` in the configuration. Default: there are none. */
  readonly options?: ZodType<O>;
  /** What the app gives to the web gateway. Default: nothing. */
  readonly web?: AppWeb;
  /**
   * Adds the handlers. The address is not bound yet.
   *
   * @throws anything, which stops the start and is handed on
   */
  start(host: AppHost<O>): R | Promise<R>;
}

/** What an app gives to the host's web gateway. */
export interface AppWeb {
  /**
   * Folder of static files, at most 16 MiB: `index.html` stands for its folder. They are read when the service starts,
   * and served under a Content-Security-Policy that allows no script but theirs. Default: none.
   */
  readonly pages?: string;
  /**
   * `HOST:PORT` where the gateway listens unless the option `web.listen` says otherwise. If it cannot, the service
   * starts without a gateway and says so. Default: it does not listen.
   */
  readonly listen?: string;
  /**
   * Whether `GET /insight` tells the service's name and root, and `?request=ID` also what the gateway logged and the
   * audit log has of calls with that `x-request-id`. For examples: only answered where the gateway listens on loopback.
   * Default: false.
   */
  readonly insight?: boolean;
}

/** What a started app does when the host stops. */
export interface RunningApp {
  /** No new calls come from now on: ends streams that would not end by themselves. */
  drain?(): void;
  /** The last call is over; keys and audit log are still there. */
  stop?(): void | Promise<void>;
}

/** What an app gets from its host. */
export interface AppHost<O = unknown> {
  /** The app's own options, checked. */
  readonly options: O;
  /** The application log. It refuses opened messages. */
  readonly logger: AppLogger;
  /** The server, for services without sealed fields. */
  readonly server: Server;
  /**
   * Adds handlers by a generated function: `host.add(addSealedNoteService, handlers)`. An error that is not a status
   * reaches the caller as `INTERNAL` with fixed text, and the log by its class name only.
   */
  add<H>(addService: AddService<H>, handlers: NoInfer<H>): void;
  /** Opens a token that the app kept. */
  readonly openStored: OpenStored;
  /** Seals a token that the app kept to the key that senders use now. */
  readonly resealStored: ResealStored;
  /** Whether the key of a token that the app kept ends soon: seal it anew, or it cannot be opened any more. */
  needsReseal(token: SealedToken | string): boolean;
  /** @param listener called after the keys have changed; whatever needs it may be sealed anew then */
  onKeysChanged(listener: () => void): void;
}

/** A generated function such as `addSealedNoteService`. */
export type AddService<H> = (server: Server, handlers: H, report?: HandlerErrorReport) => void;

/** Writes lines to the application log; facts are printed as JSON. */
export interface AppLogger {
  error(message: string, facts?: object): unknown;
  warn(message: string, facts?: object): unknown;
  info(message: string, facts?: object): unknown;
  debug(message: string, facts?: object): unknown;
}
