//! Between which times files may have samples of a series, as far as the manifest tells: nothing is read.

use crate::manifest::FileEntry;
use crate::table::Snapshot;

impl Snapshot {
    /// The first and the last time, from `from` to `to`, at which files may have samples of a series that are not deleted;
    /// `None` if there are none.
    pub fn span(&self, series: u32, from: i64, to: i64) -> Option<(i64, i64)> {
        let mut span = None;
        for entry in self.entries().filter(|entry| (entry.series.0..=entry.series.1).contains(&series)) {
            let (first, last) = (entry.times.0.max(from), entry.times.1.min(to));
            if first <= last && !self.is_deleted(entry, series, first, last) {
                let (from, to) = span.unwrap_or((first, last));
                span = Some((first.min(from), last.max(to)));
            }
        }
        span
    }

    /// Whether one tombstone hides all that a file may have of a series between two times.
    fn is_deleted(&self, entry: &FileEntry, series: u32, first: i64, last: i64) -> bool {
        let of_file = self.tombstones().iter().filter(|tombstone| entry.number < tombstone.before);
        of_file.into_iter().any(|tombstone| tombstone.hides(series, first) && tombstone.hides(series, last))
    }
}
