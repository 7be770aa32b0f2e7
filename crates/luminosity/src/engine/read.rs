//! Reading the store: fragments, and entries as streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use lightning::{Direction, Range, Readable, Snapshot};

use super::layout::{Block, Place, unpair};
use super::{Engine, Inner};
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::fragment::Fragment;
use crate::moment::Moment;
use crate::record::{Flags, View};

/// What is known of a fragment without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentInfo {
    /// Its number, from 1; it keeps it.
    pub number: u32,
    /// Entries in it.
    pub entries: u32,
    /// Entries that appear in it.
    pub listed: u32,
    /// Bytes of its entries' XML.
    pub xml_bytes: u64,
    /// Another one after every change.
    pub version: u64,
    /// When it changed last.
    pub changed: Moment,
}

impl FragmentInfo {
    fn new(number: u32) -> Self {
        let changed = Moment { millis: 0, precision: crate::moment::Precision::Second };
        Self { number, entries: 0, listed: 0, xml_bytes: 0, version: 0, changed }
    }

    fn add(&mut self, block: &Block) {
        self.entries += block.count;
        self.listed += block.listed;
        self.xml_bytes += block.bytes;
        self.version = self.version.max(block.version);
        // HTTP dates have no fractions; one answer for all.
        self.changed.millis = self.changed.millis.max(block.changed.div_euclid(1000) * 1000);
    }

    pub(crate) fn of(number: u32, blocks: &[(u32, Block)]) -> Self {
        let mut info = Self::new(number);
        for (_, block) in blocks {
            info.add(block);
        }
        info
    }
}

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("{what} can't be decoded"))
}

