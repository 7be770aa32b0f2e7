//! Reading sitemaps that others wrote, element by element, with line numbers.
//!
//! Used to import them and to verify them. One `<url>` is in memory at a time, and none may be larger than
//! [`ELEMENT_BYTES_MAX`].

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use crate::engine::Change;
use crate::entry::{Alternate, ChangeFreq, Entry, Image, News, Priority, Publication, Video};
use crate::error::{Error, Result};
use crate::import::{ImportProgress, Sink};
use crate::moment::Moment;
use crate::record::{ENTRY_XML_BYTES_MAX, Prepared, Scratch};
use crate::site::Site;
use crate::text;

const ELEMENT_BYTES_MAX: usize = 2 * ENTRY_XML_BYTES_MAX;
const DEPTH_MAX: usize = 16;

/// Whose element it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Sitemap,
    Image,
    Video,
    News,
    Xhtml,
    Other,
}

impl Space {
    fn of(uri: &[u8]) -> Self {
        match uri {
            b"http://www.sitemaps.org/schemas/sitemap/0.9" => Self::Sitemap,
            b"http://www.google.com/schemas/sitemap-image/1.1" => Self::Image,
            b"http://www.google.com/schemas/sitemap-video/1.1" => Self::Video,
            b"http://www.google.com/schemas/sitemap-news/0.9" => Self::News,
            b"http://www.w3.org/1999/xhtml" => Self::Xhtml,
            _ => Self::Other,
        }
    }
}

/// An element with what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) space: Space,
    pub(crate) name: String,
    pub(crate) line: u64,
    pub(crate) text: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
}

