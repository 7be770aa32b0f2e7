import { answer } from './pass.js';

/**
 * For Next. Route handlers: `export const { GET, HEAD } = luminosity(engine)` in `app/sitemap.xml/route.js`.
 * Middleware: `export const middleware = luminosity(engine).middleware`.
 */
export function luminosity(engine) {
  const handle = async (request) => (await answer(engine, request)) ?? new Response('Not found', { status: 404 });
  return {
    GET: handle,
    HEAD: handle,
    // Without an answer, Next goes on.
    middleware: async (request) => (await answer(engine, request)) ?? undefined,
  };
}

export default luminosity;
