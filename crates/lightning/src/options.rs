//! How a database, its keyspaces and its transactions behave.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use luma_log::SyncMode;

use crate::keep::CompactionFilter;
use crate::merge_operator::MergeOperator;
use crate::prefix::Prefix;

/// Options of a database.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a directory without a database gets one; if not, opening it fails with
    /// [`DatabaseNotFound`](crate::Error::DatabaseNotFound).
    pub create: bool,
    /// Whether the program that embeds this has a log of its own and writes its entries with their indexes:
    /// [`Database::write_at`](crate::Database::write_at). Then nothing is logged here, all keyspaces are flushed
    /// together, and [`Database::applied_index`](crate::Database::applied_index) tells from where that log is
    /// needed.
    pub external_log: bool,
    /// The budget of memory: for table blocks, indexes and filters, and B+Tree leaves, and for memtables and what long
    /// readers hold. Those take from what blocks may have, which keep at least a quarter.
    pub cache_bytes: usize,
    /// What goes when the cache is full.
    pub cache_policy: CachePolicy,
    /// Files are read past the system's cache, which then has nothing that `cache_bytes` has, too, and what flushes
    /// and merges wrote does not stay there. Reads that miss cost a disk access each. On Linux, where the file
    /// system can; elsewhere it changes nothing. Table files take two handles each.
    pub direct_io: bool,
    /// Table files kept open; a process may have only so many (`ulimit -n`).
    pub max_open_files: usize,
    /// A keyspace's memtable is flushed when it holds this much.
    pub memtable_bytes: usize,
    /// All memtables together; past it the largest is flushed, and past twice that writers wait. What is
    /// read back from the log at a start does not count: it is flushed while writers go on. By default
    /// [`SHARE`](Self::SHARE): a quarter of `cache_bytes` and 16 MiB.
    pub write_buffer_bytes: usize,
    /// Flushed memtables that are kept while transactions run that began before, to tell whether a key was
    /// changed since. Those that only old snapshots hold count, too, and are written to files past half of it.
    /// Past it the oldest are let go, and an
    /// optimistic transaction that needs them fails with [`TransactionTooOld`](crate::Error::TransactionTooOld).
    /// By default [`SHARE`](Self::SHARE): a quarter of `cache_bytes`, and no less than 16 MiB.
    pub history_bytes: usize,
    /// How long what was changed can be read as it was before; zero for not at all. See
    /// [`Database::snapshot_at`](crate::Database::snapshot_at). What that keeps in memory counts against
    /// `history_bytes` and goes to files past half of it (past twice it, if none can be written, the oldest is let
    /// go); files that merges replaced meanwhile stay on disk as long. It begins anew with each opening.
    pub version_retention: Duration,
    /// By the name of a keyspace: what decides which of its values stay when they are written to files.
    pub compaction_filters: HashMap<String, Arc<dyn CompactionFilter>>,
    /// What keyspaces with [`KeyspaceOptions::merge_operator`] need, besides what is always there. A keyspace
    /// whose operator is not given refuses reads and writes; it can be flushed, merged and converted all the
    /// same.
    pub merge_operators: Vec<Arc<dyn MergeOperator>>,
    /// Past so many bytes of log the keyspaces that hold the oldest segment are flushed. Writers go on
    /// meanwhile, and wait for the flushes past twice that, or two segments more if that is more.
    pub max_wal_bytes: u64,
    /// Bytes of one log segment.
    pub wal_segment_bytes: u64,
    /// What [`Durability::Sync`] means.
    pub sync: SyncMode,
    /// Compression of table blocks, unless a keyspace has its own.
    pub compression: Compression,
    /// Values of so many bytes and more are written to blob files when a memtable is flushed, and not again
    /// when tables are merged; `u32::MAX` for never. A B+Tree keeps its values with their keys.
    pub blob_threshold: u32,
    /// Size of the filter that spares reads of tables without the key; 0 for none.
    pub bloom_bits_per_key: u32,
    /// Whether merges write Ribbon filters, which are a quarter smaller than Bloom filters and err no more
    /// often, into tables that nothing lies below. Where memory is short: a merge takes longer, and so does a
    /// point read.
    pub ribbon_filters: bool,
    /// Threads that flush and compact; 0 does that work inside the calls that cause it. With more than two, a large
    /// merge is done in parts by all but one, as far as they have nothing else to do.
    pub background_threads: usize,
    /// Bytes per second that flushes and merges may write together, flushes first; 0 for as fast as the disk.
    /// What that holds up counts as due, and slows writers down in the end.
    pub background_bytes_per_second: u64,
    /// Bytes of a table block before compression.
    pub block_bytes: usize,
    /// Bytes of index and filter, of a table, after which a new part of them begins. The parts of a table
    /// are cached like its blocks.
    pub index_part_bytes: usize,
    /// Bytes after which compaction begins a new table.
    pub table_bytes: u64,
    /// Bytes of the first sorted level; each level below holds ten times more.
    pub level_bytes: u64,
    /// Level-0 tables that start a compaction; past three times as many, writers are slowed down.
    pub level0_tables: usize,
    /// Bytes of merges that may be due in a keyspace before its writers are slowed down: they share a rate,
    /// which falls as long as more becomes due than is done, to 64 KiB per second at worst. So they never
    /// stand still, and [`Stats::back_pressure`](crate::Stats::back_pressure) tells.
    pub merge_debt_bytes: u64,
}

