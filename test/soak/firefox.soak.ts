/**
 * The cases of the browser client in Firefox. Playwright drives a Firefox of its own make only, so the page runs by
 * itself and posts what became of it.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { build } from 'esbuild';
import { run } from '../support/command.js';
import { findTool, requireTool, toolEnvironment } from '../support/tools.js';
import { makeConformanceInput } from '../support/web-conformance-input.js';
import type { PageReport } from '../support/web-page.js';

const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'";
const PAGE = '<!doctype html><title>cases</title><script src="/cases.js"></script>';
const RUN = `import './test/support/web-page.ts';
const input = await (await fetch('/input')).json();
const report = await globalThis.runCases(input);
await fetch('/report', { method: 'POST', body: JSON.stringify(report) });`;

describe('the browser client in Firefox', () => {
  it('passes all of its cases', async function () {
    requireTool(this, 'firefox-esr');
    const bundle = await build({
      stdin: { contents: RUN, resolveDir: process.cwd(), loader: 'ts' },
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'browser',
    });
    const input = JSON.stringify(await makeConformanceInput());
    const script = bundle.outputFiles[0]?.text as string;
    let tell: (report: PageReport) => void = () => {};
    const reported = new Promise<PageReport>((resolve) => {
      tell = resolve;
    });
    const give = (response: ServerResponse, type: string, body: string) => {
      response
        .writeHead(200, { 'content-type': `${type}; charset=utf-8`, 'content-security-policy': POLICY })
        .end(body);
    };
    const server = createServer(async (request, response) => {
      if (request.url === '/cases.js') give(response, 'text/javascript', script);
      else if (request.url === '/input') give(response, 'application/json', input);
      else if (request.url === '/report') {
        tell(JSON.parse(Buffer.concat(await request.toArray()).toString()) as PageReport);
        give(response, 'text/plain', '');
      } else give(response, 'text/html', PAGE.replace('<script', '<script type="module"'));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const profile = mkdtempSync(join(tmpdir(), 'sealwire-firefox-'));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const flags = ['--headless', '--no-remote', '--profile', profile, url];
    const firefox = run(findTool('firefox-esr'), flags, { env: { ...toolEnvironment, HOME: profile } });
    try {
      const report = await Promise.race([reported, firefox.ended.then(() => expect.fail(firefox.stderr()))]);
      expect(report.failed).to.deep.equal([]);
      expect(report.passed).to.be.above(400);
    } finally {
      firefox.child.kill('SIGKILL');
      await firefox.ended;
      server.close();
      server.closeAllConnections();
      rmSync(profile, { recursive: true, force: true });
    }
  });
});