impl Element {
    pub(crate) fn is(&self, space: Space, name: &str) -> bool {
        self.space == space && self.name == name
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is found, in the order of the file.
#[derive(Debug)]
pub(crate) enum Found {
    /// The outermost element.
    Root(Element),
    /// A child of it.
    Child(Element),
    /// An `&` that stands for itself, which XML does not allow; it is read as it was meant.
    Unescaped { line: u64, reason: String },
    /// The XML is not well-formed here; nothing follows.
    Broken { line: u64, reason: String },
}

impl Found {
    fn unescaped(line: u64) -> Step {
        Step::Found(Self::Unescaped { line, reason: "& must be written as &amp;".to_owned() })
    }
}

/// Counts the lines and bytes that were consumed.
struct Counted<R> {
    inner: BufReader<R>,
    line: u64,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(out.len());
        out[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        let consumed = self.inner.buffer().get(..amount).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', consumed).count() as u64;
        self.bytes += amount as u64;
        self.inner.consume(amount);
    }
}

/// Reads a sitemap or an index; `each` gets what is found and the bytes read so far. Returns the bytes.
pub(crate) fn read(
    input: &mut (dyn Read + Send),
    each: &mut dyn FnMut(Found, u64) -> Result<()>,
) -> Result<u64> {
    let mut reader = NsReader::from_reader(Counted {
        inner: BufReader::with_capacity(64 << 10, input),
        line: 1,
        bytes: 0,
    });
    let config = reader.config_mut();
    config.check_end_names = true;
    config.check_comments = true;
    config.expand_empty_elements = true;
    config.allow_dangling_amp = true;
    let mut parser = Parser::default();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let line = reader.get_ref().line;
        let step = match reader.read_resolved_event_into(&mut buffer) {
            Ok((space, event)) => {
                let space = match space {
                    ResolveResult::Bound(namespace) => Ok(Space::of(namespace.as_ref())),
                    ResolveResult::Unbound => Ok(Space::Other),
                    ResolveResult::Unknown(prefix) => {
                        Err(format!("the prefix \"{}\" is not declared", String::from_utf8_lossy(&prefix)))
                    }
                };
                parser.event(event, space, line)
            }
            Err(quick_xml::Error::Io(error)) => {
                // Damaged gzip ends up here too.
                Err(format!("the input can't be read on: {error}"))
            }
            Err(error) => Err(error.to_string()),
        };
        let bytes = reader.get_ref().bytes;
        match step {
            Ok(Step::More) => {}
            Ok(Step::Found(found)) => each(found, bytes)?,
            Ok(Step::End) => return Ok(bytes),
            Err(reason) => {
                each(Found::Broken { line, reason }, bytes)?;
                return Ok(bytes);
            }
        }
    }
}

enum Step {
    More,
    Found(Found),
    End,
}

#[derive(Default)]
struct Parser {
    rooted: bool,
    closed: bool,
    /// Elements below the root that are open.
    open: Vec<Element>,
    bytes: usize,
}

impl Parser {
    fn event(&mut self, event: Event<'_>, space: Result<Space, String>, line: u64) -> Result<Step, String> {
        match event {
            Event::Start(start) => self.start(&start, space?, line),
            Event::End(_) => Ok(self.end()),
            Event::Empty(_) => Err("an empty element was not expanded".to_owned()),
            Event::Text(found) => {
                let decoded = found.decode().map_err(|error| error.to_string())?;
                if decoded.contains("]]>") {
                    return Err("\"]]>\" must be written as \"]]&gt;\"".to_owned());
                }
                let meant = decoded.contains('&');
                let step = self.text(&decoded)?;
                Ok(if meant { Found::unescaped(line) } else { step })
            }
            Event::CData(found) => self.text(&found.decode().map_err(|error| error.to_string())?),
            Event::GeneralRef(name) => {
                let name = name.decode().map_err(|error| error.to_string())?;
                match resolve(&name) {
                    Ok(character) => self.text(character.encode_utf8(&mut [0; 4])),
                    Err(reason) if !name.starts_with('#') => {
                        self.text(&format!("&{name};"))?;
                        Ok(Step::Found(Found::Unescaped { line, reason }))
                    }
                    Err(reason) => Err(reason),
                }
            }
            Event::Decl(declaration) => {
                if self.rooted {
                    return Err("the XML declaration must come first".to_owned());
                }
                match declaration.encoding() {
                    Some(Ok(encoding)) if !encoding.eq_ignore_ascii_case(b"utf-8") => {
                        let encoding = String::from_utf8_lossy(&encoding).into_owned();
                        Err(format!("the encoding is {encoding}; the protocol asks for UTF-8"))
                    }
                    Some(Err(error)) => Err(error.to_string()),
                    _ => Ok(Step::More),
                }
            }
            Event::DocType(_) => Err("a DOCTYPE has no place in a sitemap".to_owned()),
            Event::Comment(_) | Event::PI(_) => Ok(Step::More),
            Event::Eof if self.closed => Ok(Step::End),
            Event::Eof if self.rooted => Err("the file ends before its elements do".to_owned()),
            Event::Eof => Err("there is no element in the file".to_owned()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, space: Space, line: u64) -> Result<Step, String> {
        let name = utf8(start.local_name().as_ref())?;
        let (mut attributes, mut unescaped) = (Vec::new(), false);
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = utf8(&attribute.value)?;
            if value.contains('<') {
                return Err("\"<\" in an attribute must be written as \"&lt;\"".to_owned());
            }
            let (value, meant) = unescape(&value)?;
            unescaped |= meant;
            text::check(&value).map_err(|reason| reason.to_string())?;
            attributes.push((utf8(attribute.key.local_name().as_ref())?, value));
        }
        let element = Element { space, name, line, text: String::new(), attributes, children: Vec::new() };
        if self.closed {
            return Err("a second outermost element".to_owned());
        }
        if !self.rooted {
            self.rooted = true;
            return Ok(Step::Found(Found::Root(element)));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("elements are nested deeper than {DEPTH_MAX}"));
        }
        self.grow(start.len() + size_of::<Element>())?;
        self.open.push(element);
        Ok(if unescaped { Found::unescaped(line) } else { Step::More })
    }

    fn grow(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes <= ELEMENT_BYTES_MAX {
            return Ok(());
        }
        Err(format!("one element of the sitemap has more than {ELEMENT_BYTES_MAX} bytes"))
    }

    fn end(&mut self) -> Step {
        let Some(element) = self.open.pop() else {
            self.closed = true;
            return Step::More;
        };
        if let Some(parent) = self.open.last_mut() {
            parent.children.push(element);
            return Step::More;
        }
        self.bytes = 0;
        Step::Found(Found::Child(element))
    }

