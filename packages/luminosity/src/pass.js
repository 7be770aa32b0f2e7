// Passing answers of the service on.

const ASKED = ['accept-encoding', 'if-none-match', 'if-modified-since', 'if-range', 'range'];
const ANSWERED = [
  'accept-ranges', 'cache-control', 'content-encoding', 'content-length', 'content-range', 'content-type', 'etag',
  'last-modified', 'retry-after', 'vary', 'x-content-type-options',
];

/** Whether a request is for the service. */
export function isFor(engine, method, path) {
  return (method === 'GET' || method === 'HEAD') && engine.handles(path);
}

/** Asks with Node's client, which leaves compressed bodies as they are. */
export async function ask(engine, method, path, headers) {
  const base = new URL(await engine.url());
  const { request } = await import(base.protocol === 'https:' ? 'node:https' : 'node:http');
  const given = Object.fromEntries(ASKED.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]));
  const prefix = base.pathname.replace(/\/+$/, '');
  return new Promise((done, fail) => {
    request(new URL(prefix + path, base), { method, headers: given }, done).once('error', fail).end();
  });
}

/** The headers that are passed on. */
export function passed(headers) {
  return Object.fromEntries(ANSWERED.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]));
}

/** Asks with `fetch`, for frameworks that speak its language; what hosts them compresses by itself. */
export async function answer(engine, request) {
  const { pathname, search } = new URL(request.url);
  if (!isFor(engine, request.method, pathname)) return null;
  const headers = { 'accept-encoding': 'identity' };
  for (const name of ASKED.slice(1)) {
    const value = request.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  const found = await engine.request(pathname + search, { method: request.method, headers });
  if (found.status === 404) {
    await found.arrayBuffer();
    return null;
  }
  const given = new Headers();
  for (const name of ANSWERED) {
    const value = found.headers.get(name);
    if (value !== null) given.set(name, value);
  }
  const empty = request.method === 'HEAD' || found.status === 304;
  return new Response(empty ? null : found.body, { status: found.status, headers: given });
}
