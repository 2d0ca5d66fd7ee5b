/** The example's checkout page in Chromium, through the web gateway: what a person sees, and what nobody else does. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Browser, chromium, type Page, type Route } from 'playwright-core';
import { generatePem } from '../../../src/keys/generate-pem.js';
import { importRingKey, withDates } from '../../../src/keys/ring-file.js';
import { RingStore } from '../../../src/keys/ring-store.js';
import { launchBrowser } from '../../support/browser.js';
import { CARD, Checkout, formsOf, HOLDER, outcomeOf, payByKeyboard, stepText } from '../../support/checkout.js';
import { findTool } from '../../support/tools.js';

const AUTHORIZE = '**/payments.v1.PaymentService/Authorize';

describe('the checkout page', () => {
  let checkout: Checkout;
  let browser: Browser;
  before(async function () {
    browser = await launchBrowser(this);
    checkout = await Checkout.start();
  });
  after(async () => {
    await browser?.close();
    await checkout?.stop();
  });
  afterEach(() => {
    expect(checkout.faults.splice(0)).to.deep.equal([]);
  });

  const open = (query = '', prepare?: (page: Page) => Promise<unknown>) => checkout.open(browser, query, prepare);
  const authorizeCalls = () => checkout.relay.seen().split('POST /payments.v1.PaymentService/Authorize').length - 1;

  for (const [form, query] of [
    ['Connect', ''],
    ['gRPC-Web', '?form=grpc-web'],
  ] as const) {
    it(`pays by ${form}, with the keyboard alone, and shows what others saw`, async () => {
      const page = await open(query);
      await payByKeyboard(page);
      expect(await outcomeOf(page)).to.equal('paid');
      expect(await page.textContent('#done-text')).to.match(
        /^€49\.99 with the card ending in 1111\. Order order-\w{8}\.$/,
      );
      expect(await stepText(page, 'typed')).to.include('4111 1111 1111 1111');
      const parts = await page.locator('#step-sent .token').first().locator('span').allTextContents();
      expect(parts).to.have.length(5);
      expect(checkout.relay.seen()).to.include(parts.join('.'));
      expect(await page.locator('#step-sent .members th').allTextContents()).to.include.members(['alg', 'epk', 'bnd']);
      await page.locator('#step-audit.is-sealed').waitFor();
      const line = await stepText(page, 'gateway');
      expect(checkout.harness.logged()).to.include(line.slice(line.indexOf('{')));
      expect(await stepText(page, 'audit')).to.include('opened; kept: its token');
      expect(await stepText(page, 'reply')).to.include('authorized');
      await page.close();
    });
  }

  it('tells a declined card, and one with a typo at its field', async () => {
    const page = await open();
    await payByKeyboard(page, { expiry: '0120' });
    expect(await outcomeOf(page)).to.equal('The card was declined.');
    await page.locator('#number').fill('4111 1111 1111 1112');
    await page.locator('#expiry').fill('1231');
    await page.locator('#pay').click();
    expect(await outcomeOf(page)).to.equal('The card was not accepted.');
    expect(await page.textContent('#number-error')).to.equal('This card number has a typo. Check its digits.');
    expect(await page.locator('#number').getAttribute('aria-invalid')).to.equal('true');
    expect(await page.evaluate('document.activeElement.id')).to.equal('number');
    await page.close();
  });

  it('says at each field what is missing, and sends nothing', async () => {
    const before = authorizeCalls();
    const page = await open();
    await page.locator('#pay').click();
    expect(await page.locator('.error:visible').allTextContents()).to.deep.equal([
      'Enter the card number.',
      'Enter month and year, as on the card.',
      'Enter the 3 or 4 digits.',
      'Enter the name on the card.',
    ]);
    expect(await page.evaluate('document.activeElement.id')).to.equal('number');
    expect(authorizeCalls()).to.equal(before);
    await page.close();
  });

  for (const [name, minutes] of [
    ['fast', 10],
    ['slow', -10],
  ] as const) {
    it(`says so when the clock is ten minutes ${name}, and pays when it is right again`, async () => {
      const page = await open('', (opening) => opening.clock.install({ time: Date.now() + minutes * 60_000 }));
      await payByKeyboard(page);
      expect(await outcomeOf(page)).to.equal(`The clock of your device is 10 minutes ${name}.`);
      await page.clock.setSystemTime(Date.now());
      await page.locator('#pay').click();
      expect(await outcomeOf(page)).to.equal('paid');
      await page.close();
    });
  }

  it('explains a payment that was sent twice on its way, and finds out how it went', async () => {
    const page = await open();
    // As a proxy that tries again does.
    await page.route(
      AUTHORIZE,
      async (route: Route) => {
        await route.fetch();
        await route.continue();
      },
      { times: 1 },
    );
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('This payment was sent twice on its way.');
    await page.locator('#pay').click();
    expect(await outcomeOf(page)).to.equal('paid');
    await page.close();
  });

  it('sends nothing where the root is another one', async () => {
    const before = authorizeCalls();
    const page = await open('', (opening) =>
      opening.route('**/insight*', async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, json: { ...(await response.json()), root: 'A'.repeat(43) } });
      }),
    );
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('We could not make sure who would read your card.');
    expect(await stepText(page, 'sent')).to.equal('Nothing of the payment.');
    expect(authorizeCalls()).to.equal(before);
    await page.close();
  });

  it('does not claim to know how a payment went whose answer was lost, and finds out', async () => {
    const page = await open();
    await page.route(
      AUTHORIZE,
      async (route) => {
        await route.fetch();
        await route.abort();
      },
      { times: 1 },
    );
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('We could not reach the shop.');
    await page.locator('#pay').click();
    expect(await outcomeOf(page)).to.equal('paid');
    await page.close();
  });

  it('keeps its order over a reload in the middle of a payment, and nothing of the card', async () => {
    const page = await open();
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    await page.route(
      AUTHORIZE,
      async (route) => {
        await route.fetch();
        arrived();
        // The answer never comes.
      },
      { times: 1 },
    );
    await payByKeyboard(page);
    await arrival;
    const order = await page.textContent('#order-id');
    await page.reload();
    expect(await outcomeOf(page)).to.equal('The page was reloaded while a payment was under way.');
    expect(await page.textContent('#order-id')).to.equal(order);
    expect(await page.locator('#number').inputValue()).to.equal('');
    const count = [...checkout.harness.service.app.store.all()].length;
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('paid');
    expect([...checkout.harness.service.app.store.all()]).to.have.length(count);
    await page.close();
  });

  it('fits a window of 360 pixels, and gives each field what browsers fill in by', async () => {
    const page = await open();
    await page.setViewportSize({ width: 360, height: 740 });
    await page.locator('[data-sample=good]').click();
    await page.locator('#pay').click();
    await outcomeOf(page);
    await page.locator('#step-audit.is-sealed').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).to.equal(360);
    const describe = '({ id, autocomplete, labels }) => [id, autocomplete, labels.length].join(" ")';
    const fields = await page.evaluate(`[...document.querySelectorAll('input, select')].map(${describe})`);
    expect(fields).to.deep.equal([
      'number cc-number 1',
      'expiry cc-exp 1',
      'code cc-csc 1',
      'holder cc-name 1',
      'line1 billing address-line1 1',
      'postal billing postal-code 1',
      'city billing address-level2 1',
      'country billing country 1',
    ]);
    await page.close();
  });

  it('gets the new key when its own was retired, and nobody notices', async () => {
    const page = await open();
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('paid');
    const { keyRing, kid } = checkout.harness.service;
    const next = await importRingKey(generatePem('P-521'));
    const changed = new Promise<void>((resolve) => {
      keyRing.onChange(({ currentKid }) => currentKid === next.kid && resolve());
    });
    const now = Math.floor(Date.now() / 1_000);
    await new RingStore({ path: join(checkout.harness.dir, 'keys/ring.json') }).update((keys) => [
      ...keys.map((key) => withDates(key, { opening: now, withdrawn: now })),
      withDates(next, { published: now, active: now }),
    ]);
    await changed;
    const before = authorizeCalls();
    await page.locator('#again').click();
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('paid');
    expect(authorizeCalls()).to.equal(before + 2);
    const header = await page.locator('#step-sent .members').first().textContent();
    expect(header).to.include(next.kid).and.not.to.include(kid);
    await page.close();
  });

  it('leaves the card nowhere: wire, logs, audit log, storage and profile of the browser', async function () {
    this.timeout(60_000);
    const profile = mkdtempSync(join(tmpdir(), 'sealwire-profile-'));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: findTool('chromium'),
      args: ['--no-sandbox'],
    });
    const page = await checkout.open(context);
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('paid');
    const kept = String(
      await page.evaluate(`indexedDB.databases().then((databases) => JSON.stringify([
        { ...localStorage }, { ...sessionStorage }, document.cookie, databases, history.state,
      ]))`),
    );
    await context.close();
    const files = readdirSync(profile, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name)).toString('latin1'));
    rmSync(profile, { recursive: true });
    expect(files.length).to.be.above(20);
    const texts = {
      wire: checkout.relay.seen(),
      log: checkout.harness.logged(),
      'audit log': await checkout.harness.auditText(),
      storage: kept,
      profile: files.join('\n'),
    };
    for (const [where, text] of Object.entries(texts)) {
      // The browser's own autofill remembers names, as it does in every form.
      const secrets = where === 'profile' ? [CARD] : [CARD, HOLDER];
      const found = secrets.flatMap(formsOf).filter((form) => text.includes(form));
      expect(found, where).to.deep.equal([]);
    }
  });

  it('says that the shop cannot be reached when the gateway is gone', async () => {
    const page = await open();
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('paid');
    await checkout.relay.close();
    await page.locator('#again').click();
    await payByKeyboard(page);
    expect(await outcomeOf(page)).to.equal('We could not reach the shop.');
    await page.close();
  });
});
