// The demo page: log in, send requests and log out. It always shows the state of the login.

import { byId, element } from './dom.js';
import { ExchangeLog } from './log.js';
import { forget, load, onChangeElsewhere, save } from './session.js';
import { drawTicket } from './ticket.js';
import { Veil, header, send } from './wire.js';

/** It has the form of a token and a wrong checksum. It is not secret, so it is never masked. */
const BROKEN_TOKEN = `bd_${'0'.repeat(40)}deadbeef`;

const form = byId('login');
const fields = ['email', 'password', 'device_name'].map(byId);
const requestButtons = [...document.querySelectorAll('[data-send]')];

const veil = new Veil();
const log = new ExchangeLog(byId('exchanges'), veil);

/** @type {import('./session.js').Session | null} the current login */
let session = null;
/** @type {import('./session.js').Session | null} the last login that ended, kept only in this page */
let ended = null;
/** Whether it was ended by the button of this page: then the form is hidden, so that the dead token can be tried. */
let loggedOutHere = false;
/** The time after which the server accepts requests again, in milliseconds since the epoch, or 0. */
let waitUntil = 0;
/** One exchange at a time: a second press of a button must not issue a second token. */
let busy = false;

/** The request of each button, and the message if a refusal is the expected answer. */
const actions = {
  user: { request: () => ({ method: 'GET', path: '/api/user', token: session.token }) },
  current: { request: () => ({ method: 'GET', path: '/api/tokens/current', token: session.token }) },
  list: {
    request: () => ({ method: 'GET', path: '/api/tokens', token: session.token }),
    done: ({ data, status }) => { if (status === 200 && session) showTokens(data); },
  },
  bare: {
    request: () => ({ method: 'GET', path: '/api/user' }),
    refused: 'Refused with 401, as it should be: a request without a token.',
  },
  broken: {
    request: () => ({ method: 'GET', path: '/api/user', token: BROKEN_TOKEN }),
    refused: 'Refused with 401, as it should be: the checksum of this token is wrong.',
  },
  logout: {
    request: () => ({ method: 'DELETE', path: '/api/tokens/current', token: session.token }),
    done: ({ status }, { token }) => { if (status === 204 && session?.token === token) endAtLogOut(); },
  },
  dead: {
    request: () => ({ method: 'GET', path: '/api/user', token: ended.token }),
    refused: 'Refused with 401, as it should be: the token is dead on the server.',
  },
};

start();

function start() {
  offerDemoAccount();
  form.addEventListener('submit', logIn);
  for (const button of requestButtons) {
    button.addEventListener('click', () => perform(actions[button.dataset.send]));
  }
  byId('again').addEventListener('click', askAgain);
  byId('revoke-others').addEventListener('click', revokeOthers);
  byId('reveal').addEventListener('click', () => reveal(!veil.lifted));
  byId('clear').addEventListener('click', clearLog);
  onChangeElsewhere(followOtherTab);
  setInterval(renderTimer, 1000);

  adopt(load());
  if (session) checkKeptToken();
}

// Exchanges

/**
 * Sends a request, logs it and shows the result. Returns the answer, or `undefined` if the server could not
 * be reached or another exchange is running.
 */
async function exchange(request, refusal) {
  if (busy) return undefined;
  busy = true;
  document.body.toggleAttribute('data-busy', true);
  const result = await send(request);
  busy = false;
  document.body.toggleAttribute('data-busy', false);

  const { answer } = result;
  if (typeof answer?.data?.token === 'string') veil.learn(answer.data.token);
  log.add(result);
  renderLog();
  report(request, answer, refusal);
  return answer;
}

/** Shows the meaning of an answer, and ends the login if its token was refused. */
function report(request, answer, refusal) {
  if (!answer) {
    say('The server can’t be reached. Is it running?', 'bad');
    return;
  }
  const { status, reason, data } = answer;
  const seconds = Number(header(answer, 'retry-after'));
  waitUntil = [429, 503].includes(status) && seconds > 0 ? Date.now() + seconds * 1000 : 0;
  renderTimer();

  if (isRefusalOf(session?.token, request, answer)) {
    endSession();
    say('The server refused the token, so this browser has deleted it. Log in again.', 'bad');
    rescueFocus(byId('email'));
  } else if (refusal && status === 401) {
    say(refusal, 'good');
  } else if (refusal && status < 300) {
    say(`The server let this in with ${status}. It should not have.`, 'bad');
  } else if (status < 300) {
    say(`${request.method} ${request.path} answered ${`${status} ${reason}`.trim()}.`, 'good');
  } else {
    say(`${status}: ${data?.message ?? reason}`, status < 500 ? 'warn' : 'bad');
  }
}

