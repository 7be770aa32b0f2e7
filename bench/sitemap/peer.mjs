// Streams a JSONL list through the npm package `sitemap` into gzipped fragments and an index.
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { SitemapAndIndexStream, SitemapStream } from 'sitemap';

const [list, out] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
const index = new SitemapAndIndexStream({
  limit: 50_000,
  getSitemapStream: (number) => {
    const file = `sitemap-${number + 1}.xml.gz`;
    const stream = new SitemapStream({ hostname: 'https://example.com' });
    const written = stream.pipe(createGzip()).pipe(createWriteStream(`${out}/${file}`));
    return [`https://example.com/${file}`, stream, written];
  },
});
async function* entries() {
  for await (const line of createInterface({ input: createReadStream(list) })) yield JSON.parse(line);
}
await pipeline(Readable.from(entries()), index, createWriteStream(`${out}/sitemap.xml`));
