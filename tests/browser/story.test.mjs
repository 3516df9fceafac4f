// The main steps of the page: log in, send requests, log out, and report errors.

import assert from 'node:assert/strict';
import test from 'node:test';
import { demoServer, keptToken, logIn, newest, notice, press, standing, watchedBrowser } from './harness.mjs';

const server = demoServer();
const browser = watchedBrowser();

test('the Content-Security-Policy allows no inline code and no other origins', async () => {
  const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    + "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  const types = {
    '/': /^text\/html/, '/style.css': /^text\/css/, '/favicon.svg': /^image\/svg\+xml/,
    ...Object.fromEntries(['app', 'dom', 'log', 'session', 'ticket', 'wire']
      .map((name) => [`/${name}.js`, /^text\/javascript/])),
  };
  for (const [path, type] of Object.entries(types)) {
    const answer = await fetch(server.origin + path);
    await answer.arrayBuffer();
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers.get('content-type'), type, path);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', path);
    if (path === '/') assert.equal(answer.headers.get('content-security-policy'), policy);
  }
});

test('the page logs in, makes requests, logs out, and finds the dead token refused', async () => {
  const page = await browser.page(server);
  await standing(page, 'Logged out');
  await page.getByRole('button', { name: 'Fill in the demo account' }).click();
  await page.keyboard.press('Enter');
  await standing(page, 'Logged in as');
  await page.locator('#timer', { hasText: 'token expires in' }).waitFor();
  const token = await keptToken(page);

  const user = await (await press(page, 'user')).textContent();
  assert.match(user, /200 OK/);
  assert.ok(user.includes(`"email": "${server.email}"`));

  assert.match(await (await press(page, 'current')).textContent(), /"current": true/);

  const list = await (await press(page, 'list')).textContent();
  assert.match(list, /"name": "Demo page"/);
  await page.locator('#token-rows li', { hasText: 'this one' }).waitFor();

  assert.match(await (await press(page, 'logout')).textContent(), /DELETE.*204/);
  await standing(page, 'Logged out');
  assert.equal(await keptToken(page), undefined);

  assert.match(await (await press(page, 'dead')).textContent(), /401.*invalid_token/s);
  await notice(page, 'the token is dead on the server');

  const direct = await fetch(`${server.origin}/api/user`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(direct.status, 401);
  assert.match(direct.headers.get('www-authenticate'), /error="invalid_token"/);
});

test('a request without a token, or with a broken one, shows 401 and WWW-Authenticate', async () => {
  const page = await browser.page(server);

  const bare = await (await press(page, 'bare')).textContent();
  assert.match(bare, /401 Unauthorized/);
  assert.match(bare, /www-authenticate: Bearer realm="bearerd"/i);
  assert.doesNotMatch(bare, /Authorization: Bearer/);
  assert.doesNotMatch(bare, /invalid_token/);

  const broken = await (await press(page, 'broken')).textContent();
  assert.match(broken, /401 Unauthorized/);
  assert.match(broken, /www-authenticate: Bearer .*error="invalid_token"/i);
});

test('a refused request without the token of the login does not end the login', async () => {
  const page = await browser.page(server);
  await logIn(page, server);
  await press(page, 'bare');
  await press(page, 'broken');
  await standing(page, 'Logged in as');
  assert.match(await (await press(page, 'user')).textContent(), /200 OK/);
});

test('a wrong password shows the message of the server', async () => {
  const page = await browser.page(server);
  await page.getByLabel('Email').fill(server.email);
  await page.getByLabel('Password').fill('not the password');
  await page.getByLabel('Password').press('Enter');
  await page.locator('#form-error', { hasText: 'The provided credentials are incorrect.' }).waitFor();
  await notice(page, 'The provided credentials are incorrect.');
  await standing(page, 'Logged out');
  assert.equal(await keptToken(page), undefined);
});

test('empty fields show the errors of the server beside each field', async () => {
  const page = await browser.page(server);
  await page.getByLabel('Device name').fill('');
  await page.locator('#login [type=submit]').click();
  await page.locator('#email-error', { hasText: 'The email field is required.' }).waitFor();
  for (const id of ['email', 'password', 'device_name']) {
    const field = page.locator(`#${id}`);
    assert.match(await page.locator(`#${id}-error`).textContent(), /field is required\./);
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
    assert.ok((await field.getAttribute('aria-describedby')).includes(`${id}-error`));
  }
  assert.match(await newest(page).textContent(), /422 Unprocessable/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'email');

  await page.getByLabel('Device name').fill('Demo page');
  await logIn(page, server);
  assert.equal(await page.locator('[aria-invalid]').count(), 0);
});

test('too many attempts show how long to wait', async () => {
  const page = await browser.page(server);
  await page.route('**/api/tokens', (route) => route.fulfill({
    status: 429,
    headers: { 'Retry-After': '42' },
    json: { message: 'Too Many Attempts.', code: 'too_many_attempts' },
  }));
  await page.locator('#login [type=submit]').click();
  await notice(page, 'Too Many Attempts.');
  await page.locator('#timer', { hasText: /^retry in \d+ s$/ }).waitFor();
});

test('an unreachable server is reported, and the login is kept', async () => {
  const page = await browser.page(server);
  await logIn(page, server);
  await page.route('**/api/**', (route) => route.abort('connectionrefused'));
  const exchange = await press(page, 'logout');
  assert.match(await exchange.textContent(), /no answer/);
  await notice(page, 'The server can’t be reached.');
  await standing(page, 'Logged in as');
  assert.ok(await keptToken(page));
});

test('another token can be revoked from the list, one by one or all at once', async () => {
  const [laptop, phone, tablet] = await Promise.all([0, 1, 2].map(() => browser.page(server)));
  for (const [page, name] of [[phone, 'Phone'], [tablet, 'Tablet'], [laptop, 'Laptop']]) {
    await page.getByLabel('Device name').fill(name);
    await logIn(page, server);
  }
  await press(laptop, 'list');
  await laptop.getByRole('button', { name: 'Revoke Phone' }).click();
  await laptop.getByRole('button', { name: 'Revoke Phone' }).waitFor({ state: 'detached' });
  await press(phone, 'user');
  await notice(phone, 'The server refused the token');
  await standing(phone, 'Logged out');
  assert.equal(await keptToken(phone), undefined);

  assert.match(await (await press(tablet, 'user')).textContent(), /200 OK/);
  await laptop.getByRole('button', { name: 'Log out everywhere else' }).click();
  await notice(laptop, 'answered 204');
  assert.match(await (await press(tablet, 'user')).textContent(), /401/);
  assert.match(await (await press(laptop, 'user')).textContent(), /200 OK/);
});

test('the page shows the demo account only when the server put it there', async () => {
  const context = await browser.context(server);
  const page = await context.newPage();
  await page.route('/', async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replace(/<meta name="bearerd-demo-[^>]*>/g, '');
    await route.fulfill({ response, body });
  });
  await page.goto('/');
  await standing(page, 'Logged out');
  assert.equal(await page.locator('#demo').isVisible(), false);
  assert.ok(!(await page.content()).includes(server.email));
});
