//! The engine: what the handles share. Its parts are in submodules by what they do.
//!
//! Locks, in the order they are taken: `converting`, `together`, a keyspace's `rearranging`, its `flushing`, its
//! `compacting`, `manifest` (who changes
//! what exists), `commit` (who appends to the log and to memtables), `view_change` (who replaces the
//! view). Readers take none.

mod adopt;
mod background;
mod commit;
mod compact;
mod convert;
mod drain;
mod external;
mod flush;
mod history;
mod keyspaces;
mod limiter;
mod logged_values;
mod pressure;
mod recent;
mod recovery;
mod replay;
mod spill;

use luma_sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use luma_log::Log;
use luma_sync::Mutex;
use luma_vfs::{Counted, FileLock, Vfs};

use crate::cache::Cache;
use crate::database::Moment;
use crate::keyspace::KeyspaceInner;
use crate::locks::LockTable;
use crate::manifest::Manifest;
use crate::options::{KeyspaceOptions, Options};
use crate::publisher::Publisher;
use crate::readable::Snapshot;
use crate::stats::{KeyspaceStats, Stats, WriteStats};
use crate::table::{FilterOptions, TableOptions};
use crate::view::{HeldView, View};
use crate::{Error, Result};

use background::Background;
pub(crate) use commit::Commit;
pub use convert::ConvertProgress;
pub(crate) use convert::Meanwhile;
use history::History;
use limiter::Limiter;
pub(crate) use logged_values::SharedSegment;
use pressure::Pressure;
pub(crate) use recent::Registered;
use recent::{Recent, SerializableSnapshots};

pub(crate) const LOCK_FILE: &str = "LOCK";
const TABLES_DIRECTORY: &str = "tables";
const LOG_DIRECTORY: &str = "log";

/// Guarded by the commit lock.
struct CommitState {
    next_sequence: u64,
    /// The newest time that a commit bears.
    last_millis: u64,
    /// Where the log ended when its size was last looked at.
    log_checked: u64,
    recent: Recent,
}

/// What was done since the start.
#[derive(Default)]
struct Done {
    flushes: AtomicU64,
    flushed_bytes: AtomicU64,
    compactions: AtomicU64,
    compacted_bytes: AtomicU64,
    dropped_tables: AtomicU64,
    ingested_bytes: AtomicU64,
    spilled_bytes: AtomicU64,
}

/// The shared state of an open database.
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) vfs: Arc<dyn Vfs>,
    /// The same for what flushes write, and for what merges do: no faster than the limiter says.
    flush_vfs: Arc<dyn Vfs>,
    merge_vfs: Arc<dyn Vfs>,
    limiter: Option<Arc<Limiter>>,
    /// The same file system, with its counters.
    counted: Arc<Counted>,
    pub(crate) path: PathBuf,
    pub(crate) cache: Arc<Cache>,
    pub(crate) locks: Arc<LockTable>,
    /// The newest view.
    current: ArcSwap<HeldView>,
    view_change: Mutex<History>,
    publisher: Arc<Publisher>,
    log: Log,
    commit: Mutex<CommitState>,
    serializable: SerializableSnapshots,
    manifest: Mutex<Manifest>,
    /// The newest entry of the external log that was committed. Changed with the commit lock.
    applied: AtomicU64,
    /// Held while all keyspaces are flushed together.
    together: Mutex<()>,
    /// Held while memtables are written aside for old views.
    spilling: Mutex<()>,
    /// Held while a keyspace is converted.
    converting: Mutex<()>,
    names: Mutex<HashMap<Arc<str>, Arc<KeyspaceInner>>>,
    /// The next number of a table or a blob file.
    next_table: Arc<AtomicU64>,
    /// The same for files that only old snapshots read.
    next_spilled: Arc<AtomicU64>,
    /// Bytes of memtables that are not flushed, but for those read back from the log.
    memory: AtomicUsize,
    /// Bytes of flushed memtables that readers or conflict checks still need.
    held: AtomicUsize,
    /// Whether the log is so long that writers wait for flushes.
    log_is_long: AtomicBool,
    pressure: Pressure,
    background: Background,
    /// Where the log ended at the start.
    first_logged: u64,
    done: Done,
    closed: AtomicBool,
    file_lock: Mutex<Option<Box<dyn FileLock>>>,
}

impl Engine {
    pub(crate) fn view(&self) -> Guard<Arc<View>> {
        self.current().view()
    }

    fn current(&self) -> Guard<Arc<HeldView>> {
        luma_sync::schedule_point();
        self.current.load()
    }

    /// The view, to be held: a snapshot takes one, so nothing is counted twice on the way.
    fn held_view(&self) -> Arc<HeldView> {
        Guard::into_inner(self.current())
    }

    /// Makes the next view from the current one.
    fn change_view(&self, change: impl FnOnce(&mut View)) {
        self.change_view_and_history(|view, _| change(view));
    }

    /// What was published at a past moment.
    pub(crate) fn snapshot_at(&self, moment: Moment) -> Result<Snapshot> {
        let sequence = match moment {
            Moment::Sequence(sequence) => sequence,
            Moment::Time(time) => self.publisher.moments.sequence_at(time).ok_or(Error::SnapshotTooOld)?,
        };
        let mut history = self.view_change.lock();
        if sequence >= self.publisher.visible() {
            drop(history);
            return Ok(self.snapshot());
        }
        self.let_go(&mut history);
        let current = self.held_view();
        let view = history.view_at(sequence, current).ok_or(Error::SnapshotTooOld)?;
        Ok(Snapshot::new(view, sequence))
    }

