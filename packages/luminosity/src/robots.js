import { LuminosityError } from './error.js';

function value(what, text) {
  const trimmed = String(text).trim();
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f-\u009f]/.test(trimmed)) {
    throw new LuminosityError(`robots: a line break or control character in ${what}`);
  }
  return trimmed;
}

function path(what, text) {
  const found = value(what, text);
  if (found === '' || found.startsWith('/') || found.startsWith('*')) return found;
  throw new LuminosityError(`robots: ${what} "${found}" must start with / or *`);
}

/** Builds robots.txt. No value can begin a line of its own. */
export class RobotsBuilder {
  #rules = [];
  #sitemaps = [];
  #host = null;

  /** Begins a group of rules for robots with these names. */
  userAgent(...names) {
    this.#rules.push({ names: names.map((name) => value('userAgent', name)), allow: [], disallow: [], clean: [], delay: null });
    return this;
  }

  #rule() {
    if (this.#rules.length === 0) this.userAgent('*');
    return this.#rules.at(-1);
  }

  allow(...paths) {
    this.#rule().allow.push(...paths.map((text) => path('allow', text)));
    return this;
  }

  disallow(...paths) {
    this.#rule().disallow.push(...paths.map((text) => path('disallow', text)));
    return this;
  }

  /** Seconds between two visits. */
  crawlDelay(seconds) {
    if (!(seconds >= 0 && seconds <= 86_400)) throw new LuminosityError(`robots: a crawlDelay of ${seconds} is not from 0 to 86400 s`);
    this.#rule().delay = seconds;
    return this;
  }

  /** Query parameters that don't change a page. */
  cleanParam(...parameters) {
    this.#rule().clean.push(...parameters.map((text) => value('cleanParam', text)));
    return this;
  }

  sitemap(...urls) {
    this.#sitemaps.push(...urls.map((url) => value('sitemapUrls', url)));
    return this;
  }

  host(name) {
    this.#host = value('host', name);
    return this;
  }

  /** The file. */
  build() {
    const rules = this.#rules.length ? this.#rules : [{ names: ['*'], allow: ['/'], disallow: [], clean: [], delay: null }];
    let out = '';
    for (const rule of rules) {
      for (const name of rule.names) out += `User-agent: ${name}\n`;
      for (const allowed of rule.allow) out += `Allow: ${allowed}\n`;
      for (const forbidden of rule.disallow) out += `Disallow: ${forbidden}\n`;
      if (!rule.allow.length && !rule.disallow.length) out += 'Disallow:\n';
      if (rule.delay !== null) out += `Crawl-delay: ${rule.delay}\n`;
      for (const parameter of rule.clean) out += `Clean-param: ${parameter}\n`;
      out += '\n';
    }
    if (this.#host !== null) out += `Host: ${this.#host}\n`;
    for (const url of this.#sitemaps) out += `Sitemap: ${url}\n`;
    return out;
  }

  toString() {
    return this.build();
  }
}
