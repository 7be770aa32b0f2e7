//! A keyspace: a named, sorted map with a layout of its own.

use luma_sync::atomic::{AtomicBool, Ordering};
use std::ops::Bound;
use std::sync::Arc;

use luma_sync::Mutex;

use crate::engine::Engine;
use crate::estimate::{self, RangeEstimate};
use crate::key_range::KeyRanges;
use crate::lsm::RUNS;
use crate::options::KeyspaceOptions;
use crate::stats::KeyspaceStats;
use crate::view::KeyspaceId;
use crate::{Error, Result};

/// What the engine keeps of a keyspace besides its data.
pub(crate) struct KeyspaceInner {
    pub(crate) id: KeyspaceId,
    pub(crate) slot: usize,
    pub(crate) name: Arc<str>,
    pub(crate) options: KeyspaceOptions,
    pub(crate) dropped: AtomicBool,
    /// Held while one of its memtables is flushed: they go in order.
    pub(crate) flushing: Mutex<()>,
    /// Held while tables are merged; where the last choice in each level ended.
    pub(crate) compacting: Mutex<[Vec<u8>; RUNS]>,
    /// While tables are merged: the ranges that flushes deleted from the stored data since the merge began.
    pub(crate) erased_meanwhile: Mutex<Option<KeyRanges>>,
}

impl KeyspaceInner {
    pub(crate) fn new(id: KeyspaceId, slot: usize, name: &str, options: KeyspaceOptions) -> Self {
        Self {
            id,
            slot,
            name: name.into(),
            options,
            dropped: AtomicBool::new(false),
            flushing: Mutex::new(()),
            compacting: Mutex::default(),
            erased_meanwhile: Mutex::default(),
        }
    }

    pub(crate) fn not_found(&self) -> Error {
        Error::KeyspaceNotFound { name: self.name.to_string() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.dropped.load(Ordering::Acquire) { Err(self.not_found()) } else { Ok(()) }
    }
}

/// A handle of a keyspace. Clones are cheap.
#[derive(Clone)]
pub struct Keyspace {
    pub(crate) inner: Arc<KeyspaceInner>,
    pub(crate) engine: Arc<Engine>,
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Keyspace")
            .field("id", &self.inner.id)
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

impl Keyspace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its number, never given to another keyspace.
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// Its options.
    pub fn options(&self) -> KeyspaceOptions {
        self.inner.options
    }

    /// Makes everything written so far durable in tables, unlogged writes too.
    pub fn flush(&self) -> Result<()> {
        self.inner.check()?;
        self.engine.flush_keyspace(&self.inner)
    }

    /// Flushes and merges everything into one level, dropping what was deleted.
    pub fn compact(&self) -> Result<()> {
        self.flush()?;
        self.engine.compact_all(&self.inner)
    }

    /// What it holds.
    pub fn stats(&self) -> KeyspaceStats {
        let view = self.engine.view();
        view.get(self.inner.slot, self.inner.id)
            .map_or_else(KeyspaceStats::default, |keyspace| KeyspaceStats::of(keyspace))
    }

    /// About how much lies between two keys. Reads no data.
    pub fn approximate_range(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> RangeEstimate {
        let view = self.engine.view();
        view.get(self.inner.slot, self.inner.id)
            .map_or_else(RangeEstimate::default, |keyspace| estimate::range(keyspace, start, end))
    }

    /// Up to `parts - 1` ascending keys that cut the data in about equal parts. Reads no data.
    pub fn split_points(&self, parts: usize) -> Vec<Vec<u8>> {
        let view = self.engine.view();
        view.get(self.inner.slot, self.inner.id)
            .map_or_else(Vec::new, |keyspace| estimate::split_points(keyspace, parts))
    }
}
