//! How much was changed in a table since the database was opened: what tells when its statistics are old.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Counts of a table since the database was opened. Changes that were rolled back are among them.
#[derive(Debug, Default)]
pub struct Changes {
    inserted: AtomicU64,
    updated: AtomicU64,
    deleted: AtomicU64,
    /// All of them when statistics were last made.
    analyzed: AtomicU64,
    /// Rows inserted without those deleted, then; wrapping.
    rows_then: AtomicU64,
    by_hand: Runs,
    by_itself: Runs,
}

/// How often statistics were made, and when last, in microseconds since 1970.
#[derive(Debug, Default)]
struct Runs {
    count: AtomicU64,
    last: AtomicI64,
}

/// What [`Changes`] says at a moment.
#[derive(Clone, Copy, Debug)]
pub struct ChangeCounts {
    /// Rows.
    pub inserted: u64,
    /// Rows.
    pub updated: u64,
    /// Rows.
    pub deleted: u64,
    /// Rows inserted, updated and deleted since statistics were made.
    pub since_analyze: u64,
    /// ANALYZE by hand: how often, and when last in microseconds since 1970.
    pub by_hand: (u64, Option<i64>),
    /// The same for statistics that made themselves.
    pub by_itself: (u64, Option<i64>),
}

impl Changes {
    /// Rows were inserted.
    pub fn insert(&self, rows: u64) {
        self.inserted.fetch_add(rows, Ordering::Relaxed);
    }

    /// A row was updated.
    pub fn update(&self) {
        self.updated.fetch_add(1, Ordering::Relaxed);
    }

    /// A row was deleted.
    pub fn delete(&self) {
        self.deleted.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes of all kinds.
    pub fn total(&self) -> u64 {
        [&self.inserted, &self.updated, &self.deleted].map(|count| count.load(Ordering::Relaxed)).iter().sum()
    }

    /// Rows inserted without those deleted; wrapping.
    pub fn net(&self) -> u64 {
        self.inserted.load(Ordering::Relaxed).wrapping_sub(self.deleted.load(Ordering::Relaxed))
    }

    /// By how many rows the table grew since statistics were made, if they were since the database was opened.
    pub fn growth(&self) -> Option<i64> {
        let made =
            self.by_hand.count.load(Ordering::Relaxed) + self.by_itself.count.load(Ordering::Relaxed) > 0;
        made.then(|| self.net().wrapping_sub(self.rows_then.load(Ordering::Relaxed)) as i64)
    }

    /// Statistics were made of the table as it was after that many changes, of which so many rows were left.
    pub fn analyzed(&self, (total, net): (u64, u64), by_itself: bool) {
        self.analyzed.store(total, Ordering::Relaxed);
        self.rows_then.store(net, Ordering::Relaxed);
        let runs = if by_itself { &self.by_itself } else { &self.by_hand };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        runs.last.store(now, Ordering::Relaxed);
        runs.count.fetch_add(1, Ordering::Relaxed);
    }

    /// All counts.
    pub fn counts(&self) -> ChangeCounts {
        let runs = |runs: &Runs| {
            let count = runs.count.load(Ordering::Relaxed);
            (count, (count > 0).then(|| runs.last.load(Ordering::Relaxed)))
        };
        ChangeCounts {
            inserted: self.inserted.load(Ordering::Relaxed),
            updated: self.updated.load(Ordering::Relaxed),
            deleted: self.deleted.load(Ordering::Relaxed),
            since_analyze: self.total().saturating_sub(self.analyzed.load(Ordering::Relaxed)),
            by_hand: runs(&self.by_hand),
            by_itself: runs(&self.by_itself),
        }
    }
}