    /// Has the cache make way for memtables.
    fn make_way(&self) {
        let memtables = self.memory.load(Ordering::Relaxed);
        self.cache.make_way(memtables.saturating_add(self.held.load(Ordering::Relaxed)));
    }

    /// Lets go of what was kept to read in the past for long enough.
    fn let_go_of_the_past(&self) {
        if !self.options.version_retention.is_zero() {
            self.let_go(&mut self.view_change.lock());
        }
    }

    /// The same with the lock for changes of the view, and of the oldest if it could not be spilled.
    fn let_go(&self, history: &mut History) {
        history.let_go(self.options.version_retention, self.options.history_bytes.saturating_mul(2));
    }

    fn change_view_and_history(&self, change: impl FnOnce(&mut View, &mut History)) {
        let mut history = self.view_change.lock();
        let mut next = View::clone(&self.view());
        change(&mut next, &mut history);
        let Options { version_retention, history_bytes, .. } = self.options;
        self.let_go(&mut history);
        history.trim(&mut next, history_bytes);
        self.held.store(history.bytes(), Ordering::Relaxed);
        next.born = self.publisher.visible();
        luma_sync::schedule_point();
        let before = self.current.swap(Arc::new(HeldView::new(next)));
        before.end(self.publisher.accepted());
        history.replaced(before, version_retention);
    }

    /// What is published now. Takes no lock.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.snapshot_of(Publisher::visible)
    }

    /// What was accepted until now, published or not: for those who hold locks. Takes no lock.
    pub(crate) fn accepted_snapshot(&self) -> Snapshot {
        self.snapshot_of(Publisher::accepted)
    }

    fn snapshot_of(&self, newest: fn(&Publisher) -> u64) -> Snapshot {
        loop {
            let view = self.held_view();
            let sequence = newest(&self.publisher);
            // A commit in a memtable that is newer than this view could be among them only if the view
            // was replaced before; then both are read again.
            if std::ptr::eq(Arc::as_ptr(&view), Arc::as_ptr(&self.current())) {
                return Snapshot::new(view, sequence);
            }
        }
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        self.publisher.failure().map_or(Ok(()), Err)
    }

    /// Stops writes for good because of a failure in the background.
    fn fail(&self, error: Error) -> Error {
        self.publisher.fail(error.clone());
        self.background.notify();
        error.poison()
    }

    fn table_options(&self, keyspace: &KeyspaceOptions) -> TableOptions {
        TableOptions {
            block_bytes: self.options.block_bytes,
            compression: keyspace.compression.unwrap_or(self.options.compression),
            filter: FilterOptions { bits_per_key: self.options.bloom_bits_per_key, small: false },
            part_bytes: self.options.index_part_bytes,
            merges: keyspace.merge_operator.is_some(),
            prefix: keyspace.prefix,
            blob_threshold: keyspace.blob_threshold.unwrap_or(self.options.blob_threshold) as usize,
        }
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.options.background_threads == 0
    }

    /// Makes all that was logged durable.
    pub(crate) fn sync_log(&self) -> Result<()> {
        Ok(self.log.wait_durable(self.log.end())?)
    }

    pub(crate) fn stats(&self) -> Stats {
        let view = self.view();
        let mut keyspaces: Vec<KeyspaceStats> = Vec::new();
        for inner in self.names.lock().values() {
            if let Some(keyspace) = view.get(inner.slot, inner.id) {
                keyspaces.push(KeyspaceStats { name: inner.name.to_string(), ..KeyspaceStats::of(keyspace) });
            }
        }
        keyspaces.sort_by(|left, right| left.name.cmp(&right.name));
        Stats {
            memtable_bytes: keyspaces.iter().map(|keyspace| keyspace.memory_bytes).sum(),
            keyspaces,
            cache: self.cache.stats(),
            history_bytes: self.view_change.lock().bytes() as u64,
            wal_bytes: self.log.live_bytes(),
            visible_sequence: self.publisher.visible(),
            flushes: self.done.flushes.load(Ordering::Relaxed),
            compactions: self.done.compactions.load(Ordering::Relaxed),
            dropped_tables: self.done.dropped_tables.load(Ordering::Relaxed),
            open_files: self.cache.files.len(),
            written: WriteStats {
                total_bytes: self.counted.written_bytes(),
                log_bytes: self.log.end().0 - self.first_logged,
                flush_bytes: self.done.flushed_bytes.load(Ordering::Relaxed),
                compaction_bytes: self.done.compacted_bytes.load(Ordering::Relaxed),
                spilled_bytes: self.done.spilled_bytes.load(Ordering::Relaxed),
                ingestion_bytes: self.done.ingested_bytes.load(Ordering::Relaxed),
                syncs: self.counted.syncs(),
            },
            back_pressure: self.pressure.stats(),
            locks: self.locks.len(),
            failure: self.publisher.failure().map(|failure| failure.to_string()),
        }
    }

    /// Lets background work write as fast as the disk from now on.
    pub(crate) fn stop_limiting(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.open();
        }
    }

    /// Ends background work, the log and the manifest, and lets go of the directory.
    pub(crate) fn shut_down(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.stop_limiting();
        self.background.stop();
        // A conversion ends at its next look; its files must not be in the way of who opens this next.
        drop(self.converting.lock());
        let log = self.log.close().map_err(Error::from);
        let sealed = if self.publisher.failure().is_none() { self.manifest.lock().seal() } else { Ok(()) };
        self.publisher.fail(Error::Closed);
        self.file_lock.lock().take();
        log.and(sealed)
    }
}
