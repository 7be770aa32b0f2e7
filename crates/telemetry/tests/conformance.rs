//! The PromQL scripts on series that went through this store: appended, moved to files or not, restarted, then
//! queried.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../promql/tests/conformance/compare.rs"]
mod compare;
#[path = "../../promql/tests/conformance/fixed.rs"]
mod fixed;
#[path = "../../promql/tests/conformance/script.rs"]
mod script;
#[path = "../../promql/tests/conformance/series.rs"]
mod series;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_log::{Flusher, LogOptions};
use luma_promql::{Labels, Sample, Source};
use luma_telemetry::{Batch, Metrics, MetricsOptions};
use luma_vfs::SimDisk;

/// A store, the batch of the `load` that goes on, and the disk below.
struct Restarted {
    disk: SimDisk,
    metrics: Option<Metrics>,
    batch: Batch,
    in_files: InFiles,
}

/// How much of each `load` goes to files before the queries.
#[derive(Clone, Copy)]
enum InFiles {
    Nothing,
    Everything,
    /// Each 37 samples that came together; what is left stays in memory.
    Half,
}

impl Restarted {
    fn empty(in_files: InFiles) -> Self {
        let disk = SimDisk::new();
        Self { metrics: Some(open(&disk)), disk, batch: Batch::default(), in_files }
    }

    fn append(&mut self, metrics: &Metrics) {
        let appended = metrics.append(&self.batch).unwrap();
        assert_eq!(appended.stored + appended.duplicates, self.batch.len(), "{appended:?}");
        self.batch.clear();
    }
}

fn open(disk: &SimDisk) -> Metrics {
    let options = MetricsOptions {
        // Scripts load what is older too.
        out_of_order_window_ms: i64::MAX,
        log: LogOptions { flusher: Flusher::Inline, ..LogOptions::default() },
        ..MetricsOptions::default()
    };
    Metrics::open(Arc::new(disk.clone()), Path::new("/metrics"), options).unwrap()
}

impl script::Store for Restarted {
    fn insert(&mut self, labels: &Labels, t: i64, start: i64, sample: Sample) {
        let series = self.batch.series(labels.iter()).unwrap();
        match sample {
            Sample::Float(v) => self.batch.float(series, t, start, v),
            Sample::Histogram(h) => self.batch.histogram(series, t, start, h),
        }
        if matches!(self.in_files, InFiles::Half) && self.batch.len() == 37 {
            let metrics = self.metrics.take().unwrap();
            self.append(&metrics);
            metrics.flush(i64::MAX).unwrap();
            self.metrics = Some(metrics);
        }
    }

    fn loaded(&mut self) {
        let metrics = self.metrics.take().unwrap();
        self.append(&metrics);
        if matches!(self.in_files, InFiles::Everything) {
            metrics.flush(i64::MAX).unwrap();
        }
        drop(metrics);
        self.metrics = Some(open(&self.disk));
    }

    fn source(&self) -> &dyn Source {
        self.metrics.as_ref().unwrap()
    }
}

fn assert_passes(directory: &Path, in_files: InFiles) {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "test")).collect();
    files.sort();
    let (mut cases, mut failures) = (0, Vec::new());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let outcome = script::run(&std::fs::read_to_string(&file).unwrap(), || Restarted::empty(in_files));
        println!("{name}: {} of {} cases pass", outcome.cases - outcome.failures.len(), outcome.cases);
        cases += outcome.cases;
        failures.extend(outcome.failures.into_iter().map(|failure| format!("{name}:{failure}")));
    }
    assert!(cases > 0, "no case in {}", directory.display());
    assert!(failures.is_empty(), "{} of {cases} cases fail:\n{}", failures.len(), failures.join("\n"));
}

const OF_THE_LANGUAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../promql/tests/cases");

#[test]
fn every_case_of_the_language_passes_on_this_store() {
    assert_passes(Path::new(OF_THE_LANGUAGE), InFiles::Nothing);
}

#[test]
fn every_case_of_the_language_passes_with_all_samples_in_files() {
    assert_passes(Path::new(OF_THE_LANGUAGE), InFiles::Everything);
}

#[test]
fn every_case_of_the_language_passes_with_samples_in_files_and_in_memory() {
    assert_passes(Path::new(OF_THE_LANGUAGE), InFiles::Half);
}

/// Where Prometheus' own cases are.
fn of_prometheus() -> Option<PathBuf> {
    let directory = match std::env::var_os("LUMADB_PROMQL_CASES") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql"),
    };
    if !directory.is_dir() {
        println!("skipped: {} is not there; LUMADB_PROMQL_CASES may name the cases", directory.display());
        return None;
    }
    Some(directory)
}

#[test]
fn every_case_of_prometheus_passes_on_this_store() {
    if let Some(directory) = of_prometheus() {
        assert_passes(&directory, InFiles::Nothing);
    }
}

#[test]
fn every_case_of_prometheus_passes_with_all_samples_in_files() {
    if let Some(directory) = of_prometheus() {
        assert_passes(&directory, InFiles::Everything);
    }
}

#[test]
fn every_case_of_prometheus_passes_with_samples_in_files_and_in_memory() {
    if let Some(directory) = of_prometheus() {
        assert_passes(&directory, InFiles::Half);
    }
}