function isRefusalOf(token, request, answer) {
  return token !== undefined && request.token === token && answer.status === 401
    && header(answer, 'www-authenticate').includes('error="invalid_token"');
}

/** `done` must expect that the login changed while the request was running. */
async function perform({ request, refused, done }) {
  const made = request();
  const answer = await exchange(made, refused);
  if (answer) done?.(answer, made);
}

/** A token from an earlier visit may have been revoked or have expired since. */
async function checkKeptToken() {
  say('Checking whether the token from the last visit is still live.');
  const answer = await exchange(actions.user.request());
  if (answer?.status === 200 && session) say('The token from the last visit is still live.', 'good');
}

// Logging in and out

async function logIn(event) {
  event.preventDefault();
  showErrors({});
  const answer = await exchange({
    method: 'POST',
    path: '/api/tokens',
    body: Object.fromEntries(new FormData(form)),
  });
  if (!answer) return;
  const { status, data } = answer;
  if (status === 201) {
    byId('password').value = '';
    reveal(false);
    const made = { token: data.token, user: data.user, accessToken: data.access_token };
    save(made);
    adopt(made);
    requestButtons[0].focus();
  } else if (status === 422) {
    showErrors(data.errors ?? {}, data.message);
  } else {
    showErrors({}, data?.message);
    byId('password').focus();
  }
}

/** Shows each error beside its field, and errors without a field under the form. */
function showErrors(errors, message = '') {
  for (const field of fields) {
    const texts = errors[field.name] ?? [];
    byId(`${field.id}-error`).textContent = texts.join(' ');
    if (texts.length) field.setAttribute('aria-invalid', 'true');
    else field.removeAttribute('aria-invalid');
  }
  const elsewhere = Object.keys(errors).filter((name) => !fields.some((field) => field.name === name));
  byId('form-error').textContent =
    Object.keys(errors).length ? elsewhere.flatMap((name) => errors[name]).join(' ') : message;
  fields.find((field) => field.hasAttribute('aria-invalid'))?.focus();
}

/** Makes this login, or none, the current one. */
function adopt(next) {
  session = next;
  if (next) {
    ended = null;
    loggedOutHere = false;
    veil.learn(next.token);
    showErrors({});
  }
  render();
}

/** Ends the current login in this page and, unless another tab has a newer one, in the browser. */
function endSession() {
  ended = session;
  if (load()?.token === ended.token) forget();
  adopt(null);
}

function endAtLogOut() {
  loggedOutHere = true;
  endSession();
  say('Logged out. The token is dead: try it.', 'good');
  rescueFocus(button('dead'));
}

function askAgain() {
  loggedOutHere = false;
  render();
  byId('email').focus();
}

function followOtherTab() {
  const next = load();
  if (next?.token === session?.token) return;
  if (session) ended = session;
  adopt(next);
  say(next ? 'Logged in from another tab.' : 'Logged out in another tab.');
  rescueFocus(next ? requestButtons[0] : byId('email'));
}

/** Moves the focus if its element was hidden or disabled, so that no key press is lost. */
function rescueFocus(target) {
  const held = document.activeElement;
  if (held !== document.body && (held.matches(':disabled') || !held.checkVisibility())) target.focus();
}

function offerDemoAccount() {
  const [email, password] = ['email', 'password'].map(
    (name) => document.querySelector(`meta[name="bearerd-demo-${name}"]`)?.content);
  if (!email || !password) return;
  byId('demo').hidden = false;
  byId('demo-email').textContent = email;
  byId('demo-password').textContent = password;
  byId('demo-fill').addEventListener('click', () => {
    byId('email').value = email;
    byId('password').value = password;
    showErrors({});
    form.querySelector('[type=submit]').focus();
  });
}

// The list of tokens

