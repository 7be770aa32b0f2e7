//! A crash at every change of the disk: no acknowledged sample is lost, no batch shows in part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use luma_log::{Flusher, LogOptions};
use luma_promql::{FloatHistogram, Matcher, Select, Source};
use luma_telemetry::{Batch, Metrics, MetricsOptions};
use luma_vfs::SimDisk;

const SERIES: i64 = 12;

fn open(disk: &SimDisk) -> Metrics {
    let log = LogOptions { segment_bytes: 4096, flusher: Flusher::Inline, ..LogOptions::default() };
    let options = MetricsOptions { shards: 4, log, ..MetricsOptions::default() };
    Metrics::open(Arc::new(disk.clone()), Path::new("/metrics"), options).unwrap()
}

/// Batch `number`: a sample for some series, one of them new, each fourth batch histograms, one late.
fn batch(number: i64) -> Batch {
    let mut batch = Batch::default();
    let number_text = number.to_string();
    let new = batch.series([("__name__", "new"), ("batch", &number_text)]).unwrap();
    batch.float(new, number * 1000, 0, number as f64);
    for host in 0..SERIES {
        let host_text = host.to_string();
        let series = batch.series([("__name__", "m"), ("host", &host_text)]).unwrap();
        let t = number * 1000 - if number % 5 == 4 { 2500 } else { 0 };
        if number % 4 == 3 {
            let value = FloatHistogram { count: number as f64, ..FloatHistogram::default() };
            batch.histogram(series, t, 0, Arc::new(value));
        } else {
            batch.float(series, t, number, number as f64);
        }
    }
    batch
}

/// How many samples of each batch there are.
fn found(metrics: &Metrics) -> BTreeMap<i64, i64> {
    let mut found = BTreeMap::new();
    for name in ["m", "new"] {
        let matchers = [Matcher::equal("__name__", name)];
        let select = Select { matchers: &matchers, start: i64::MIN, end: i64::MAX };
        for data in metrics.select(&select).unwrap().map(Result::unwrap) {
            let histograms = data.histograms.iter().map(|p| p.h.count);
            for number in data.floats.iter().map(|p| p.v).chain(histograms) {
                *found.entry(number as i64).or_default() += 1;
            }
        }
    }
    found
}

#[test]
fn a_crash_at_every_change_loses_no_acknowledged_sample_and_shows_no_batch_in_part() {
    let disk = SimDisk::new();
    disk.record();
    let mut acknowledged = Vec::new();
    let metrics = open(&disk);
    for number in 1..=24i64 {
        let pending = metrics.begin_append(&batch(number)).unwrap();
        if number % 3 != 0 {
            assert_eq!(pending.wait().unwrap().refused, 0);
            acknowledged.push((disk.recorded(), number));
        }
    }
    assert_eq!(found(&metrics).len(), 24);
    drop(metrics);
    let mut replayed = SimDisk::new();
    for (index, op) in disk.take_record().iter().enumerate() {
        replayed.apply(op).unwrap();
        let done = acknowledged.iter().filter(|(at, _)| *at <= index + 1).map(|(_, number)| *number).max();
        for seed in 0..4 {
            let after = replayed.crash_image(seed * 1000 + index as u64);
            let metrics = open(&after);
            let there = found(&metrics);
            let batches = there.len() as i64;
            assert!(batches >= done.unwrap_or(0), "change {index} seed {seed}: {there:?}");
            let whole: BTreeMap<i64, i64> = (1..=batches).map(|number| (number, SERIES + 1)).collect();
            assert_eq!(there, whole, "change {index} seed {seed}");
            // Going on after the crash, and crashing again, loses nothing either.
            metrics.append(&batch(batches + 1)).unwrap();
            let again = after.crash_image(seed);
            drop(metrics);
            assert_eq!(found(&open(&again)).len() as i64, batches + 1, "change {index} seed {seed}");
        }
        if index % 64 == 0 {
            replayed = replayed.fork();
        }
    }
}

#[test]
fn what_a_flush_saw_but_the_log_lost_is_taken_when_it_is_sent_again() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        let metrics = open(&disk);
        metrics.append(&batch(1)).unwrap();
        // Batches come while a flush is on its way, and nobody waits until they are durable.
        let (flushed, mut last) = (AtomicBool::new(false), 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                metrics.flush(i64::MAX).unwrap();
                flushed.store(true, Ordering::Release);
            });
            while !flushed.load(Ordering::Acquire) && last < 1000 {
                last += 1;
                let _ = metrics.begin_append(&batch(last)).unwrap();
            }
        });
        let after = disk.crash_image(seed);
        drop(metrics);
        let metrics = open(&after);
        for number in 1..=last {
            assert_eq!(metrics.append(&batch(number)).unwrap().refused, 0, "batch {number} of {last}");
        }
        let whole: BTreeMap<i64, i64> = (1..=last).map(|number| (number, SERIES + 1)).collect();
        assert_eq!(found(&metrics), whole, "seed {seed}");
    }
}
