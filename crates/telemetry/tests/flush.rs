//! What moving samples to files promises: queries see the same before and after, nothing is lost or doubled,
//! whatever crashes, and the log and memory get shorter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use luma_promql::{FloatHistogram, Labels, Matcher, Select, Source};
use luma_telemetry::{Batch, Maintenance, MaintenanceOptions, Metrics, Refusal};
use luma_vfs::{FaultPlan, SimDisk, Vfs};
use proptest::prelude::*;
use support::{Content, all, at_every_change, content, open_with, options};

const HOSTS: i64 = 6;

fn open(disk: &SimDisk) -> Metrics {
    open_with(disk, options(3, 100_000))
}

/// Batch `number`: a sample for each host, each fourth of histograms, each fifth late, and a new series.
fn batch(number: i64) -> Batch {
    let mut batch = Batch::default();
    let number_text = number.to_string();
    let new = batch.series([("__name__", "new"), ("job", "j"), ("batch", &number_text)]).unwrap();
    batch.float(new, number * 1000, 0, number as f64);
    for host in 0..HOSTS {
        let host_text = host.to_string();
        let series = batch.series([("__name__", "m"), ("job", "j"), ("host", &host_text)]).unwrap();
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

/// What a store has after batches from 1 on.
fn expected(batches: i64) -> Content {
    let metrics = open(&SimDisk::new());
    for number in 1..=batches {
        assert_eq!(metrics.append(&batch(number)).unwrap().refused, 0);
    }
    all(&metrics)
}

#[derive(Debug, Clone)]
enum Step {
    /// Samples of a series: how far each is from the newest, and its value.
    Append(u8, Vec<(i64, i8)>),
    Flush(i64),
    Restart(usize),
    Compact,
    Delete(u8, i64, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let samples = proptest::collection::vec((-30_000i64..9_000, any::<i8>()), 1..40);
    prop_oneof![
        6 => (0u8..4, samples).prop_map(|(series, samples)| Step::Append(series, samples)),
        3 => prop_oneof![Just(i64::MAX), Just(i64::MIN), 0i64..200_000].prop_map(Step::Flush),
        1 => (1usize..5).prop_map(Step::Restart),
        1 => Just(Step::Compact),
        1 => (0u8..4, 0i64..150_000, 0i64..30_000).prop_map(|(series, from, length)| Step::Delete(series, from, length)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_flushed_when_queries_see_a_map_that_keeps_the_first(
        steps in proptest::collection::vec(step(), 1..25),
        asked in (0i64..150_000, 0i64..100_000),
    ) {
        let disk = SimDisk::new();
        let mut metrics = open(&disk);
        let mut model = Content::new();
        let mut newest: BTreeMap<u8, i64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Append(number, samples) => {
                    let name = number.to_string();
                    let pairs = [("__name__", name.as_str()), ("job", "j")];
                    let labels = Labels::new(pairs).to_string();
                    for (apart, value) in samples {
                        let t = newest.get(&number).map_or(50_000, |newest| newest + apart);
                        let mut batch = Batch::default();
                        let series = batch.series(pairs).unwrap();
                        batch.float(series, t, 0, f64::from(value));
                        let appended = metrics.append(&batch).unwrap();
                        if appended.stored == 1 {
                            let sample = (false, f64::from(value).to_bits());
                            model.entry((labels.clone(), t)).or_insert(sample);
                        }
                        let known = newest.entry(number).or_insert(t);
                        *known = t.max(*known);
                    }
                }
                Step::Flush(hot_from) => { metrics.flush(hot_from).unwrap(); }
                Step::Restart(shards) => {
                    drop(metrics);
                    metrics = open_with(&disk, options(shards, 100_000));
                }
                Step::Compact => { while metrics.compact(100_000).unwrap().is_some() {} }
                Step::Delete(number, from, length) => {
                    let name = number.to_string();
                    metrics.delete(&[Matcher::equal("__name__", name.as_str())], from, from + length).unwrap();
                    let labels = Labels::new([("__name__", name.as_str()), ("job", "j")]).to_string();
                    model.retain(|(of, t), _| *of != labels || !(from..=from + length).contains(t));
                }
            }
            prop_assert_eq!(&all(&metrics), &model);
        }
        let (from, to) = (asked.0, asked.0 + asked.1);
        model.retain(|(_, t), _| (from..=to).contains(t));
        prop_assert_eq!(content(&metrics, from, to), model);
    }
}

#[test]
fn a_crash_at_every_change_of_a_flush_loses_nothing_and_doubles_nothing() {
    let disk = SimDisk::new();
    disk.record();
    let mut acknowledged = vec![(0, 0)];
    let metrics = open(&disk);
    for number in 1..=30i64 {
        let pending = metrics.begin_append(&batch(number)).unwrap();
        if number % 3 != 0 {
            pending.wait().unwrap();
            acknowledged.push((disk.recorded(), number));
        }
        if number % 7 == 6 {
            metrics.flush(if number % 2 == 0 { i64::MAX } else { number * 1000 - 5000 }).unwrap();
            acknowledged.push((disk.recorded(), number));
        }
        if number % 14 == 13 {
            assert!(metrics.compact(number * 1000).unwrap().is_some());
        }
    }
    drop(metrics);
    let known: Vec<Content> = (0..=31).map(expected).collect();
    at_every_change(&disk, SimDisk::new(), |replayed, index| {
        let done =
            acknowledged.iter().filter(|(at, _)| *at <= index + 1).map(|(_, number)| *number).max().unwrap();
        for seed in 0..2 {
            let after = replayed.crash_image(seed * 1000 + index as u64);
            let metrics = open(&after);
            let there = all(&metrics);
            let batches = known.iter().position(|content| *content == there);
            let batches =
                batches.unwrap_or_else(|| panic!("change {index} seed {seed}: part of a batch")) as i64;
            assert!(batches >= done, "change {index} seed {seed}: {batches} of {done} batches");
            // It goes on, and moving what is left to files after a crash doubles nothing.
            metrics.append(&batch(batches + 1)).unwrap();
            metrics.flush(i64::MAX).unwrap();
            let again = after.crash_image(seed);
            drop(metrics);
            let metrics = open(&again);
            assert_eq!(all(&metrics), known[batches as usize + 1], "change {index} seed {seed}");
        }
    });
}

#[test]
fn after_a_failed_operation_of_a_flush_everything_is_still_there() {
    let (known, after) = (expected(12), expected(13));
    for at in 0..80 {
        let (at, again) = (at / 2, at % 2 == 1);
        let disk = SimDisk::new();
        let metrics = open(&disk);
        for number in 1..=12 {
            metrics.append(&batch(number)).unwrap();
        }
        let began = disk.operations();
        disk.set_faults(FaultPlan { error_at: Some(began + at), ..FaultPlan::default() });
        let outcome = metrics.flush(i64::MAX);
        let operations = disk.operations() - began;
        disk.set_faults(FaultPlan::default());
        assert_eq!(all(&metrics), known, "operation {at}");
        // What failed for good says so.
        let stored = again && metrics.append(&batch(13)).is_ok();
        if stored {
            let _ = metrics.flush(i64::MAX);
        }
        drop(metrics);
        let metrics = open(&disk);
        let there = all(&metrics);
        assert!(there == after || !stored && there == known, "operation {at}, opened again");
        if operations <= at {
            outcome.unwrap();
            assert!(at >= 8, "{at} operations were tried");
            break;
        }
    }
}

#[test]
fn the_log_and_memory_get_shorter_and_a_restart_reads_little() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    for number in 1..=200 {
        metrics.append(&batch(number)).unwrap();
    }
    let before = metrics.log_bytes();
    let flushed = metrics.flush(i64::MAX).unwrap();
    assert_eq!(flushed.samples, 200 * (HOSTS as u64 + 1));
    assert_eq!(flushed.files, 20 + 1, "one for each window of ten seconds");
    assert!(metrics.log_bytes() < before / 4, "{} of {before} bytes of log are left", metrics.log_bytes());
    assert_eq!(metrics.flush(i64::MAX).unwrap().samples, 0);
    drop(metrics);
    let metrics = open(&disk);
    assert_eq!(all(&metrics), expected(200));
    assert_eq!(metrics.flush(i64::MAX).unwrap().samples, 0, "nothing comes back into memory");
}

#[test]
fn what_was_refused_before_a_flush_and_a_restart_is_refused_after_it() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    let sample = |t, v| {
        let mut batch = Batch::default();
        let series = batch.series([("__name__", "m"), ("job", "j")]).unwrap();
        batch.float(series, t, 0, v);
        batch
    };
    metrics.append(&sample(500_000, 1.0)).unwrap();
    metrics.flush(i64::MAX).unwrap();
    let check = |metrics: Metrics| {
        assert_eq!(metrics.append(&sample(500_000, 1.0)).unwrap().duplicates, 1);
        let refusal = |batch: &Batch| metrics.append(batch).unwrap().first_refusal.unwrap().1;
        assert_eq!(refusal(&sample(500_000, 2.0)), Refusal::Conflicting { t: 500_000 });
        assert!(matches!(refusal(&sample(10, 1.0)), Refusal::TooOld { .. }));
    };
    check(metrics);
    check(open(&disk));
    // A sample that was deleted still says what is too old.
    let metrics = open(&disk);
    metrics.append(&sample(450_000, 3.0)).unwrap();
    metrics.delete(&[Matcher::equal("job", "j")], 460_000, i64::MAX).unwrap();
    metrics.flush(i64::MAX).unwrap();
    let check = |metrics: &Metrics| {
        let refusal = metrics.append(&sample(399_999, 1.0)).unwrap().first_refusal.unwrap().1;
        assert_eq!(refusal, Refusal::TooOld { t: 399_999, newest: 500_000, window_ms: 100_000 });
        assert_eq!(all(metrics).into_keys().map(|(_, t)| t).collect::<Vec<_>>(), [450_000]);
    };
    check(&metrics);
    drop(metrics);
    let metrics = open(&disk);
    check(&metrics);
    assert_eq!(metrics.append(&sample(500_000, 2.0)).unwrap().stored, 1, "what is deleted may come again");
}

#[test]
fn series_of_a_metric_are_neighbours_in_files_whatever_order_hosts_send_them_in() {
    let disk = SimDisk::new();
    let mut metrics = open(&disk);
    let mut sent = std::collections::BTreeSet::new();
    for host in 0..120 {
        let mut batch = Batch::default();
        for metric in ["load", "up", "cpu", "disk"] {
            let name = format!("host-{host:03}");
            let series = batch.series([("__name__", metric), ("job", "j"), ("host", &name)]).unwrap();
            batch.float(series, 1000, 0, 1.0);
            assert!(sent.insert(format!("{metric} {name}")));
        }
        metrics.append(&batch).unwrap();
        if host == 60 {
            metrics.flush(i64::MAX).unwrap();
            drop(metrics);
            metrics = open(&disk);
        }
    }
    metrics.flush(i64::MAX).unwrap();
    let order = |metrics: &Metrics| -> Vec<String> {
        let matchers = [Matcher::equal("job", "j")];
        let found = metrics.select(&Select { matchers: &matchers, start: 0, end: 2000 }).unwrap();
        let label = |labels: &Labels, name: &str| labels.get(name).to_owned();
        found
            .map(Result::unwrap)
            .map(|data| format!("{} {}", label(&data.labels, "__name__"), label(&data.labels, "host")))
            .collect()
    };
    let there = order(&metrics);
    drop(metrics);
    assert_eq!(order(&open(&disk)), there);
    assert_eq!(there.iter().cloned().collect::<std::collections::BTreeSet<_>>(), sent);
    let metric = |series: &String| series.split(' ').next().unwrap_or_default().to_owned();
    let changes = there.windows(2).filter(|two| metric(&two[0]) != metric(&two[1])).count();
    // Four metrics in blocks of 16, 32 and 64, twice.
    assert!(changes < 4 * 6, "{changes} changes of metric in {} series", there.len());
    for of_metric in ["load", "up", "cpu", "disk"] {
        assert!(there.iter().filter(|series| metric(series) == of_metric).is_sorted());
    }
}

#[test]
fn a_damaged_file_is_named_by_the_query_that_needs_it() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    for number in 1..=12 {
        metrics.append(&batch(number)).unwrap();
    }
    metrics.flush(i64::MAX).unwrap();
    drop(metrics);
    disk.flip_bit(Path::new("/metrics/files/000000000001.parquet"), 100, 1).unwrap();
    let metrics = open(&disk);
    let matchers = [Matcher::equal("job", "j")];
    let outcome = |start| {
        let mut found = metrics
            .select(&Select { matchers: &matchers, start, end: i64::MAX })
            .map_err(|e| e.to_string())?;
        found.try_for_each(|data| data.map(drop).map_err(|e| e.to_string()))
    };
    assert!(outcome(0).unwrap_err().contains("000000000001.parquet is damaged"));
    outcome(11_000).unwrap();
}

