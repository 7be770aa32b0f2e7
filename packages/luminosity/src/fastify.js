import { ask, isFor, passed } from './pass.js';

/** Plugin for Fastify: `fastify.register(luminosity, { engine })`. */
export async function luminosity(fastify, { engine }) {
  fastify.addHook('onRequest', async (request, reply) => {
    if (!isFor(engine, request.method, request.url)) return;
    const answer = await ask(engine, request.method, request.url, request.headers);
    if (answer.statusCode === 404) {
      answer.resume();
      return;
    }
    reply.code(answer.statusCode).headers(passed(answer.headers));
    if (request.method === 'HEAD' || answer.statusCode === 304) {
      answer.resume();
      return reply.send();
    }
    return reply.send(answer);
  });
}

// For all routes, not only those of this plugin.
luminosity[Symbol.for('skip-override')] = true;
luminosity[Symbol.for('fastify.display-name')] = 'luminosity';

export default luminosity;
