/** The checkout page: form on one side, what others see of it on the other. */
import { Code, ConnectError } from '@connectrpc/connect';
import { errorDetails } from 'sealwire/web';
import { byId } from './dom.js';
import {
  createSteps,
  resetSteps,
  showInsight,
  showNothingSent,
  showRefusal,
  showReply,
  showSent,
  showTyped,
} from './evidence.js';
import { explain, type Failure } from './failures.js';
import {
  clearErrors,
  clearForm,
  fillSample,
  focusFirstError,
  readForm,
  showError,
  typedNow,
  watchForm,
} from './form.js';
import { measureClock, type Order, Payer, readInsight, type Sent } from './payment.js';

const ORDER_KEY = 'order';
const PAYING_KEY = 'paying';
/** A refused call's record is written without anybody waiting for it. */
const RECORD_TRIES = 10;
const RECORD_PAUSE_MS = 100;

const payButton = byId<HTMLButtonElement>('pay');
const notice = byId('notice');
let order = findOrder();
let payer: Payer | undefined;

/** The order of this tab, which a reload does not change: so it is not charged twice. */
function findOrder(): Order {
  const orderId = sessionStorage.getItem(ORDER_KEY) ?? `order-${crypto.randomUUID().slice(0, 8)}`;
  sessionStorage.setItem(ORDER_KEY, orderId);
  byId('order-id').textContent = orderId;
  return { orderId, amountMinor: 4999n, currencyCode: 'EUR' };
}

async function pay(): Promise<void> {
  if (payButton.getAttribute('aria-busy') === 'true') return;
  hideNotice();
  const details = readForm();
  if (details === undefined) return;
  setBusy(true);
  resetSteps();
  let sent: Sent | undefined;
  try {
    sessionStorage.setItem(PAYING_KEY, 'yes');
    const reply = await (await getPayer()).pay(order, details, (now) => {
      sent = now;
      showSent(now);
    });
    showReply(reply);
    if (reply.status === 'authorized') showDone(reply.cardLast4);
    else showNotice(declined());
  } catch (error) {
    await fail(error, sent);
  } finally {
    sessionStorage.removeItem(PAYING_KEY);
    setBusy(false);
  }
  if (sent !== undefined) await showRecords(sent.requestId);
}

async function getPayer(): Promise<Payer> {
  payer ??= await Payer.create(new URLSearchParams(location.search).get('form') === 'grpc-web');
  return payer;
}

async function fail(error: unknown, sent: Sent | undefined): Promise<void> {
  const failure = explain(error, await measureClock());
  if (sent === undefined) {
    // Where the keys were at fault, the next attempt asks for them anew.
    payer?.close();
    payer = undefined;
    showNothingSent();
  } else showRefusal(failure, errorDetails(error)?.reason ?? Code[ConnectError.from(error).code] ?? '');
  for (const [field, text] of Object.entries(failure.fields ?? {})) showError(field as never, text);
  showNotice(failure);
  if (failure.fields !== undefined) focusFirstError();
}

/** An order is decided once: a declined one is not tried again with another card. */
function declined(): Failure {
  order = startOrder();
  const text = 'The card may have expired. Nothing was charged. Try another card; it is a new order.';
  return { title: 'The card was declined.', text };
}

function startOrder(): Order {
  sessionStorage.removeItem(ORDER_KEY);
  return findOrder();
}

async function showRecords(requestId: string): Promise<void> {
  for (let tries = 0; tries < RECORD_TRIES; tries++) {
    const insight = await readInsight(requestId).catch(() => undefined);
    if (insight === undefined) return;
    showInsight(insight);
    if (insight.records.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, RECORD_PAUSE_MS));
  }
}

function showDone(last4: string): void {
  // Neither this page nor the browser's history keeps the card.
  clearForm();
  byId('form').hidden = true;
  byId('done').hidden = false;
  byId('done-text').textContent = `€49.99 with the card ending in ${last4}. Order ${order.orderId}.`;
  byId('done').focus();
}

function showNotice({ title, text }: Pick<Failure, 'title' | 'text'>, tone = 'bad'): void {
  const strong = document.createElement('strong');
  strong.textContent = title;
  notice.replaceChildren(strong, text);
  notice.className = `notice ${tone}`;
  notice.hidden = false;
  notice.focus();
}

function hideNotice(): void {
  notice.hidden = true;
}

function setBusy(isBusy: boolean): void {
  payButton.setAttribute('aria-busy', String(isBusy));
  byId('pay-text').textContent = isBusy ? 'Paying…' : 'Pay €49.99';
}

function startAgain(): void {
  order = startOrder();
  byId('form').hidden = false;
  byId('done').hidden = true;
  hideNotice();
  clearErrors();
  resetSteps();
  showTyped(typedNow());
  byId('number').focus();
}

createSteps();
watchForm(() => showTyped(typedNow()));
showTyped(typedNow());
byId('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void pay();
});
byId('again').addEventListener('click', startAgain);
for (const button of document.querySelectorAll<HTMLButtonElement>('[data-sample]')) {
  button.addEventListener('click', () => {
    if (byId('form').hidden) startAgain();
    fillSample(button.dataset['sample'] ?? '');
    showTyped(typedNow());
    payButton.focus();
  });
}
// What was typed must not come back from the browser's history.
addEventListener('pagehide', clearForm);
if (sessionStorage.getItem(PAYING_KEY) !== null) {
  sessionStorage.removeItem(PAYING_KEY);
  showNotice(
    {
      title: 'The page was reloaded while a payment was under way.',
      text: 'It may have gone through. Enter the card again to find out: this order is charged only once.',
    },
    'calm',
  );
}
