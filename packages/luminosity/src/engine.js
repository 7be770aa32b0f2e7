import { LuminosityError } from './error.js';
import { Strategy } from './strategy.js';

const OWN_OPTIONS = new Set(['service', 'resolvers']);

/**
 * The engine of the earlier project, over the service `lux serve`: one that runs already (`service.url`), or
 * one that is started with this engine and ends with it.
 */
export class SeoEngine {
  #config;
  #service = null;
  #url = null;
  #token = null;
  #opening = null;
  #strategy = new Strategy(this);

  constructor(config) {
    if (!config || (!config.baseUrl && !config.service?.url)) {
      throw new LuminosityError('baseUrl is needed, such as https://example.com');
    }
    this.#config = config;
    this.filename = config.output?.filename ?? 'sitemap.xml';
  }

  /** Connects to the service, or starts it. Everything else does so by itself when it is needed. */
  async init() {
    this.#opening ??= this.#open();
    try {
      await this.#opening;
    } catch (error) {
      this.#opening = null;
      throw error;
    }
    return this;
  }

  async #open() {
    const { url, token } = this.#config.service ?? {};
    if (url) {
      [this.#url, this.#token] = [url.replace(/\/+$/, ''), token ?? null];
      return;
    }
    const { start } = await import('./process.js');
    const settings = Object.fromEntries(Object.entries(this.#config).filter(([name]) => !OWN_OPTIONS.has(name)));
    this.#service = await start(settings, this.#config);
    [this.#url, this.#token] = [this.#service.url, this.#service.token];
    this.#service.process.once('exit', () => {
      [this.#service, this.#opening] = [null, null];
    });
  }

  /** Where the service is. */
  async url() {
    await this.init();
    return this.#url;
  }

  /** Adds, removes and lists entries. */
  getStrategy() {
    return this.#strategy;
  }

  /** Whether a path is the sitemap's, a fragment's, or robots.txt. */
  handles(path) {
    const name = path.split(/[?#]/, 1)[0].replace(/^\//, '');
    const stem = this.filename.replace(/\.xml$/, '');
    if (name === this.filename || name === 'robots.txt' || name === 'sitemap.xsl') return true;
    if (this.#config.indexNow?.key && name === `${this.#config.indexNow.key}.txt`) return true;
    return name.startsWith(`${stem}-`) && /^[1-9][0-9]*\.xml(\.gz)?$/.test(name.slice(stem.length + 1));
  }

  /** Asks the service. */
  async request(path, { method = 'GET', headers = {}, body, signal, duplex } = {}) {
    await this.init();
    const given = new Headers(headers);
    if (this.#token && !given.has('authorization')) given.set('authorization', `Bearer ${this.#token}`);
    try {
      return await fetch(this.#url + path, { method, headers: given, body, signal, duplex, redirect: 'manual' });
    } catch (cause) {
      throw new LuminosityError(`the service at ${this.#url} does not answer: ${cause.cause?.message ?? cause.message}`, { cause });
    }
  }

  /** The text at a path such as `/sitemap.xml`; null when there is none. */
  async render(path) {
    const answer = await this.request(path.startsWith('/') ? path : new URL(path).pathname + new URL(path).search);
    if (answer.status === 404) {
      await answer.arrayBuffer();
      return null;
    }
    const text = await answer.text();
    if (!answer.ok) throw refusal(answer.status, text);
    return text;
  }

  /** Stops the service, if this engine started it. Everything that was taken is durable. */
  async shutdown() {
    await this.#opening?.catch(() => {});
    await this.#service?.stop();
    [this.#service, this.#opening] = [null, null];
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.shutdown();
  }
}

/** What an answer that is no success says. */
export function refusal(status, text) {
  let found = {};
  try {
    found = JSON.parse(text);
  } catch {
    // Somebody else's page, such as a proxy's.
  }
  const rejects = found.rejects ?? [];
  const message = found.error ?? rejects[0]?.reason ?? `the service answered ${status}`;
  return new LuminosityError(message, { status, rejects });
}
