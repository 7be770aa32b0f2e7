import { refusal } from './engine.js';
import { LuminosityError } from './error.js';

/** Bytes of lines that are sent at once. */
const CHUNK = 64 << 10;

/** Changes and reads the entries. Every change is durable and visible when its promise resolves. */
export class Strategy {
  #engine;

  constructor(engine) {
    this.#engine = engine;
  }

  async #json(path, options) {
    const answer = await this.#engine.request(path, options);
    const text = await answer.text();
    if (!answer.ok) throw refusal(answer.status, text);
    return JSON.parse(text);
  }

  /**
   * Adds an entry, or replaces the one with its URL; of an array, those that are right.
   * Throws when nothing was taken.
   */
  async add(entry) {
    if (Array.isArray(entry)) return this.addMany(entry);
    return this.#json('/urls', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(checked(entry)),
    });
  }

  /** Adds entries of any iterable, also an endless one, in constant memory. Tells which were rejected. */
  async addMany(entries) {
    return this.#json('/urls', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines(entries),
      duplex: 'half',
    });
  }

  /** Removes URLs; tells how many were there. */
  async remove(urls) {
    return this.#json('/urls', {
      method: 'DELETE',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([urls].flat()),
    });
  }

  /** Says that a page moved: `policy` is remove, keep or mark. */
  async redirect(from, to, { status = 301, policy = 'remove' } = {}) {
    await this.#json('/redirects', { method: 'POST', body: JSON.stringify({ from, to, status, policy }) });
  }

  /** What is known of a URL; null when nothing is. */
  async get(url) {
    try {
      return await this.#json(`/urls?url=${encodeURIComponent(url)}`);
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  /** All entries, one after the other. */
  async *entries() {
    const answer = await this.#engine.request('/urls');
    if (!answer.ok) throw refusal(answer.status, await answer.text());
    let begun = '';
    for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
      const whole = (begun + part).split('\n');
      begun = whole.pop();
      for (const line of whole) yield JSON.parse(line);
    }
    if (begun) throw new LuminosityError('the list of entries was cut off');
  }

  /** All entries as an array; {@link entries} needs less memory. */
  async getEntries() {
    const all = [];
    for await (const entry of this.entries()) all.push(entry);
    return all;
  }

  /** Figures. */
  async stats() {
    return (await this.#json('/status')).stats;
  }

  /** Merges what is stored. */
  async compact() {
    await this.#json('/compact', { method: 'POST' });
  }

  /** Prepares fragments, so that the first visitor does not wait. */
  async warmCache() {
    return (await this.#json('/warm', { method: 'POST' })).fragments;
  }

  /** Asks the sources now. */
  async refresh() {
    return this.#json('/refresh', { method: 'POST' });
  }
}

function checked(entry) {
  const value = typeof entry === 'string' ? { url: entry } : entry;
  if (value === null || typeof value !== 'object') throw new LuminosityError('an entry is an object with a url');
  return value;
}

function lines(entries) {
  const encoder = new TextEncoder();
  const source = entries[Symbol.asyncIterator]?.() ?? entries[Symbol.iterator]();
  return new ReadableStream({
    async pull(controller) {
      let text = '';
      while (text.length < CHUNK) {
        const { done, value } = await source.next();
        if (done) {
          if (text) controller.enqueue(encoder.encode(text));
          controller.close();
          return;
        }
        text += `${JSON.stringify(checked(value))}\n`;
      }
      controller.enqueue(encoder.encode(text));
    },
    async cancel(reason) {
      await source.return?.(reason);
    },
  });
}
