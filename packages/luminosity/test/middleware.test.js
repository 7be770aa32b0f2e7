import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { luminosity as expressMiddleware } from '../src/express.js';
import { luminosity as fastifyPlugin } from '../src/fastify.js';
import { luminosity as honoMiddleware } from '../src/hono.js';
import { luminosity as nextHandlers } from '../src/next.js';
import { missing, withEngine } from './support.js';

/** The framework, or null where it is not installed. */
const framework = (name) => import(name).catch(() => null);

function ask(port, path, headers = {}, method = 'GET') {
  return new Promise((done, fail) => {
    const asking = request({ port, path, headers, method, agent: false }, async (answer) => {
      const parts = [];
      for await (const part of answer) parts.push(part);
      done({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) });
    });
    asking.once('error', fail).end();
  });
}

/** What every framework must do. */
async function check(port, compresses) {
  const plain = await ask(port, '/sitemap.xml');
  assert.equal(plain.status, 200);
  assert.match(plain.headers['content-type'], /^application\/xml/);
  assert.match(String(plain.body), /<loc>https:\/\/example\.com\/a\?b&amp;c<\/loc>/);
  const known = await ask(port, '/sitemap.xml', { 'if-none-match': plain.headers.etag });
  assert.deepEqual([known.status, known.body.length], [304, 0]);
  const head = await ask(port, '/sitemap.xml', {}, 'HEAD');
  assert.deepEqual([head.status, head.body.length, head.headers.etag], [200, 0, plain.headers.etag]);
  const part = await ask(port, '/sitemap.xml', { range: 'bytes=0-4' });
  assert.deepEqual([part.status, String(part.body)], [206, '<?xml']);
  if (compresses) {
    const packed = await ask(port, '/sitemap.xml', { 'accept-encoding': 'gzip' });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.deepEqual(gunzipSync(packed.body), plain.body);
  }
  assert.match(String((await ask(port, '/robots.txt')).body), /User-agent/);
  assert.equal(String((await ask(port, '/own')).body), 'own');
  assert.equal(String((await ask(port, '/sitemap-99.xml')).status), '404');
}

async function withServer(server, run) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await run(server.address().port);
  } finally {
    server.close();
    server.closeAllConnections?.();
  }
}

async function withPages(run) {
  await withEngine({}, async (engine) => {
    await engine.getStrategy().add('/a?b&c');
    await run(engine);
  });
}

test('middleware of (request, response, next)', { skip: missing }, async () => {
  await withPages(async (engine) => {
    const middleware = expressMiddleware(engine);
    const server = createServer((asked, response) => {
      middleware(asked, response, (error) => {
        response.writeHead(error ? 500 : asked.url === '/own' ? 200 : 404).end(error?.message ?? 'own');
      });
    });
    await withServer(server, (port) => check(port, true));
  });
});

test('Express', { skip: missing }, async (context) => {
  const found = await framework('express');
  if (!found) return context.skip('express is not installed');
  await withPages(async (engine) => {
    const app = found.default();
    app.use(expressMiddleware(engine));
    app.get('/own', (_, response) => response.send('own'));
    await withServer(createServer(app), (port) => check(port, true));
  });
});

test('Fastify', { skip: missing }, async (context) => {
  const found = await framework('fastify');
  if (!found) return context.skip('fastify is not installed');
  await withPages(async (engine) => {
    const app = found.default();
    await app.register(fastifyPlugin, { engine });
    app.get('/own', async () => 'own');
    await app.listen({ port: 0, host: '127.0.0.1' });
    try {
      await check(app.server.address().port, true);
    } finally {
      await app.close();
    }
  });
});

/** Serves a function from Request to Response. */
function served(handle) {
  return createServer(async (asked, response) => {
    const answer = await handle(new Request(`http://localhost${asked.url}`, { method: asked.method, headers: asked.headers }));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
}

test('Hono', { skip: missing }, async (context) => {
  const found = await framework('hono');
  if (!found) return context.skip('hono is not installed');
  await withPages(async (engine) => {
    const app = new found.Hono();
    app.use(honoMiddleware(engine));
    app.get('/own', (asked) => asked.text('own'));
    await withServer(served((asked) => app.fetch(asked)), (port) => check(port, false));
  });
});

test('middleware of requests and answers, as Hono and Next call it', { skip: missing }, async () => {
  await withPages(async (engine) => {
    const { GET, HEAD, middleware } = nextHandlers(engine);
    const own = async () => new Response('own');
    const hono = honoMiddleware(engine);
    const ways = [
      async (asked) => (await middleware(asked)) ?? (asked.url.endsWith('/own') ? own() : new Response('', { status: 404 })),
      async (asked) => hono({ req: { raw: asked } }, asked.url.endsWith('/own') ? own : async () => new Response('', { status: 404 })),
      async (asked) => (asked.url.endsWith('/own') ? own() : (asked.method === 'HEAD' ? HEAD : GET)(asked)),
    ];
    for (const way of ways) await withServer(served(way), (port) => check(port, false));
  });
});