impl Options {
    /// As much as belongs to it of [`cache_bytes`](Self::cache_bytes).
    pub const SHARE: usize = usize::MAX;
    const SHARE_MIN: usize = 16 << 20;

    /// With sizes in the place of shares.
    pub(crate) fn shared_out(mut self) -> Self {
        let quarter = self.cache_bytes / 4;
        if self.write_buffer_bytes == Self::SHARE {
            self.write_buffer_bytes = quarter + Self::SHARE_MIN;
        }
        if self.history_bytes == Self::SHARE {
            self.history_bytes = quarter.max(Self::SHARE_MIN);
        }
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            external_log: false,
            cache_bytes: 256 << 20,
            cache_policy: CachePolicy::default(),
            direct_io: false,
            max_open_files: 512,
            memtable_bytes: 32 << 20,
            write_buffer_bytes: Self::SHARE,
            history_bytes: Self::SHARE,
            version_retention: Duration::ZERO,
            compaction_filters: HashMap::new(),
            merge_operators: Vec::new(),
            max_wal_bytes: 128 << 20,
            wal_segment_bytes: 32 << 20,
            sync: SyncMode::Sync,
            compression: Compression::Lz4,
            blob_threshold: 8 << 10,
            bloom_bits_per_key: 10,
            ribbon_filters: false,
            background_threads: 2,
            background_bytes_per_second: 0,
            block_bytes: 4096,
            index_part_bytes: 32 << 10,
            table_bytes: 32 << 20,
            level_bytes: 128 << 20,
            level0_tables: 4,
            merge_debt_bytes: 512 << 20,
        }
    }
}

/// Which blocks and leaves stay in a full cache. A hit costs the same with either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CachePolicy {
    /// What is new gets a tenth of the cache to be read again in, or goes.
    #[default]
    S3Fifo,
    /// What is new and what was read again share the cache; what returns after it was pushed out moves the
    /// boundary.
    Arc,
}

/// How table blocks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast.
    #[default]
    Lz4,
    /// Small.
    Zstd,
}

/// How a keyspace is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// A log-structured merge tree.
    #[default]
    Lsm,
    /// A B+Tree in one file: point reads look at one leaf, a flush rewrites the leaves it changes. For data
    /// that is read more than written. Its pages are not compressed.
    BTree,
}

/// Options of a keyspace, kept with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceOptions {
    /// How it is stored.
    pub layout: Layout,
    /// Compression of its blocks; the database's if not given.
    pub compression: Option<Compression>,
    /// How long a value lives, counted from its commit by the system's clock, in whole milliseconds; forever
    /// if not given. A value that has expired is not seen any more at once, by snapshots from before
    /// neither; its bytes go when files are written anew. A write of the key gives it a new life. Costs
    /// eight bytes per value.
    pub ttl: Option<Duration>,
    /// Where values go to blob files; the database's if not given.
    pub blob_threshold: Option<u32>,
    /// The name of what makes one value of a value and what was merged into it: one of
    /// [`Options::merge_operators`], `u64 add` ([`AddU64`](crate::AddU64)) or `append`
    /// ([`Append`](crate::Append)). See [`Transaction::merge`](crate::Transaction::merge). Not together with
    /// `ttl`. Costs a byte per value.
    pub merge_operator: Option<Arc<str>>,
    /// Which of its tables are merged.
    pub compaction: CompactionStrategy,
    /// What part of its keys the filters of tables have, besides whole keys: [`Readable::prefix`](crate::Readable::prefix)
    /// and walks between two keys with the same prefix then pass over tables that have none of it.
    pub prefix: Option<Prefix>,
}

