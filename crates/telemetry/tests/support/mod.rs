//! What tests of stores on a simulated disk share: options that make small files, what a store has, and a crash at every change.

// Each test binary uses its part.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use luma_log::{Flusher, LogOptions};
use luma_promql::{Matcher, Select, Source};
use luma_telemetry::{Metrics, MetricsOptions, TableOptions};
use luma_vfs::SimDisk;

/// Options by which little is much: short windows, days and segments of the log.
pub fn options(shards: usize, out_of_order_window_ms: i64) -> MetricsOptions {
    MetricsOptions {
        shards,
        out_of_order_window_ms,
        log: LogOptions { segment_bytes: 1024, flusher: Flusher::Inline, ..LogOptions::default() },
        warm: TableOptions {
            window_ms: 10_000,
            day_ms: 40_000,
            files_per_window: 2,
            ..TableOptions::default()
        },
        ..MetricsOptions::default()
    }
}

/// The store of a disk.
pub fn open_with(disk: &SimDisk, options: MetricsOptions) -> Metrics {
    Metrics::open(Arc::new(disk.clone()), Path::new("/metrics"), options).unwrap()
}

/// By labels and time: whether it is a histogram, and the bits of the number or of the histogram's count.
pub type Content = BTreeMap<(String, i64), (bool, u64)>;

/// The samples of some series and some time.
pub fn selected(metrics: &Metrics, matchers: &[Matcher], from: i64, to: i64) -> Content {
    let mut content = Content::new();
    for data in metrics.select(&Select { matchers, start: from, end: to }).unwrap().map(Result::unwrap) {
        let floats = data.floats.iter().map(|p| (p.t, (false, p.v.to_bits())));
        let histograms = data.histograms.iter().map(|p| (p.t, (true, p.h.count.to_bits())));
        for (t, sample) in floats.chain(histograms) {
            assert!((from..=to).contains(&t), "{} has {t}, which was not asked for", data.labels);
            let before = content.insert((data.labels.to_string(), t), sample);
            assert!(before.is_none(), "{} has {t} twice", data.labels);
        }
    }
    content
}

/// The matchers that all series of these tests fulfil.
pub fn every() -> Vec<Matcher> {
    vec![Matcher::equal("job", "j")]
}

/// The samples of a time.
pub fn content(metrics: &Metrics, from: i64, to: i64) -> Content {
    selected(metrics, &every(), from, to)
}

/// All samples.
pub fn all(metrics: &Metrics) -> Content {
    content(metrics, i64::MIN, i64::MAX)
}

/// What a store had after each step of a test, and which change of its disk had made it durable.
pub struct Steps {
    disk: SimDisk,
    known: Vec<Content>,
    done: Vec<(usize, usize)>,
}

impl Steps {
    /// Begins with a store whose disk records.
    pub fn of(disk: &SimDisk, metrics: &Metrics) -> Self {
        Self { disk: disk.clone(), known: vec![all(metrics)], done: vec![(0, 0)] }
    }

    /// Notes what the store has: nothing of it may be lost from now on.
    pub fn note(&mut self, metrics: &Metrics) {
        self.known.push(all(metrics));
        self.done.push((self.disk.recorded(), self.known.len() - 1));
    }

    /// A crash behind every change of the disk: what is there is what there was after the last durable step or a later
    /// one. `goes_on` is handed each disk with its change's number and content, to show that all goes on from there.
    pub fn crash_everywhere(
        self,
        open: impl Fn(&SimDisk) -> Metrics,
        goes_on: impl Fn(&SimDisk, usize, Metrics, Content),
    ) {
        at_every_change(&self.disk, SimDisk::new(), |replayed, index| {
            let durable = self.done.iter().filter(|(at, _)| *at <= index + 1).map(|(_, step)| *step).max();
            let after = replayed.crash_image(index as u64);
            let metrics = open(&after);
            let there = all(&metrics);
            assert!(
                self.known.iter().skip(durable.unwrap()).any(|content| *content == there),
                "change {index}: {there:?} is not what there was after {durable:?} steps or later"
            );
            goes_on(&after, index, metrics, there);
        });
    }
}

/// Hands `f` a disk as it was behind each of the changes that another one recorded, which began as `start`.
pub fn at_every_change(recorded: &SimDisk, start: SimDisk, f: impl Fn(&SimDisk, usize)) {
    let mut replayed = start;
    for (index, op) in recorded.take_record().iter().enumerate() {
        replayed.apply(op).unwrap();
        f(&replayed, index);
        if index % 64 == 0 {
            replayed = replayed.fork();
        }
    }
}
