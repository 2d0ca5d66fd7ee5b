/** Figures of the service's parts as OpenTelemetry metrics. They are read on a scrape, never within a call. */
import type { Attributes, Meter, ObservableResult } from '@opentelemetry/api';
import type { AuditLog } from '../audit/write/audit-log.js';
import type { TokenOpener } from '../jwe/opener.js';
import { sharedPool } from '../jwe/pool.js';
import { DATE_NAMES, type KeyState } from '../keys/lifecycle.js';
import type { Pkcs11Custody } from '../keys/pkcs11/pkcs11-custody.js';
import type { KeyRing } from '../keys/ring.js';
import type { KeySetPublisher } from '../keys/signed-set/key-set-publisher.js';
import type { ReplayGuard } from '../server/replay/replay-guard.js';
import type { DiskRoom } from './audit/disk-room.js';
import type { Certificates } from './certificates.js';
import type { ServiceHealth } from './health.js';
import type { LiveKeys } from './live-keys.js';
import type { Handshakes } from './log/handshakes.js';
import { VERSION } from './process/version.js';

/** The parts that are read. */
export interface ObservedParts {
  readonly opener: Pick<TokenOpener, 'stats'>;
  readonly guard: Pick<ReplayGuard, 'stats'>;
  readonly audit: Pick<AuditLog, 'stats' | 'origin'>;
  readonly ring: Pick<KeyRing, 'describe' | 'currentKid'>;
  readonly liveKeys: Pick<LiveKeys, 'isStale'>;
  readonly keySet: Pick<KeySetPublisher, 'current'>;
  readonly health: Pick<ServiceHealth, 'needs'>;
  readonly disk: Pick<DiskRoom, 'free'>;
  /** Default: the service has none. */
  readonly certificates?: Pick<Certificates, 'timeLeft'> | undefined;
  readonly handshakes: Pick<Handshakes, 'refused'>;
  /** Keys in tokens. */
  readonly hardware: Pick<Pkcs11Custody, 'stats'>;
  /** Clock in ms since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

type Observe = (result: ObservableResult) => void | Promise<void>;

const LOST = 'Records that extra transports dropped, and failures that they reported.';
const SERVING = '1 while the service has this, 0 while it is without; calls need all of them.';
const STATES: readonly KeyState[] = ['pending', 'published', 'active', 'opening', 'stored', 'retired'];

/** Adds all metrics to a meter. Attributes are kids, states and names of our own: nothing of a request. */
export function addGauges(meter: Meter, parts: ObservedParts): void {
  const { opener, guard, audit, ring, liveKeys, keySet, hardware, now = Date.now } = parts;
  const { health, disk, certificates, handshakes } = parts;
  const gauge = (name: string, unit: string, description: string, observe: Observe) =>
    meter.createObservableGauge(`sealwire.${name}`, { unit, description }).addCallback(observe);
  const counter = (name: string, unit: string, description: string, observe: Observe) =>
    meter.createObservableCounter(`sealwire.${name}`, { unit, description }).addCallback(observe);

  gauge('serving', '1', SERVING, (result) => {
    for (const [need, isThere] of health.needs()) result.observe(isThere ? 1 : 0, { need });
  });
  gauge('build.info', '1', 'Always 1; the labels tell which version runs.', (result) =>
    result.observe(1, { version: VERSION, node: process.versions.node }),
  );
  gauge('process.start_time', 's', 'When the process started, since 1970.', (result) =>
    result.observe(Math.round(performance.timeOrigin / 1_000)),
  );
  gauge('process.memory', 'By', 'Resident memory of the process.', (result) =>
    result.observe(process.memoryUsage.rss()),
  );
  counter('process.cpu.time', 's', 'Time that the process computed, on all cores.', (result) => {
    const { user, system } = process.cpuUsage();
    result.observe((user + system) / 1_000_000);
  });

  counter('agreements', '{agreement}', 'Tokens opened, by whether their agreement was made or cached.', (result) => {
    const { fresh, hits } = opener.stats();
    result.observe(fresh, { kind: 'fresh' });
    result.observe(hits, { kind: 'cached' });
  });
  gauge('agreements.held', '{agreement}', 'Agreements in the cache.', (result) =>
    result.observe(opener.stats().cached),
  );
  gauge('agreements.waiting', '{agreement}', 'Agreements waiting for their turn.', (result) =>
    result.observe(opener.stats().waiting),
  );
  counter('agreements.refused', '{agreement}', 'Agreements refused, by whose bound was reached.', (result) => {
    for (const [kind, count] of Object.entries(opener.stats().refused)) result.observe(count, { kind });
  });
  gauge('pool.pending', '{agreement}', 'Agreements running or waiting in the worker pool.', (result) =>
    result.observe(sharedPool().pending),
  );
  gauge('replay.fill', '1', 'Share of the replay store in use, 0 to 1.', async (result) => {
    const { count, capacity } = await guard.stats();
    result.observe(count / capacity);
  });

  counter('audit.records', '{record}', 'Audit records written.', (result) => result.observe(audit.stats().records));
  counter('audit.syncs', '{sync}', 'Syncs of the audit log.', (result) => result.observe(audit.stats().syncs));
  counter('audit.sync.time', 's', 'Time spent on syncs of the audit log.', (result) =>
    result.observe(audit.stats().syncMs / 1_000),
  );
  gauge('audit.queue', '{record}', 'Records waiting for the disk.', (result) => result.observe(audit.stats().queued));
  counter('audit.fan_out.lost', '{record}', LOST, (result) => {
    const { fanOutDropped, fanOutFailed } = audit.stats();
    result.observe(fanOutDropped, { why: 'dropped' });
    result.observe(fanOutFailed, { why: 'failed' });
  });

  gauge('audit.log', '1', 'Always 1: its label is the origin of the log that this process writes.', (result) =>
    result.observe(1, { origin: audit.origin }),
  );
  gauge('audit.disk.free', 'By', 'Bytes that are free on the disk of the audit log.', (result) => {
    if (disk.free !== undefined) result.observe(disk.free);
  });

  gauge('keys', '{key}', 'Keys of the ring, by state.', (result) => {
    const keys = ring.describe();
    for (const state of STATES) result.observe(keys.filter((key) => key.state === state).length, { state });
  });
  gauge('ring.stale', '1', '1 while the ring file is unusable and the previous keys serve, else 0.', (result) =>
    result.observe(liveKeys.isStale ? 1 : 0),
  );
  gauge('key.age', 's', 'Time since a key became active.', (result) => {
    for (const { kid, dates } of ring.describe()) {
      if (dates.active !== undefined) result.observe(Math.max(0, now() / 1_000 - dates.active), { kid });
    }
  });
  gauge('key.time_left', 's', 'Time until a date of a key; negative when it has passed.', (result) => {
    for (const { kid, dates } of ring.describe()) {
      for (const date of DATE_NAMES) {
        const at = dates[date];
        if (at !== undefined) result.observe(at - now() / 1_000, { kid, date } satisfies Attributes);
      }
    }
  });
  gauge('key_set.time_left', 's', 'Time until the signed key set expires; 0 when none is served.', (result) => {
    result.observe(Math.max(0, (keySet.current()?.expiresAt ?? 0) - now() / 1_000));
  });

  gauge('certificate.time_left', 's', 'Time until the certificates of a file of tls end.', (result) => {
    for (const [file, seconds] of certificates?.timeLeft() ?? []) result.observe(seconds, { file });
  });

  counter('tls.refused', '{handshake}', 'TLS handshakes that the service refused, by why.', (result) => {
    for (const [why, count] of handshakes.refused()) result.observe(count, { why });
  });

  counter('hsm.calls', '{call}', 'Calls to PKCS#11 tokens, by outcome.', (result) => {
    const { calls, failed } = hardware.stats();
    result.observe(calls - failed, { outcome: 'done' });
    result.observe(failed, { outcome: 'failed' });
  });
  counter('hsm.call.time', 's', 'Time that calls to tokens took.', (result) =>
    result.observe(hardware.stats().callMs / 1_000),
  );
  gauge('hsm.sessions', '{session}', 'Open sessions with tokens.', (result) =>
    result.observe(hardware.stats().sessions),
  );
  gauge('hsm.queue', '{call}', 'Calls waiting for a session.', (result) => result.observe(hardware.stats().queued));
}
