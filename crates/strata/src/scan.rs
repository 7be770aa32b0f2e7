//! The samples of some series and some time from all files of a snapshot, merged.
//!
//! Series come in ascending order, each once, with its samples in the order of time and no time twice: of two
//! samples of one time that of the file with the lower order counts.
//!
//! Memory: a cursor per file that may have such samples, some 2 MB each, and one series.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::cursor::{Cursor, Found, Wanted};
use crate::error::{Error, Result};
use crate::run::Run;
use crate::table::Snapshot;
use crate::tombstone::Hidden;

/// Which samples are read.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Of which series; of all if not given.
    pub series: Option<Arc<RoaringBitmap>>,
    /// From this time on, in milliseconds.
    pub from: i64,
    /// Up to this time.
    pub to: i64,
    /// Whether the sample before the first is given too, if it is at hand: whether a counter was reset, the sample
    /// before tells.
    pub previous: bool,
}

/// Runs of several files as one per series.
pub struct Merged {
    cursors: Vec<(Cursor, Option<Found>)>,
    rows_max: usize,
    failed: bool,
}

impl std::fmt::Debug for Merged {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Merged").field("files", &self.cursors.len()).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Reads samples of some series and some time.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn scan(&self, scan: &Scan) -> Result<Merged> {
        let (series, previous) = (scan.series.clone(), scan.previous);
        let wanted = Wanted { series, from: scan.from, to: scan.to, previous, labels: false };
        self.merged(&wanted, |_| true, self.rows_max())
    }

    pub(crate) fn merged(
        &self,
        wanted: &Wanted,
        chosen: impl Fn(u64) -> bool,
        rows_max: usize,
    ) -> Result<Merged> {
        let mut cursors = Vec::new();
        for file in self.files().filter(|file| chosen(file.entry.number)) {
            let entry = &file.entry;
            if entry.overlaps(wanted.from, wanted.to) && wanted.any_of(entry.series.0, entry.series.1) {
                let hidden = Hidden::of(self.tombstones(), entry);
                let mut cursor = Cursor::new(Arc::clone(file), wanted.clone(), hidden)?;
                if let Some(first) = cursor.next()? {
                    cursors.push((cursor, Some(first)));
                }
            }
        }
        Ok(Merged { cursors, rows_max, failed: false })
    }
}

impl Merged {
    /// The next series with its labels, if those were wanted.
    pub(crate) fn next_found(&mut self) -> Result<Option<Found>> {
        let heads = self.cursors.iter().filter_map(|(_, head)| head.as_ref());
        let Some(series) = heads.map(|found| found.run.series).min() else { return Ok(None) };
        let mut runs: Vec<(u64, Run)> = Vec::new();
        let (mut labels, mut rows) = (None, 0);
        for (cursor, head) in &mut self.cursors {
            let mut whole: Option<Run> = None;
            while let Some(found) = head.take_if(|found| found.run.series == series) {
                rows += found.run.len();
                if rows > self.rows_max {
                    return Err(Error::TooManyRows { series, limit: self.rows_max });
                }
                labels = labels.or(found.labels);
                match &mut whole {
                    Some(whole) => whole.append(found.run),
                    None => whole = Some(found.run),
                }
                *head = cursor.next()?;
            }
            runs.extend(whole.map(|run| (cursor.order(), run)));
        }
        self.cursors.retain(|(_, head)| head.is_some());
        Ok(Some(Found { run: merge(series, runs), labels }))
    }
}

impl Iterator for Merged {
    type Item = Result<Run>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_found();
        self.failed = next.is_err();
        next.map(|found| found.map(|found| found.run)).transpose()
    }
}

/// One run of several; what has the lower order counts.
fn merge(series: u32, mut runs: Vec<(u64, Run)>) -> Run {
    runs.sort_by_key(|(_, run)| run.times.first().copied());
    let apart = runs.windows(2).all(|two| two[0].1.times.last() < two[1].1.times.first());
    let mut merged = Run { series, ..Run::default() };
    if apart {
        for (_, run) in runs {
            merged.append(run);
        }
        return merged;
    }
    let mut samples: Vec<_> = runs
        .iter()
        .flat_map(|(order, run)| run.samples().map(move |sample| (sample.0, *order, sample)))
        .collect();
    samples.sort_by_key(|(t, order, _)| (*t, *order));
    samples.dedup_by_key(|(t, ..)| *t);
    for (.., sample) in samples {
        merged.push_sample(sample);
    }
    merged
}
