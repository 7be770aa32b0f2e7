//! Publication to a directory that a web server serves, or to an object store.
//!
//! Invariants, whatever happens in between: a name of a sitemap always shows a whole file, the old one or
//! the new one; an index names only files that are there; files that nothing names go last. A fragment that
//! did not change is not written again, so its file keeps its date.
//!
//! Every file is made aside and then shown at once: fragments first, then the index, then a list of what was
//! published (`.luminosity.json`), then what is not needed any more is removed. Memory: a block and a write
//! buffer per thread.

mod directory;
mod objects;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, FragmentInfo};
use crate::error::{Error, Result};
use crate::render;
use directory::Directory;
pub use objects::Objects;
use objects::Uploads;

/// Where a publication goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A directory of this machine.
    Directory(PathBuf),
    /// An object store.
    Objects(Objects),
}

impl From<PathBuf> for Destination {
    fn from(directory: PathBuf) -> Self {
        Self::Directory(directory)
    }
}

impl From<Objects> for Destination {
    fn from(objects: Objects) -> Self {
        Self::Objects(objects)
    }
}

/// What is published, and how.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where to.
    pub destination: Destination,
    /// The name of the sitemap or index; fragments are named after it.
    pub filename: String,
    /// Whether fragments are compressed.
    pub gzip: bool,
    /// The URL of the directory; the site's root if not given.
    pub url: Option<String>,
    /// The text of `robots.txt`, if there shall be one.
    pub robots: Option<String>,
    /// Threads that render and compress; one per processor if not given.
    pub threads: Option<usize>,
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
}

impl Publication {
    /// `sitemap.xml` and its fragments to a directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::to(Destination::Directory(directory.into()))
    }

    /// `sitemap.xml` and its fragments to a directory or an object store.
    pub fn to(destination: impl Into<Destination>) -> Self {
        Self {
            destination: destination.into(),
            filename: "sitemap.xml".to_owned(),
            gzip: false,
            url: None,
            robots: None,
            threads: None,
            dry_run: false,
        }
    }
}

/// What a publication did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Listed URLs.
    pub urls: u64,
    /// Fragments there are.
    pub fragments: u64,
    /// Files written, the index among them.
    pub written: Vec<String>,
    /// Fragments that had not changed.
    pub kept: u64,
    /// Files removed.
    pub removed: Vec<String>,
    /// Bytes written.
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, Listed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    tag: String,
    bytes: u64,
}

const MANIFEST: &str = ".luminosity.json";

/// Shows a sitemap to people.
pub(crate) const STYLESHEET: &str = include_str!("sitemap.xsl");

/// The name of a fragment's file.
pub(crate) fn fragment_name(filename: &str, number: u32, gzip: bool) -> String {
    let stem = filename.strip_suffix(".xml").unwrap_or(filename);
    format!("{stem}-{number}.xml{}", if gzip { ".gz" } else { "" })
}

/// Writes the index of these fragments.
pub(crate) fn write_index(
    fragments: &[FragmentInfo],
    url_of: &dyn Fn(u32) -> String,
    stylesheet: Option<&str>,
) -> Vec<u8> {
    let mut xml = Vec::with_capacity(fragments.len() * 120 + 256);
    render::index_head(stylesheet, &mut xml);
    for info in fragments {
        render::index_entry(&url_of(info.number), info.changed, &mut xml);
    }
    xml.extend_from_slice(render::INDEX_FOOT.as_bytes());
    xml
}

/// A sitemap of nothing.
pub(crate) fn empty_sitemap(stylesheet: Option<&str>) -> Vec<u8> {
    let mut xml = Vec::new();
    render::fragment_head(0, stylesheet, &mut xml);
    xml.extend_from_slice(render::FRAGMENT_FOOT.as_bytes());
    xml
}

impl Engine {
    /// Publishes what there is now.
    ///
    /// # Errors
    /// [`Error::Settings`] when another process publishes there or the name is no file name; what the file
    /// system says.
    pub fn publish(&self, publication: &Publication) -> Result<Published> {
        self.publish_with(publication, &|_, _| {})
    }

