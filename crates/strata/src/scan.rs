//! The samples of some series and some time from all files of a snapshot, merged.
//!
//! Series come in ascending order, each once, with its samples in the order of time and no time twice: of two
//! samples of one time that of the file with the lower order counts.
//!
//! Finding a series and reading it are two things, so that several threads read. Only footers and page indexes are read to
//! find them; no file is held open for it.
//!
//! Memory: the decoded rows of a unit per file and series that is being read, those of the next ones as far as threads are ahead,
//! and one series per reader.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::cursor::{Cursor, Found};
use crate::error::{Error, Result};
use crate::run::Run;
use crate::table::Snapshot;
use crate::tombstone::Hidden;
use crate::unit::Unit;

/// Units of one series that are decoded by one thread; with more of them it has help.
const UNITS_ALONE: usize = 3;
/// Units behind those of a series that are decoded by whoever would else wait for them.
const UNITS_AHEAD: usize = 3;
/// Threads that decode the units of one series, at most.
const THREADS_MAX: usize = 8;

/// Which samples are read.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Of which series.
    pub series: Arc<RoaringBitmap>,
    /// From this time on, in milliseconds.
    pub from: i64,
    /// Up to this time.
    pub to: i64,
    /// Whether the sample before the first is given too, if it is at hand: whether a counter was reset, the sample
    /// before tells.
    pub previous: bool,
}

/// Which samples.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Which series; all if not given.
    pub series: Option<Arc<RoaringBitmap>>,
    pub from: i64,
    pub to: i64,
    /// Whether a run begins one sample before `from`, if its rows do.
    pub previous: bool,
}

impl Wanted {
    /// All samples there are.
    pub fn everything() -> Self {
        Self { series: None, from: i64::MIN, to: i64::MAX, previous: false }
    }

    /// Whether one of the series from `first` to `last` is wanted.
    pub fn any_of(&self, first: u32, last: u32) -> bool {
        self.series.as_ref().is_none_or(|series| series.range_cardinality(first..=last) > 0)
    }

    /// Whether a series is wanted.
    pub fn has(&self, series: u32) -> bool {
        self.series.as_ref().is_none_or(|wanted| wanted.contains(series))
    }

    /// Whether some times from the first to the last are wanted.
    pub fn overlaps(&self, (first, last): (i64, i64)) -> bool {
        first <= self.to && last >= self.from
    }
}

/// What one file has.
struct OfFile {
    order: u64,
    hidden: Arc<Hidden>,
    /// Those that the series that were asked for did not pass yet.
    units: VecDeque<Arc<Unit>>,
}

/// The series of a scan, one after another.
pub struct Series {
    wanted: Wanted,
    files: Vec<OfFile>,
    rows_max: usize,
    keep: bool,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Series").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// What one file has of a series.
struct Part {
    order: u64,
    hidden: Arc<Hidden>,
    units: Vec<Arc<Unit>>,
    /// Those that the next series need.
    ahead: Vec<Arc<Unit>>,
}

/// Where the samples of a series are.
pub struct Unread {
    series: u32,
    wanted: Wanted,
    files: Vec<Part>,
    rows_max: usize,
    keep: bool,
}

impl std::fmt::Debug for Unread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Unread").field("series", &self.series).finish_non_exhaustive()
    }
}

/// Runs of several files as one per series, with labels.
pub(crate) struct Merged {
    cursors: Vec<(Cursor, Option<Found>)>,
    rows_max: usize,
}

impl Snapshot {
    /// Finds samples of some series and some time.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn scan(&self, scan: &Scan) -> Result<Series> {
        let series = Some(Arc::clone(&scan.series));
        let wanted = Wanted { series, from: scan.from, to: scan.to, previous: scan.previous };
        let (mut files, mut rows, mut room) = (Vec::new(), 0, 0);
        for file in self.files() {
            let entry = &file.entry;
            if entry.overlaps(wanted.from, wanted.to) && wanted.any_of(entry.series.0, entry.series.1) {
                let units: VecDeque<_> = Unit::of_file(file, &wanted)?.into_iter().map(Arc::new).collect();
                rows += units.iter().map(|unit| unit.len()).sum::<usize>();
                room = file.decoded.rows_max();
                let hidden = Arc::new(Hidden::of(self.tombstones(), entry));
                files.push(OfFile { order: entry.order, hidden, units });
            }
        }
        // What would take most of the room is not worth what others have there.
        Ok(Series { wanted, files, rows_max: self.rows_max(), keep: rows <= room / 2 })
    }

    pub(crate) fn merged(&self, chosen: impl Fn(u64) -> bool, rows_max: usize) -> Result<Merged> {
        let mut cursors = Vec::new();
        for file in self.files().filter(|file| chosen(file.entry.number)) {
            let hidden = Hidden::of(self.tombstones(), &file.entry);
            let mut cursor = Cursor::new(file, Wanted::everything(), hidden)?;
            if let Some(first) = cursor.next()? {
                cursors.push((cursor, Some(first)));
            }
        }
        Ok(Merged { cursors, rows_max })
    }
}

