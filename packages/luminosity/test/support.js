import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { SeoEngine } from '../src/index.js';

/** Why tests with a service can't run, or false. */
export const missing = process.env.LUMINOSITY_BINARY ? false : 'LUMINOSITY_BINARY does not say where lux is';

/** Runs a test with an engine in a directory of its own. */
export async function withEngine(options, run) {
  const directory = await mkdtemp(join(tmpdir(), 'luminosity-test-'));
  const engine = new SeoEngine({
    mode: 'incremental', baseUrl: 'https://example.com', incremental: { logDir: join(directory, 'store') }, ...options,
  });
  try {
    await run(engine, directory);
  } finally {
    await engine.shutdown();
    await rm(directory, { recursive: true, force: true });
  }
}
