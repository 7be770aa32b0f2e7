import type { SeoEngine } from './index.js';

/** Express: middleware of an engine. Fastify: a plugin. Hono: middleware. Next: route handlers and middleware. */
export declare const luminosity: {
  (engine: SeoEngine): any;
  (instance: unknown, options: { engine: SeoEngine }): Promise<void>;
};
export default luminosity;
