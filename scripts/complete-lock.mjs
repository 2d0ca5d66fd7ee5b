// Adds to package-lock.json the optional packages of other platforms, which npm leaves out where it cannot see
// them; `npm ci` would then refuse the lock file. Run it after `npm install` has changed the lock file.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const PLATFORM = /-(android|darwin|freebsd|linux|win32)-(arm|arm64|armv7|ia32|x64|ppc64|riscv64|s390x)(-musl|-gnu)?$/;
const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));

for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const nested = `${path}/node_modules/${name}`;
    const hoisted = `node_modules/${name}`;
    const [, os, cpu] = PLATFORM.exec(name) ?? [];
    if (os === undefined || lock.packages[nested] !== undefined || lock.packages[hoisted] !== undefined) continue;
    const architecture = cpu === 'armv7' ? 'arm' : cpu;
    lock.packages[hoisted] = {
      version,
      cpu: [architecture],
      ...(entry.dev && { dev: true }),
      optional: true,
      os: [os],
    };
  }
}
// Without its digest an entry would take whatever a registry has under that version.
for (const [path, entry] of Object.entries(lock.packages)) {
  if (path === '' || entry.link || entry.integrity) continue;
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const integrity = execFileSync('npm', ['view', `${name}@${entry.version}`, 'dist.integrity'], { encoding: 'utf8' });
  // npm's order of members: the digest follows the version.
  const { version, ...rest } = entry;
  lock.packages[path] = { version, integrity: integrity.trim(), ...rest };
}
// Sorted as npm sorts, so that the next install changes nothing else.
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')));
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