#[test]
fn readers_see_everything_while_samples_move_to_files() {
    let metrics = Arc::new(open(&SimDisk::new()));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=120 {
                metrics.append(&batch(number)).unwrap();
                if number % 8 == 0 {
                    metrics.flush(if number % 16 == 0 { i64::MAX } else { number * 1000 - 3000 }).unwrap();
                }
                if number % 40 == 0 {
                    metrics.compact(number * 1000).unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
        let mut before = 0;
        while !done.load(Ordering::Acquire) {
            let now = all(&metrics).len();
            assert!(now >= before, "{now} samples where there were {before}");
            assert_eq!(now as i64 % (HOSTS + 1), 0, "a batch shows in part");
            before = now;
        }
    });
    assert_eq!(all(&metrics), expected(120));
}

#[test]
fn samples_of_many_windows_are_flushed_with_few_files_open() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    let mut batch = Batch::default();
    let mut model = Content::new();
    // Each series in another order of windows.
    for host in 0..5i64 {
        let host_text = host.to_string();
        let pairs = [("__name__", "m"), ("job", "j"), ("host", host_text.as_str())];
        let series = batch.series(pairs).unwrap();
        for at in (host % 3..40).step_by(1 + host as usize) {
            batch.float(series, at * 10_000, 0, at as f64);
            model.insert((Labels::new(pairs).to_string(), at * 10_000), (false, (at as f64).to_bits()));
        }
    }
    metrics.append(&batch).unwrap();
    assert_eq!(metrics.flush(i64::MAX).unwrap().files, 40);
    drop(metrics);
    assert_eq!(all(&open(&disk)), model);
    assert_eq!(disk.read_dir(Path::new("/metrics/files")).unwrap().len(), 40);
}

