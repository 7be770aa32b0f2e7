//! Decoded rows of a file, and a cache of them.
//!
//! Whoever shows a dashboard asks for the same rows again and again. What was decoded last is kept, up to a number of bytes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::run::Run;
use crate::scan::Wanted;

/// Rows of neighbouring series.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Each series and its rows, in order.
    pub runs: Vec<(u32, Range<usize>)>,
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    /// As [`Run`] has them.
    pub starts: Vec<i64>,
    pub payloads: Vec<(u32, Vec<u8>)>,
    /// The labels of each of `runs`, if they were asked for.
    pub labels: Vec<String>,
}

impl Rows {
    /// Adds what is wanted of a series to its samples before; and, if that is wanted, one sample that is older.
    pub fn add_to(&self, run: &mut Run, wanted: &Wanted) {
        let Ok(at) = self.runs.binary_search_by_key(&run.series, |(series, _)| *series) else { return };
        if let Some((_, rows)) = self.runs.get(at) {
            self.add(rows.clone(), run, wanted);
        }
    }

    /// Adds what is wanted of some rows, which are of the run's series.
    pub fn add(&self, rows: Range<usize>, run: &mut Run, wanted: &Wanted) {
        let times = self.times.get(rows.clone()).unwrap_or_default();
        let from = times.partition_point(|t| *t < wanted.from);
        let to = times.partition_point(|t| *t <= wanted.to).max(from);
        let from = from - usize::from(wanted.previous && from > 0);
        let rows = rows.start + from..rows.start + to;
        let before = run.len();
        run.times.extend_from_slice(self.times.get(rows.clone()).unwrap_or_default());
        run.values.extend_from_slice(self.values.get(rows.clone()).unwrap_or_default());
        if !self.starts.is_empty() && run.starts.is_empty() {
            run.starts.resize(before, 0);
        }
        if !self.starts.is_empty() || !run.starts.is_empty() {
            run.starts.extend_from_slice(self.starts.get(rows.clone()).unwrap_or_default());
            run.starts.resize(run.times.len(), 0);
        }
        let payloads = self.payloads.partition_point(|(at, _)| (*at as usize) < rows.start);
        let payloads = self.payloads.get(payloads..).unwrap_or_default().iter();
        let payloads = payloads.take_while(|(at, _)| (*at as usize) < rows.end);
        let place = |at: u32| (before + at as usize - rows.start) as u32;
        run.payloads.extend(payloads.map(|(at, bytes)| (place(*at), bytes.clone())));
    }

    fn bytes(&self) -> usize {
        let payloads: usize = self.payloads.iter().map(|(_, bytes)| bytes.len() + 32).sum();
        (self.times.len() + self.values.len() + self.starts.len()) * 8 + self.runs.len() * 24 + payloads + 256
    }
}

/// File, row group, first row.
type Key = (u64, u32, u32);

#[derive(Debug, Default)]
struct Kept {
    rows: HashMap<Key, (Arc<Rows>, u64)>,
    /// By when they were used last.
    turns: BTreeMap<u64, Key>,
    bytes: usize,
    turn: u64,
}

/// Decoded rows; those go first that were not used for longest.
#[derive(Debug)]
pub(crate) struct DecodedRows {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

impl DecodedRows {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// How many rows there is room for, about.
    pub fn rows_max(&self) -> usize {
        self.bytes_max / 16
    }

    pub fn get(&self, key: Key) -> Option<Arc<Rows>> {
        let mut kept = self.kept.lock();
        let Kept { rows, turns, turn, .. } = &mut *kept;
        let (found, used) = rows.get_mut(&key)?;
        *turn += 1;
        turns.remove(used);
        turns.insert(*turn, key);
        *used = *turn;
        Some(Arc::clone(found))
    }

    pub fn put(&self, key: Key, rows: &Arc<Rows>) {
        let mut kept = self.kept.lock();
        if rows.bytes() > self.bytes_max || kept.rows.contains_key(&key) {
            return;
        }
        kept.turn += 1;
        let turn = kept.turn;
        kept.bytes += rows.bytes();
        kept.turns.insert(turn, key);
        kept.rows.insert(key, (Arc::clone(rows), turn));
        while kept.bytes > self.bytes_max {
            let Some((_, oldest)) = kept.turns.pop_first() else { break };
            if let Some((gone, _)) = kept.rows.remove(&oldest) {
                kept.bytes -= gone.bytes();
            }
        }
    }

    /// Forgets the rows of a file.
    pub fn forget(&self, file: u64) {
        let mut kept = self.kept.lock();
        let Kept { rows, turns, bytes, .. } = &mut *kept;
        rows.retain(|(of, ..), (gone, turn)| {
            if *of == file {
                *bytes -= gone.bytes();
                turns.remove(turn);
            }
            *of != file
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_a_file_takes_its_rows_along() {
        let rows = |count: usize| Arc::new(Rows { times: vec![0; count], ..Rows::default() });
        let kept = DecodedRows::new(4 * rows(100).bytes());
        (0..4).for_each(|at| kept.put((at, 0, 0), &rows(100)));
        assert!(kept.get((0, 0, 0)).is_some());
        kept.put((9, 1, 0), &rows(100));
        let there = |of: u64, group: u32| kept.get((of, group, 0)).is_some();
        assert_eq!([there(0, 0), there(1, 0), there(2, 0), there(9, 1)], [true, false, true, true]);
        kept.put((10, 0, 0), &rows(1000));
        assert!(!there(10, 0), "more than there is room for");
        kept.put((9, 2, 0), &rows(100));
        kept.forget(9);
        assert_eq!([there(9, 1), there(9, 2), there(0, 0)], [false, false, true]);
        kept.forget(0);
        kept.forget(2);
        let kept = kept.kept.into_inner();
        assert_eq!((kept.bytes, kept.rows.len(), kept.turns.len()), (0, 0, 0));
    }
}