    fn text(&mut self, found: &str) -> Result<Step, String> {
        text::check(found).map_err(|reason| reason.to_string())?;
        if let Some(open) = self.open.last_mut() {
            open.text.push_str(found);
            self.grow(found.len())?;
        } else if !found.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty() {
            let shown: String = found.trim().chars().take(40).collect();
            return Err(format!("the text \"{shown}\" is outside of any entry"));
        }
        Ok(Step::More)
    }
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "the file is not UTF-8".to_owned())
}

fn resolve(name: &str) -> Result<char, String> {
    Ok(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = match name.strip_prefix('#') {
                Some(number) => number
                    .strip_prefix('x')
                    .map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok()),
                None => return Err(format!("the entity &{name}; is not known; write & as &amp;")),
            };
            number.and_then(char::from_u32).ok_or_else(|| format!("&{name}; is no character"))?
        }
    })
}

/// The text of an attribute, and whether an `&` in it stands for itself.
fn unescape(value: &str) -> Result<(String, bool), String> {
    let mut out = String::with_capacity(value.len());
    let (mut rest, mut meant) = (value, false);
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        match after.split_once(';').map(|(name, after)| (name, resolve(name), after)) {
            Some((_, Ok(character), after)) => {
                out.push(character);
                rest = after;
            }
            Some((name, Err(reason), _)) if name.starts_with('#') => return Err(reason),
            _ => {
                out.push('&');
                (rest, meant) = (after, true);
            }
        }
    }
    out.push_str(rest);
    Ok((out, meant))
}

/// Reads the entry of a `<url>`. Every problem is told with its line.
pub(crate) fn entry_of(url: &Element) -> Result<Entry, Vec<(u64, String)>> {
    let mut entry = Entry::default();
    let mut seen = HashSet::new();
    let mut problems = Vec::new();
    for child in &url.children {
        if child.space == Space::Sitemap && !seen.insert(child.name.as_str()) {
            problems.push((child.line, format!("a second <{}>", child.name)));
        } else if let Err(problem) = take(&mut entry, child) {
            problems.push(problem);
        }
    }
    if !seen.contains("loc") {
        problems.push((url.line, "the <url> has no <loc>".to_owned()));
    }
    if problems.is_empty() { Ok(entry) } else { Err(problems) }
}

fn take(entry: &mut Entry, child: &Element) -> Result<(), (u64, String)> {
    let text = child.text.trim();
    let failed = |reason: String| (child.line, reason);
    match (child.space, child.name.as_str()) {
        (Space::Sitemap, "loc") => text.clone_into(&mut entry.url),
        (Space::Sitemap, "lastmod") => entry.lastmod = Some(moment(child)?),
        (Space::Sitemap, "changefreq") => {
            let freq = ChangeFreq::parse(text);
            entry.changefreq =
                Some(freq.ok_or_else(|| failed(format!("\"{text}\" is no change frequency")))?);
        }
        (Space::Sitemap, "priority") => {
            let number = text.parse().map_err(|_| failed(format!("priority \"{text}\" is no number")))?;
            entry.priority = Some(Priority::new(number).map_err(|reason| failed(reason.to_string()))?);
        }
        (Space::Image, "image") => entry.images.push(image(child)?),
        (Space::Video, "video") => entry.videos.push(video(child)?),
        (Space::News, "news") => entry.news = Some(news(child)?),
        (Space::Xhtml, "link") => {
            let (lang, href) = (child.attribute("hreflang"), child.attribute("href"));
            let (Some(lang), Some(href)) = (lang, href) else {
                return Err(failed("a link needs hreflang and href".to_owned()));
            };
            entry.alternates.push(Alternate { lang: lang.to_owned(), url: href.to_owned() });
        }
        _ => return Err(failed(format!("<{}> is not known here", child.name))),
    }
    Ok(())
}

fn moment(element: &Element) -> Result<Moment, (u64, String)> {
    Moment::parse(&element.text).map_err(|reason| (element.line, reason.to_string()))
}

fn unknown<T>(child: &Element) -> Result<T, (u64, String)> {
    Err((child.line, format!("<{}> is not known here", child.name)))
}

fn image(element: &Element) -> Result<Image, (u64, String)> {
    let mut image = Image::default();
    for child in &element.children {
        let text = child.text.trim().to_owned();
        match child.name.as_str() {
            "loc" => image.url = text,
            "title" => image.title = Some(text),
            "caption" => image.caption = Some(text),
            "license" => image.license = Some(text),
            "geo_location" => image.geo_location = Some(text),
            _ => return unknown(child),
        }
    }
    Ok(image)
}

