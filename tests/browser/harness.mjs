// Runs the server in demo mode and a browser for one file of tests.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';

const BINARY = process.env.BEARERD_BIN ?? '';
if (!isAbsolute(BINARY)) {
  throw new Error('Set BEARERD_BIN to the absolute path of the bearerd binary that is to be tested.');
}
const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const CHROMIUM_ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 15_000;

/**
 * A server in demo mode for the tests of a file. It starts before the first test and stops after the last.
 * @returns {{origin: string, email: string, password: string}} filled in before the first test
 */
export function demoServer() {
  const server = {};
  before(async () => Object.assign(server, await start()));
  after(() => server.stop?.());
  return server;
}

async function start() {
  const folder = await mkdtemp(join(tmpdir(), 'bearerd-browser-'));
  const child = spawn(BINARY, ['serve', '--demo'], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      TMPDIR: folder,
      BEARERD_LISTEN: '127.0.0.1:0',
      // The tests log in more often than the default limit allows.
      BEARERD_LOGIN_ATTEMPTS_PER_MINUTE: '1000',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (text) => { log += text; });
  const exit = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });

  const stop = async () => {
    child.kill('SIGTERM');
    const lastResort = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    const code = await exit;
    clearTimeout(lastResort);
    await rm(folder, { recursive: true, force: true });
    assert.equal(code, 0, `the server should end with exit code 0 on SIGTERM; it logged:\n${log}`);
  };

  const tooLate = setTimeout(() => child.kill('SIGKILL'), START_LIMIT_MS);
  const first = await Promise.race([firstLine(child.stdout), exit]);
  clearTimeout(tooLate);
  const origin = /^bearerd listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(first)?.[1];
  if (!origin) {
    child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
    throw new Error(`the server said “${first}” where its address was awaited; it logged:\n${log}`);
  }
  return { origin, stop, ...(await demoAccount(origin)) };
}

/** The first line of a stream. The rest is read too, because a full pipe would block the server. */
function firstLine(stream) {
  return new Promise((resolve) => createInterface(stream).on('line', resolve));
}

async function demoAccount(origin) {
  const html = await (await fetch(origin)).text();
  const meta = (name) => {
    const found = new RegExp(`<meta name="bearerd-demo-${name}" content="([^"]*)">`).exec(html);
    assert.ok(found, `the page should carry the demo ${name}`);
    return unescaped(found[1]);
  };
  return { email: meta('email'), password: meta('password') };
}

function unescaped(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) =>
    hex ? String.fromCodePoint(parseInt(hex, 16))
      : decimal ? String.fromCodePoint(Number(decimal))
        : named[name] ?? whole);
}

/**
 * A browser for the tests of a file. It watches its pages: errors and warnings in the console, failed
 * loads of the page's own files, requests to other hosts and exceptions fail the file at its end.
 */
export function watchedBrowser() {
  const complaints = [];
  let browser;
  // The first test launches it, so that no browser is left running if the server does not start.
  const launched = () => (browser ??= chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGUMENTS }));
  after(async () => {
    await (await browser)?.close();
    assert.deepEqual(complaints, [], 'the pages should cause no errors');
  });

  return {
    /** A browser context with empty storage. */
    async context(server, options = {}) {
      const context = await (await launched()).newContext({ baseURL: server.origin, reducedMotion: 'reduce', ...options });
      context.setDefaultTimeout(10_000);
      context.on('page', (page) => watch(page, server.origin, complaints));
      return context;
    },
    /** The demo page in a new context. */
    async page(server, options = {}) {
      const page = await (await this.context(server, options)).newPage();
      await page.goto('/');
      return page;
    },
  };
}

function watch(page, origin, complaints) {
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    // Chromium reports each 4xx answer and each failed connection. These tests cause such errors on purpose.
    const provoked = message.text().startsWith('Failed to load resource');
    if (['error', 'warning'].includes(message.type()) && !provoked) complaints.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(`${origin}/`)) complaints.push(`request to ${request.url()}`);
  });
  page.on('response', (response) => {
    const ownFile = !new URL(response.url()).pathname.startsWith('/api/');
    if (ownFile && response.status() >= 400) complaints.push(`${response.status()} for ${response.url()}`);
  });
}

/** Waits until the page's status of the login contains this text. */
export function standing(page, text) {
  return page.locator('#standing', { hasText: text }).waitFor();
}

/** Waits until the page's status of the last request contains this text. */
export function notice(page, text) {
  return page.locator('#notice', { hasText: text }).waitFor();
}

/** Presses the button of a request, and waits for the exchange that it adds to the log. */
export async function press(page, name) {
  const exchanges = page.locator('#exchanges > li');
  const before = await exchanges.count();
  await page.locator(`[data-send=${name}]`).click();
  await exchanges.nth(before).waitFor();
  return newest(page);
}

/** The newest exchange in the log. */
export function newest(page) {
  return page.locator('#exchanges > li').first();
}

export async function logIn(page, { email, password }) {
  await page.getByLabel('Email').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.locator('#login [type=submit]').click();
  await standing(page, 'Logged in as');
}

/** The token in the browser's storage, or `undefined`. */
export function keptToken(page) {
  return page.evaluate(() => JSON.parse(localStorage.getItem('bearerd.session') ?? '{}').token);
}
