//! The engine: a store of entries that is always ready to be served.
//!
//! Invariants: what [`Engine::add`] and [`Engine::remove`] acknowledged survives a power loss and shows in
//! the next fragment that is asked for; a URL stays in its fragment; a change makes only the fragment it
//! touches new. Readers take no lock that a writer holds while it waits for the disk.

mod layout;
mod read;
mod seen;
mod slots;
mod writer;

use std::path::Path;
use std::sync::Arc;

use lightning::{Compression, Database, Direction, Durability, Keyspace, KeyspaceOptions, Options, Readable};
use luma_vfs::{RealDisk, Vfs};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Redirect};
use crate::error::{Error, Invalid, Result};
use crate::pieces::Pieces;
use crate::record::{Prepared, Scratch, View};
use crate::site::Site;
pub(crate) use layout::{BLOCK_SLOTS, Block};
use layout::{pair, unpair};
pub use read::{Entries, EntriesByUrl, FragmentInfo};
pub(crate) use seen::Seen;
use slots::{FRAGMENT_BYTES_MAX, Fragment, Slots};
pub(crate) use writer::Change;
use writer::Writer;

/// How an engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The site, such as `https://example.com`. Empty means that of the store, which must exist then.
    pub base_url: String,
    /// Other hosts whose URLs may be listed.
    pub hosts: Vec<String>,
    /// Entries of one fragment: from 1 to 50,000, which is the default. Fixed when the store is made.
    pub entries_per_fragment: Option<u32>,
    /// Bytes of compressed fragments kept in memory.
    pub cache_bytes: usize,
    /// Bytes of memory the store uses for what is not in tables yet.
    pub write_buffer_bytes: usize,
    /// Effort of compression, from 1 to 9.
    pub gzip_level: u32,
    /// The path of an XSL stylesheet for people who open a sitemap.
    pub stylesheet: Option<String>,
}

impl Settings {
    /// The defaults, for the site at a base URL.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            hosts: Vec::new(),
            entries_per_fragment: None,
            cache_bytes: 64 << 20,
            write_buffer_bytes: 3 << 20,
            gzip_level: 6,
            stylesheet: None,
        }
    }
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The URL is new.
    Added,
    /// It was there, and something about it changed.
    Updated,
    /// It was there, exactly so.
    Unchanged,
    /// It is gone.
    Removed,
    /// There was nothing to remove.
    Absent,
    /// It came before in the list that is imported, and nothing was changed.
    Repeated,
}

/// An entry that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Its place in what was given, from 0; of files the line, from 1.
    pub at: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What became of many changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// New URLs.
    pub added: u64,
    /// Known URLs with something new.
    pub updated: u64,
    /// Known URLs with nothing new.
    pub unchanged: u64,
    /// Removed URLs.
    pub removed: u64,
    /// URLs to remove that were not there.
    pub absent: u64,
    /// How many were not taken.
    pub rejected: u64,
    /// The first of them.
    pub rejects: Vec<Rejected>,
}

/// Rejects that a [`Summary`] lists.
pub const REJECTS_LISTED: usize = 1000;

impl Summary {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Added => &mut self.added,
            Outcome::Updated => &mut self.updated,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Removed => &mut self.removed,
            Outcome::Absent => &mut self.absent,
            Outcome::Repeated => &mut self.rejected,
        } += 1;
    }

    pub(crate) fn reject(&mut self, at: u64, reason: String) {
        self.rejected += 1;
        if self.rejects.len() < REJECTS_LISTED {
            self.rejects.push(Rejected { at, reason });
        }
    }
}

/// What becomes of a page that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectPolicy {
    /// The old URL goes; the new one takes its place.
    Remove,
    /// Both stay listed.
    Keep,
    /// The old URL is kept with a mark and not listed; the new one is.
    Mark,
}

/// What an engine holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EngineStats {
    /// Entries.
    pub urls: u64,
    /// Entries that appear in the sitemap.
    pub listed: u64,
    /// Fragments with something in them.
    pub fragments: u64,
    /// Bytes of all fragments, uncompressed.
    pub xml_bytes: u64,
    /// Bytes of tables on disk.
    pub disk_bytes: u64,
    /// Bytes of log on disk.
    pub log_bytes: u64,
    /// Bytes of compressed fragments in memory.
    pub cached_bytes: u64,
    /// Tables that wait to be merged into one level.
    pub unmerged_tables: u64,
}

/// The keyspaces.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) database: Database,
    pub(crate) urls: Keyspace,
    pub(crate) entries: Keyspace,
    pub(crate) blocks: Keyspace,
    pub(crate) sourced: Keyspace,
}

pub(crate) struct Inner {
    pub(crate) site: Site,
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) pieces: Pieces,
    pub(crate) vfs: Arc<dyn Vfs>,
    writer: Mutex<Writer>,
}

