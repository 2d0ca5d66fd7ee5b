/** The example's checkout page in a browser, with a recorder between it and the service. */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { HostConfigInput } from '../../src/host/config.js';
import { type Harness, startHarness } from './harness.js';
import { type RecordingRelay, startRecordingRelay } from './recording-relay.js';

/** The number that a test types; nobody else may see it. */
export const CARD = '4111111111111111';
export const HOLDER = 'Zoë Cardholder';

/** Service, recorder and pages. */
export class Checkout {
  readonly harness: Harness;
  /** Between browser and gateway. */
  readonly relay: RecordingRelay;
  /** What the browser found wrong: violations of the policy, errors of scripts. */
  readonly faults: string[] = [];

  private constructor(harness: Harness, relay: RecordingRelay) {
    this.harness = harness;
    this.relay = relay;
  }

  /** @param through starts a proxy before the service, and gives its address. Default: the web gateway alone */
  static async start(
    config: Omit<HostConfigInput, 'listen' | 'dir'> = {},
    through?: (harness: Harness) => Promise<string>,
  ): Promise<Checkout> {
    const harness = await startHarness({ config: { web: { listen: '127.0.0.1:0' }, ...config } });
    const address = (await through?.(harness)) ?? (harness.service.webAddress as string);
    return new Checkout(harness, await startRecordingRelay(address));
  }

  /** @param context default: one of its own @param query e.g. `?form=grpc-web` */
  async open(browser: Browser | BrowserContext, query = '', prepare?: (page: Page) => Promise<unknown>): Promise<Page> {
    const page = await browser.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
        this.faults.push(message.text());
    });
    page.on('pageerror', (error) => this.faults.push(error.message));
    await prepare?.(page);
    await page.goto(`http://${this.relay.address}/${query}`);
    return page;
  }

  async stop(): Promise<void> {
    await this.relay.close();
    await this.harness.stop();
  }
}

/** Types a card as a person does, and presses Enter. */
export async function payByKeyboard(page: Page, { number = CARD, expiry = '1231' } = {}): Promise<void> {
  await page.locator('#number').focus();
  for (const text of [number, expiry, '737', HOLDER]) {
    await page.keyboard.type(text);
    await page.keyboard.press('Tab');
  }
  await page.locator('#holder').press('Enter');
}

/** What a person reads when the payment is over: `paid`, or the title of the notice. */
export async function outcomeOf(page: Page): Promise<string> {
  const over = page.locator('#done:visible, #notice:visible');
  await over.waitFor();
  await page.locator('#pay[aria-busy="false"]').waitFor({ state: 'attached' });
  if (await page.locator('#done').isVisible()) return 'paid';
  return (await page.locator('#notice strong').textContent()) ?? '';
}

/** How a text could stand somewhere. */
export function formsOf(text: string): string[] {
  const utf16 = Buffer.from(text, 'utf16le').toString('latin1');
  const base64 = Buffer.from(text).toString('base64').slice(0, -4);
  return [text, Buffer.from(text).toString('latin1'), utf16, base64, text.replace(/(\d{4})(?=\d)/g, '$1 ')];
}

/** The text of one of the steps beside the form. */
export async function stepText(page: Page, step: string): Promise<string> {
  return (await page.locator(`#step-${step} .body`).textContent()) ?? '';
}
