//! Large files of small ones.
//!
//! When a day is over all of its files become one (or several of some size, apart by series); before that the
//! files of a window do when there are many of them. Days with few samples become one file later. What comes late to
//! a day that was merged waits until it is worth writing the day again. Files with deleted samples are written
//! anew without them.
//!
//! Invariants: what is merged is all that the table has of a window or a day, so the order of samples of one
//! time stays. Readers see the old files or the new ones. Each sample is written about three times.

use std::sync::Arc;

use crate::error::Result;
use crate::file_writer::{Finished, NewFile};
use crate::manifest::FileEntry;
use crate::table::{Change, Snapshot, State, Table, TableOptions, Upkeep};
use crate::tombstone::Hidden;

/// So many days become one file, too, when they are over and have so few bytes: what a file costs by itself, some
/// kilobytes, would be more than its samples.
const SPANS_DAYS: [i64; 3] = [8, 32, 256];
const SPAN_BYTES: u64 = 16 << 20;
/// From so many files on.
const SPAN_FILES: usize = 3;
/// A merged day is written again when what came since has more than this share of its bytes.
const LATE_SHARE: u64 = 8;

/// What a compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files before and after.
    pub files: (usize, usize),
    /// Samples before and after.
    pub rows: (u64, u64),
    /// Bytes before and after.
    pub bytes: (u64, u64),
}

/// Which files are merged, and what the outcome is.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    inputs: Vec<u64>,
    level: u8,
}

impl Table {
    /// Does the compaction that is most worth it, if there is one. `now` is the time of the newest samples, in
    /// milliseconds: days before it are over.
    ///
    /// # Errors
    /// When a file cannot be read or written, or what is merged was changed meanwhile.
    pub fn compact(&self, now: i64) -> Result<Option<Compacted>> {
        let state = self.state();
        let Some(plan) = plan(&state, now, &self.options) else { return Ok(None) };
        let inputs: Vec<&FileEntry> = state
            .files
            .iter()
            .map(|file| &file.entry)
            .filter(|entry| plan.inputs.contains(&entry.number))
            .collect();
        let order = inputs.iter().map(|entry| entry.order).min().unwrap_or_default();
        let mut done = Compacted::default();
        for entry in &inputs {
            done.files.0 += 1;
            done.rows.0 += entry.rows;
            done.bytes.0 += entry.bytes;
        }
        let snapshot = Snapshot::of(Arc::clone(&state), usize::MAX);
        let mut merged = snapshot.merged(|number| plan.inputs.contains(&number), usize::MAX)?;
        let mut add: Vec<Finished> = Vec::new();
        let mut file: Option<NewFile> = None;
        while let Some(found) = merged.next_found()? {
            if file.as_ref().is_some_and(|file| file.bytes() >= self.options.file_bytes) {
                add.extend(file.take().map(NewFile::finish).transpose()?.flatten());
            }
            let into = match &mut file {
                Some(file) => file,
                None => file.insert(self.new_file()?),
            };
            into.push(&found.labels, &found.run)?;
        }
        add.extend(file.map(NewFile::finish).transpose()?.flatten());
        let add: Vec<Finished> = add.into_iter().map(|file| file.replacing(order, plan.level)).collect();
        for finished in &add {
            done.files.1 += 1;
            done.rows.1 += finished.entry().rows;
            done.bytes.1 += finished.entry().bytes;
        }
        drop(merged);
        let change = Change { add, remove: plan.inputs, ..Change::default() };
        let upkeep = Upkeep { made_from: Some(state), ..Upkeep::default() };
        self.commit_with(change, &upkeep, |_| Ok(()))?;
        Ok(Some(done))
    }
}

