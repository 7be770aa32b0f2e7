export type ChangeFreq = 'always' | 'hourly' | 'daily' | 'weekly' | 'monthly' | 'yearly' | 'never';
type When = Date | string | number;

export interface Image { url: string; title?: string; caption?: string; license?: string; geo_location?: string }
export interface Video {
  thumbnail_loc: string; title: string; description: string; content_loc?: string; player_loc?: string;
  duration?: number; expiration_date?: When; rating?: number; view_count?: number; publication_date?: When;
  tags?: string[]; category?: string; family_friendly?: boolean; requires_subscription?: boolean;
  uploader?: string; live?: boolean;
}
export interface News {
  publication: { name: string; language: string }; publication_date: When; title: string; keywords?: string;
}
export interface Alternate { lang: string; url: string }
export interface Entry {
  url: string; lastmod?: When; changefreq?: ChangeFreq; priority?: number; images?: Image[]; videos?: Video[];
  news?: News; alternates?: Alternate[]; canonical?: string; redirect?: { to: string; status?: number };
}
export interface Reject { at: number; reason: string }
export interface Summary {
  added: number; updated: number; unchanged: number; removed: number; absent: number; rejected: number; rejects: Reject[];
}
export interface Stats {
  urls: number; listed: number; fragments: number; xml_bytes: number; disk_bytes: number; log_bytes: number;
  cached_bytes: number; unmerged_tables: number;
}
type Many<T> = Iterable<T> | AsyncIterable<T>;
type Fetch = () => Promise<Iterable<Entry | string>> | Iterable<Entry | string>;
export type Resolver = Fetch | { name?: string; fetch: Fetch } | { name?: string; resolve: Fetch };
export interface RobotsRule {
  userAgent?: string | string[]; allow?: string | string[]; disallow?: string | string[]; crawlDelay?: number;
  cleanParam?: string | string[];
}
export interface SeoConfig {
  mode?: 'dynamic' | 'cached' | 'incremental';
  baseUrl?: string;
  hosts?: string[];
  robots?: { rules?: RobotsRule[]; sitemapUrls?: string[]; host?: string };
  cache?: { ttl?: number; maxSize?: number; staleWhileRevalidate?: number };
  incremental?: { logDir?: string; compactInterval?: number; maxLogSize?: number };
  output?: {
    path?: string; filename?: string; maxEntriesPerSitemap?: number; gzip?: boolean; gzipLevel?: number;
    stylesheet?: string; url?: string;
  };
  indexNow?: { key: string; endpoint?: string; delayMs?: number };
  ping?: string[];
  sources?: Record<string, unknown>[];
  /** Functions that give entries, for the modes dynamic and cached. */
  resolvers?: Resolver[];
  /** A service that runs already, or the program that is started. */
  service?: { url?: string; token?: string; binary?: string };
}

export declare class LuminosityError extends Error {
  status: number;
  rejects: Reject[];
}
export declare class Strategy {
  add(entry: Entry | string | (Entry | string)[]): Promise<Summary>;
  addMany(entries: Many<Entry | string>): Promise<Summary>;
  remove(urls: string | string[]): Promise<Summary>;
  redirect(from: string, to: string, options?: { status?: number; policy?: 'remove' | 'keep' | 'mark' }): Promise<void>;
  get(url: string): Promise<Entry | null>;
  entries(): AsyncGenerator<Entry>;
  getEntries(): Promise<Entry[]>;
  stats(): Promise<Stats>;
  compact(): Promise<void>;
  warmCache(): Promise<number>;
  refresh(): Promise<Summary & { failed: string[] }>;
}
export declare class SeoEngine {
  constructor(config: SeoConfig);
  readonly filename: string;
  init(): Promise<this>;
  url(): Promise<string>;
  getStrategy(): Strategy;
  handles(path: string): boolean;
  request(path: string, options?: RequestInit & { duplex?: 'half' }): Promise<Response>;
  render(path: string): Promise<string | null>;
  shutdown(): Promise<void>;
}
export declare class RobotsBuilder {
  userAgent(...names: string[]): this;
  allow(...paths: string[]): this;
  disallow(...paths: string[]): this;
  crawlDelay(seconds: number): this;
  cleanParam(...parameters: string[]): this;
  sitemap(...urls: string[]): this;
  host(name: string): this;
  build(): string;
}
export interface OpenGraph {
  title?: string; type?: string; url?: string; description?: string; siteName?: string; locale?: string;
  images?: { url: string; alt?: string; width?: number; height?: number }[];
}
export interface TwitterCard {
  card?: string; site?: string; creator?: string; title?: string; description?: string; image?: string;
}
export interface PageMeta {
  title?: string; description?: string; keywords?: string[]; robots?: string; author?: string; canonical?: string;
  alternates?: Alternate[]; openGraph?: OpenGraph; twitter?: TwitterCard; jsonLd?: unknown[];
}
export declare function renderMeta(page: PageMeta): string;
export declare function jsonLd(value: unknown): string;
export declare class MetaBuilder {
  title(text: string): this;
  description(text: string): this;
  keywords(...words: (string | string[])[]): this;
  robots(text: string): this;
  author(name: string): this;
  canonical(url: string): this;
  alternate(lang: string, url: string): this;
  openGraph(graph: OpenGraph): this;
  twitter(card: TwitterCard): this;
  jsonLd(value: unknown): this;
  build(): string;
}
