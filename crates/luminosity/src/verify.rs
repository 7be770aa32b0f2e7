//! Checking sitemaps that anyone wrote against the protocol and Google's limits.
//!
//! Memory: one entry, and 8 bytes per URL of a file to find repeated ones (at most 50,000 of them).

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Serialize;
use ureq::ResponseExt;
use url::Url;

use crate::check;
use crate::error::{Error, Result};
use crate::import::maybe_gzip;
use crate::moment::{Moment, Precision};
use crate::reader::{self, Element, Found, Space, entry_of};
use crate::site::{Site, URL_CHARS_MAX};
use crate::sources::client;

/// Entries that one file may have.
const ENTRIES_MAX: u64 = 50_000;
/// Bytes that one file may have, uncompressed.
const BYTES_MAX: u64 = 50 << 20;
/// News that one file may have.
const NEWS_MAX: u64 = 1000;
/// Problems that are told one by one.
const PROBLEMS_MAX: usize = 1000;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Crawlers take it, but something is lost.
    Warning,
    /// It breaks a rule.
    Error,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 when it is about the whole file.
    pub line: u64,
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub message: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Files read.
    pub files: u64,
    /// URLs in them.
    pub urls: u64,
    /// Sitemaps named by indexes.
    pub sitemaps: u64,
    /// Bytes of XML read.
    pub bytes: u64,
    /// Broken rules.
    pub errors: u64,
    /// Things that are lost.
    pub warnings: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

impl Verification {
    fn say(&mut self, file: &str, line: u64, severity: Severity, message: String) {
        match severity {
            Severity::Warning => self.warnings += 1,
            Severity::Error => self.errors += 1,
        }
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { file: file.to_owned(), line, severity, message });
        }
    }

    fn error(&mut self, file: &str, line: u64, message: impl Into<String>) {
        self.say(file, line, Severity::Error, message.into());
    }

    fn warn(&mut self, file: &str, line: u64, message: impl Into<String>) {
        self.say(file, line, Severity::Warning, message.into());
    }
}

/// A sitemap that an index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it is.
    pub url: String,
    /// The line that names it.
    pub line: u64,
}

/// Checks sitemaps.
#[derive(Debug)]
pub struct Verifier {
    site: Option<Site>,
    /// What was found so far.
    pub found: Verification,
}

impl Verifier {
    /// Checks sitemaps of this site; without one, of the host that each file's first URL names.
    pub fn new(site: Option<Site>) -> Self {
        Self { site, found: Verification::default() }
    }

