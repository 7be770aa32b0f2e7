import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';

import { missing, withEngine } from './support.js';

const HOSTILE = [']]>', '</script>', '<![CDATA[', '&amp;', `"'`, 'a\tb\nc', 'x\u0085\u2028', '\ud83d\ude00 \u00fc', '-->', '&#x26;'];

test('the parser of the npm package sitemap gives every text back', { skip: missing }, async (context) => {
  const found = await import('sitemap').catch(() => null);
  if (!found) return context.skip('sitemap is not installed');
  await withEngine({ output: { maxEntriesPerSitemap: 40 } }, async (engine) => {
    const strategy = engine.getStrategy();
    const text = (number) => `a${HOSTILE[number % 10]}${HOSTILE[Math.floor(number / 10)]}z`;
    const entries = Array.from({ length: 100 }, (_, number) => ({
      url: `/${number}?a=1&b=\u00fc`, lastmod: '2026-11-21', changefreq: 'daily', priority: 0.3,
      images: [{ url: `/i/${number}?x&y`, title: text(number), caption: text(number) }],
      videos: [{ thumbnail_loc: '/t', title: text(number), description: text(number), player_loc: '/p?a&b', tags: [text(number)] }],
      news: { publication: { name: text(number), language: 'en' }, publication_date: '2026-11-21', title: text(number) },
      alternates: [{ lang: 'de', url: `/de/${number}?x&y` }],
    }));
    assert.equal((await strategy.add(entries)).added, 100);
    const index = await found.parseSitemapIndex(Readable.from([await engine.render('/sitemap.xml')]));
    assert.deepEqual(index.map(({ url }) => url), [1, 2, 3].map((number) => `https://example.com/sitemap-${number}.xml`));
    let number = 0;
    for (const { url } of index) {
      for (const page of await found.parseSitemap(Readable.from([await engine.render(new URL(url).pathname)]))) {
        const wanted = text(number);
        assert.equal(page.url, `https://example.com/${number}?a=1&b=%C3%BC`);
        assert.deepEqual([page.changefreq, page.priority, page.lastmod.slice(0, 10)], ['daily', 0.3, '2026-11-21']);
        assert.deepEqual(page.img, [{ url: `https://example.com/i/${number}?x&y`, title: wanted, caption: wanted }]);
        const { title, description, tag, player_loc: player } = page.video[0];
        assert.deepEqual([title, description, tag, player], [wanted, wanted, [wanted], 'https://example.com/p?a&b']);
        assert.deepEqual([page.news.title, page.news.publication.name], [wanted, wanted]);
        assert.deepEqual(page.links, [{ lang: 'de', url: `https://example.com/de/${number}?x&y` }]);
        number += 1;
      }
    }
    assert.equal(number, 100);
  });
});
