//! Figures about a database.

use std::time::Duration;

use crate::cache::CacheStats;
use crate::view::KeyspaceView;

/// What a keyspace holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceStats {
    /// Its name.
    pub name: String,
    /// Keys, about: overwritten and deleted ones count until they are merged away.
    pub approximate_entries: u64,
    /// Bytes of its tables and blob files, or of its B+Tree's file.
    pub disk_bytes: u64,
    /// Blob files.
    pub blob_files: usize,
    /// Bytes of values in blob files, and how much of that is garbage: merges empty a file that is so for more than half.
    pub blob_bytes: u64,
    /// See `blob_bytes`.
    pub blob_garbage_bytes: u64,
    /// Bytes of its memtables.
    pub memory_bytes: u64,
    /// Tables per level; none of a B+Tree.
    pub tables: Vec<usize>,
    /// Memtables that wait to be flushed.
    pub frozen_memtables: usize,
}

impl KeyspaceStats {
    pub(crate) fn of(keyspace: &KeyspaceView) -> Self {
        let mut stats = Self { frozen_memtables: keyspace.frozen.len(), ..Self::default() };
        for (level, table) in keyspace.tree.tables() {
            if stats.tables.len() <= level {
                stats.tables.resize(level + 1, 0);
            }
            stats.tables[level] += 1;
            stats.disk_bytes += table.meta.bytes;
            stats.approximate_entries += table.meta.entries - table.meta.tombstones.min(table.meta.entries);
        }
        for (bytes, used) in keyspace.tree.blobs().into_values() {
            stats.blob_files += 1;
            stats.blob_bytes += bytes;
            stats.blob_garbage_bytes += bytes.saturating_sub(used);
        }
        stats.disk_bytes += stats.blob_bytes;
        if let Some(tree) = keyspace.tree.btree() {
            stats.disk_bytes = tree.bytes;
            stats.approximate_entries = tree.entries;
        }
        for table in keyspace.memtables() {
            stats.memory_bytes += table.bytes() as u64;
            stats.approximate_entries += table.entries() as u64;
        }
        stats
    }
}

/// What was written since the start. Write amplification is `total_bytes` by the bytes that callers
/// wrote, for which `log_bytes` and `ingestion_bytes` stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Bytes written to files, whichever.
    pub total_bytes: u64,
    /// Bytes of commits put into the log.
    pub log_bytes: u64,
    /// Bytes of tables that memtables became.
    pub flush_bytes: u64,
    /// Bytes of tables that merges made.
    pub compaction_bytes: u64,
    /// Bytes of files for readers of old snapshots.
    pub spilled_bytes: u64,
    /// Bytes of tables that bulk loads brought.
    pub ingestion_bytes: u64,
    /// Syncs of files and directories.
    pub syncs: u64,
}

/// What holds writers back: bytes that wait to be flushed and merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackPressure {
    /// Bytes of merges that are due, and of memtables that wait to be flushed.
    pub debt_bytes: u64,
    /// The bytes per second that those may commit who write to keyspaces with too much of it; `None` while
    /// nobody is slowed down.
    pub rate_bytes_per_second: Option<u64>,
    /// Commits that had to wait since the start.
    pub delayed_commits: u64,
    /// How long they waited, all together.
    pub delayed: Duration,
}

/// What a database does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Each keyspace.
    pub keyspaces: Vec<KeyspaceStats>,
    /// The block cache.
    pub cache: CacheStats,
    /// Bytes of all memtables.
    pub memtable_bytes: u64,
    /// Bytes of flushed memtables that are kept for running transactions, or held by old snapshots.
    pub history_bytes: u64,
    /// Bytes of log kept.
    pub wal_bytes: u64,
    /// The newest commit that readers see.
    pub visible_sequence: u64,
    /// Memtables flushed since the start.
    pub flushes: u64,
    /// Merges of tables since the start.
    pub compactions: u64,
    /// Tables that went for their age ([`CompactionStrategy::Fifo`](crate::CompactionStrategy::Fifo)) since the
    /// start.
    pub dropped_tables: u64,
    /// Table files that are open.
    pub open_files: usize,
    /// What went to the disk.
    pub written: WriteStats,
    /// What holds writers back.
    pub back_pressure: BackPressure,
    /// Locks held or waited for.
    pub locks: usize,
    /// What stopped writes, if something did.
    pub failure: Option<String>,
}
