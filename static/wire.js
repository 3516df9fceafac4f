// Sends requests, masks secrets on the screen, and writes requests as curl commands.

/** After this time without an answer, the server is reported as unreachable. */
const PATIENCE_MS = 15_000;

const HIDDEN_PASSWORD = '••••••••';

/**
 * @typedef {object} Request
 * @property {string} method
 * @property {string} path
 * @property {string} [token] sent as `Authorization: Bearer`
 * @property {Record<string, string>} [body] sent as JSON
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} reason empty over HTTP/2
 * @property {[string, string][]} headers
 * @property {string} text
 * @property {any} data the parsed JSON, or `undefined`
 *
 * @typedef {object} Exchange
 * @property {Request} request
 * @property {Date} at
 * @property {number} ms
 * @property {Answer} [answer] missing when the server could not be reached
 */

/** The headers that this page itself sets. @returns {[string, string][]} */
export function headersOf({ token, body }) {
  const headers = [['Accept', 'application/json']];
  if (body) headers.push(['Content-Type', 'application/json']);
  if (token !== undefined) headers.push(['Authorization', `Bearer ${token}`]);
  return headers;
}

/** Never rejects: if the server does not answer, the exchange has no answer. @returns {Promise<Exchange>} */
export async function send(request) {
  const at = new Date();
  const start = performance.now();
  const answer = await answerTo(request).catch(() => undefined);
  return { request, at, ms: performance.now() - start, answer };
}

async function answerTo(request) {
  const response = await fetch(request.path, {
    method: request.method,
    headers: headersOf(request),
    body: request.body && JSON.stringify(request.body),
    credentials: 'omit',
    cache: 'no-store',
    redirect: 'error',
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const text = await response.text();
  return {
    status: response.status,
    reason: response.statusText,
    headers: [...response.headers],
    text,
    data: parsed(text),
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The value of an answer's header, or an empty string. */
export function header(answer, name) {
  return answer.headers.find(([key]) => key === name)?.[1] ?? '';
}

/** `bd_` + secret + CRC-32, or `undefined` for a token of another form. */
export function anatomy(token) {
  const found = /^([A-Za-z0-9]{1,10}_)([A-Za-z0-9]{40})([0-9a-f]{8})$/.exec(token);
  return found && { prefix: found[1], secret: found[2], checksum: found[3] };
}

/** `bd_••••••••3f2a`: enough to distinguish two tokens, too little to use one. */
export function masked(token) {
  return `${anatomy(token)?.prefix ?? ''}••••••••${token.slice(-4)}`;
}

/** Knows all tokens that this page has had, and masks them in text unless it is lifted. */
export class Veil {
  #tokens = new Set();
  lifted = false;

  learn(token) {
    this.#tokens.add(token);
  }

  hides(token) {
    return !this.lifted && this.#tokens.has(token);
  }

  cover(text) {
    if (this.lifted) return text;
    return [...this.#tokens].reduce((rest, token) => rest.replaceAll(token, masked(token)), text);
  }
}

/** The request's body for the screen: indented, and always without the password. */
export function readableBody({ body }) {
  if (!body) return '';
  const shown = body.password ? { ...body, password: HIDDEN_PASSWORD } : body;
  return JSON.stringify(shown, null, 2);
}

/** The answer's body for the screen: indented if it is JSON. */
export function readableAnswer({ text, data }) {
  return data === undefined ? text : JSON.stringify(data, null, 2);
}

/**
 * The request as the words of a command for a POSIX shell. A masked token is written as `$TOKEN`, and a
 * password always as `$PASSWORD`.
 * @returns {string[]}
 */
export function curlWords(request, origin, veil) {
  const words = ['curl -i'];
  if (request.method !== 'GET') words.push(`-X ${request.method}`);
  words.push(quoted(origin + request.path));
  for (const [name, value] of headersOf(request)) {
    const secret = name === 'Authorization' && veil.hides(request.token);
    words.push(`-H ${secret ? '"Authorization: Bearer $TOKEN"' : quoted(`${name}: ${value}`)}`);
  }
  if (request.body) words.push(`--data-raw ${quotedBody(request.body)}`);
  return words;
}

function quotedBody(body) {
  const fields = Object.entries(body).map(([key, value]) =>
    key === 'password'
      ? `"password":"'"$PASSWORD"'"` // outside the single quotes, so that the shell expands it
      : insideQuotes(`${JSON.stringify(key)}:${JSON.stringify(value)}`),
  );
  return `'{${fields.join(',')}}'`;
}

function quoted(text) {
  return `'${insideQuotes(text)}'`;
}

function insideQuotes(text) {
  return text.replaceAll("'", `'\\''`);
}
