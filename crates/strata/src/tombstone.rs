//! What is deleted of the files that were there at a moment.

use std::sync::Arc;

use roaring::RoaringBitmap;

/// Samples of some series and some time that are deleted.
///
/// It hides samples in files that were there when it was committed; what comes later is not deleted. It goes
/// when no such file is left and its mark has been passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Tombstone {
    pub(crate) number: u64,
    /// The series.
    pub series: RoaringBitmap,
    /// The first deleted time, in milliseconds.
    pub from: i64,
    /// The last.
    pub to: i64,
    pub(crate) before: u64,
    /// A place in the caller's log: what the log has before it is deleted, too.
    pub mark: u64,
}

impl Tombstone {
    /// A tombstone to be committed. `mark` is a place in the caller's log, or 0.
    pub fn new(series: RoaringBitmap, from: i64, to: i64, mark: u64) -> Self {
        Self { number: 0, series, from, to, before: 0, mark }
    }

    /// Whether it hides the sample of a series at a time, wherever that is.
    pub fn hides(&self, series: u32, t: i64) -> bool {
        (self.from..=self.to).contains(&t) && self.series.contains(series)
    }
}

/// The tombstones that concern one file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hidden(Vec<Arc<Tombstone>>);

impl Hidden {
    pub fn of(tombstones: &[Arc<Tombstone>], entry: &crate::manifest::FileEntry) -> Self {
        let concerns = |tombstone: &&Arc<Tombstone>| {
            entry.number < tombstone.before
                && entry.overlaps(tombstone.from, tombstone.to)
                && tombstone.series.range_cardinality(entry.series.0..=entry.series.1) > 0
        };
        Self(tombstones.iter().filter(concerns).map(Arc::clone).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes what is deleted out of a run.
    pub fn apply(&self, run: &mut crate::run::Run) {
        let series = run.series;
        for tombstone in self.0.iter().filter(|tombstone| tombstone.series.contains(series)) {
            run.retain(|t| !(tombstone.from..=tombstone.to).contains(&t));
        }
    }
}