/// A sitemap engine. Clones share it; the last one closes the store.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

/// What is kept of the settings, because entries depend on it.
#[derive(Serialize, Deserialize)]
struct Kept {
    origin: String,
    entries_per_fragment: u32,
}

const SETTINGS: &[u8] = b"settings";
/// Changes that are committed together when many come.
const BATCH: usize = 4096;
/// So far the version is moved when a store is opened, past whatever a crash took.
const VERSION_STEP: u64 = 1 << 32;

impl Engine {
    /// Opens the store in a directory, or makes one there.
    ///
    /// # Errors
    /// [`Error::Store`] with [`lightning::Error::Locked`] when another process has it; [`Error::Settings`]
    /// when the settings can't be used, or the store was made for another site.
    pub fn open(directory: impl AsRef<Path>, settings: Settings) -> Result<Self> {
        Self::open_with_vfs(Arc::new(RealDisk), directory, settings, true)
    }

    /// Opens a store whose files are behind `vfs`. Without threads, changes do the work of flushes and merges.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with_vfs(
        vfs: Arc<dyn Vfs>,
        directory: impl AsRef<Path>,
        settings: Settings,
        threads: bool,
    ) -> Result<Self> {
        let mut settings = settings;
        if settings.entries_per_fragment.is_some_and(|entries| !(1..=50_000).contains(&entries)) {
            return Err(Error::Settings("entries per fragment: the protocol allows 1 to 50000".to_owned()));
        }
        if !settings.base_url.is_empty() {
            // A typing error must not leave a directory behind.
            Site::with_hosts(&settings.base_url, &settings.hosts)?;
        }
        if !(1..=9).contains(&settings.gzip_level) {
            return Err(Error::Settings(format!("gzip level {} is not from 1 to 9", settings.gzip_level)));
        }
        let buffer = settings.write_buffer_bytes.max(64 << 10);
        if settings.stylesheet.as_ref().is_some_and(|path| path.len() > 512) {
            return Err(Error::Settings("the path of the stylesheet is longer than 512 bytes".to_owned()));
        }
        let options = Options {
            cache_bytes: buffer / 2,
            memtable_bytes: buffer / 2,
            write_buffer_bytes: buffer,
            max_wal_bytes: (buffer * 4) as u64,
            wal_segment_bytes: buffer as u64,
            table_bytes: buffer as u64,
            level_bytes: (buffer * 8) as u64,
            level0_tables: 8,
            // Half as many keys in the indexes of tables.
            block_bytes: 8192,
            // The cache is small, and so are the parts of indexes and filters that share it with blocks.
            index_part_bytes: 8192,
            // A quarter of an import's processor time, for half of the disk's bytes.
            compression: Compression::None,
            background_threads: usize::from(threads),
            ..Options::default()
        };
        let log_bytes_max = options.max_wal_bytes;
        let database = Database::open_with_vfs(Arc::clone(&vfs), directory, options)?;
        if database.stats().wal_bytes > log_bytes_max {
            // Every process begins a segment of its own; many short ones would leave many behind.
            database.flush()?;
        }
        let keyspace = |name: &str| {
            database
                .keyspace(name)
                .map_or_else(|| database.create_keyspace(name, KeyspaceOptions::default()), Ok)
        };
        let (urls, entries, blocks) = (keyspace("urls")?, keyspace("entries")?, keyspace("blocks")?);
        let sourced = keyspace("sourced")?;
        let entries_max = keep_settings(&database, &keyspace("settings")?, &mut settings)?;
        let site = Site::with_hosts(&settings.base_url, &settings.hosts)?;
        let store = Store { database, urls, entries, blocks, sourced };
        let writer = store.load_writer(entries_max)?;
        let pieces = Pieces::new(settings.cache_bytes, settings.gzip_level);
        let inner = Inner { site, settings, store, pieces, vfs, writer: Mutex::new(writer) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.inner.site
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Adds an entry or replaces the one with its URL; durable and visible on return.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the entry breaks a rule; then nothing was changed.
    pub fn add(&self, entry: Entry) -> Result<Outcome> {
        let prepared = self.prepare(entry)?;
        self.apply_one(Change::Add(prepared))
    }

    /// Adds many entries in few commits; all are durable on return. Those that break a rule are reported,
    /// the others go in.
    ///
    /// # Errors
    /// Only what the store says.
    pub fn add_many(&self, entries: impl IntoIterator<Item = Entry>) -> Result<Summary> {
        let mut summary = Summary::default();
        let mut scratch = Scratch::for_many();
        let mut batch = Vec::with_capacity(BATCH);
        for (at, entry) in entries.into_iter().enumerate() {
            match Prepared::new(&self.inner.site, entry, &mut scratch) {
                Ok(prepared) => batch.push(Change::Add(prepared)),
                Err(reason) => summary.reject(at as u64, reason.to_string()),
            }
            if batch.len() == BATCH {
                self.apply_counted(&batch, Durability::Buffered, &mut summary)?;
                batch.clear();
            }
        }
        self.apply_counted(&batch, Durability::Sync, &mut summary)?;
        Ok(summary)
    }

    /// Removes the entry of a URL; durable and visible on return.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it can't be a URL of this site.
    pub fn remove(&self, url: &str) -> Result<Outcome> {
        let key = self.key(url)?;
        self.apply_one(Change::Remove(key))
    }

    /// Records that a page moved. The new entry takes over what was known of the old one, unless it is known
    /// itself.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a URL can't be used, or both are the same.
    pub fn redirect(&self, from: &str, to: &str, status: u16, policy: RedirectPolicy) -> Result<()> {
        let old = self.get(from)?.unwrap_or_else(|| Entry::new(from));
        let from = self.inner.site.page(from)?;
        let to = self.inner.site.page(to)?;
        let mark = Redirect { to: to.clone(), status };
        let marked = self.prepare(Entry { redirect: Some(mark), ..old.clone() })?;
        let mut changes = Vec::new();
        if self.get(&to)?.is_none() {
            let entry = Entry { url: to.clone(), redirect: None, canonical: None, ..old };
            changes.push(Change::Add(self.prepare(entry)?));
        }
        match policy {
            RedirectPolicy::Remove => changes.push(Change::Remove(self.inner.site.key(&from).to_owned())),
            RedirectPolicy::Mark => changes.push(Change::Add(marked)),
            RedirectPolicy::Keep => {}
        }
        self.apply(&changes, Durability::Sync).map(drop)
    }

    /// The entry of a URL.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it can't be a URL of this site.
    pub fn get(&self, url: &str) -> Result<Option<Entry>> {
        let key = self.key(url)?;
        let store = &self.inner.store;
        let snapshot = store.database.snapshot();
        let Some(place) = store.place(&snapshot, &key)? else { return Ok(None) };
        snapshot
            .get_with(&store.entries, &place.key(), |record| {
                View::stored(record)?.to_entry(&self.inner.site)
            })?
            .transpose()
    }

    /// Merges what is stored, dropping what was replaced and removed. Reads and writes go on.
    pub fn compact(&self) -> Result<()> {
        let store = &self.inner.store;
        for keyspace in [&store.urls, &store.entries, &store.blocks, &store.sourced] {
            keyspace.compact()?;
        }
        Ok(())
    }

    /// Renders and compresses fragments until the cache is full, so that the first visitor does not wait.
    /// Returns how many fragments are ready.
    pub fn warm(&self) -> Result<u64> {
        let mut ready = 0;
        for info in self.fragments()? {
            if let Some(fragment) = self.fragment(info.number)? {
                if self.inner.pieces.bytes() + fragment.plain_bytes() as usize / 8
                    > self.inner.settings.cache_bytes
                {
                    break;
                }
                fragment.warm()?;
                ready += 1;
            }
        }
        Ok(ready)
    }

    /// Figures about it.
    pub fn stats(&self) -> Result<EngineStats> {
        let store = self.inner.store.database.stats();
        let mut stats = EngineStats {
            log_bytes: store.wal_bytes,
            cached_bytes: self.inner.pieces.bytes() as u64,
            ..EngineStats::default()
        };
        for keyspace in &store.keyspaces {
            stats.disk_bytes += keyspace.disk_bytes;
            stats.unmerged_tables += keyspace.tables.first().copied().unwrap_or(0) as u64;
        }
        for info in self.fragments()? {
            stats.urls += u64::from(info.entries);
            stats.listed += u64::from(info.listed);
            stats.fragments += u64::from(info.listed > 0);
            stats.xml_bytes += info.xml_bytes;
        }
        Ok(stats)
    }

    /// Reads all stored tables and checks their checksums and order, and that URLs, entries and figures
    /// agree. Returns the entries found.
    pub fn check(&self) -> Result<u64> {
        self.inner.store.database.verify(&mut |_| {})?;
        self.check_agreement()
    }

    pub(crate) fn prepare(&self, entry: Entry) -> Result<Prepared, Invalid> {
        Prepared::new(&self.inner.site, entry, &mut Scratch::default())
    }

    pub(crate) fn key(&self, url: &str) -> Result<String, Invalid> {
        let normal = self.inner.site.page(url)?;
        Ok(self.inner.site.key(&normal).to_owned())
    }

    fn apply_one(&self, change: Change) -> Result<Outcome> {
        let outcomes = self.apply(&[change], Durability::Sync)?;
        outcomes.first().copied().ok_or(Error::Closed)
    }

    /// Applies changes in order, all or none.
    pub(crate) fn apply(&self, changes: &[Change], durability: Durability) -> Result<Vec<Outcome>> {
        self.inner.writer.lock().apply(&self.inner.store, changes, durability, None)
    }

    /// Applies a part of a list of which `seen` came before.
    pub(crate) fn apply_list(
        &self,
        changes: &[Change],
        durability: Durability,
        seen: &mut Seen,
    ) -> Result<Vec<Outcome>> {
        self.inner.writer.lock().apply(&self.inner.store, changes, durability, Some(seen))
    }

    fn apply_counted(&self, changes: &[Change], durability: Durability, summary: &mut Summary) -> Result<()> {
        for outcome in self.apply(changes, durability)? {
            summary.count(outcome);
        }
        Ok(())
    }
}

/// Compares the settings with those the store was made with, or keeps them. Returns the entries of a fragment.
fn keep_settings(database: &Database, keyspace: &Keyspace, settings: &mut Settings) -> Result<u32> {
    if let Some(bytes) = database.snapshot().get(keyspace, SETTINGS)? {
        let kept: Kept = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Damaged(format!("its settings: {error}")))?;
        if settings.base_url.is_empty() {
            settings.base_url.clone_from(&kept.origin);
        }
        let site = Site::new(&settings.base_url)?;
        if kept.origin != site.origin() {
            return Err(Error::Settings(format!(
                "this store is of {}, not of {}; use another directory, or export it and import it there",
                kept.origin,
                site.origin()
            )));
        }
        if let Some(entries) =
            settings.entries_per_fragment.filter(|entries| *entries != kept.entries_per_fragment)
        {
            return Err(Error::Settings(format!(
                "this store has {} entries per fragment, the settings say {entries}; export it and import it \
                 into a new directory to change that",
                kept.entries_per_fragment
            )));
        }
        return Ok(kept.entries_per_fragment);
    }
    if settings.base_url.is_empty() {
        return Err(Error::Settings(
            "the store is new and needs the site's base URL, such as https://example.com".to_owned(),
        ));
    }
    let entries_per_fragment = settings.entries_per_fragment.unwrap_or(50_000);
    let kept = Kept { origin: Site::new(&settings.base_url)?.origin().to_owned(), entries_per_fragment };
    let json = serde_json::to_vec(&kept).map_err(|error| Error::Settings(error.to_string()))?;
    let mut batch = lightning::WriteBatch::new();
    batch.put(keyspace, SETTINGS, &json);
    database.write(batch, Durability::Sync)?;
    Ok(entries_per_fragment)
}

