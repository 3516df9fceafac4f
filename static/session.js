// The login as this browser keeps it: in local storage, so that it outlives a reload and is
// shared by the tabs. In a browser that refuses storage it lives as long as the page does.

const KEY = 'bearerd.session';

let inMemory = null;

/**
 * @typedef {object} Session
 * @property {string} token
 * @property {{name: string, email: string}} user
 * @property {{name: string, abilities: string[], expires_at: string | null}} accessToken
 */

/** @returns {Session | null} */
export function load() {
  try {
    return parsed(localStorage.getItem(KEY));
  } catch {
    return inMemory;
  }
}

/** @param {Session} session */
export function save(session) {
  inMemory = session;
  try {
    localStorage.setItem(KEY, JSON.stringify(session));
  } catch {
    // Kept in memory alone.
  }
}

export function forget() {
  inMemory = null;
  try {
    localStorage.removeItem(KEY);
  } catch {
    // There was nothing to remove.
  }
}

/** Calls back when another tab logs in or out, and when the page comes back from the history. */
export function onChangeElsewhere(callback) {
  addEventListener('storage', ({ key }) => {
    if (key === KEY || key === null) callback();
  });
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted) callback();
  });
}

/** What another version of the page left behind, or a person edited, counts as logged out. */
function parsed(text) {
  try {
    const session = JSON.parse(text);
    const whole = typeof session?.token === 'string' && session.user && session.accessToken;
    return whole ? session : null;
  } catch {
    return null;
  }
}
