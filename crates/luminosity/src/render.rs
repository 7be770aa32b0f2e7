//! XML of entries, fragments and the index.
//!
//! Elements come in the order of the protocol's schemas. Invariant: every URL and text is escaped here and
//! nowhere else.

use crate::entry::{Image, News, Video};
use crate::error::Result;
use crate::moment::Moment;
use crate::record::{Flags, View};
use crate::site::Site;
use crate::text::escape;

const NAMESPACES: [(u8, &str); 4] = [
    (Flags::NEWS, " xmlns:news=\"http://www.google.com/schemas/sitemap-news/0.9\""),
    (Flags::ALTERNATES, " xmlns:xhtml=\"http://www.w3.org/1999/xhtml\""),
    (Flags::IMAGES, " xmlns:image=\"http://www.google.com/schemas/sitemap-image/1.1\""),
    (Flags::VIDEOS, " xmlns:video=\"http://www.google.com/schemas/sitemap-video/1.1\""),
];

/// Bytes that [`head`] and [`FRAGMENT_FOOT`] never exceed, so that a fragment's size can be planned.
pub(crate) const FRAME_BYTES_MAX: u64 = 4096;
/// Ends a fragment.
pub(crate) const FRAGMENT_FOOT: &str = "</urlset>\n";
/// Ends an index.
pub(crate) const INDEX_FOOT: &str = "</sitemapindex>\n";

fn declaration(stylesheet: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    if let Some(href) = stylesheet {
        out.extend_from_slice(b"<?xml-stylesheet type=\"text/xsl\" href=\"");
        escape(out, href);
        out.extend_from_slice(b"\"?>\n");
    }
}

/// Begins a fragment whose entries need these namespaces.
pub(crate) fn fragment_head(namespaces: u8, stylesheet: Option<&str>, out: &mut Vec<u8>) {
    declaration(stylesheet, out);
    out.extend_from_slice(b"<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\"");
    for (bit, declaration) in NAMESPACES {
        if namespaces & bit != 0 {
            out.extend_from_slice(declaration.as_bytes());
        }
    }
    out.extend_from_slice(b">\n");
}

/// Begins an index.
pub(crate) fn index_head(stylesheet: Option<&str>, out: &mut Vec<u8>) {
    declaration(stylesheet, out);
    out.extend_from_slice(b"<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n");
}

/// One fragment in an index.
pub(crate) fn index_entry(url: &str, lastmod: Moment, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<sitemap><loc>");
    escape(out, url);
    out.extend_from_slice(b"</loc><lastmod>");
    lastmod.write(out);
    out.extend_from_slice(b"</lastmod></sitemap>\n");
}

fn element(out: &mut Vec<u8>, name: &str, text: &str) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    escape(out, text);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

fn optional(out: &mut Vec<u8>, name: &str, text: &Option<String>) {
    if let Some(text) = text {
        element(out, name, text);
    }
}

fn yes_or_no(out: &mut Vec<u8>, name: &str, flag: Option<bool>) {
    if let Some(flag) = flag {
        element(out, name, if flag { "yes" } else { "no" });
    }
}

/// Writes the `<url>` of an entry; nothing when it is not listed.
pub(crate) fn entry(site: &Site, view: &View<'_>, out: &mut Vec<u8>) -> Result<()> {
    if !view.flags.listed() {
        return Ok(());
    }
    out.extend_from_slice(b"<url><loc>");
    for part in site.parts(view.key) {
        escape(out, part);
    }
    out.extend_from_slice(b"</loc>");
    if let Some(lastmod) = view.lastmod {
        out.extend_from_slice(b"<lastmod>");
        lastmod.write(out);
        out.extend_from_slice(b"</lastmod>");
    }
    if let Some(changefreq) = view.changefreq {
        out.extend_from_slice(b"<changefreq>");
        out.extend_from_slice(changefreq.word().as_bytes());
        out.extend_from_slice(b"</changefreq>");
    }
    if let Some(priority) = view.priority {
        out.extend_from_slice(b"<priority>");
        priority.write(out);
        out.extend_from_slice(b"</priority>");
    }
    if let Some(rest) = view.rest()? {
        for alternate in &rest.alternates {
            out.extend_from_slice(b"<xhtml:link rel=\"alternate\" hreflang=\"");
            escape(out, &alternate.lang);
            out.extend_from_slice(b"\" href=\"");
            escape(out, &alternate.url);
            out.extend_from_slice(b"\"/>");
        }
        if let Some(found) = &rest.news {
            news(found, out);
        }
        rest.images.iter().for_each(|found| image(found, out));
        rest.videos.iter().for_each(|found| video(found, out));
    }
    out.extend_from_slice(b"</url>\n");
    Ok(())
}

fn image(image: &Image, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<image:image>");
    element(out, "image:loc", &image.url);
    optional(out, "image:caption", &image.caption);
    optional(out, "image:geo_location", &image.geo_location);
    optional(out, "image:title", &image.title);
    optional(out, "image:license", &image.license);
    out.extend_from_slice(b"</image:image>");
}

fn news(news: &News, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<news:news><news:publication>");
    element(out, "news:name", &news.publication.name);
    element(out, "news:language", &news.publication.language);
    out.extend_from_slice(b"</news:publication>");
    element(out, "news:publication_date", &news.publication_date.to_string());
    element(out, "news:title", &news.title);
    optional(out, "news:keywords", &news.keywords);
    out.extend_from_slice(b"</news:news>");
}

fn video(video: &Video, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<video:video>");
    element(out, "video:thumbnail_loc", &video.thumbnail_loc);
    element(out, "video:title", &video.title);
    element(out, "video:description", &video.description);
    optional(out, "video:content_loc", &video.content_loc);
    optional(out, "video:player_loc", &video.player_loc);
    optional(out, "video:duration", &video.duration.map(|seconds| seconds.to_string()));
    optional(out, "video:expiration_date", &video.expiration_date.map(|date| date.to_string()));
    optional(out, "video:rating", &video.rating.map(|rating| format!("{rating:.1}")));
    optional(out, "video:view_count", &video.view_count.map(|count| count.to_string()));
    optional(out, "video:publication_date", &video.publication_date.map(|date| date.to_string()));
    for tag in &video.tags {
        element(out, "video:tag", tag);
    }
    optional(out, "video:category", &video.category);
    yes_or_no(out, "video:family_friendly", video.family_friendly);
    yes_or_no(out, "video:requires_subscription", video.requires_subscription);
    optional(out, "video:uploader", &video.uploader);
    yes_or_no(out, "video:live", video.live);
    out.extend_from_slice(b"</video:video>");
}