/// Which tables of a keyspace are merged, and when. Keyspaces of the layout [`Layout::BTree`] have nothing to
/// merge. What is there stays readable under any of them, so it can be changed at any time:
/// [`Keyspace::set_compaction`](crate::Keyspace::set_compaction).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompactionStrategy {
    /// Levels of ten times the size of the one above, each sorted: reads look at few tables, and few bytes are
    /// there twice; each byte is written some ten times per level.
    #[default]
    Leveled,
    /// Runs of similar size are merged into one: each byte is written about once per doubling of the data, and
    /// reads look at up to six runs besides level 0. A merge of everything needs as much room again.
    Universal {
        /// A run is merged with newer ones if it is at most so many percent larger than they are together.
        size_ratio_percent: u32,
        /// Everything is merged when what is newer than the oldest run has more than so many percent of the
        /// oldest run's bytes.
        space_amplification_percent_max: u32,
    },
    /// Nothing is merged, and the oldest tables go, whole, when all have more than so many bytes: for what is
    /// written once, in the order in which it grows old. What goes is gone for all later reads, whatever its
    /// keys, and an overwritten key goes with the table that has its last version. Snapshots from before keep
    /// it. Transactions are not told: what vanished under one that is running is no conflict. A point read
    /// asks the filter of each table. What a bulk load brought counts as oldest.
    Fifo {
        /// Bytes that all tables together may have. The newest table stays whatever its size.
        bytes_max: u64,
    },
}

impl CompactionStrategy {
    /// [`CompactionStrategy::Universal`] with usual figures.
    pub fn universal() -> Self {
        Self::Universal { size_ratio_percent: 10, space_amplification_percent_max: 200 }
    }
}

/// How durable a write is when the call returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// As durable as [`Options::sync`] says: with [`SyncMode::Sync`] it survives a power loss.
    #[default]
    Sync,
    /// Logged, and durable soon; always before anything committed later.
    Buffered,
    /// Not logged: durable once the keyspace is flushed.
    Unlogged,
}

/// What keeps concurrent transactions apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionMode {
    /// Commit fails if a written key was changed since the snapshot: the first committer wins.
    #[default]
    Optimistic,
    /// Nothing is checked at commit; the caller locks what it writes.
    Pessimistic,
}

/// What a transaction that commits is told of what others committed since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing about what it only read: it saw one moment, and two that each read what the other wrote
    /// can both commit.
    #[default]
    Snapshot,
    /// Each read sees what is published when it is made, a range when it begins; what was read may be
    /// different a moment later. The commit is never refused, whatever others wrote: the last one wins. Where
    /// a read decides what is written, a lock must keep others away.
    ReadCommitted,
    /// It fails if a key it read, or a place in a range it walked over, was changed: the outcome is one
    /// that running the transactions one after the other, in the order of their commits, would give. In
    /// either mode; those that wrote nothing are never refused. What it reads is remembered, up to 16
    /// MiB, past which whole keyspaces count as read.
    Serializable,
}

/// Options of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionOptions {
    /// What keeps it apart from others.
    pub mode: TransactionMode,
    /// Whether what it reads counts, too.
    pub isolation: Isolation,
    /// How durable its commit is.
    pub durability: Durability,
}

/// Which way a range is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key up.
    #[default]
    Forward,
    /// From the largest key down.
    Reverse,
}

/// What a lock allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Others may share it.
    Shared,
    /// Nobody else may hold it.
    Exclusive,
}

/// The longest key.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// The longest value.
pub const VALUE_BYTES_MAX: u64 = u32::MAX as u64 - (1 << 20);
