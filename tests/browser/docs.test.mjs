// Swagger UI at /docs, which shows the API's description.

import assert from 'node:assert/strict';
import test from 'node:test';
import { demoServer, watchedBrowser } from './harness.mjs';

const server = demoServer();
const browser = watchedBrowser();

async function open() {
  const page = await (await browser.context(server)).newPage();
  await page.goto('/');
  await page.getByRole('link', { name: 'The whole API' }).click();
  await page.locator('#operations-tokens-createToken').waitFor();
  return page;
}

test('Swagger UI shows every operation, and the one for all methods only once', async () => {
  const page = await open();
  const { paths } = await (await fetch(`${server.origin}/api/openapi.json`)).json();
  const once = { ...paths, '/api/verify': { get: {} } };
  const described = Object.values(once).flatMap((path) => Object.keys(path)).length;
  assert.equal(await page.locator('.opblock').count(), described);
});

test('Swagger UI sends the authorized token with a request', async () => {
  const { email, password } = server;
  const login = await fetch(`${server.origin}/api/tokens`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ email, password, device_name: 'Docs test' }),
  });
  const { token } = await login.json();

  const page = await open();
  await page.locator('.btn.authorize').click();
  const bearer = page.locator('.auth-container').filter({ has: page.locator('#auth-bearer-value') });
  await bearer.locator('input').fill(token);
  await bearer.locator('.authorize').click();
  await page.locator('.auth-container .btn-done').last().click();

  const operation = page.locator('#operations-account-showAccount');
  await operation.locator('.opblock-summary-control').click();
  await operation.locator('.execute').click();
  const answer = operation.locator('.live-responses-table .response');
  await answer.waitFor();
  assert.match(await answer.locator('.response-col_status').innerText(), /^200/);
  assert.ok((await answer.innerText()).includes(email));
  if (process.env.BEARERD_SHOT) await page.screenshot({ path: process.env.BEARERD_SHOT, fullPage: true });
});
