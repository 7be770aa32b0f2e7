//! A table on a simulated disk, and what is in it as a map.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use lightning::{Database, Options};
use luma_strata::{Error, Finished, Result, Run, Scan, Snapshot, Table, TableOptions, Unread};
use luma_vfs::SimDisk;

pub const FILES: &str = "/t/files";
pub const WINDOW: i64 = 1000;
pub const DAY: i64 = 4 * WINDOW;

/// By series and time: start, bits of the number, payload.
pub type Content = BTreeMap<(u32, i64), (i64, u64, Option<Vec<u8>>)>;

pub struct World {
    pub table: Table,
    pub database: Database,
}

pub fn options() -> TableOptions {
    TableOptions { window_ms: WINDOW, day_ms: DAY, files_per_window: 2, ..TableOptions::default() }
}

impl World {
    pub fn open(disk: &SimDisk) -> Self {
        Self::open_with(disk, options())
    }

    pub fn open_with(disk: &SimDisk, options: TableOptions) -> Self {
        // No threads of its own, so that a seed always gives the same changes.
        let of_database = Options {
            background_threads: 0,
            cache_bytes: 1 << 20,
            wal_segment_bytes: 4096,
            ..Options::default()
        };
        let vfs = Arc::new(disk.clone());
        let database = Database::open_with_vfs(vfs.clone(), "/t/manifest", of_database).unwrap();
        let table = Table::open(vfs, Path::new(FILES), &database, "m", options).unwrap();
        Self { table, database }
    }

    /// Writes a file that is not committed yet.
    pub fn file(&self, content: &Content) -> Result<Finished> {
        let mut file = self.table.new_file()?;
        let mut run = Run::default();
        for ((series, t), (start, bits, payload)) in content {
            if *series != run.series {
                file.push(&labels(run.series), &run)?;
                run.clear();
                run.series = *series;
            }
            match payload {
                Some(payload) => run.push_payload(*t, *start, payload.clone()),
                None => run.push_value(*t, *start, f64::from_bits(*bits)),
            }
        }
        file.push(&labels(run.series), &run)?;
        Ok(file.finish()?.unwrap())
    }

    pub fn everything(&self) -> Vec<Run> {
        self.try_everything().unwrap()
    }

    fn try_everything(&self) -> Result<Vec<Run>> {
        runs(&self.table.snapshot(), 0..100, i64::MIN, i64::MAX)
    }

    pub fn all(&self) -> Content {
        content(self.everything())
    }

    /// Why not everything can be read.
    pub fn scan_error(&self) -> Option<Error> {
        self.try_everything().err()
    }
}

/// The runs of some series that have samples.
pub fn runs(files: &Snapshot, series: impl IntoIterator<Item = u32>, from: i64, to: i64) -> Result<Vec<Run>> {
    runs_of(files, Scan { series: Arc::new(series.into_iter().collect()), from, to, previous: false })
}

pub fn runs_of(files: &Snapshot, scan: Scan) -> Result<Vec<Run>> {
    let mut found = files.scan(&scan)?;
    let runs = scan.series.iter().filter_map(|series| found.find(series)).map(Unread::read);
    runs.filter(|run| run.as_ref().map_or(true, |run| !run.is_empty())).collect()
}

pub fn labels(series: u32) -> String {
    format!("{{\"__name__\":\"m\",\"host\":\"{series}\"}}")
}

pub fn content(runs: Vec<Run>) -> Content {
    let mut content = Content::new();
    for run in runs {
        assert!(run.times.is_sorted_by(|a, b| a < b));
        for (t, start, value, payload) in run.samples() {
            let bits = if payload.is_some() { 0 } else { value.to_bits() };
            let sample = (start, bits, payload.map(<[u8]>::to_vec));
            assert!(content.insert((run.series, t), sample).is_none());
        }
    }
    content
}

/// A sample at each of some times.
pub fn run_of(series: u32, times: Range<i64>) -> Content {
    times.map(|t| ((series, t), (0, (t as f64 / 8.0).to_bits(), None))).collect()
}
