/**
 * Loaded first into a service (`node --import`): once the file that `FAIL_SYNC` names exists, one sync of a line file
 * fails as the environment says, and all later ones would succeed. Tells in `FAIL_SYNC.told` how much was durable
 * before it, and in `FAIL_SYNC.again` when a line file is synced after it.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const trigger = process.env['FAIL_SYNC'] ?? '';
const code = process.env['FAIL_SYNC_CODE'] ?? 'EIO';
const real = fs.fdatasync;
let hasFailed = false;
/** Bytes that successful syncs made durable. */
let durable = 0;

fs.fdatasync = Object.assign(
  (fd: number, done: fs.NoParamCallback) => {
    if (!fs.readlinkSync(`/proc/self/fd/${fd}`).endsWith('.jsonl')) return real(fd, done);
    if (hasFailed) fs.writeFileSync(`${trigger}.again`, '');
    else if (fs.existsSync(trigger)) {
      hasFailed = true;
      fs.writeFileSync(`${trigger}.told`, String(durable));
      setImmediate(done, Object.assign(new Error(code), { code }));
      return;
    }
    const { size } = fs.fstatSync(fd);
    return real(fd, (error) => {
      if (error === null) durable = size;
      done(error);
    });
  },
  { __promisify__: undefined as never },
);
syncBuiltinESMExports();
