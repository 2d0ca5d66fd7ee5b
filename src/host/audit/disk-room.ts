/** How much room the disk of the audit log has. Whoever sends calls should know before one of them is refused. */
import { freeBytes, ROOM_BYTES } from '../../audit/write/log-folder.js';
import type { AppLogger } from '../host-app.js';

const LOOK_MS = 1_000;

/** What {@link DiskRoom} needs. */
export interface DiskRoomOptions {
  /** A folder on the disk. */
  readonly path: string;
  readonly logger: AppLogger;
  /** Told whenever there comes to be room, or none. There is some at first. */
  readonly onChange: (hasRoom: boolean) => void;
}

/** Looks at the disk every second until it is closed. */
export class DiskRoom {
  readonly #options: DiskRoomOptions;
  readonly #timer: NodeJS.Timeout;
  #free: number | undefined;
  #hasRoom = true;

  constructor(options: DiskRoomOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#look(), LOOK_MS).unref();
    void this.#look();
  }

  /** Bytes that are free; undefined when the system does not tell. */
  get free(): number | undefined {
    return this.#free;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { path, logger, onChange } = this.#options;
    this.#free = await freeBytes(path).catch(() => undefined);
    const hasRoom = this.#free === undefined || this.#free >= ROOM_BYTES;
    if (hasRoom === this.#hasRoom) return;
    this.#hasRoom = hasRoom;
    if (hasRoom) logger.info('the disk of the audit log has 1 MiB of room again');
    else logger.error('the disk of the audit log has less than 1 MiB of room: health says NOT_SERVING', { path });
    onChange(hasRoom);
  }
}
