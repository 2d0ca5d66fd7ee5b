/** Debian's Chromium, and what it is asked to do in tests. */
import { type Browser, chromium } from 'playwright-core';
import { findTool, requireTool } from './tools.js';

/** Leaves the calling test or suite pending, with a hint, where there is no Chromium. */
export function launchBrowser(context: Mocha.Context): Promise<Browser> {
  requireTool(context, 'chromium');
  context.timeout(60_000);
  return chromium.launch({ executablePath: findTool('chromium'), args: ['--no-sandbox'] });
}