fn number<T: std::str::FromStr>(element: &Element) -> Result<T, (u64, String)> {
    let text = element.text.trim();
    text.parse().map_err(|_| {
        (element.line, format!("<{}> holds \"{text}\", which is no number for it", element.name))
    })
}

fn yes(element: &Element) -> Result<bool, (u64, String)> {
    match element.text.trim().to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err((element.line, format!("<{}> holds \"{other}\", not yes or no", element.name))),
    }
}

fn video(element: &Element) -> Result<Video, (u64, String)> {
    let mut video = Video::default();
    for child in &element.children {
        let text = child.text.trim().to_owned();
        match child.name.as_str() {
            "thumbnail_loc" => video.thumbnail_loc = text,
            "title" => video.title = text,
            "description" => video.description = text,
            "content_loc" => video.content_loc = Some(text),
            "player_loc" => video.player_loc = Some(text),
            "duration" => video.duration = Some(number(child)?),
            "expiration_date" => video.expiration_date = Some(moment(child)?),
            "rating" => video.rating = Some(number(child)?),
            "view_count" => video.view_count = Some(number(child)?),
            "publication_date" => video.publication_date = Some(moment(child)?),
            "tag" => video.tags.push(text),
            "category" => video.category = Some(text),
            "family_friendly" => video.family_friendly = Some(yes(child)?),
            "requires_subscription" => video.requires_subscription = Some(yes(child)?),
            "uploader" => video.uploader = Some(text),
            "live" => video.live = Some(yes(child)?),
            _ => return unknown(child),
        }
    }
    Ok(video)
}

fn news(element: &Element) -> Result<News, (u64, String)> {
    let mut publication = None;
    let (mut date, mut title, mut keywords) = (None, String::new(), None);
    for child in &element.children {
        match child.name.as_str() {
            "publication" => {
                let part = |name: &str| {
                    let found = child.children.iter().find(|part| part.name == name);
                    found.map_or_else(String::new, |part| part.text.trim().to_owned())
                };
                publication = Some(Publication { name: part("name"), language: part("language") });
            }
            "publication_date" => date = Some(moment(child)?),
            "title" => child.text.trim().clone_into(&mut title),
            "keywords" => keywords = Some(child.text.trim().to_owned()),
            _ => return unknown(child),
        }
    }
    let needed = |what: &str| (element.line, format!("the news has no <{what}>"));
    Ok(News {
        publication: publication.ok_or_else(|| needed("news:publication"))?,
        publication_date: date.ok_or_else(|| needed("news:publication_date"))?,
        title,
        keywords,
    })
}

/// Imports a sitemap.
pub(crate) fn import(
    site: &Site,
    input: &mut (dyn Read + Send),
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<()> {
    let mut scratch = Scratch::for_many();
    let mut reached = ImportProgress::default();
    read(input, &mut |found, bytes| {
        match found {
            Found::Root(root) if root.name == "sitemapindex" => {
                return Err(Error::Settings(
                    "this is an index; import the sitemaps it names, one by one".to_owned(),
                ));
            }
            Found::Root(root) if root.name != "urlset" => {
                return Err(Error::Settings(format!("<{}> is no sitemap; <urlset> is", root.name)));
            }
            Found::Root(_) => {}
            Found::Child(element) => {
                reached.lines += 1;
                match entry_of(&element) {
                    Ok(entry) => {
                        let prepared = Prepared::new(site, entry, &mut scratch);
                        let change =
                            prepared.map(|found| Some(Change::List(found))).map_err(|why| why.to_string());
                        sink.push(element.line, change)?;
                    }
                    Err(problems) => {
                        // One entry is one rejection.
                        if let Some((line, reason)) = problems.into_iter().next() {
                            sink.reject(line, reason);
                        }
                    }
                }
            }
            Found::Unescaped { .. } => {}
            Found::Broken { line, reason } => sink.reject(line, reason),
        }
        reached.bytes = bytes;
        if reached.lines % 1024 == 0 {
            progress(reached);
        }
        Ok(())
    })
    .map(drop)
}
