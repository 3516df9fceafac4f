// Secrets on the page and in its curl lines: tokens are shown only on request, and passwords never.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';
import { demoServer, keptToken, logIn, newest, press, watchedBrowser } from './harness.mjs';

const server = demoServer();
const browser = watchedBrowser();
const clipboard = { permissions: ['clipboard-read', 'clipboard-write'] };

/** Runs a line as if it were pasted into a shell. */
async function inShell(line, environment = {}) {
  const { stdout } = await promisify(execFile)('sh', ['-c', line], {
    env: { PATH: process.env.PATH, ...environment },
  });
  return stdout;
}

async function copiedLine(page) {
  await newest(page).getByRole('button', { name: 'Copy' }).click();
  await newest(page).getByText('Copied').waitFor();
  return page.evaluate(() => navigator.clipboard.readText());
}

test('the token is masked everywhere until the user asks to see it', async () => {
  const page = await browser.page(server);
  await logIn(page, server);
  const token = await keptToken(page);
  const everything = () => page.locator('body').textContent();
  const masked = `bd_••••••••${token.slice(-4)}`;
  await press(page, 'user');

  assert.ok(!(await everything()).includes(token.slice(3, 43)));
  assert.equal(await page.locator('#ticket-token').textContent(), masked);
  assert.ok((await newest(page).textContent()).includes(`Authorization: Bearer ${masked}`));

  const toggle = page.getByRole('button', { name: 'Show token' });
  assert.equal(await toggle.getAttribute('aria-pressed'), 'false');
  await toggle.click();
  assert.equal(await toggle.getAttribute('aria-pressed'), 'true');
  assert.ok((await newest(page).textContent()).includes(`Authorization: Bearer ${token}`));
  assert.ok((await page.locator('#exchanges > li').last().textContent()).includes(`"token": "${token}"`));

  await toggle.click();
  assert.ok(!(await everything()).includes(token.slice(3, 43)));

  await press(page, 'logout');
  await press(page, 'dead');
  assert.ok(!(await everything()).includes(token.slice(3, 43)));
});

test('a password never appears in the log, a curl line or the address', async () => {
  const page = await browser.page(server);
  const wrong = 'wrong-Pa55word';
  await page.getByLabel('Email').fill(server.email);
  await page.getByLabel('Password').fill(wrong);
  await page.getByLabel('Password').press('Enter');
  await newest(page).waitFor();
  await logIn(page, server);
  await page.getByRole('button', { name: 'Show token' }).click();

  const log = await page.locator('#exchanges').textContent();
  assert.ok(log.includes('"password": "••••••••"'));
  assert.ok(log.includes('"password":"\'"$PASSWORD"\'"'));
  for (const password of [wrong, server.password]) {
    assert.ok(!log.includes(password));
    assert.ok(!page.url().includes(password));
  }
  assert.equal(await page.locator('#login').evaluate((form) => form.method), 'post');
  assert.equal(await page.getByLabel('Password').inputValue(), '');
});

test('the curl line uses the variable TOKEN, or the token itself while it is shown', async () => {
  const page = await browser.page(server, clipboard);
  await logIn(page, server);
  const token = await keptToken(page);
  await press(page, 'user');

  const hidden = await copiedLine(page);
  assert.equal(hidden, await newest(page).locator('.curl code').textContent());
  assert.ok(hidden.includes('$TOKEN') && !hidden.includes(token));
  const answer = await inShell(hidden, { TOKEN: token });
  assert.match(answer, /^HTTP\/\S+ 200/);
  assert.ok(answer.includes(server.email));

  await page.getByRole('button', { name: 'Show token' }).click();
  const shown = await copiedLine(page);
  assert.ok(shown.includes(token) && !shown.includes('$TOKEN'));
  assert.match(await inShell(shown), /^HTTP\/\S+ 200/);
});

test('the curl line of each kind of request gets the same answer in a shell', async () => {
  const page = await browser.page(server, clipboard);
  assert.ok(await press(page, 'bare'));
  assert.match(await inShell(await copiedLine(page)), /^HTTP\/\S+ 401/);
  await press(page, 'broken');
  assert.match(await inShell(await copiedLine(page)), /^HTTP\/\S+ 401[^]*invalid_token/);

  await logIn(page, server);
  await press(page, 'logout');
  const fresh = await freshToken();
  assert.match(await inShell(await copiedLine(page), { TOKEN: fresh }), /^HTTP\/\S+ 204/);
});

test('the curl line of a login keeps quotes and dollar signs as they were typed', async () => {
  const page = await browser.page(server, clipboard);
  const name = `Ada's "laptop" at $HOME \\ \`home\``;
  await page.getByLabel('Device name').fill(name);
  await logIn(page, server);
  const answer = await inShell(await copiedLine(page), { PASSWORD: server.password });
  assert.match(answer, /^HTTP\/\S+ 201/);
  const body = JSON.parse(answer.split('\r\n\r\n').at(-1));
  assert.equal(body.access_token.name, name);
});

async function freshToken() {
  const answer = await fetch(`${server.origin}/api/tokens`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
    body: JSON.stringify({ email: server.email, password: server.password, device_name: 'Shell' }),
  });
  return (await answer.json()).token;
}
