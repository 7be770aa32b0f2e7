import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

import { LuminosityError, SeoEngine } from '../src/index.js';
import { missing, withEngine } from './support.js';

test('what is added is rendered at once, and stays when the engine is opened again', { skip: missing }, async () => {
  await withEngine({}, async (engine, directory) => {
    const strategy = engine.getStrategy();
    const added = await strategy.add({ url: 'https://example.com/a?b=1&c=2', lastmod: new Date(0), priority: 0.8 });
    assert.equal(added.added, 1);
    const xml = await engine.render('/sitemap.xml');
    assert.match(xml, /<loc>https:\/\/example\.com\/a\?b=1&amp;c=2<\/loc><lastmod>1970-01-01T00:00:00/);
    assert.match(await engine.render('/robots.txt'), /Sitemap: https:\/\/example\.com\/sitemap\.xml/);
    assert.equal(await engine.render('/sitemap-7.xml'), null);
    await engine.shutdown();
    const again = new SeoEngine({ baseUrl: 'https://example.com', incremental: { logDir: `${directory}/store` } });
    assert.equal((await again.getStrategy().getEntries()).length, 1);
    await again.shutdown();
  });
});

test('what is wrong is named and the rest goes in', { skip: missing }, async () => {
  await withEngine({}, async (engine) => {
    const strategy = engine.getStrategy();
    await assert.rejects(strategy.add('https://evil.test/'), (error) => {
      return error instanceof LuminosityError && error.status === 422 && /evil\.test/.test(error.message);
    });
    await assert.rejects(strategy.add({ url: '/\ud800' }), LuminosityError);
    const summary = await strategy.add(['/a', { url: '/b', priority: 3 }, '/c']);
    assert.deepEqual([summary.added, summary.rejected, summary.rejects[0].at], [2, 1, 2]);
    assert.deepEqual([(await strategy.remove(['/a', '/z'])).removed, await strategy.get('/a')], [1, null]);
    await strategy.redirect('/c', '/d', { policy: 'mark' });
    assert.equal((await strategy.get('/c')).redirect.to, 'https://example.com/d');
    assert.equal((await strategy.stats()).listed, 1);
    await strategy.compact();
    assert.equal(await strategy.warmCache(), 1);
  });
});

test('a generator of many entries is streamed, and read back', { skip: missing }, async () => {
  await withEngine({ output: { maxEntriesPerSitemap: 10_000 } }, async (engine) => {
    async function* pages() {
      for (let number = 0; number < 30_000; number++) yield { url: `/${number}`, changefreq: 'daily' };
    }
    assert.equal((await engine.getStrategy().addMany(pages())).added, 30_000);
    assert.match(await engine.render('/sitemap.xml'), /sitemap-3\.xml/);
    assert.equal((await engine.render('/sitemap-3.xml')).match(/<url>/g).length, 10_000);
    let count = 0;
    for await (const entry of engine.getStrategy().entries()) count += entry.changefreq === 'daily' ? 1 : 0;
    assert.equal(count, 30_000);
  });
});

test('functions are asked once for many requests in cached mode, and always in dynamic mode', { skip: missing }, async () => {
  for (const [mode, expected] of [['cached', 1], ['dynamic', 3]]) {
    let asked = 0;
    const resolvers = [{ name: 'pages', fetch: async () => [`/page-${++asked}`, { url: '/always', priority: 1 }] }];
    await withEngine({ mode, resolvers }, async (engine) => {
      await Promise.all(Array.from({ length: 50 }, () => engine.render('/sitemap.xml')));
      const first = asked;
      await engine.render('/sitemap.xml');
      const xml = await engine.render('/sitemap.xml');
      assert.match(xml, /\/always/);
      if (mode === 'cached') assert.equal(asked, expected);
      else assert.equal(asked, first + 2);
      assert.match(xml, new RegExp(`/page-${asked}<`));
    });
  }
});

test('a second engine on one directory is told why it can not', { skip: missing }, async () => {
  await withEngine({}, async (engine, directory) => {
    await engine.init();
    const second = new SeoEngine({ baseUrl: 'https://example.com', incremental: { logDir: `${directory}/store` } });
    await assert.rejects(second.init(), /one process writes at a time/);
  });
});

test('the service ends with the process that started it, however that ends', { skip: missing }, async () => {
  await withEngine({}, async (engine, directory) => {
    const script = `import { SeoEngine } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
      const engine = new SeoEngine({ baseUrl: 'https://example.com', incremental: { logDir: ${JSON.stringify(`${directory}/other`)} } });
      console.log(await engine.url()); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await once(child.stdout, 'data');
    const url = String(line).trim();
    assert.equal((await fetch(`${url}/status`)).status, 200);
    child.kill('SIGKILL');
    await once(child, 'close');
    for (let wait = 0; wait < 100; wait++) {
      if (await fetch(`${url}/status`).then(() => false, () => true)) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    assert.fail('the service is still there');
  });
});

test('a program that is not there and settings that are wrong are said', async () => {
  const nowhere = new SeoEngine({ baseUrl: 'https://example.com', service: { binary: '/does/not/exist' } });
  await assert.rejects(nowhere.init(), /can't be started: install lux/);
  assert.throws(() => new SeoEngine({}), /baseUrl/);
  const gone = new SeoEngine({ service: { url: 'http://127.0.0.1:1' } });
  await assert.rejects(gone.render('/sitemap.xml'), /does not answer/);
});
