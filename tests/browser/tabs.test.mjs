// A login is stored in the browser: it survives a reload, and all tabs share it.

import assert from 'node:assert/strict';
import test from 'node:test';
import { demoServer, keptToken, logIn, notice, press, standing, watchedBrowser } from './harness.mjs';

const server = demoServer();
const browser = watchedBrowser();

test('a reload keeps the login', async () => {
  const page = await browser.page(server);
  await logIn(page, server);
  const token = await keptToken(page);
  await page.reload();
  await standing(page, 'Logged in as');
  await notice(page, 'The token from the last visit is still live.');
  assert.equal(await keptToken(page), token);
  assert.match(await (await press(page, 'user')).textContent(), /200 OK/);
});

test('logging in or out in one tab is seen in the other', async () => {
  const context = await browser.context(server);
  const [one, other] = [await context.newPage(), await context.newPage()];
  await one.goto('/');
  await other.goto('/');

  await one.bringToFront();
  await logIn(one, server);
  await other.bringToFront();
  await standing(other, 'Logged in as');
  assert.match(await (await press(other, 'user')).textContent(), /200 OK/);

  await one.bringToFront();
  await press(one, 'logout');
  await other.bringToFront();
  await standing(other, 'Logged out');
  await notice(other, 'Logged out in another tab.');
  assert.equal(await other.locator('#login').isVisible(), true);
  assert.match(await (await press(other, 'dead')).textContent(), /401/);
});

test('a stored token that was revoked is removed at the next visit', async () => {
  const page = await browser.page(server);
  await logIn(page, server);
  const gone = await fetch(`${server.origin}/api/tokens/current`, {
    method: 'DELETE',
    headers: { Authorization: `Bearer ${await keptToken(page)}` },
  });
  assert.equal(gone.status, 204);
  await page.reload();
  await notice(page, 'The server refused the token');
  await standing(page, 'Logged out');
  assert.equal(await keptToken(page), undefined);
});

test('invalid data in the storage counts as logged out', async () => {
  const page = await browser.page(server);
  for (const left of ['not JSON', 'null', '{"token":7}']) {
    await page.evaluate((text) => localStorage.setItem('bearerd.session', text), left);
    await page.reload();
    await standing(page, 'Logged out');
  }
});
