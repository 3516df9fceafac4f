// Accessibility of the page: keyboard, narrow screens, light and dark colours.

import assert from 'node:assert/strict';
import test from 'node:test';
import { demoServer, keptToken, logIn, notice, press, standing, watchedBrowser } from './harness.mjs';

const server = demoServer();
const browser = watchedBrowser();

/** Presses Tab until an element has the focus. The focus must be visible at each stop. */
async function tabTo(page, selector) {
  for (let stops = 0; stops < 60; stops += 1) {
    await page.keyboard.press('Tab');
    const { there, visible, name } = await page.evaluate((wanted) => {
      const held = document.activeElement;
      const style = getComputedStyle(held);
      return {
        there: held.matches(wanted),
        visible: held === document.body || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2),
        name: held.id || held.textContent.trim(),
      };
    }, selector);
    assert.ok(visible, `the focus should be seen on “${name}”`);
    if (there) return;
  }
  assert.fail(`Tab should reach ${selector}`);
}

function focusOn(page, selector) {
  return page.locator(`${selector}:focus`).waitFor();
}

test('every step can be done by keyboard alone', async () => {
  const page = await browser.page(server);
  await tabTo(page, '.skip');
  await page.keyboard.press('Enter');
  await focusOn(page, '#steps');

  await tabTo(page, '#email');
  await page.keyboard.type(server.email);
  await tabTo(page, '#password');
  await page.keyboard.type(server.password);
  await page.keyboard.press('Enter');
  await standing(page, 'Logged in as');

  await focusOn(page, '[data-send=user]');
  await page.keyboard.press('Enter');
  await notice(page, 'GET /api/user answered 200');
  await tabTo(page, '[data-send=list]');
  await page.keyboard.press('Space');
  await notice(page, 'GET /api/tokens answered 200');

  await tabTo(page, '#reveal');
  await page.keyboard.press('Space');
  const token = await keptToken(page);
  assert.ok((await page.locator('#ticket-token').textContent()).includes(token.slice(3, 43)));

  await tabTo(page, '#exchanges summary');
  await page.keyboard.press('Enter');
  await page.locator('#exchanges > li:first-child details:not([open])').waitFor();

  await tabTo(page, '[data-send=logout]');
  await page.keyboard.press('Enter');
  await standing(page, 'Logged out');
  await focusOn(page, '[data-send=dead]');
  await page.keyboard.press('Enter');
  await notice(page, 'the token is dead on the server');

  await tabTo(page, '#again');
  await page.keyboard.press('Enter');
  await focusOn(page, '#email');
});

for (const colorScheme of ['light', 'dark']) {
  test(`a screen of 360 pixels needs no sideways scrolling in ${colorScheme}`, async () => {
    const page = await browser.page(server, { colorScheme, viewport: { width: 360, height: 740 } });
    const fits = async (when) => {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 360, `${when}: the page is ${width} pixels wide`);
    };
    await fits('logged out');
    await page.getByLabel('Email').fill(`${'long'.repeat(15)}@example.com`);
    await page.getByLabel('Device name').fill('x'.repeat(90));
    await page.locator('#login [type=submit]').click();
    await page.locator('#exchanges > li').waitFor();
    await fits('with errors');
    await logIn(page, server);
    for (const name of ['user', 'current', 'list', 'bare', 'broken']) {
      await press(page, name);
      await fits(`after ${name}`);
    }
    await page.getByRole('button', { name: 'Show token' }).click();
    await fits('with the token shown');
    await press(page, 'logout');
    await press(page, 'dead');
    await fits('with the dead token');
  });
}

test('the page follows the colour scheme of the system', async () => {
  const grounds = [];
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.page(server, { colorScheme });
    grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  }
  assert.notEqual(grounds[0], grounds[1]);
});