function showTokens({ data, meta }) {
  byId('token-rows').replaceChildren(...data.map(tokenRow));
  byId('token-more').textContent =
    meta.total > data.length ? `The newest ${data.length} of ${meta.total}.` : '';
  byId('revoke-others').hidden = meta.total < 2;
  byId('tokens').hidden = false;
}

function tokenRow(token) {
  const used = token.last_used_at ? `used ${fromNow(token.last_used_at)}` : 'not used yet';
  const words = element('div', {},
    element('b', {}, token.name),
    element('small', {}, `issued ${fromNow(token.created_at)}, ${used}`));
  const row = element('li', {}, words);
  if (token.current) {
    row.append(element('span', { className: 'here' }, 'this one'));
  } else {
    const revoke = element('button', { type: 'button', className: 'quiet' }, 'Revoke');
    revoke.setAttribute('aria-label', `Revoke ${token.name}`);
    revoke.addEventListener('click', () => revokeToken(token.id, row));
    row.append(revoke);
  }
  return row;
}

async function revokeToken(id, row) {
  const answer = await exchange({ method: 'DELETE', path: `/api/tokens/${id}`, token: session.token });
  if (![204, 404].includes(answer?.status)) return;
  row.remove();
  byId('revoke-others').hidden = byId('token-rows').children.length < 2;
  byId('tokens-title').focus();
}

async function revokeOthers() {
  const answer = await exchange({ method: 'DELETE', path: '/api/tokens?except=current', token: session.token });
  if (answer?.status !== 204) return;
  for (const revoke of byId('token-rows').querySelectorAll('button')) revoke.closest('li').remove();
  byId('token-more').textContent = '';
  byId('revoke-others').hidden = true;
  byId('tokens-title').focus();
}

// What the page shows

function render() {
  const here = session ? '2' : loggedOutHere ? '3' : '1';
  for (const step of document.querySelectorAll('.step')) {
    if (step.dataset.step === here) step.setAttribute('aria-current', 'step');
    else step.removeAttribute('aria-current');
  }
  byId('standing').textContent = session ? `Logged in as ${session.user.name}` : 'Logged out';
  form.hidden = Boolean(session) || loggedOutHere;
  byId('again').hidden = !loggedOutHere;
  byId('login-hint').hidden = Boolean(session);
  byId('login-done').hidden = !session;
  byId('login-done').textContent = session ? `Done: the server knows you as ${session.user.email}.` : '';
  for (const name of ['user', 'current', 'list', 'logout']) button(name).disabled = !session;
  button('dead').disabled = !ended;
  if (!session) byId('tokens').hidden = true;
  byId('status').dataset.session = session ? 'in' : 'out';
  drawTicket(session, ended, veil);
  renderTimer();
}

function button(name) {
  return requestButtons.find(({ dataset }) => dataset.send === name);
}

function reveal(lifted) {
  veil.lifted = lifted;
  byId('reveal').setAttribute('aria-pressed', String(lifted));
  drawTicket(session, ended, veil);
  log.repaint();
}

function renderLog() {
  byId('wire-empty').hidden = log.size > 0;
  byId('clear').hidden = log.size === 0;
}

function clearLog() {
  log.clear();
  renderLog();
  byId('wire').focus();
}

function say(text, tone = 'plain') {
  byId('notice').textContent = text;
  byId('status').dataset.tone = tone;
}

/** The timer is outside the live region, because screen readers would read every second aloud. */
function renderTimer() {
  let text = '';
  if (waitUntil > Date.now()) {
    text = `retry in ${Math.ceil((waitUntil - Date.now()) / 1000)} s`;
  } else if (waitUntil) {
    waitUntil = 0;
    say('The wait is over: try again.');
  } else if (session?.accessToken.expires_at) {
    const expiry = session.accessToken.expires_at;
    text = `token ${Date.parse(expiry) > Date.now() ? 'expires' : 'expired'} ${fromNow(expiry)}`;
  }
  if (byId('timer').textContent !== text) byId('timer').textContent = text;
}

/** “in 30 days”, “5 minutes ago”. */
function fromNow(time) {
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  const [unit, length] = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]]
    .find(([, length]) => Math.abs(seconds) >= 1.5 * length) ?? ['second', 1];
  return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(Math.round(seconds / length), unit);
}
