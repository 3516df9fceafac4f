// The log of exchanges: newest first, each with its request, its answer and its curl line.
// Text from the server reaches the page as text nodes only.

import { element } from './dom.js';
import { curlWords, headersOf, readableAnswer, readableBody } from './wire.js';

const KEPT = 30;

/** The most important headers of answers, which are highlighted. */
const TELLING = new Set(['www-authenticate', 'retry-after', 'allow']);

export class ExchangeLog {
  #list;
  #veil;
  #painters = new Map();

  /** @param {HTMLOListElement} list @param {import('./wire.js').Veil} veil */
  constructor(list, veil) {
    this.#list = list;
    this.#veil = veil;
  }

  get size() {
    return this.#list.children.length;
  }

  /** Adds an open exchange at the top, and closes the previous one. */
  add(exchange) {
    const previous = this.#list.querySelector('details');
    if (previous) previous.open = false;
    const { item, paint } = entry(exchange, this.#veil);
    this.#painters.set(item, paint);
    this.#list.prepend(item);
    while (this.size > KEPT) {
      this.#painters.delete(this.#list.lastElementChild);
      this.#list.lastElementChild.remove();
    }
  }

  /** Writes every entry again, after tokens were shown or masked. */
  repaint() {
    for (const paint of this.#painters.values()) paint();
  }

  clear() {
    this.#painters.clear();
    this.#list.replaceChildren();
  }
}

function entry(exchange, veil) {
  const { request, answer } = exchange;
  const sent = element('pre', { className: 'sent' });
  const received = element('pre', { className: 'received' });
  const curl = element('code');
  const paint = () => {
    sent.replaceChildren(...requestText(request, veil));
    received.replaceChildren(...answerText(answer, veil));
    curl.replaceChildren(...curlText(request, veil));
  };
  paint();

  const item = element('li', {},
    element('details', { open: true },
      element('summary', {},
        element('span', { className: 'verb' }, request.method), ' ',
        element('span', { className: 'path' }, request.path), ' ',
        element('span', { className: 'outcome' },
          badge(answer), ' ',
          element('span', { className: 'ms' }, `${exchange.ms.toFixed(exchange.ms < 10 ? 1 : 0)} ms`))),
      element('h3', {}, 'Request'), sent,
      element('h3', {}, 'Answer'), received,
      element('div', { className: 'curl-head' }, element('h3', {}, 'As curl'), copyButton(curl)),
      element('pre', { className: 'curl' }, curl)));
  return { item, paint };
}

function badge(answer) {
  const tone = !answer || answer.status >= 500 ? 'bad' : answer.status >= 400 ? 'refused' : 'good';
  const text = answer
    ? [`${answer.status} `, element('span', { className: 'reason' }, answer.reason)]
    : ['no answer'];
  return element('span', { className: `badge ${tone}` }, ...text);
}

function statusLine({ status, reason }) {
  return `${status} ${reason}`.trim();
}

function requestText(request, veil) {
  return [
    element('b', {}, `${request.method} ${request.path}`), '\n',
    ...headerLines(headersOf(request), veil),
    ...bodyText(readableBody(request), veil),
  ];
}

function answerText(answer, veil) {
  if (!answer) return ['The connection failed before an answer came.'];
  return [
    element('b', {}, statusLine(answer)), '\n',
    ...headerLines(answer.headers, veil),
    ...(answer.text
      ? bodyText(readableAnswer(answer), veil)
      : [element('span', { className: 'empty' }, '\n(no body)')]),
  ];
}

/** Each word is an element, so that a narrow screen breaks the line between words. */
function curlText(request, veil) {
  return curlWords(request, location.origin, veil)
    .flatMap((word) => [element('span', {}, word), ' '])
    .slice(0, -1);
}

function headerLines(headers, veil) {
  return headers.flatMap(([name, value]) => {
    const line = [element('i', {}, `${name}:`), ` ${veil.cover(value)}`];
    return [TELLING.has(name) ? element('mark', {}, ...line) : element('span', {}, ...line), '\n'];
  });
}

function bodyText(text, veil) {
  return text ? ['\n', ...coloured(veil.cover(text))] : [];
}

/** Indented JSON with highlighted keys. Any other text is not changed. */
function coloured(text) {
  return text.split(/^(\s*"(?:[^"\\]|\\.)*":)/m).map((part, index) =>
    index % 2 ? element('i', {}, part) : part);
}

/** Copies the text on the screen, so that the clipboard never gets a masked token. */
function copyButton(source) {
  const button = element('button', { type: 'button', className: 'quiet' }, 'Copy');
  const said = element('span', { className: 'copied', role: 'status' });
  button.addEventListener('click', async () => {
    said.textContent = (await copied(source)) ? 'Copied' : 'Selected: copy it with the keyboard';
    setTimeout(() => { said.textContent = ''; }, 2500);
  });
  return element('span', { className: 'copy' }, said, button);
}

/** Browsers allow the clipboard only with HTTPS and on loopback. Otherwise the text is selected. */
async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return false;
  }
}
