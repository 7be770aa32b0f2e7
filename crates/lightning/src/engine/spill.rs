//! Spilling: what only long readers hold goes from memory to files of its own.
//!
//! A flushed memtable that old views still read has versions that no table has. When such take a good part of
//! `history_bytes`, they are written to files with all versions somebody may ask for (`spilled.rs`), and the old
//! views read those instead. Who flushes does it, so writers that are too fast for it wait as they do for flushes.
//! Walks that were begun before keep what they have.
//!
//! If a file can't be written, nothing is lost: the memtables stay where they are, and the next flush tries again.

use luma_sync::atomic::Ordering;
use std::sync::Arc;

use super::Engine;
use crate::Result;
use crate::memtable::Memtable;
use crate::options::KeyspaceOptions;
use crate::spilled::Spilled;
use crate::table::{FilterOptions, TableOptions};
use crate::view::SpilledOf;

/// From here on files of memtables are numbered: never as a table is, so that a snapshot that outlives its database
/// takes no table of the next opening with it. To this an opening adds where the log ends, which is more than the
/// number of files there were before.
pub(super) const FIRST_FILE: u64 = 1 << 63;
/// Readers may hold one part in so many of `history_bytes` in memory.
const MEMORY_SHARE: usize = 2;

impl Engine {
    /// Writes aside what only long readers hold, if it is much.
    pub(super) fn spill(&self) {
        if self.held.load(Ordering::Relaxed) <= self.options.history_bytes / MEMORY_SHARE {
            return;
        }
        let _turn = self.spilling.lock();
        let held = {
            let history = self.view_change.lock();
            history.held_by_readers(&self.view(), self.options.history_bytes / MEMORY_SHARE)
        };
        let mut files = SpilledOf::new();
        for held in &held {
            // What is merged into a key is read with the versions before it.
            let plain = || self.by_id(held.keyspace).is_some_and(|keyspace| keyspace.merges.is_none());
            let read_at = Some(&held.read_at[..]).filter(|read_at| read_at.is_empty() || plain());
            let Ok(file) = self.write_aside(&held.memtable, read_at) else { break };
            self.done.spilled_bytes.fetch_add(file.disk_bytes(), Ordering::Relaxed);
            files.insert(Arc::as_ptr(&held.memtable), Arc::new(file));
        }
        if files.is_empty() {
            return;
        }
        self.view_change.lock().spill(&files);
        drop(held);
        self.held.store(self.view_change.lock().bytes(), Ordering::Relaxed);
        self.make_way();
    }

    fn write_aside(&self, memtable: &Memtable, read_at: Option<&[(u64, u64)]>) -> Result<Spilled> {
        let options = TableOptions {
            filter: FilterOptions { bits_per_key: 0, small: false },
            blob_threshold: usize::MAX,
            merges: false,
            prefix: None,
            ..self.table_options(&KeyspaceOptions::default())
        };
        let place = (&self.flush_vfs, self.tables_directory(), &self.next_spilled);
        Spilled::write(memtable, read_at, options, (place.0, &place.1, place.2), &self.cache)
    }
}
