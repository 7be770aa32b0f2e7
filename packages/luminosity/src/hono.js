import { answer } from './pass.js';

/** Middleware for Hono: `app.use(luminosity(engine))`. */
export function luminosity(engine) {
  return async (context, next) => (await answer(engine, context.req.raw)) ?? next();
}

export default luminosity;