impl Engine {
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.inner.store.database.snapshot()
    }

    /// All fragments with something in them, in order.
    pub fn fragments(&self) -> Result<Vec<FragmentInfo>> {
        let mut found = self.fragments_at(&self.snapshot())?;
        found.retain(|info| info.entries > 0);
        Ok(found)
    }

    /// Also those that lost their last entry.
    pub(crate) fn fragments_at(&self, snapshot: &Snapshot) -> Result<Vec<FragmentInfo>> {
        let mut found: Vec<FragmentInfo> = Vec::new();
        let mut range = snapshot.prefix(&self.inner.store.blocks, b"", Direction::Forward)?;
        while let Some((key, value)) = range.next()? {
            let (fragment, _) = unpair(key).ok_or_else(|| damaged("the key of a block"))?;
            let block = Block::decode(value).ok_or_else(|| damaged("a block"))?;
            let number = fragment + 1;
            if found.last().is_none_or(|last| last.number != number) {
                found.push(FragmentInfo::new(number));
            }
            if let Some(last) = found.last_mut() {
                last.add(&block);
            }
        }
        Ok(found)
    }

    /// The fragment with this number, from 1, as it is now; `None` when nothing is listed in it.
    pub fn fragment(&self, number: u32) -> Result<Option<Fragment>> {
        self.fragment_at(&self.snapshot(), number)
    }

    pub(crate) fn fragment_at(&self, snapshot: &Snapshot, number: u32) -> Result<Option<Fragment>> {
        let Some(index) = number.checked_sub(1) else { return Ok(None) };
        let mut blocks = Vec::new();
        let mut range =
            snapshot.prefix(&self.inner.store.blocks, &index.to_be_bytes(), Direction::Forward)?;
        while let Some((key, value)) = range.next()? {
            let (_, block) = unpair(key).ok_or_else(|| damaged("the key of a block"))?;
            blocks.push((block, Block::decode(value).ok_or_else(|| damaged("a block"))?));
        }
        let info = FragmentInfo::of(number, &blocks);
        if info.listed == 0 {
            return Ok(None);
        }
        Ok(Some(Fragment::new(self.clone(), snapshot.clone(), info, blocks)))
    }

    /// All entries as they are now, fragment by fragment. Memory does not grow with their number.
    pub fn entries(&self) -> Result<Entries> {
        let range = self.snapshot().prefix(&self.inner.store.entries, b"", Direction::Forward)?;
        Ok(Entries { inner: Arc::clone(&self.inner), range })
    }

    /// All entries as they are now, sorted by URL (other hosts after the site's own). Slower than
    /// [`Engine::entries`] when there are many, since each is looked up.
    pub fn entries_by_url(&self) -> Result<EntriesByUrl> {
        let snapshot = self.snapshot();
        let range = snapshot.prefix(&self.inner.store.urls, b"", Direction::Forward)?;
        Ok(EntriesByUrl { inner: Arc::clone(&self.inner), snapshot, range })
    }

    /// Checks that URLs, entries and figures agree.
    pub(crate) fn check_agreement(&self) -> Result<u64> {
        let (store, snapshot) = (&self.inner.store, self.snapshot());
        let mut counted: BTreeMap<(u32, u32), Block> = BTreeMap::new();
        let mut entries = 0;
        let mut xml = Vec::new();
        let mut range = snapshot.prefix(&store.entries, b"", Direction::Forward)?;
        while let Some((key, record)) = range.next()? {
            let (fragment, slot) = unpair(key).ok_or_else(|| damaged("the key of an entry"))?;
            let view = View::stored(record)?;
            xml.clear();
            crate::render::entry(&self.inner.site, &view, &mut xml)?;
            let crc = crc32fast::hash(record);
            let news = view.flags.namespaces() & Flags::NEWS != 0;
            let expected = Place { fragment, slot, xml_bytes: xml.len() as u32, news, crc };
            if store.place(&snapshot, view.key)? != Some(expected) {
                return Err(Error::Damaged(format!("{} is not where it is said to be", view.key)));
            }
            let block = counted.entry((fragment, expected.block())).or_default();
            block.count += 1;
            block.listed += u32::from(!xml.is_empty());
            block.news += u32::from(news);
            block.bytes += xml.len() as u64;
            entries += 1;
        }
        let mut urls = 0;
        let mut range = snapshot.prefix(&store.urls, b"", Direction::Forward)?;
        while range.next()?.is_some() {
            urls += 1;
        }
        if urls != entries {
            return Err(Error::Damaged(format!("{urls} URLs, but {entries} entries")));
        }
        let mut range = snapshot.prefix(&store.blocks, b"", Direction::Forward)?;
        while let Some((key, value)) = range.next()? {
            let place = unpair(key).ok_or_else(|| damaged("the key of a block"))?;
            let block = Block::decode(value).ok_or_else(|| damaged("a block"))?;
            let found = counted.remove(&place).unwrap_or_default();
            // What is in the store says nothing of when it came.
            let expected = Block { version: 0, changed: 0, namespaces: 0, ..block };
            if found != expected {
                return Err(Error::Damaged(format!("the figures of block {place:?} are wrong")));
            }
        }
        if let Some(place) = counted.keys().next() {
            return Err(Error::Damaged(format!("block {place:?} has no figures")));
        }
        Ok(entries)
    }
}

/// Entries, fragment by fragment.
pub struct Entries {
    inner: Arc<Inner>,
    range: Range,
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Entries").finish_non_exhaustive()
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.range.next() {
            Ok(None) => None,
            Ok(Some((_, record))) => {
                Some(View::stored(record).and_then(|view| view.to_entry(&self.inner.site)))
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}

/// Entries, sorted by URL.
pub struct EntriesByUrl {
    inner: Arc<Inner>,
    snapshot: Snapshot,
    range: Range,
}

impl std::fmt::Debug for EntriesByUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EntriesByUrl").finish_non_exhaustive()
    }
}

impl EntriesByUrl {
    fn entry(&self, place: Place) -> Result<Entry> {
        let site = &self.inner.site;
        let found = self.snapshot.get_with(&self.inner.store.entries, &place.key(), |record| {
            View::stored(record)?.to_entry(site)
        })?;
        found.unwrap_or_else(|| Err(Error::Damaged("a URL has no entry".to_owned())))
    }
}

impl Iterator for EntriesByUrl {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let place = match self.range.next() {
            Ok(None) => return None,
            Ok(Some((_, value))) => Place::decode(value).ok_or_else(|| damaged("the place of a URL")),
            Err(error) => Err(error.into()),
        };
        Some(place.and_then(|place| self.entry(place)))
    }
}
