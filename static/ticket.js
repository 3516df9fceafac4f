// Draws the token as a ticket.

import { byId, element } from './dom.js';
import { anatomy } from './wire.js';

/**
 * Draws the current login, or the last one that ended, or an empty ticket.
 * @param {import('./session.js').Session | null} session
 * @param {import('./session.js').Session | null} ended
 * @param {import('./wire.js').Veil} veil
 */
export function drawTicket(session, ended, veil) {
  const shown = session ?? ended;
  byId('ticket').dataset.state = session ? 'live' : ended ? 'dead' : 'none';
  byId('ticket-title').textContent = session ? 'Your token' : ended ? 'Dead token' : 'No token yet';
  byId('ticket-token').hidden = !shown;
  byId('ticket-token').replaceChildren(...(shown ? tokenParts(shown.token, veil) : []));
  byId('ticket-note').textContent = session ? terms(session.accessToken)
    : ended ? 'The server refuses it now.' : 'Log in to get one.';
  byId('ticket-stamp').hidden = !ended;
  byId('reveal').hidden = !shown;
}

/** The token with its three parts separated, or masked. */
function tokenParts(token, veil) {
  const parts = anatomy(token);
  if (veil.hides(token) || !parts) return [element('code', {}, veil.cover(token))];
  return [
    element('code', {}, ...Object.entries(parts).map(([name, text]) =>
      element('span', { className: name }, text))),
    element('small', {}, ...Object.keys(parts).map((name) =>
      element('span', { className: name }, { secret: '40 random characters' }[name] ?? name))),
  ];
}

function terms({ name, abilities, expires_at: expiry }) {
  const may = abilities.includes('*') ? 'may do everything' : `may do: ${abilities.join(', ') || 'nothing'}`;
  const until = expiry
    ? `good until ${new Date(expiry).toLocaleString('en-GB', { dateStyle: 'long', timeStyle: 'short' })}`
    : 'does not expire';
  return `“${name}”, ${may}, ${until}.`;
}
