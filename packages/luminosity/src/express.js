import { pipeline } from 'node:stream';

import { ask, isFor, passed } from './pass.js';

/** Middleware for Express, and for anything that calls `(request, response, next)`. */
export function luminosity(engine) {
  return async (request, response, next) => {
    const path = request.originalUrl ?? request.url;
    if (!isFor(engine, request.method, path)) return next();
    try {
      const answer = await ask(engine, request.method, path, request.headers);
      if (answer.statusCode === 404) {
        answer.resume();
        return next();
      }
      response.writeHead(answer.statusCode, passed(answer.headers));
      // Who went away does not hear the end.
      pipeline(answer, response, () => {});
    } catch (error) {
      next(error);
    }
  };
}

export default luminosity;