impl Store {
    fn load_writer(&self, entries_max: u32) -> Result<Writer> {
        let snapshot = self.database.snapshot();
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut version = 0;
        let mut range = snapshot.prefix(&self.blocks, b"", Direction::Forward)?;
        while let Some((key, value)) = range.next()? {
            let damaged = || Error::Damaged("the figures of a block can't be decoded".to_owned());
            let (number, block) = unpair(key).ok_or_else(damaged)?;
            let known = Block::decode(value).ok_or_else(damaged)?;
            if number as usize > fragments.len() + 1 || block > 50_000 / BLOCK_SLOTS {
                return Err(damaged());
            }
            if fragments.len() <= number as usize {
                fragments.resize_with(number as usize + 1, Fragment::default);
            }
            let fragment = &mut fragments[number as usize];
            *fragment.block(block) = known;
            fragment.count += known.count;
            fragment.bytes += known.bytes;
            fragment.news += known.news;
            version = version.max(known.version);
        }
        for (number, fragment) in fragments.iter_mut().enumerate() {
            let mut last =
                snapshot.prefix(&self.entries, &(number as u32).to_be_bytes(), Direction::Reverse)?;
            if let Some((key, _)) = last.next()? {
                fragment.next_slot = unpair(key).map_or(0, |(_, slot)| slot + 1);
            }
        }
        let slots = Slots::new(fragments, entries_max, FRAGMENT_BYTES_MAX);
        Ok(Writer { slots, next_version: version + VERSION_STEP, unsynced: false, failed: None })
    }

    pub(crate) fn block_range(
        &self,
        snapshot: &lightning::Snapshot,
        fragment: u32,
        block: u32,
        direction: Direction,
    ) -> Result<lightning::Range> {
        use std::ops::Bound::{Excluded, Included};
        let first = pair(fragment, block * BLOCK_SLOTS);
        let end = pair(fragment, (block + 1) * BLOCK_SLOTS);
        Ok(snapshot.range(&self.entries, Included(&first), Excluded(&end), direction)?)
    }
}
