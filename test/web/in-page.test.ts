/** The cases of the browser client in a page of Chromium, which may do nothing but run its script. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import { findTool, requireTool } from '../support/tools.js';
import { makeConformanceInput } from '../support/web-conformance-input.js';
import type { PageReport } from '../support/web-page.js';

const POLICY = "default-src 'none'; script-src 'self'";
const PAGE = '<!doctype html><title>cases</title><script src="/cases.js"></script>';

describe('the browser client in Chromium', () => {
  let server: Server;
  let browser: Browser | undefined;
  before(async function () {
    requireTool(this, 'chromium');
    const bundle = await build({
      entryPoints: ['test/support/web-page.ts'],
      bundle: true,
      write: false,
      format: 'iife',
      platform: 'browser',
    });
    const script = bundle.outputFiles[0]?.text as string;
    server = createServer(({ url }, response) => {
      const isScript = url === '/cases.js';
      const type = isScript ? 'text/javascript' : 'text/html';
      response.writeHead(200, { 'content-type': `${type}; charset=utf-8`, 'content-security-policy': POLICY });
      response.end(isScript ? script : PAGE);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    browser = await chromium.launch({ executablePath: findTool('chromium'), args: ['--no-sandbox'] });
  });
  after(async () => {
    await browser?.close();
    server?.close();
  });

  it('passes all of them', async () => {
    const page = await (browser as Browser).newPage();
    const violations: string[] = [];
    page.on('console', (message) => violations.push(message.text()));
    page.on('pageerror', (error) => violations.push(error.message));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const run = '(input) => globalThis.runCases(input)';
    const report = (await page.evaluate(`(${run})(${JSON.stringify(await makeConformanceInput())})`)) as PageReport;
    expect(report.failed).to.deep.equal([]);
    expect(report.passed).to.be.above(400);
    expect(violations).to.deep.equal([]);
  });
});
