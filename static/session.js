// The login in this browser. It is in local storage, so that it survives a reload and all tabs share it. If
// the browser refuses storage, the login is kept only in this page.

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
    // Storage is refused: the login is kept in memory.
  }
}

export function forget() {
  inMemory = null;
  try {
    localStorage.removeItem(KEY);
  } catch {
    // Storage is refused, so there is nothing to remove.
  }
}

/** Calls back when another tab logs in or out, and when the browser restores the page from its history. */
export function onChangeElsewhere(callback) {
  addEventListener('storage', ({ key }) => {
    if (key === KEY || key === null) callback();
  });
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted) callback();
  });
}

/** A stored login of another form, from another version of the page, is treated as logged out. */
function parsed(text) {
  try {
    const session = JSON.parse(text);
    const whole = typeof session?.token === 'string' && session.user && session.accessToken;
    return whole ? session : null;
  } catch {
    return null;
  }
}
