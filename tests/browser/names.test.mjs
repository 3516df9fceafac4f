// Names and emails that contain HTML are shown as text, and never run.

import assert from 'node:assert/strict';
import test from 'node:test';
import { demoServer, keptToken, logIn, newest, press, watchedBrowser } from './harness.mjs';

const server = demoServer();
const browser = watchedBrowser();

const DEVICE = '</textarea></script><script>window.ran = true</script>"><img src=x onerror="window.ran = true">'
  + '<svg onload="window.ran = true"><iframe srcdoc="<script>parent.ran = true</script>">';
const NAME = '<a href="javascript:window.ran = true">x</a><base href="https://evil.example/">'
  + '<style>body { display: none }</style>\'"><!--';

/** The elements of a page that none of its own scripts or files creates. */
function strangers(page) {
  return page.evaluate(() => document.querySelectorAll(
    'script:not([src]), img, iframe, svg[onload], style, base, a[href^="javascript:"]',
  ).length);
}

test('the names of tokens and users are text', async () => {
  const page = await browser.page(server);
  const before = await strangers(page);
  await page.getByLabel('Device name').fill(DEVICE);
  await logIn(page, server);
  const answer = await fetch(`${server.origin}/api/user`, {
    method: 'PUT',
    headers: { Authorization: `Bearer ${await keptToken(page)}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: NAME, email: server.email }),
  });
  assert.equal(answer.status, 200);

  await press(page, 'user');
  assert.ok((await newest(page).textContent()).includes(JSON.stringify(NAME)));
  await press(page, 'list');
  await page.locator('#token-rows li', { hasText: DEVICE }).waitFor();
  // The page shows what it kept.
  await page.reload();
  await page.locator('#standing', { hasText: 'Logged in as' }).waitFor();

  assert.equal(await strangers(page), before);
  assert.equal(await page.evaluate(() => window.ran), undefined);
  assert.equal(await page.evaluate(() => document.baseURI), `${server.origin}/`);
});

test('an email with HTML, and an address with HTML after the #, are text', async () => {
  const page = await browser.page(server);
  await page.goto('/#<img src=x onerror="window.ran=true">');
  await page.getByLabel('Email').fill('"<img/src=x/onerror=window.ran=true>"@example.org');
  await page.getByLabel('Password').fill('wrong wrong');
  await page.locator('#login').evaluate((form) => { form.noValidate = true; });
  await page.locator('#login [type=submit]').click();
  await newest(page).waitFor();
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.evaluate(() => window.ran), undefined);
});