impl Series {
    /// Where the samples of a series are, which must be behind all that were asked for; `None` if files have none.
    pub fn find(&mut self, series: u32) -> Option<Unread> {
        let mut files = Vec::new();
        for file in &mut self.files {
            while file.units.front().is_some_and(|unit| unit.series.1 < series) {
                file.units.pop_front();
            }
            let units = file.units.iter().take_while(|unit| unit.series.0 <= series);
            let units: Vec<_> = units.map(Arc::clone).collect();
            if !units.is_empty() {
                let ahead = file.units.iter().skip(units.len()).take(UNITS_AHEAD).map(Arc::clone).collect();
                files.push(Part { order: file.order, hidden: Arc::clone(&file.hidden), units, ahead });
            }
        }
        self.files.retain(|file| !file.units.is_empty());
        let (wanted, rows_max, keep) = (self.wanted.clone(), self.rows_max, self.keep);
        (!files.is_empty()).then_some(Unread { series, wanted, files, rows_max, keep })
    }
}

impl Unread {
    /// Its samples; there may be none.
    ///
    /// # Errors
    /// When a file is missing or damaged, or there are more samples than a reader may hold.
    pub fn read(self) -> Result<Run> {
        self.prepare()?;
        let mut runs: Vec<(u64, Run)> = Vec::with_capacity(self.files.len());
        let mut rows = 0;
        for part in &self.files {
            let mut run = Run { series: self.series, ..Run::default() };
            for unit in &part.units {
                // Threads read neighbours: while one decodes what all need now, the others do what comes next.
                let mut ahead = part.ahead.iter();
                while unit.is_busy()
                    && let Some(next) = ahead.next()
                {
                    next.prepare(self.keep)?;
                }
                unit.rows(self.keep)?.add_to(&mut run, &self.wanted);
            }
            run.forget_before(self.wanted.from, usize::from(self.wanted.previous));
            part.hidden.apply(&mut run);
            rows += run.len();
            if rows > self.rows_max {
                return Err(Error::TooManyRows { series: self.series, limit: self.rows_max });
            }
            if !run.is_empty() {
                runs.push((part.order, run));
            }
        }
        Ok(merge(self.series, runs))
    }

    /// Decodes what is not decoded yet, with help if that is much.
    fn prepare(&self) -> Result<()> {
        let units = self.files.iter().flat_map(|part| &part.units).filter(|unit| !unit.is_ready());
        let units: Vec<&Arc<Unit>> = units.collect();
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let decode = || {
            while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = unit.prepare(self.keep) {
                    failure.lock().get_or_insert(error);
                    return;
                }
            }
        };
        if units.len() <= UNITS_ALONE {
            decode();
        } else {
            let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    // Without another thread it takes longer.
                    let _ =
                        std::thread::Builder::new().name("metrics-read".into()).spawn_scoped(scope, decode);
                }
                decode();
            });
        }
        failure.into_inner().map_or(Ok(()), Err)
    }
}

impl Merged {
    /// The next series with its labels.
    pub fn next_found(&mut self) -> Result<Option<Found>> {
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
                labels.get_or_insert(found.labels);
                match &mut whole {
                    Some(whole) => whole.append(found.run),
                    None => whole = Some(found.run),
                }
                *head = cursor.next()?;
            }
            runs.extend(whole.map(|run| (cursor.order(), run)));
        }
        self.cursors.retain(|(_, head)| head.is_some());
        Ok(Some(Found { run: merge(series, runs), labels: labels.unwrap_or_default() }))
    }
}

/// One run of several; what has the lower order counts.
fn merge(series: u32, mut runs: Vec<(u64, Run)>) -> Run {
    runs.sort_by_key(|(_, run)| run.times.first().copied());
    let apart = runs.windows(2).all(|two| two[0].1.times.last() < two[1].1.times.first());
    let mut merged = Run { series, ..Run::default() };
    if apart {
        let rows: usize = runs.iter().map(|(_, run)| run.len()).sum();
        for (at, (_, run)) in runs.into_iter().enumerate() {
            merged.append(run);
            if at == 0 {
                merged.times.reserve_exact(rows - merged.len());
                merged.values.reserve_exact(rows - merged.len());
            }
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
