//! How a log behaves.

use std::sync::Arc;
use std::time::Duration;

use crate::Error;

/// A place in the log: the number of record bytes before it. A record is named by the place where
/// it ends, so "durable up to a record" is "durable up to its `Lsn`".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// When records that nobody waits for are synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Whoever needs durability waits for it; the rest is synced within 200 ms.
    #[default]
    Sync,
    /// Everything is synced at least this often.
    Periodic(Duration),
    /// The operating system decides, except where somebody waits.
    Async,
}

/// Who writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flusher {
    /// A thread of the log's own.
    #[default]
    Thread,
    /// Whoever waits: no thread, the same calls give the same file operations.
    Inline,
}

/// Is told how far the log has come, in order, by the thread that writes.
pub trait LogObserver: Send + Sync {
    /// Everything up to this place is durable.
    fn durable(&self, lsn: Lsn);
    /// The log failed for good.
    fn poisoned(&self, cause: &Error);
}

/// Options of a log.
#[derive(Clone)]
pub struct LogOptions {
    /// Bytes of one segment file; at least 4096.
    pub segment_bytes: u64,
    /// When records that nobody waits for are synced.
    pub sync: SyncMode,
    /// Who writes.
    pub flusher: Flusher,
    /// Bytes that may wait in memory before `append` waits for the disk.
    pub buffer_bytes: usize,
    /// Is told of progress.
    pub observer: Option<Arc<dyn LogObserver>>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            sync: SyncMode::default(),
            flusher: Flusher::default(),
            buffer_bytes: 16 << 20,
            observer: None,
        }
    }
}

impl std::fmt::Debug for LogOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LogOptions")
            .field("segment_bytes", &self.segment_bytes)
            .field("sync", &self.sync)
            .field("flusher", &self.flusher)
            .field("buffer_bytes", &self.buffer_bytes)
            .finish_non_exhaustive()
    }
}
