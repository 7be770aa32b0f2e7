import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { test } from 'node:test';

import { MetaBuilder, RobotsBuilder, jsonLd, renderMeta } from '../src/index.js';
import { missing } from './support.js';

const lux = (args, input) => {
  const { status, stdout, stderr } = spawnSync(process.env.LUMINOSITY_BINARY, args, { input, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
};

const HOSTILE = `</script><script>alert("1")</script> & 'x' ]]> \u2028 \ud83d\ude00 -->`;

test('tags are those that lux writes, hostile texts included', { skip: missing }, () => {
  const page = {
    title: HOSTILE, description: HOSTILE, keywords: ['a', HOSTILE], robots: 'noindex', author: HOSTILE,
    canonical: 'https://example.com/?a=1&b=2', alternates: [{ lang: 'de', url: HOSTILE }],
    openGraph: { title: HOSTILE, siteName: HOSTILE, images: [{ url: '/i', width: 3, height: 4, alt: HOSTILE }] },
    twitter: { title: HOSTILE, image: '/i' }, jsonLd: [{ '@type': 'Thing', name: HOSTILE }],
  };
  assert.equal(renderMeta(page), lux(['meta', '-'], JSON.stringify(page)));
});

test('robots.txt is that which lux writes', { skip: missing }, async () => {
  const { mkdtemp, writeFile, rm } = await import('node:fs/promises');
  const directory = await mkdtemp(`${tmpdir()}/luminosity-robots-`);
  try {
    const robots = {
      rules: [{ userAgent: ['a', 'b'], allow: ['/x'], disallow: ['/y', '*.pdf$'], crawlDelay: 2.5, cleanParam: ['ref /p'] }, { userAgent: '*' }],
      host: 'example.com', sitemapUrls: ['https://example.com/sitemap.xml'],
    };
    await writeFile(`${directory}/luminosity.json`, JSON.stringify({ robots }));
    const built = new RobotsBuilder()
      .userAgent('a', 'b').allow('/x').disallow('/y', '*.pdf$').crawlDelay(2.5).cleanParam('ref /p')
      .userAgent('*').host('example.com').sitemap('https://example.com/sitemap.xml').build();
    assert.equal(built, lux(['--config', `${directory}/luminosity.json`, 'robots']));
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('no value becomes a line or ends a script', () => {
  assert.throws(() => new RobotsBuilder().disallow('/a\nAllow: /'), /control character/);
  assert.throws(() => new RobotsBuilder().userAgent('x\r\nDisallow: /'), /control character/);
  assert.throws(() => new RobotsBuilder().disallow('private'), /must start with/);
  const script = jsonLd({ name: HOSTILE });
  assert.equal(script.match(/<\/script>/g).length, 1);
  assert.deepEqual(JSON.parse(script.slice(script.indexOf('>') + 1, -'</script>'.length)), { name: HOSTILE });
  const built = new MetaBuilder().title('<b>').alternate('de', '/de').jsonLd({ a: 1 }).build();
  assert.equal(built, '<title>&lt;b&gt;</title>\n<link rel="alternate" hreflang="de" href="/de">\n<script type="application/ld+json">{"a":1}</script>\n');
});