    /// Checks a file, or every sitemap in a directory.
    ///
    /// # Errors
    /// When it can't be opened; what is wrong inside is reported.
    pub fn path(&mut self, path: &Path) -> Result<()> {
        if !path.is_dir() {
            let file = path.display().to_string();
            let named = self.file(path, &file)?;
            return self.named_files(path.parent().unwrap_or(Path::new(".")), &file, &named);
        }
        let mut names: Vec<_> = std::fs::read_dir(path)
            .map_err(|error| Error::io(path, error))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| {
                !name.starts_with('.')
                    && name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".xml").is_some()
            })
            .collect();
        names.sort();
        if names.is_empty() {
            return Err(Error::Settings(format!("{} has no file *.xml or *.xml.gz", path.display())));
        }
        for name in &names {
            for named in self.file(&path.join(name), name)? {
                let local = local_name(&named.url);
                if !names.contains(&local) {
                    self.found.error(name, named.line, format!("{} is not in the directory", named.url));
                }
            }
        }
        Ok(())
    }

    /// Checks what a URL answers with, and the sitemaps of the same origin that it names.
    ///
    /// # Errors
    /// [`Error::Source`] when it does not answer.
    pub fn url(&mut self, url: &str) -> Result<()> {
        let parsed = Url::parse(url).map_err(|error| Error::Settings(format!("{url}: {error}")))?;
        for sitemap in self.fetch(&parsed)? {
            let Some(next) = Url::parse(&sitemap.url).ok().filter(|next| next.origin() == parsed.origin())
            else {
                self.found.error(url, sitemap.line, format!("{} is on another host", sitemap.url));
                continue;
            };
            match self.fetch(&next) {
                Ok(named) if named.is_empty() => {}
                Ok(_) => self.found.error(url, sitemap.line, format!("{} is an index itself", sitemap.url)),
                Err(error) => self.found.error(url, sitemap.line, error.to_string()),
            }
        }
        Ok(())
    }

    fn fetch(&mut self, url: &Url) -> Result<Vec<Named>> {
        let failed = |reason: String| Error::Source { source_name: url.to_string(), reason };
        let mut answer = client().get(url.as_str()).call().map_err(|error| failed(error.to_string()))?;
        let arrived = Url::parse(&answer.get_uri().to_string()).map_err(|error| failed(error.to_string()))?;
        if arrived.origin() != url.origin() {
            return Err(failed(format!("it leads to another host, {arrived}")));
        }
        // One byte more than is allowed tells that it is too much.
        let body = std::mem::replace(answer.body_mut(), ureq::Body::builder().data(""));
        let body = body.into_with_config().limit(BYTES_MAX + 1).reader();
        let mut input = maybe_gzip(BufReader::new(body)).map_err(|error| failed(error.to_string()))?;
        self.input(url.as_str(), &mut *input)
    }

    /// Follows an index to the files beside it.
    fn named_files(&mut self, directory: &Path, index: &str, named: &[Named]) -> Result<()> {
        for sitemap in named {
            let path = directory.join(local_name(&sitemap.url));
            if path.is_file() {
                let shown = path.display().to_string();
                if !self.file(&path, &shown)?.is_empty() {
                    self.found.error(index, sitemap.line, format!("{} is an index itself", sitemap.url));
                }
            } else {
                self.found.warn(
                    index,
                    sitemap.line,
                    format!("{} is not beside the index, so it was not checked", sitemap.url),
                );
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, shown: &str) -> Result<Vec<Named>> {
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let mut input = maybe_gzip(BufReader::new(file)).map_err(|error| Error::io(path, error))?;
        self.input(shown, &mut *input)
    }

    /// Checks what can be read from `input`, which was inflated before. Returns what an index names.
    ///
    /// # Errors
    /// Never for what is wrong with the sitemap, which is reported.
    pub fn input(&mut self, file: &str, input: &mut (dyn Read + Send)) -> Result<Vec<Named>> {
        let mut pass = Pass {
            file,
            site: self.site.clone(),
            found: &mut self.found,
            index: false,
            entries: 0,
            news: 0,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            named: Vec::new(),
            broken: false,
        };
        let bytes = reader::read(input, &mut |found, _| {
            pass.take(found);
            Ok(())
        })?;
        pass.end(bytes);
        Ok(pass.named)
    }
}

fn local_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// One file.
struct Pass<'a> {
    file: &'a str,
    site: Option<Site>,
    found: &'a mut Verification,
    index: bool,
    entries: u64,
    news: u64,
    seen: HashSet<u64>,
    hasher: RandomState,
    named: Vec<Named>,
    broken: bool,
}

const ORDER: [&str; 4] = ["loc", "lastmod", "changefreq", "priority"];

