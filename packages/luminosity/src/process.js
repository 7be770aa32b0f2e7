// Starts `lux serve` beside this process.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { LuminosityError } from './error.js';

/** Starts the service with settings; `service` and `resolvers` of the options are for this module. */
export async function start(settings, { service = {}, resolvers = [] }) {
  const binary = service.binary ?? process.env.LUMINOSITY_BINARY ?? 'lux';
  const answering = await answer(resolvers);
  const directory = await mkdtemp(join(tmpdir(), 'luminosity-'));
  const absolute = (section, name, fallback) => ({
    ...settings[section],
    [name]: resolve(settings[section]?.[name] ?? fallback),
  });
  const config = {
    ...settings,
    incremental: absolute('incremental', 'logDir', '.luminosity'),
    output: absolute('output', 'path', 'public'),
    sources: [...(settings.sources ?? []), ...answering.sources],
  };
  const file = join(directory, 'luminosity.json');
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  const token = randomBytes(24).toString('hex');
  const child = spawn(binary, ['--config', file, 'serve', '--listen', '127.0.0.1:0', '--until-eof'], {
    env: { ...process.env, LUX_TOKEN: token },
    // The service ends with its input, so it does not outlive this process, however that ends.
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const ended = new Promise((done) => child.once('close', done));
  const stop = async () => {
    hold(child, true);
    child.stdin.end();
    await ended;
    answering.close();
  };
  try {
    const url = await listening(child, binary);
    hold(child, false);
    return { url, token, process: child, stop };
  } catch (error) {
    await Promise.race([stop(), new Promise((done) => setTimeout(done, 1000))]);
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Whether this process waits for the service before it ends. */
function hold(child, held) {
  for (const handle of [child, child.stdin, child.stdout, child.stderr]) handle[held ? 'ref' : 'unref']?.();
}

function listening(child, binary) {
  return new Promise((done, fail) => {
    let [said, complained] = ['', ''];
    child.once('error', (cause) => {
      const hint = cause.code === 'ENOENT' ? ': install lux, or say where it is with service.binary or LUMINOSITY_BINARY' : '';
      fail(new LuminosityError(`${binary} can't be started${hint}`, { cause }));
    });
    child.once('close', () => fail(new LuminosityError(complained.trim() || `${binary} ended at once`)));
    child.stderr.on('data', (text) => {
      complained = (complained + text).slice(-10_000);
    });
    child.stdout.on('data', (text) => {
      said += text;
      const found = /^listening on (\S+)$/m.exec(said);
      if (found && said.includes('\n', found.index)) done(found[1]);
    });
  });
}

/** Lets the service ask functions of this process for entries, as it asks any HTTP source. */
async function answer(resolvers) {
  if (resolvers.length === 0) return { sources: [], close() {} };
  const secret = randomBytes(16).toString('hex');
  const server = createServer(async (request, response) => {
    const [, given, number] = request.url.split('/');
    const resolver = given === secret ? resolvers[Number(number)] : undefined;
    if (!resolver) {
      response.writeHead(404).end();
      return;
    }
    try {
      const entries = await (typeof resolver === 'function' ? resolver() : (resolver.fetch ?? resolver.resolve).call(resolver));
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify([...entries]));
    } catch (error) {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(String(error?.message ?? error));
    }
  });
  await new Promise((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done));
  server.unref();
  const origin = `http://127.0.0.1:${server.address().port}`;
  const sources = resolvers.map((_, number) => ({ type: 'http', url: `${origin}/${secret}/${number}` }));
  return {
    sources,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
