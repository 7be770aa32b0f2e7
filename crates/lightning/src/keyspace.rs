//! A keyspace: a named, sorted map with a layout of its own.

use luma_sync::atomic::{AtomicBool, Ordering};
use std::ops::Bound;
use std::sync::Arc;

use luma_sync::Mutex;

use crate::engine::{ConvertProgress, Engine, Meanwhile, SharedSegment};
use crate::estimate::{self, RangeEstimate};
use crate::keep::CompactionFilter;
use crate::key_range::KeyRanges;
use crate::lsm::RUNS;
use crate::merge_operator::{Merges, stored_operand};
use crate::options::{CompactionStrategy, KeyspaceOptions, Layout, Options};
use crate::stats::KeyspaceStats;
use crate::view::KeyspaceId;
use crate::{Error, Result};

/// What the engine keeps of a keyspace besides its data.
pub(crate) struct KeyspaceInner {
    pub(crate) id: KeyspaceId,
    pub(crate) slot: usize,
    pub(crate) name: Arc<str>,
    /// As it was made or opened: the layout and the strategy of compaction may be others since.
    pub(crate) options: KeyspaceOptions,
    /// What decides which values stay, if the program gave something.
    pub(crate) filter: Option<Arc<dyn CompactionFilter>>,
    /// What is merged into its values, if something can be.
    pub(crate) merges: Option<Merges>,
    pub(crate) dropped: AtomicBool,
    /// Whether so much of it waits to be flushed or merged that its writers are slowed down.
    pub(crate) indebted: AtomicBool,
    /// Held while it is converted or takes in tables, from beginning to end.
    pub(crate) rearranging: Mutex<()>,
    /// What was flushed since a conversion began, while there is one.
    pub(crate) meanwhile: Mutex<Option<Meanwhile>>,
    /// Held while one of its memtables is flushed: they go in order.
    pub(crate) flushing: Mutex<()>,
    /// Log segments that are blob files of it, too.
    pub(crate) shared_segments: Mutex<Vec<SharedSegment>>,
    /// Held while tables are merged; where the last choice in each level ended.
    pub(crate) compacting: Mutex<[Vec<u8>; RUNS]>,
    /// Which tables are merged. Changed with the manifest held.
    pub(crate) strategy: Mutex<CompactionStrategy>,
    /// While tables are merged: the ranges that flushes deleted from the stored data since the merge began.
    pub(crate) erased_meanwhile: Mutex<Option<KeyRanges>>,
}

impl KeyspaceInner {
    pub(crate) fn new(id: KeyspaceId, slot: usize, name: &str, options: KeyspaceOptions) -> Self {
        Self {
            id,
            slot,
            name: name.into(),
            strategy: Mutex::new(options.compaction),
            options,
            filter: None,
            merges: None,
            dropped: AtomicBool::new(false),
            indebted: AtomicBool::new(false),
            rearranging: Mutex::new(()),
            meanwhile: Mutex::default(),
            flushing: Mutex::new(()),
            shared_segments: Mutex::default(),
            compacting: Mutex::default(),
            erased_meanwhile: Mutex::default(),
        }
    }

    /// With what the program gave for it.
    pub(crate) fn with(self, given: &Options) -> Self {
        let operator = self.options.merge_operator.as_ref();
        let merges = operator.map(|operator| Merges::find(&self.name, operator, &given.merge_operators));
        let filter = given.compaction_filters.get(self.name.as_ref()).cloned();
        Self { filter, merges, ..self }
    }

    pub(crate) fn not_found(&self) -> Error {
        Error::KeyspaceNotFound { name: self.name.to_string() }
    }

    /// Fails if its values can't be read or written, because its merge operator is not there.
    #[inline]
    pub(crate) fn check_merges(&self) -> Result<()> {
        self.merges.as_ref().map_or(Ok(()), Merges::check)
    }

    /// What is stored of a merge.
    pub(crate) fn stored_merge(&self, operand: &[u8]) -> Result<Vec<u8>> {
        let none = || Error::NoMergeOperator { keyspace: self.name.to_string() };
        self.merges.as_ref().ok_or_else(none)?.check()?;
        Ok(stored_operand(operand))
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

    /// Its options, with the layout and the compaction that it has now.
    pub fn options(&self) -> KeyspaceOptions {
        let view = self.engine.view();
        let found = view.get(self.inner.slot, self.inner.id);
        let layout = found.map_or(self.inner.options.layout, |keyspace| keyspace.tree.layout());
        let compaction = *self.inner.strategy.lock();
        KeyspaceOptions { layout, compaction, ..self.inner.options.clone() }
    }

    /// Stores it in the other layout; returns when that is durable, at once if it has it already.
    ///
    /// Reads and writes go on meanwhile, and snapshots from before keep reading what they have. Bulk loads of
    /// it wait, and so do other conversions. Needs room on the disk for both forms. If it fails, the keyspace
    /// is as it was; after a crash it has either the old or the new layout. `progress` is called now and
    /// then, with no lock held that reads and writes need.
    pub fn convert(&self, layout: Layout, progress: &mut dyn FnMut(ConvertProgress)) -> Result<()> {
        self.inner.check()?;
        self.engine.convert(&self.inner, layout, progress)
    }

    /// Merges its tables in another way from now on, durably. Nothing is rewritten for it at once; with
    /// [`CompactionStrategy::Fifo`] the oldest tables go as soon as there is too much.
    pub fn set_compaction(&self, strategy: CompactionStrategy) -> Result<()> {
        self.inner.check()?;
        self.engine.set_compaction(&self.inner, strategy)
    }

    /// Makes everything written so far durable in tables, unlogged writes too.
    pub fn flush(&self) -> Result<()> {
        self.inner.check()?;
        self.engine.flush_keyspace(&self.inner)
    }

    /// Flushes and merges everything into one level, dropping what was deleted (but for
    /// [`CompactionStrategy::Fifo`], which never merges); gives the free pages of a
    /// B+Tree's file back to the disk, unless snapshots from before hold them.
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