impl Pass<'_> {
    fn take(&mut self, found: Found) {
        match found {
            Found::Root(root) => self.root(&root),
            Found::Child(child) => self.child(&child),
            Found::Unescaped { line, reason } => {
                self.found.error(self.file, line, format!("not well-formed XML: {reason}"));
            }
            Found::Broken { line, reason } => {
                self.broken = true;
                self.found.error(self.file, line, format!("not well-formed XML: {reason}"));
            }
        }
    }

    fn root(&mut self, root: &Element) {
        self.index = root.name == "sitemapindex";
        if !self.index && root.name != "urlset" {
            self.found.error(
                self.file,
                root.line,
                format!("<{}> is neither <urlset> nor <sitemapindex>", root.name),
            );
        } else if root.space != Space::Sitemap {
            let message = "the namespace is not http://www.sitemaps.org/schemas/sitemap/0.9";
            self.found.error(self.file, root.line, message);
        }
    }

    fn child(&mut self, child: &Element) {
        let expected = if self.index { "sitemap" } else { "url" };
        if !child.is(Space::Sitemap, expected) {
            if child.space == Space::Sitemap || child.name == expected {
                self.found.error(
                    self.file,
                    child.line,
                    format!("<{}> where <{expected}> is expected", child.name),
                );
            }
            return;
        }
        self.entries += 1;
        if self.entries == ENTRIES_MAX + 1 {
            self.found.error(self.file, child.line, format!("more than {ENTRIES_MAX} entries in one file"));
        }
        self.order(child);
        if let Some(loc) = child.children.iter().find(|part| part.is(Space::Sitemap, "loc")) {
            self.loc(loc);
        }
        for part in child.children.iter().filter(|part| part.is(Space::Sitemap, "lastmod")) {
            self.lastmod(part);
        }
        if self.index { self.sitemap(child) } else { self.url(child) }
    }

    /// The protocol's own elements come in one order, before all others.
    fn order(&mut self, child: &Element) {
        let mut reached = 0;
        for part in &child.children {
            let place = if part.space == Space::Sitemap {
                ORDER.iter().position(|name| *name == part.name).unwrap_or(ORDER.len())
            } else {
                ORDER.len()
            };
            if place < reached {
                self.found.error(self.file, part.line, format!("<{}> comes too late; the order is loc, lastmod, changefreq, priority, then extensions", part.name));
            }
            reached = reached.max(place);
        }
    }

    fn loc(&mut self, loc: &Element) {
        let url = loc.text.trim();
        let line = loc.line;
        if self.site.is_none() {
            // The first URL says whose sitemap it is.
            self.site =
                url::Url::parse(url).ok().and_then(|url| Site::new(&url.origin().ascii_serialization()).ok());
        }
        if url.chars().count() > URL_CHARS_MAX {
            self.found.error(self.file, line, format!("a URL of more than {URL_CHARS_MAX} characters"));
        }
        if !url.contains("://") {
            self.found.error(self.file, line, format!("\"{url}\" is not an absolute URL"));
            return;
        }
        if let Some(site) = &self.site {
            match site.page(url) {
                Err(reason) => self.found.error(self.file, line, reason.to_string()),
                Ok(normal) if normal != url && url != site.origin() => {
                    self.found.warn(self.file, line, format!("the URL's normal form is {normal}"));
                }
                Ok(_) => {}
            }
        } else {
            self.found.error(self.file, line, format!("\"{url}\" is no URL"));
        }
        if (self.seen.len() as u64) < ENTRIES_MAX && !self.seen.insert(self.hasher.hash_one(url)) {
            self.found.warn(self.file, line, format!("{url} appears twice"));
        }
    }

    fn lastmod(&mut self, part: &Element) {
        let text = part.text.trim();
        match Moment::parse(text) {
            Err(reason) => self.found.error(self.file, part.line, reason.to_string()),
            Ok(moment) => {
                let zone =
                    text.ends_with('Z') || text.get(11..).is_some_and(|time| time.contains(['+', '-']));
                let w3c = match moment.precision {
                    Precision::Second | Precision::Millisecond => {
                        text.as_bytes().get(10) == Some(&b'T') && zone
                    }
                    _ => moment.to_string() == text,
                };
                if !w3c {
                    self.found.error(
                        self.file,
                        part.line,
                        format!("\"{text}\" is no W3C datetime; write {moment}"),
                    );
                } else if moment.millis > Moment::now().millis + 86_400_000 {
                    self.found.warn(self.file, part.line, format!("{text} is in the future"));
                }
            }
        }
    }

    fn url(&mut self, child: &Element) {
        if child.children.iter().any(|part| part.space == Space::News) {
            self.news += 1;
            if self.news == NEWS_MAX + 1 {
                self.found.error(self.file, child.line, format!("more than {NEWS_MAX} news in one file"));
            }
        }
        let entry = match entry_of(child) {
            Ok(entry) => entry,
            // Dates were reported as such.
            Err(problems) => {
                for (line, reason) in problems {
                    if !reason.contains("is no date") {
                        self.found.error(self.file, line, reason);
                    }
                }
                return;
            }
        };
        if let Some(site) = &self.site
            && site.page(&entry.url).is_ok()
            && let Err(reason) = check::entry(site, entry)
        {
            self.found.error(self.file, child.line, reason.to_string());
        }
    }

    fn sitemap(&mut self, child: &Element) {
        self.found.sitemaps += 1;
        let mut loc = None;
        for part in &child.children {
            match part.name.as_str() {
                "loc" if loc.is_none() => loc = Some(part),
                "loc" => self.found.error(self.file, part.line, "a second <loc>"),
                "lastmod" => {}
                other => {
                    self.found.error(self.file, part.line, format!("<{other}> is not known in an index"));
                }
            }
        }
        match loc {
            Some(loc) => self.named.push(Named { url: loc.text.trim().to_owned(), line: loc.line }),
            None => self.found.error(self.file, child.line, "the <sitemap> has no <loc>"),
        }
    }

    fn end(&mut self, bytes: u64) {
        self.found.files += 1;
        self.found.bytes += bytes;
        if !self.index {
            self.found.urls += self.entries;
        }
        if bytes > BYTES_MAX {
            self.found.error(
                self.file,
                0,
                format!("{bytes} bytes uncompressed; at most {BYTES_MAX} are read"),
            );
        }
        if self.entries == 0 && !self.broken {
            self.found.warn(self.file, 0, "it lists nothing");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn problems(body: &str) -> Vec<(u64, Severity, String)> {
        let mut verifier = Verifier::new(Some(Site::new("https://example.com").unwrap()));
        verifier.input("f", &mut body.as_bytes()).unwrap();
        verifier.found.problems.into_iter().map(|p| (p.line, p.severity, p.message)).collect()
    }

    fn urlset(entries: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" \
             xmlns:image=\"http://www.google.com/schemas/sitemap-image/1.1\">\n{entries}\n</urlset>\n"
        )
    }

    #[test]
    fn a_sitemap_that_keeps_all_rules_has_no_problem() {
        let entry = "<url>\n<loc>https://example.com/a?b=1&amp;c=%C3%BC</loc><lastmod>2026-11-21T07:00:00+01:00</lastmod>\
                     <changefreq>daily</changefreq><priority>0.5</priority>\
                     <image:image><image:loc>https://cdn.test/i.png</image:loc></image:image></url>";
        assert_eq!(problems(&urlset(entry)), []);
    }

    #[test]
    fn each_broken_rule_is_told_with_its_line() {
        for (entries, line, says) in [
            ("<url><loc>https://example.com/?a&b</loc></url>", 3, "not well-formed"),
            ("<url><loc>https://example.com/</loc>\n</urk>", 4, "not well-formed"),
            ("\n\n<url><loc>https://other.test/</loc></url>", 5, "not at https://example.com"),
            ("<url>\n<loc>/relative</loc></url>", 4, "absolute"),
            ("<url></url>", 3, "no <loc>"),
            ("<url><loc>https://example.com/</loc><lastmod>yesterday</lastmod></url>", 3, "no date"),
            ("<url><loc>https://example.com/</loc><lastmod>2026-11-21 10:00:00</lastmod></url>", 3, "W3C"),
            ("<url><loc>https://example.com/</loc>\n<priority>2</priority></url>", 4, "0.0 to 1.0"),
            ("<url><loc>https://example.com/</loc><changefreq>often</changefreq></url>", 3, "frequency"),
            ("<url><lastmod>2026</lastmod>\n<loc>https://example.com/</loc></url>", 4, "too late"),
            ("<url><loc>https://example.com/</loc><colour>red</colour></url>", 3, "not known"),
            ("<url><loc>https://example.com/</loc><loc>https://example.com/b</loc></url>", 3, "second"),
            (
                "<url><loc>https://example.com/</loc></url>\n<url><loc>https://example.com/</loc></url>",
                4,
                "twice",
            ),
            ("<url><loc>https://example.com/\u{1}</loc></url>", 3, "U+0001"),
            ("<url><loc>https://example.com/&nbsp;</loc></url>", 3, "nbsp"),
            ("<url><loc>https://example.com/</loc><image:image></image:image></url>", 3, "image 1"),
            ("<url><loc>https://example.com/</loc><video:video/></url>", 3, "not declared"),
            ("<sitemap><loc>https://example.com/</loc></sitemap>", 3, "where <url>"),
            ("text", 2, "outside of any entry"),
        ] {
            let found = problems(&urlset(entries));
            let hit = found.iter().any(|(at, _, message)| *at == line && message.contains(says));
            assert!(hit, "{entries}: {found:?}");
        }
        for (file, says) in [
            ("", "no element"),
            ("<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">", "ends before"),
            ("<urlset><url><loc>https://example.com/</loc></url></urlset>", "namespace"),
            ("<!DOCTYPE urlset [<!ENTITY a \"b\">]><urlset/>", "DOCTYPE"),
            ("<?xml version=\"1.0\" encoding=\"latin1\"?><urlset/>", "UTF-8"),
            ("<html/>", "neither"),
        ] {
            let found = problems(file);
            assert!(found.iter().any(|(.., message)| message.contains(says)), "{file}: {found:?}");
        }
        let long = format!("<url><loc>https://example.com/{}</loc></url>", "a".repeat(2048));
        assert!(problems(&urlset(&long))[0].2.contains("2048"));
    }

    #[test]
    fn one_entry_too_many_is_noticed() {
        let mut entries = String::new();
        for number in 0..=ENTRIES_MAX {
            entries.push_str(&format!("<url><loc>https://example.com/{number}</loc></url>\n"));
        }
        let found = problems(&urlset(&entries));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, ENTRIES_MAX + 3);
    }
}
