/**
 * Takes the picture of the checkout page that README.md and docs/browsers.md show, after a build: a card is typed,
 * sealed and on its way, and the answer is held back so that the form can still be seen.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { root } from './setup.mjs';

const target = join(root, 'examples/browser-checkout/checkout.png');
const dir = await mkdtemp(join(tmpdir(), 'sealwire-picture-'));
const flags = ['serve', '--listen', '127.0.0.1:0', '--dir', dir];
const service = spawn(process.execPath, [join(root, 'dist/src/cli/main.js'), ...flags], {
  env: { ...process.env, SEALWIRE_WEB_LISTEN: '127.0.0.1:0' },
  stdio: ['ignore', 'ignore', 'pipe'],
});
const url = await new Promise((resolve, reject) => {
  let log = '';
  service.stderr.on('data', (chunk) => {
    log += chunk;
    const [, found] = /web gateway on (\S+)/.exec(log) ?? [];
    if (found) resolve(found);
  });
  service.once('exit', () => reject(new Error(log)));
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1240, height: 900 }, colorScheme: 'light' });
  await page.goto(url);
  await page.route('**/Authorize', () => {});
  for (const [id, text] of [
    ['number', '4242424242424242'],
    ['expiry', '1231'],
    ['code', '737'],
    ['holder', 'Ada Lovelace'],
  ]) {
    await page.locator(`#${id}`).pressSequentially(text);
  }
  await page.locator('#pay').click();
  await page.locator('#step-sent.is-sealed').waitFor();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: target, animations: 'disabled' });
} finally {
  await browser.close();
  service.kill('SIGTERM');
  await once(service, 'exit');
  await rm(dir, { recursive: true });
}
