/** `sealwire keys` as operators run it: as a process, on files. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { AuditLog } from '../../../src/audit/write/audit-log.js';
import { isEncrypted } from '../../../src/keys/encryption.js';
import { formatDate } from '../../../src/keys/lifecycle.js';
import { loadPublicKeys, recipientKey } from '../../../src/keys/public-keys.js';
import { KeyRing } from '../../../src/keys/ring.js';
import { field, input } from '../../audit/helpers.js';
import { environment, type Finished, finish, finishSealwire, MAIN } from '../../support/command.js';

const DAY = 86_400;
const ISO = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z/g;

interface Listed {
  readonly kid: string;
  readonly curve: string;
  readonly state: string;
  readonly current: boolean;
  readonly custody: string;
  readonly dates: Readonly<Record<string, string>>;
  readonly opened: number | null;
  readonly lastSeen: string | null;
}

interface KeyNow extends Omit<Listed, 'custody' | 'opened' | 'lastSeen'> {}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}

describe('sealwire keys', () => {
  let dir: string;
  let ringPath: string;
  let publicPath: string;
  /** What the last command said on stderr. */
  let noted: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sealwire-keys-cli-'));
    ringPath = join(dir, 'keys/ring.json');
    publicPath = join(dir, 'keys/public.jwks.json');
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  function keys(command: string, ...args: string[]): Promise<Finished> {
    return finishSealwire(['keys', command, '--dir', dir, ...args]);
  }

  async function done(command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await keys(command, ...args);
    noted = stderr;
    expect([code, stderr.replace(/^sealwire: note: .*\n$/, '')]).to.deep.equal([0, '']);
    return stdout;
  }

  /** @returns the one line on stderr */
  async function refused(code: number, command: string, ...args: string[]): Promise<string> {
    const before = await readFile(ringPath, 'utf8').catch(() => '');
    const finished = await keys(command, ...args);
    expect([finished.code, finished.stdout]).to.deep.equal([code, '']);
    expect(await readFile(ringPath, 'utf8').catch(() => '')).to.equal(before);
    return finished.stderr.replace(/^sealwire: /, '').trimEnd();
  }

  async function listed(...args: string[]): Promise<Listed[]> {
    return JSON.parse(await done('list', '--json', ...args)) as Listed[];
  }

  /** What `list` would say, without starting it. */
  async function keysNow() {
    const ring = await KeyRing.load(ringPath);
    return ring.describe().map(({ kid, crv, state, dates }) => ({
      kid,
      curve: crv,
      state,
      current: kid === ring.currentKid,
      dates: Object.fromEntries(Object.entries(dates).map(([name, date]) => [name, formatDate(date)])) as Record<
        string,
        string
      >,
    }));
  }

  /** A ring whose keys have these dates. @returns their kids */
  async function writeRing(...dates: readonly (object | undefined)[]): Promise<string[]> {
    const members = dates.map((each) => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
      return { ...privateKey.export({ format: 'jwk' }), ...(each && { sealwire: each }) };
    });
    await mkdir(join(dir, 'keys'));
    await writeFile(ringPath, JSON.stringify({ keys: members }), { mode: 0o600 });
    return (await KeyRing.load(ringPath)).describe().map(({ kid }) => kid);
  }

  /** An audit log in which these keys opened one token each, so many seconds ago. */
  async function writeLog(...uses: readonly (readonly [string, number, string?])[]): Promise<void> {
    let now = Date.now();
    const audit = await AuditLog.open({ dir: join(dir, 'audit'), origin: 'test', now: () => now });
    for (const [kid, ago, detail = ''] of uses) {
      now = Date.now() - ago * 1_000;
      const header = { kid, alg: 'ECDH-ES+A256KW', enc: 'A256GCM' };
      const event = detail === '' ? 'open' : 'openStored';
      await audit.commit(input({ event, detail, fields: [field({ header }), field({ header, outcome: 'refused' })] }));
    }
    await audit.close();
  }

  it('makes a ring once, with its public keys, for its owner only', async () => {
    const said = await done('init');
    const ring = await KeyRing.load(ringPath);
    expect(said).to.equal(
      `key ${ring.currentKid} (P-521) is active\nprivate keys ${ringPath}\npublic keys ${publicPath}\n`,
    );
    expect((await stat(join(dir, 'keys'))).mode & 0o777).to.equal(0o700);
    expect((await stat(ringPath)).mode & 0o777).to.equal(0o600);
    expect((await loadPublicKeys(publicPath)).map(({ kid }) => kid)).to.deep.equal([ring.currentKid]);
    expect(await refused(3, 'init')).to.equal(`${ringPath}: the file exists already`);
    expect(await refused(2, 'init', '--curve', 'P-1')).to.contain('Allowed choices are P-521, P-384, P-256');
  });

  it('rotates again and again, and refuses while a key waits', async () => {
    await done('init', '--curve', 'P-256');
    const [first] = await keysNow();
    const said = await done('rotate');
    const [, second] = (await keysNow()) as [KeyNow, KeyNow];
    expect(second).to.include({ curve: 'P-256', state: 'published', current: false });
    const { published, active } = second.dates as { published: string; active: string };
    expect(Date.parse(active) - Date.parse(published)).to.equal(DAY * 1_000);
    const stored = new Date(Date.parse(active) + 7 * DAY * 1_000).toISOString().replace('.000Z', 'Z');
    expect(said).to.equal(
      `key ${second.kid} is published at ${published} and active from ${active}\n` +
        `key ${first?.kid} is active until ${active}, opens tokens until ${stored}, stored ones until it is retired\n`,
    );
    expect(await refused(1, 'rotate')).to.equal(
      `too early: key ${second.kid} is waiting already and becomes active at ${active}`,
    );
    expect(await refused(2, 'rotate', '--now', '--curve', 'P-384')).to.equal('--curve: the waiting key is on P-256');
    // Sooner, after all.
    expect(await done('rotate', '--now')).to.contain(`key ${second.kid} is published at`);
    expect(noted).to.equal(
      `sealwire: note: key ${second.kid} waited in the ring, and whoever has a copy of the ring has it too: ` +
        '--now is not for a stolen ring, --compromised is; ' +
        'of several instances, those that have not read the ring yet refuse the new key\n',
    );
    expect((await keysNow()).map(({ state }) => state)).to.deep.equal(['opening', 'active']);
    expect((await loadPublicKeys(publicPath)).map(({ kid }) => kid)).to.deep.equal([second.kid]);
    await done('rotate', '--curve', 'P-384');
    expect((await keysNow()).map(({ state, curve }) => `${state} ${curve}`)).to.deep.equal([
      'opening P-256',
      'active P-256',
      'published P-384',
    ]);
  });

  it('rotates by a schedule from the last activation on', async () => {
    await done('init', '--curve', 'P-256');
    await done('rotate', '--every', '90d', '--publish-ahead', '36h', '--open-after', '3d', '--keep-stored', '30d');
    const [first, second] = (await keysNow()) as [KeyNow, KeyNow];
    const days = (date: string | undefined) =>
      (Date.parse(date ?? '') - Date.parse(first.dates['active'] ?? '')) / DAY / 1_000;
    expect(second.state).to.equal('pending');
    expect([days(second.dates['published']), days(second.dates['active'])]).to.deep.equal([88.5, 90]);
    expect(['opening', 'stored', 'retired'].map((name) => days(first.dates[name]))).to.deep.equal([90, 93, 123]);
  });

  it('refuses times with which calls would fail, and those that are none', async () => {
    await done('init', '--curve', 'P-256');
    const said = (text: string) => text.replace(/key [\w-]{43}/, 'key K');
    expect(said(await refused(2, 'rotate', '--open-after', '5m', '--publish-ahead', '2d'))).to.equal(
      'key K: refused 300 s after senders stop, but a token may be 360 s in transit',
    );
    expect(said(await refused(2, 'rotate', '--now', '--open-after', '24h'))).to.equal(
      'key K: refused 86400 s after its successor is published, but a sender may use a key set for 86400 s and ' +
        'a token may be 360 s in transit: 86760 s are needed',
    );
    expect(await refused(2, 'rotate', '--now', '--every', '90d')).to.equal(
      '--now leaves no time for --publish-ahead or --every',
    );
    for (const time of ['90', '1.5d', '']) {
      expect(await refused(2, 'rotate', `--every=${time}`)).to.contain('must be a number with s, m, h or d, e.g. 24h.');
    }
  });

  it('lists keys with states, next dates, and what they opened', async () => {
    const now = nowSeconds();
    const [old, current] = (await writeRing(
      { opening: now - DAY, stored: now + DAY },
      { published: now - 9 * DAY, active: now - DAY },
    )) as [string, string];
    expect((await listed()).map(({ opened, lastSeen }) => [opened, lastSeen])).to.deep.equal([
      [null, null],
      [null, null],
    ]);
    await writeLog([old, 7_200], [old, 3_600], ['A'.repeat(43), 60]);
    const rows = await listed();
    expect(rows.map(({ kid, state, current: isCurrent, opened }) => [kid, state, isCurrent, opened])).to.deep.equal([
      [old, 'opening', false, 2],
      [current, 'active', true, 0],
    ]);
    expect(Date.now() - Date.parse(rows[0]?.lastSeen ?? '')).to.be.within(3_600_000, 3_700_000);
    expect(rows[1]?.lastSeen).to.equal(null);
    const lines = (await done('list'))
      .replaceAll(/\.\d{3}Z/g, 'Z')
      .replaceAll(ISO, 'TIME')
      .trimEnd()
      .split('\n');
    const cells = lines.map((line) => line.split(/ {2,}/));
    expect(cells).to.deep.equal([
      ['kid', 'curve', 'custody', 'state', 'next', 'opened', 'last seen'],
      [old, 'P-256', 'file', 'opening', 'stored TIME', '2', 'TIME'],
      [current, 'P-256', 'file', 'active, current', '-', '0', '-'],
    ]);
    const secrets = (JSON.parse(await readFile(ringPath, 'utf8')) as { keys: { d: string }[] }).keys;
    for (const { d } of secrets) expect(JSON.stringify(rows) + lines.join()).not.to.contain(d);
  });

  it('lists a ring that no service would take, with a warning', async () => {
    const now = nowSeconds();
    await writeRing({ opening: now - DAY }, undefined);
    const { keys: members } = JSON.parse(await readFile(ringPath, 'utf8')) as { keys: object[] };
    await writeFile(ringPath, JSON.stringify({ keys: members.slice(0, 1) }));
    const { code, stdout, stderr } = await keys('list');
    expect([code, stderr]).to.deep.equal([0, 'sealwire: warning: no key is active now; add one by rotating first\n']);
    expect(stdout).to.contain('opening');
    await done('rotate', '--now');
    expect(noted).to.contain(
      'the keys before it go on opening calls: --now is not for a stolen ring, --compromised is',
    );
    // Whoever edits it may say so by a command, too.
    const before = Math.floor(Date.now() / 1_000);
    expect(await done('stamp')).to.match(/ring\.json is changed as of 20\d\d-.*Z\n$/);
    expect((await KeyRing.load(ringPath)).version()?.changed).to.be.at.least(before);
  });

  it('retires only keys that nobody needs, unless forced', async () => {
    const now = nowSeconds();
    const ends = { opening: now - 4 * DAY, stored: now - DAY };
    const [used, unused, resealed, opening, current] = (await writeRing(
      ends,
      ends,
      ends,
      { ...ends, stored: now + DAY },
      { published: now - 9 * DAY, active: now - 4 * DAY },
    )) as [string, string, string, string, string];
    await writeLog([used, 3_600], [unused, 2 * DAY], [resealed, 60, `re-sealed to ${current}`]);
    expect((await refused(1, 'retire', '--', used)).replace(ISO, 'TIME')).to.equal(
      `key ${used} opened a token at TIME, within the last 1d: wait, or give --force`,
    );
    expect(await refused(1, 'retire', '--within', '3d', '--', unused)).to.contain('within the last 3d');
    expect(await refused(1, 'retire', '--', current)).to.equal(
      `key ${current} is active: rotate first, or retire it with --force`,
    );
    expect((await refused(1, 'retire', '--', opening)).replace(ISO, 'TIME')).to.equal(
      `key ${opening} opens calls until TIME: wait, or retire it with --force`,
    );
    expect(await refused(2, 'retire', '--force', '--', current)).to.equal(
      'no key is active now; add one by rotating first',
    );
    expect(await done('retire', '--', unused)).to.equal(`key ${unused} is retired: refused from now on\n`);
    await done('retire', '--', resealed);
    await done('retire', '--force', '--', used.slice(0, 8));
    expect((await keysNow()).map(({ state }) => state)).to.deep.equal([
      'retired',
      'retired',
      'retired',
      'opening',
      'active',
    ]);
    expect(await refused(1, 'retire', '--force', '--', unused)).to.equal(`key ${unused} is retired already`);
    expect(await refused(2, 'retire', '--', `${unused}\n${opening}`)).to.equal(
      'that is no kid, nor the beginning of one',
    );
    expect(await refused(2, 'retire', 'nokey')).to.equal(
      "no key of the ring begins with 'nokey'; see sealwire keys list",
    );
  });

  it('retires all stored keys at once, or none when one of them is needed', async () => {
    const now = nowSeconds();
    const ends = { opening: now - 4 * DAY, stored: now - DAY };
    const current = { published: now - 9 * DAY, active: now - 4 * DAY };
    const [one, other] = (await writeRing(ends, ends, current)) as [string, string];
    await writeLog([one, 9 * DAY], [other, 3_600]);
    expect(await refused(2, 'retire')).to.equal('retire what? give a kid, or --stored for all stored keys');
    expect(await refused(1, 'retire', '--stored')).to.contain(`key ${other} opened a token at`);
    expect((await keysNow()).map(({ state }) => state)).to.deep.equal(['stored', 'stored', 'active']);
    expect(await done('retire', '--stored', '--force')).to.equal(
      `key ${one} is retired: refused from now on\nkey ${other} is retired: refused from now on\n`,
    );
    expect((await keysNow()).map(({ state }) => state)).to.deep.equal(['retired', 'retired', 'active']);
    expect(await done('retire', '--stored')).to.equal('no key is stored\n');
  });

  it('does not guess about use when there is no log, or one with lines that are none', async () => {
    const now = nowSeconds();
    const [old] = (await writeRing(
      { opening: now - 4 * DAY, stored: now - DAY },
      { published: now - 9 * DAY, active: now - 4 * DAY },
    )) as [string];
    const alone = await finishSealwire(['keys', 'retire', '--ring', ringPath, '--', old]);
    expect([alone.code, alone.stderr]).to.deep.equal([
      1,
      `sealwire: without an audit log nobody knows whether key ${old} is in use: give --audit, or --force\n`,
    ]);
    await writeLog([old, 9 * DAY]);
    const [segment = ''] = (await readdir(join(dir, 'audit'))).filter((name) => name.endsWith('.jsonl'));
    await writeFile(join(dir, 'audit', segment), '{"v":1,"event":"open","outcome":"opened"}\n', { flag: 'a' });
    const said = await keys('retire', '--', old);
    expect([said.code, said.stderr]).to.deep.equal([
      1,
      'sealwire: 1 lines of the audit log are not records: verify it, or give --force\n',
    ]);
  });

  it('removes retired keys only', async () => {
    const now = nowSeconds();
    const [old, stored, current] = (await writeRing(
      { opening: now - 4 * DAY, retired: now - DAY },
      { opening: now - 4 * DAY, stored: now - DAY },
      undefined,
    )) as [string, string, string];
    for (const [kid, state] of [
      [stored, 'stored'],
      [current, 'active'],
    ] as const) {
      const { code, stderr } = await keys('remove', '--', kid);
      expect([code, stderr]).to.deep.equal([1, `sealwire: key ${kid} is ${state}: only retired keys can be removed\n`]);
    }
    const { code, stdout } = await keys('remove', '--', old);
    expect([code, stdout]).to.deep.equal([0, `key ${old} is removed\n`]);
    expect((await keysNow()).map(({ kid }) => kid)).to.deep.equal([stored, current]);
  });

  it('removes all retired keys at once', async () => {
    const now = nowSeconds();
    const ends = { opening: now - 4 * DAY, retired: now - DAY };
    const [one, two, current] = (await writeRing(ends, ends, undefined)) as [string, string, string];
    expect(await refused(2, 'remove')).to.equal('remove what? give a kid, or --retired for all retired keys');
    expect(await refused(2, 'remove', '--retired', '--', one)).to.contain('remove what?');
    expect(await done('remove', '--retired')).to.equal(`key ${one} is removed\nkey ${two} is removed\n`);
    expect((await keysNow()).map(({ kid }) => kid)).to.deep.equal([current]);
    expect(await done('remove', '--retired')).to.equal('no key is retired\n');
  });

  it('can be practised with another clock, on a copy only', async () => {
    await done('init', '--curve', 'P-256');
    await done('rotate');
    const [first, second] = (await keysNow()) as [KeyNow, KeyNow];
    const states = async (...args: string[]) => (await listed(...args)).map(({ state, current }) => [state, current]);
    expect(await states()).to.deep.equal([
      ['active', true],
      ['published', false],
    ]);
    expect(await states('--at', '+9d')).to.deep.equal([
      ['stored', false],
      ['active', true],
    ]);
    const at = second.dates['active'] as string;
    expect(await states('--at', at)).to.deep.equal([
      ['opening', false],
      ['active', true],
    ]);
    expect(await refused(1, 'retire', '--', first.kid)).to.contain('is active: rotate first');
    await done('retire', '--at', '+9d', '--', first.kid);
    expect(noted).to.match(/^sealwire: note: practice, as if it were \d{4}-\d{2}-\d{2}T/);
    await done('rotate', '--at', '+10d');
    await done('remove', '--at', '+11d', '--', first.kid);
    expect(await states('--at', '+12d')).to.deep.equal([
      ['opening', false],
      ['active', true],
    ]);
    expect(await refused(2, 'list', '--at', '9d ago')).to.contain('must be a time to come such as +9d');
  }).timeout(60_000);

  it('cannot be practised in the folder that a service has by default', async () => {
    for (const command of [['rotate'], ['retire', 'some'], ['remove', '--retired']]) {
      const main = resolve(MAIN);
      const { code, stderr } = await finish(process.execPath, [main, 'keys', ...command, '--at', '+9d'], { cwd: dir });
      expect([code, stderr]).to.deep.equal([
        2,
        'sealwire: --at is for practice: give a copy of the folder with --dir, or of the ring\n',
      ]);
    }
  });

  it('imports PEM and JWK keys to follow the active one, or to open old tokens', async () => {
    const pem = join(dir, 'key.pem');
    const jwk = join(dir, 'old.jwk.json');
    const pair = () => generateKeyPairSync('ec', { namedCurve: 'secp521r1' }).privateKey;
    await writeFile(pem, pair().export({ type: 'sec1', format: 'pem' }), { mode: 0o600 });
    await writeFile(jwk, JSON.stringify(pair().export({ format: 'jwk' })), { mode: 0o600 });
    // The first key of a ring is active at once.
    const said = await done('import', pem);
    const [first] = (await keysNow()) as [KeyNow];
    expect(said).to.contain(`key ${first.kid} (P-521) is active\n`);
    expect(await refused(2, 'import', pem)).to.equal(`key ${first.kid} is already in the ring`);
    expect(await done('import', jwk, '--as', 'stored')).to.match(/^key [\w-]{43} is stored\n$/);
    await writeFile(jwk, JSON.stringify(pair().export({ format: 'jwk' })));
    await done('import', jwk, '--as', 'opening', '--open-after', '2d');
    await writeFile(jwk, JSON.stringify(pair().export({ format: 'jwk' })));
    expect(await done('import', jwk)).to.contain('is published at');
    expect((await keysNow()).map(({ state }) => state)).to.deep.equal(['active', 'stored', 'opening', 'published']);
    await writeFile(jwk, '{"kty":"RSA"}');
    expect(await refused(2, 'import', jwk)).to.equal('not an EC key on P-521, P-384 or P-256');
    expect(await refused(3, 'import', join(dir, 'none'))).to.equal(`${join(dir, 'none')}: no such file`);
  });

  it('exports what senders may use, and no private key', async () => {
    await done('init', '--curve', 'P-256');
    await done('rotate');
    const [first, second] = (await keysNow()) as [KeyNow, KeyNow];
    const set = JSON.parse(await done('export', '--public')) as { keys: object[] };
    expect(set).to.deep.equal(JSON.parse(await readFile(publicPath, 'utf8')));
    expect((await loadPublicKeys(set)).map(({ kid }) => kid)).to.deep.equal([first.kid]);
    const text = await done('export', '--public', '--pem', `--kid=${second.kid}`);
    expect((await recipientKey(text)).kid).to.equal(second.kid);
    expect(await refused(2, 'export')).to.equal(
      'private keys are not exported; the ring file has them. For public keys give --public',
    );
  });

  it('takes passphrases from files and variables, never from flags', async () => {
    const file = join(dir, 'passphrase');
    await writeFile(file, 'first secret\nand no more\n', { mode: 0o600 });
    await done('init', '--curve', 'P-256', '--passphrase-file', file);
    const before = await readFile(ringPath, 'utf8');
    expect(isEncrypted(before)).to.equal(true);
    await KeyRing.load(ringPath, { passphrase: () => 'first secret' });
    expect(await refused(2, 'list')).to.equal('a passphrase is needed: give a file, or set SEALWIRE_KEY_PASSPHRASE');
    const withVariables = (variables: object, ...args: string[]) =>
      finishSealwire(['keys', ...args, '--dir', dir], { env: { ...environment, ...variables } });
    const wrong = await withVariables({ SEALWIRE_KEY_PASSPHRASE: 'second secret' }, 'rotate');
    expect([wrong.code, wrong.stderr]).to.deep.equal([
      2,
      `sealwire: ${ringPath}: the passphrase is wrong, or the file was changed\n`,
    ]);
    expect(await readFile(ringPath, 'utf8')).to.equal(before);
    const changed = await withVariables(
      { SEALWIRE_KEY_PASSPHRASE: 'first secret', SEALWIRE_NEW_KEY_PASSPHRASE: 'second secret' },
      'passphrase',
    );
    expect([changed.code, changed.stdout]).to.deep.equal([0, `${ringPath} is encrypted\n`]);
    const rotated = await withVariables({ SEALWIRE_KEY_PASSPHRASE: 'second secret' }, 'rotate');
    expect([rotated.code, rotated.stderr]).to.deep.equal([0, '']);
    expect(isEncrypted(await readFile(ringPath, 'utf8'))).to.equal(true);
    await writeFile(file, 'second secret\n');
    await done('passphrase', '--passphrase-file', file, '--remove');
    expect((await KeyRing.load(ringPath)).describe()).to.have.length(2);
    await writeFile(file, 'third secret\n', { mode: 0o644 });
    await rm(file);
    await writeFile(file, 'third secret\n', { mode: 0o644 });
    expect(await refused(3, 'passphrase', '--new-passphrase-file', file)).to.contain('run chmod 600');
  });

  it('says what is missing', async () => {
    for (const command of ['list', 'rotate']) {
      const { code, stderr } = await keys(...(command.split(' ') as [string, ...string[]]));
      expect(code).to.equal(3);
      expect(stderr).to.match(/ring\.json: no such file|keys: ENOENT/);
    }
  });
});
