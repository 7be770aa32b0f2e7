const HTML = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;', '\0': '\ufffd' };
const SCRIPT = { '<': '\\u003c', '>': '\\u003e', '&': '\\u0026', '\u2028': '\\u2028', '\u2029': '\\u2029' };

const html = (text) => String(text).toWellFormed().replace(/[&<>"'\0]/g, (found) => HTML[found]);

/** A value as JSON-LD in a script that no text can end. */
export function jsonLd(value) {
  const json = JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (found) => SCRIPT[found]);
  return `<script type="application/ld+json">${json}</script>`;
}

/** The tags of a page, for its `<head>`. */
export function renderMeta(page) {
  let out = '';
  const tag = (attribute, name, content) => {
    if (content !== undefined && content !== null) out += `<meta ${attribute}="${name}" content="${html(content)}">\n`;
  };
  if (page.title !== undefined) out += `<title>${html(page.title)}</title>\n`;
  tag('name', 'description', page.description);
  if (page.keywords?.length) tag('name', 'keywords', page.keywords.join(', '));
  tag('name', 'robots', page.robots);
  tag('name', 'author', page.author);
  if (page.canonical) out += `<link rel="canonical" href="${html(page.canonical)}">\n`;
  for (const { lang, url } of page.alternates ?? []) {
    out += `<link rel="alternate" hreflang="${html(lang)}" href="${html(url)}">\n`;
  }
  const graph = page.openGraph;
  if (graph) {
    tag('property', 'og:title', graph.title);
    tag('property', 'og:type', graph.type ?? 'website');
    tag('property', 'og:url', graph.url);
    tag('property', 'og:description', graph.description);
    tag('property', 'og:site_name', graph.siteName);
    tag('property', 'og:locale', graph.locale);
    for (const image of graph.images ?? []) {
      tag('property', 'og:image', image.url);
      tag('property', 'og:image:alt', image.alt);
      tag('property', 'og:image:width', image.width);
      tag('property', 'og:image:height', image.height);
    }
  }
  const card = page.twitter;
  if (card) {
    tag('name', 'twitter:card', card.card ?? 'summary');
    tag('name', 'twitter:site', card.site);
    tag('name', 'twitter:creator', card.creator);
    tag('name', 'twitter:title', card.title);
    tag('name', 'twitter:description', card.description);
    tag('name', 'twitter:image', card.image);
  }
  for (const value of page.jsonLd ?? []) out += `${jsonLd(value)}\n`;
  return out;
}

/** Builds the tags of a page step by step. */
export class MetaBuilder {
  #page = {};

  #set(name, value) {
    this.#page[name] = value;
    return this;
  }

  title(text) { return this.#set('title', text); }
  description(text) { return this.#set('description', text); }
  keywords(...words) { return this.#set('keywords', words.flat()); }
  robots(text) { return this.#set('robots', text); }
  author(name) { return this.#set('author', name); }
  canonical(url) { return this.#set('canonical', url); }
  openGraph(graph) { return this.#set('openGraph', graph); }
  twitter(card) { return this.#set('twitter', card); }

  alternate(lang, url) {
    return this.#set('alternates', [...(this.#page.alternates ?? []), { lang, url }]);
  }

  jsonLd(value) {
    return this.#set('jsonLd', [...(this.#page.jsonLd ?? []), value]);
  }

  build() {
    return renderMeta(this.#page);
  }

  toString() {
    return this.build();
  }
}