#[test]
fn the_thread_flushes_merges_and_removes_without_being_asked() {
    let disk = SimDisk::new();
    let metrics = Arc::new(open(&disk));
    let upkeep = |retention| MaintenanceOptions {
        flush_interval: Duration::ZERO,
        hot: Duration::ZERO,
        retention,
        turn: Duration::from_millis(1),
        ..MaintenanceOptions::default()
    };
    let thread = Maintenance::start(Arc::clone(&metrics), upkeep(None)).unwrap();
    for number in 1..=100 {
        metrics.append(&batch(number)).unwrap();
    }
    let until = |done: &dyn Fn() -> bool| {
        let begin = Instant::now();
        while !done() {
            assert!(begin.elapsed() < Duration::from_mins(2), "{:?}", metrics.files());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    // Times are from 1970, so all days are over: each of forty seconds becomes one file, or all of them do.
    until(&|| metrics.files().rows == 100 * (HOSTS as u64 + 1) && metrics.files().files <= 3);
    assert_eq!(all(&metrics), expected(100));
    drop(thread);
    let thread = Maintenance::start(Arc::clone(&metrics), upkeep(Some(Duration::from_mins(1)))).unwrap();
    until(&|| metrics.files().files == 0);
    drop(thread);
    assert!(all(&metrics).is_empty());
}

#[test]
fn a_delete_survives_a_crash_at_every_change_or_never_was() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    for number in 1..=20 {
        metrics.append(&batch(number)).unwrap();
        if number == 9 {
            metrics.flush(5_000).unwrap();
        }
    }
    let before = all(&metrics);
    let start = disk.fork();
    disk.record();
    let deleted = metrics.delete(&[Matcher::equal("__name__", "m")], 4_000, 15_000).unwrap();
    assert_eq!(deleted as i64, HOSTS);
    let done = disk.recorded();
    let after = all(&metrics);
    assert_eq!(
        after.len(),
        before.iter().filter(|((of, t), _)| of.contains("new") || !(4_000..=15_000).contains(t)).count()
    );
    metrics.flush(i64::MAX).unwrap();
    while metrics.compact(1_000_000).unwrap().is_some() {}
    assert_eq!(metrics.files().tombstones, 0);
    assert_eq!(metrics.files().rows, after.len() as u64);
    drop(metrics);
    at_every_change(&disk, start, |replayed, index| {
        for seed in 0..2 {
            let there = all(&open(&replayed.crash_image(seed * 1000 + index as u64)));
            assert!(there == after || (index + 1 < done && there == before), "change {index} seed {seed}");
        }
    });
}

#[test]
fn as_many_series_as_one_transaction_does_not_hold_reach_the_registry() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    let long = "x".repeat(8000);
    let mut model = Content::new();
    for part in 0..10 {
        let mut batch = Batch::default();
        for number in 0..500 {
            let text = format!("{part}-{number}");
            let pairs = [("__name__", text.as_str()), ("job", "j"), ("long", &long)];
            let series = batch.series(pairs).unwrap();
            batch.float(series, 1000, 0, 1.0);
            model.insert((Labels::new(pairs).to_string(), 1000), (false, 1f64.to_bits()));
        }
        metrics.append(&batch).unwrap();
    }
    metrics.flush(i64::MAX).unwrap();
    drop(metrics);
    assert_eq!(all(&open(&disk)), model);
}
