//! A copy of a store has what the store had, whatever comes afterwards, and goes on by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use luma_log::{Flusher, LogOptions};
use luma_promql::{FloatHistogram, Labels, MatchOp, Matcher, Select, Source};
use luma_telemetry::{Batch, Exemplar, Metadata, Metrics, MetricsOptions, TableOptions};
use luma_vfs::{FaultPlan, SimDisk};

fn open(disk: &SimDisk, directory: &str) -> Metrics {
    let options = MetricsOptions {
        shards: 2,
        out_of_order_window_ms: 100_000,
        log: LogOptions { segment_bytes: 2048, flusher: Flusher::Inline, ..LogOptions::default() },
        warm: TableOptions { window_ms: 10_000, day_ms: 40_000, ..TableOptions::default() },
        ..MetricsOptions::default()
    };
    Metrics::open(Arc::new(disk.clone()), Path::new(directory), options).unwrap()
}

fn write(metrics: &Metrics, from: i64, to: i64) {
    for t in (from..to).step_by(1000) {
        let mut batch = Batch::default();
        for host in ["a", "b", "c"] {
            let series = batch.series([("__name__", "m"), ("host", host)]).unwrap();
            batch.float(series, t, t - 500, t as f64);
            let histogram = FloatHistogram { count: t as f64, ..FloatHistogram::default() };
            let series = batch.series([("__name__", "h"), ("host", host)]).unwrap();
            batch.histogram(series, t, 0, Arc::new(histogram));
            let labels = Labels::new([("trace", t.to_string())]);
            batch.exemplar(series, Exemplar { labels, value: 1.0, t });
        }
        batch.metadata("m", Metadata { kind: "gauge".into(), help: format!("at {t}"), unit: String::new() });
        assert_eq!(metrics.append(&batch).unwrap().refused, 0);
    }
}

fn any() -> Vec<Matcher> {
    vec![Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()]
}

fn content(metrics: &Metrics) -> (BTreeMap<(String, i64), u64>, String) {
    let mut samples = BTreeMap::new();
    let found = metrics.select(&Select { matchers: &any(), start: i64::MIN, end: i64::MAX }).unwrap();
    for data in found.map(Result::unwrap) {
        let labels = data.labels.to_string();
        samples.extend(data.floats.iter().map(|p| ((labels.clone(), p.t), p.v.to_bits())));
        samples.extend(data.histograms.iter().map(|p| ((labels.clone(), p.t), p.h.count.to_bits())));
    }
    let mut exemplars = metrics.exemplars(&any(), i64::MIN, i64::MAX).unwrap();
    exemplars.sort_by(|a, b| a.0.cmp(&b.0));
    (samples, format!("{:?} {exemplars:?}", metrics.metadata()))
}

#[test]
fn a_copy_has_what_there_was_and_goes_on_by_itself() {
    // Where a file can have two names the copy shares them, elsewhere it has its own.
    for no_links in [false, true] {
        let disk = SimDisk::new();
        disk.set_faults(FaultPlan { no_links, ..FaultPlan::default() });
        copies_and_goes_on(&disk);
    }
}

fn copies_and_goes_on(disk: &SimDisk) {
    let metrics = open(disk, "/metrics");
    write(&metrics, 0, 60_000);
    metrics.flush(40_000).unwrap();
    while metrics.compact(1_000_000).unwrap().is_some() {}
    // Deleted in files and in the log, and a series that went.
    metrics.delete(&[Matcher::equal("host", "a")], 10_000, 30_000).unwrap();
    metrics.delete(&[Matcher::equal("host", "b")], i64::MIN, i64::MAX).unwrap();
    metrics.forget_ended().unwrap();
    write(&metrics, 60_000, 80_000);
    let expected = content(&metrics);
    metrics.snapshot(Path::new("/copy"), true).unwrap();
    assert_eq!(content(&metrics), expected, "the store itself is as it was");
    assert!(metrics.snapshot(Path::new("/copy"), true).is_err(), "it is there already");
    write(&metrics, 80_000, 90_000);
    metrics.delete(&any(), 0, 20_000).unwrap();
    let went_on = content(&metrics);

    let after = disk.crash_image(7);
    let copy = open(&after, "/copy");
    assert_eq!(content(&copy), expected);
    copy.verify().unwrap();
    // Places in the log that it had before mean nothing to it.
    write(&copy, 80_000, 90_000);
    let more = content(&copy);
    assert_eq!(more.0.len(), expected.0.len() + 60);
    drop(copy);
    let copy = open(&after, "/copy");
    assert_eq!(content(&copy), more);
    copy.flush(i64::MAX).unwrap();
    while copy.compact(1_000_000).unwrap().is_some() {}
    assert_eq!(content(&copy), more);
    drop(metrics);
    assert_eq!(content(&open(disk, "/metrics")), went_on);
}

#[test]
fn a_copy_without_memory_has_what_files_have() {
    let disk = SimDisk::new();
    let metrics = open(&disk, "/metrics");
    write(&metrics, 0, 30_000);
    metrics.flush(i64::MAX).unwrap();
    let (in_files, _) = content(&metrics);
    write(&metrics, 30_000, 40_000);
    metrics.snapshot(Path::new("/copy"), false).unwrap();
    assert_eq!(content(&open(&disk, "/copy")).0, in_files);
}