fn plan(state: &State, now: i64, options: &TableOptions) -> Option<Plan> {
    let mut files: Vec<&FileEntry> = state.files.iter().map(|file| &file.entry).collect();
    files.sort_by_key(|entry| entry.times.0);
    let day = |entry: &&FileEntry| entry.times.0.div_euclid(options.day_ms);
    let window = |entry: &&FileEntry| entry.times.0.div_euclid(options.window_ms);
    let of = |files: &[&FileEntry], level| {
        Some(Plan { inputs: files.iter().map(|entry| entry.number).collect(), level })
    };
    let worth_a_day = |files: &[&FileEntry]| {
        let over = files.first().is_some_and(|entry| (day(entry) + 1).saturating_mul(options.day_ms) <= now);
        let (late, merged): (Vec<&FileEntry>, Vec<&FileEntry>) =
            files.iter().partition(|entry| entry.level < 2);
        let bytes = |files: &[&FileEntry]| files.iter().map(|entry| entry.bytes).sum::<u64>();
        over && !late.is_empty()
            && files.len() > 1
            && (late.len() >= options.files_per_window * 2 || bytes(&late) * LATE_SHARE >= bytes(&merged))
    };
    if let Some(files) = files.chunk_by(|a, b| day(a) == day(b)).find(|files| worth_a_day(files)) {
        return of(files, 2);
    }
    for days in SPANS_DAYS {
        let Some(span_ms) = options.day_ms.checked_mul(days) else { continue };
        let span = |entry: &&FileEntry| entry.times.0.div_euclid(span_ms);
        let worth_it = |files: &&[&FileEntry]| {
            files.first().is_some_and(|entry| (span(entry) + 1).saturating_mul(span_ms) <= now)
                && files.len() >= SPAN_FILES
                && files.iter().map(|entry| entry.bytes).sum::<u64>() <= SPAN_BYTES
        };
        if let Some(files) = files.chunk_by(|a, b| span(a) == span(b)).find(worth_it) {
            return of(files, 2);
        }
    }
    let small: Vec<&FileEntry> = files.iter().copied().filter(|entry| entry.level < 2).collect();
    let many = |files: &&[&FileEntry]| files.len() >= options.files_per_window.max(2);
    if let Some(files) = small.chunk_by(|a, b| window(a) == window(b)).find(many) {
        return of(files, 1);
    }
    let deleted = files.iter().find(|entry| !Hidden::of(&state.tombstones, entry).is_empty());
    deleted.and_then(|entry| of(&[*entry], entry.level))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::open_file::{OpenFiles, TableFile};
    use crate::rows::DecodedRows;
    use crate::{Error, Run, Scan, Tombstone};
    use lightning::{Database, Options};
    use luma_vfs::SimDisk;
    use std::path::Path;

    #[test]
    fn a_compaction_that_a_delete_overtook_changes_nothing() {
        let vfs = Arc::new(SimDisk::new());
        let database = Database::open_with_vfs(vfs.clone(), "/t/manifest", Options::default()).unwrap();
        let table = Table::open(vfs, Path::new("/t/files"), &database, "m", TableOptions::default()).unwrap();
        let mut run = Run { series: 4, ..Run::default() };
        run.push_value(1, 0, 1.0);
        let file = || {
            let mut file = table.new_file().unwrap();
            file.push("{}", &run).unwrap();
            file.finish().unwrap().unwrap()
        };
        table.commit(Change { add: vec![file()], ..Change::default() }, |_| Ok(())).unwrap();
        // A compaction has read everything, and now somebody deletes.
        let upkeep = Upkeep { made_from: Some(table.state()), ..Upkeep::default() };
        let change = Change { add: vec![file()], remove: vec![1], ..Change::default() };
        let tombstones = vec![Tombstone::new([4].into(), 0, 9, 0)];
        table.commit(Change { tombstones, ..Change::default() }, |_| Ok(())).unwrap();
        let outcome = table.commit_with(change, &upkeep, |_| Ok(()));
        assert!(matches!(outcome, Err(Error::Outdated { .. })));
        let scan = Scan { series: Arc::new([4].into()), from: i64::MIN, to: i64::MAX, previous: false };
        let found = table.snapshot().scan(&scan).unwrap().find(4);
        assert!(found.is_none_or(|found| found.read().unwrap().is_empty()));
        assert_eq!(table.snapshot().stats().files, 1);
    }

    /// What is merged of files with these numbers, levels, first times and bytes.
    fn planned(files: &[(u64, u8, i64, u64)], now: i64, options: &TableOptions) -> Option<(Vec<u64>, u8)> {
        let open_files = Arc::new(OpenFiles::new(0));
        let file = |(number, level, from, bytes): &(u64, u8, i64, u64)| {
            let entry = FileEntry {
                number: *number,
                order: *number,
                level: *level,
                times: (*from, *from + 5),
                series: (0, 9),
                rows: 1,
                bytes: *bytes,
                sums: Arc::from([]),
            };
            let vfs = Arc::new(SimDisk::new());
            let decoded = Arc::new(DecodedRows::new(0));
            Arc::new(TableFile::new(entry, Path::new("/"), vfs, Arc::clone(&open_files), decoded))
        };
        let state = State { files: files.iter().map(file).collect(), tombstones: Vec::new() };
        plan(&state, now, options).map(|plan| (plan.inputs, plan.level))
    }

    #[test]
    fn days_that_are_over_are_merged_and_written_again_only_when_that_is_worth_it() {
        let options =
            TableOptions { window_ms: 10, day_ms: 40, files_per_window: 3, ..TableOptions::default() };
        let plan = |entries: &[(u64, u8, i64, u64)], now| planned(entries, now, &options);
        let two = [(1, 0, 0, 100), (2, 0, 10, 100)];
        assert_eq!(plan(&two, 39), None, "the day is not over");
        assert_eq!(plan(&two, 40), Some((vec![1, 2], 2)));
        assert_eq!(plan(&[(1, 0, 0, 100)], 40), None, "one file is merged already");
        let window = [(1, 0, 0, 100), (2, 0, 1, 10), (3, 0, 10, 10), (4, 1, 2, 10)];
        assert_eq!(plan(&window, 39), Some((vec![1, 2, 4], 1)));
        let late = [(1, 2, 0, 1000), (2, 0, 10, 100)];
        assert_eq!(plan(&late, 400), None, "little came since");
        assert_eq!(plan(&[(1, 2, 0, 1000), (2, 0, 10, 200)], 400), Some((vec![1, 2], 2)));
        assert_eq!(plan(&[(1, 2, 0, 1000), (2, 2, 10, 100)], 400), None, "all of it is merged");
    }

    #[test]
    fn days_with_few_samples_become_one_file_when_their_span_is_over() {
        let options = TableOptions { window_ms: 10, day_ms: 40, ..TableOptions::default() };
        let days = |bytes: u64| [0, 1, 2].map(|day| (day as u64 + 1, 2, day * 40, bytes));
        assert_eq!(planned(&days(1000), 319, &options), None, "the span is not over");
        assert_eq!(planned(&days(1000), 320, &options), Some((vec![1, 2, 3], 2)));
        assert_eq!(planned(&days(SPAN_BYTES / 3 + 1), 320, &options), None, "they are large enough");
        assert_eq!(planned(&days(1000)[..2], 320, &options), None, "they are few");
        let spans = [(1, 2, 0, 9), (2, 2, 320, 9), (3, 2, 960, 9)];
        assert_eq!(planned(&spans, 1279, &options), None);
        assert_eq!(planned(&spans, 1280, &options), Some((vec![1, 2, 3], 2)));
    }
}