    /// [`Engine::publish`], telling how many fragments are done, of how many.
    ///
    /// # Errors
    /// As [`Engine::publish`].
    pub fn publish_with(
        &self,
        publication: &Publication,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Published> {
        let name = &publication.filename;
        if name.strip_suffix(".xml").is_none_or(str::is_empty)
            || name.starts_with('.')
            || name.contains(['/', '\\'])
        {
            return Err(Error::Settings(format!(
                "\"{name}\" is no name for a sitemap; use one like sitemap.xml"
            )));
        }
        match &publication.destination {
            Destination::Directory(directory) => self.publish_to(
                publication,
                &Directory::new(Arc::clone(&self.inner.vfs), directory),
                progress,
            ),
            Destination::Objects(objects) => self.publish_to(publication, &Uploads::new(objects)?, progress),
        }
    }

    fn publish_to(
        &self,
        publication: &Publication,
        target: &dyn Target,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Published> {
        if publication.dry_run {
            return Job::new(self, publication, target)?.plan();
        }
        let _held = target.begin()?;
        Job::new(self, publication, target)?.run(progress)
    }
}

/// Writes the content of a file.
type Content<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Where files are shown.
trait Target: Sync {
    /// Makes it ready; what is given back keeps others from publishing there.
    fn begin(&self) -> Result<Box<dyn Send>>;
    /// A small file; `None` when there is none.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// How long the file with this name is, if there is one.
    fn length(&self, name: &str) -> Option<u64>;
    /// Shows a file at once and as a whole, in place of what had its name. Returns its bytes.
    fn put(&self, name: &str, content: Content<'_>) -> Result<u64>;
    /// Makes what was put and removed last.
    fn settle(&self) -> Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> Result<()>;
}

/// One publication.
struct Job<'a> {
    engine: &'a Engine,
    publication: &'a Publication,
    target: &'a dyn Target,
    snapshot: lightning::Snapshot,
    fragments: Vec<FragmentInfo>,
    before: Manifest,
    url: String,
}

impl<'a> Job<'a> {
    fn new(engine: &'a Engine, publication: &'a Publication, target: &'a dyn Target) -> Result<Self> {
        let snapshot = engine.snapshot();
        let mut fragments = engine.fragments_at(&snapshot)?;
        fragments.retain(|info| info.listed > 0);
        let url = match &publication.url {
            Some(url) => engine.site().page(&format!("{}/", url.trim_end_matches('/')))?,
            None => format!("{}/", engine.site().origin()),
        };
        // Of a list that can't be read, everything is written anew.
        let before =
            target.read(MANIFEST)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Ok(Self { engine, publication, target, snapshot, fragments, before, url })
    }

    /// Whether the one fragment is the sitemap itself, without an index.
    fn is_single(&self) -> bool {
        !self.publication.gzip && self.fragments.len() == 1
    }

    fn name(&self, number: u32) -> String {
        if self.is_single() {
            self.publication.filename.clone()
        } else {
            fragment_name(&self.publication.filename, number, self.publication.gzip)
        }
    }

    fn index(&self) -> Option<Vec<u8>> {
        let stylesheet = self.engine.settings().stylesheet.as_deref();
        match self.fragments.len() {
            0 => Some(empty_sitemap(stylesheet)),
            1 if self.is_single() => None,
            _ => {
                let url_of = |number| format!("{}{}", self.url, self.name(number));
                Some(write_index(&self.fragments, &url_of, stylesheet))
            }
        }
    }

    /// What is written after the fragments; the index comes first.
    fn small_files(&self) -> Vec<(&str, Vec<u8>)> {
        let index = self.index().map(|index| (self.publication.filename.as_str(), index));
        let robots = self.publication.robots.as_ref().map(|text| ("robots.txt", text.clone().into_bytes()));
        let wanted =
            self.engine.settings().stylesheet.as_ref().is_some_and(|path| path.ends_with("/sitemap.xsl"));
        let stylesheet = wanted.then(|| ("sitemap.xsl", STYLESHEET.as_bytes().to_vec()));
        index.into_iter().chain(robots).chain(stylesheet).collect()
    }

    fn is_there(&self, name: &str, tag: &str) -> bool {
        let listed = self.before.files.get(name).filter(|listed| listed.tag == tag);
        listed.is_some_and(|listed| self.target.length(name) == Some(listed.bytes))
    }

    fn summary(&self) -> Published {
        Published {
            urls: self.fragments.iter().map(|info| u64::from(info.listed)).sum(),
            fragments: self.fragments.len() as u64,
            ..Published::default()
        }
    }

    fn plan(&self) -> Result<Published> {
        let mut published = self.summary();
        for info in &self.fragments {
            let Some(fragment) = self.engine.fragment_at(&self.snapshot, info.number)? else { continue };
            let name = self.name(info.number);
            if self.is_there(&name, &fragment.tag()) {
                published.kept += 1;
            } else {
                published.written.push(name);
            }
        }
        for (name, text) in self.small_files() {
            if !self.is_there(name, &format!("text-{:x}", crc32fast::hash(&text))) {
                published.written.push(name.to_owned());
            }
        }
        Ok(published)
    }

    fn run(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Published> {
        let mut published = self.summary();
        let mut manifest = Manifest::default();
        for (name, listed, fresh) in self.write_fragments(progress)? {
            if fresh {
                published.bytes += listed.bytes;
                published.written.push(name.clone());
            } else {
                published.kept += 1;
            }
            manifest.files.insert(name, listed);
        }
        // The new names must be durable before something durable names them.
        self.target.settle()?;
        for (name, text) in self.small_files() {
            let listed =
                Listed { tag: format!("text-{:x}", crc32fast::hash(&text)), bytes: text.len() as u64 };
            if !self.is_there(name, &listed.tag) {
                published.bytes += self.target.put(name, &mut |out| out.write_all(&text))?;
                self.target.settle()?;
                published.written.push(name.to_owned());
            }
            manifest.files.insert(name.to_owned(), listed);
        }
        if manifest != self.before {
            let json = serde_json::to_vec(&manifest).map_err(|error| Error::Settings(error.to_string()))?;
            self.target.put(MANIFEST, &mut |out| out.write_all(&json))?;
            self.target.settle()?;
        }
        for name in self.before.files.keys().filter(|name| !manifest.files.contains_key(*name)) {
            if self.target.length(name).is_some() {
                self.target.remove(name)?;
                published.removed.push(name.clone());
            }
        }
        if !published.removed.is_empty() {
            self.target.settle()?;
        }
        Ok(published)
    }

    /// Writes the fragments that changed; says of each whether it was written.
    fn write_fragments(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Vec<(String, Listed, bool)>> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.publication.threads.unwrap_or(processors).clamp(1, self.fragments.len().max(1));
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(self.fragments.len()));
        let work = || -> Result<()> {
            while let Some(info) = self.fragments.get(next.fetch_add(1, Ordering::Relaxed)) {
                let written = self.write_fragment(info.number)?;
                let count = {
                    let mut done = done.lock();
                    done.extend(written);
                    done.len()
                };
                progress(count as u64, self.fragments.len() as u64);
            }
            Ok(())
        };
        if threads == 1 {
            work()?;
        } else {
            std::thread::scope(|scope| {
                let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
                let mut result = work();
                for other in others {
                    result = result.and(other.join().unwrap_or(Err(Error::Closed)));
                }
                result
            })?;
        }
        let mut done = done.into_inner();
        done.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(done)
    }

    fn write_fragment(&self, number: u32) -> Result<Option<(String, Listed, bool)>> {
        let Some(fragment) = self.engine.fragment_at(&self.snapshot, number)? else { return Ok(None) };
        let (name, tag) = (self.name(number), fragment.tag());
        if let Some(listed) = self.before.files.get(&name).filter(|_| self.is_there(&name, &tag)) {
            return Ok(Some((name, listed.clone(), false)));
        }
        let bytes = self.target.put(&name, &mut |out| {
            if self.publication.gzip { fragment.write_gzip(out) } else { fragment.write_plain(out) }
        })?;
        Ok(Some((name, Listed { tag, bytes }, true)))
    }
}
