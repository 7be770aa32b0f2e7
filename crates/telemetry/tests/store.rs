//! What the store promises about samples: which count, what is refused, and that batches show as a whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use luma_log::{Flusher, LogOptions};
use luma_promql::{
    Bucket, FloatHistogram, Labels, MatchOp, Matcher, ResetHint, STALE_MARKER, Select, SeriesData, Source,
    is_stale,
};
use luma_telemetry::{Appended, Batch, Error, Exemplar, Metadata, Metrics, MetricsOptions, Refusal};
use luma_vfs::{FaultPlan, SimDisk};
use proptest::prelude::*;

const WINDOW: i64 = 1000;

fn options() -> MetricsOptions {
    MetricsOptions {
        shards: 3,
        out_of_order_window_ms: WINDOW,
        log: LogOptions { flusher: Flusher::Inline, ..LogOptions::default() },
        ..MetricsOptions::default()
    }
}

fn open_with(disk: &SimDisk, options: MetricsOptions) -> Metrics {
    Metrics::open(Arc::new(disk.clone()), Path::new("/metrics"), options).unwrap()
}

fn open(disk: &SimDisk) -> Metrics {
    open_with(disk, options())
}

fn floats(name: &str, samples: &[(i64, f64)]) -> Batch {
    let mut batch = Batch::default();
    let series = batch.series([("__name__", name)]).unwrap();
    for (t, v) in samples {
        batch.float(series, *t, 0, *v);
    }
    batch
}

fn select(metrics: &Metrics, name: &str, start: i64, end: i64) -> SeriesData {
    let matchers = [Matcher::equal("__name__", name)];
    let mut found = metrics.select(&Select { matchers: &matchers, start, end }).unwrap();
    let data = found.next().map(Result::unwrap).unwrap_or_default();
    assert!(found.next().is_none());
    data
}

fn all(metrics: &Metrics, name: &str) -> Vec<(i64, f64)> {
    select(metrics, name, i64::MIN, i64::MAX).floats.iter().map(|p| (p.t, p.v)).collect()
}

#[test]
fn the_same_sample_again_is_a_duplicate_and_another_value_a_conflict() {
    let metrics = open(&SimDisk::new());
    assert_eq!(metrics.append(&floats("m", &[(10, 1.0)])).unwrap().stored, 1);
    let again = metrics.append(&floats("m", &[(10, 1.0), (10, 2.0), (20, 2.0)])).unwrap();
    let refusal = Some((1, Refusal::Conflicting { t: 10 }));
    let expected =
        Appended { stored: 1, duplicates: 1, refused: 1, first_refusal: refusal, ..Appended::default() };
    assert_eq!(again, expected);
    assert_eq!(all(&metrics, "m"), [(10, 1.0), (20, 2.0)]);
}

#[test]
fn metadata_and_exemplars_are_there_after_a_restart() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    let metadata = |help: &str| Metadata { kind: "counter".into(), help: help.into(), unit: String::new() };
    for help in ["One.", "Two."] {
        let mut batch = floats("m", &[(10, 1.0)]);
        batch.metadata("m", metadata(help));
        let series = batch.series([("__name__", "m")]).unwrap();
        batch.exemplar(series, Exemplar { labels: Labels::new([("trace", help)]), value: 1.0, t: 10 });
        let late = batch.series([("__name__", "none")]).unwrap();
        batch.exemplar(late, Exemplar { labels: Labels::default(), value: 1.0, t: 10 });
        let appended = metrics.append(&batch).unwrap();
        // One of the same time as the newest is not newer, and one of a series that is not there has none.
        assert_eq!(appended.exemplars, usize::from(help == "One."));
    }
    let mut metrics = Some(metrics);
    // Out of the log, then out of what a flush left of it.
    for flushed in [false, true] {
        if flushed {
            metrics.as_ref().unwrap().flush(i64::MAX).unwrap();
        }
        drop(metrics.take());
        let reopened = metrics.insert(open(&disk.crash_image(1)));
        assert_eq!(*reopened.metadata()["m"], metadata("Two."));
        let found = reopened.exemplars(&[Matcher::equal("__name__", "m")], 0, 10).unwrap();
        let labels: Vec<_> = found[0].1.iter().map(|exemplar| exemplar.labels.to_string()).collect();
        assert_eq!(labels, ["{trace=\"One.\"}"], "flushed: {flushed}");
        assert_eq!(reopened.exemplars(&[Matcher::equal("__name__", "m")], 11, 20).unwrap(), []);
        assert_eq!(reopened.period(), Some((10, 10)));
        assert_eq!(reopened.series(&[Matcher::equal("__name__", "m")], 0, 10).unwrap().len(), 1);
        let sorted = Select { matchers: &[Matcher::equal("__name__", "m")], start: 0, end: 20 };
        assert_eq!(reopened.select_sorted(&sorted).unwrap().count(), 1);
        drop(metrics.take());
        metrics = Some(open(&disk));
    }
}

#[test]
fn deleted_samples_are_gone_also_after_a_restart_and_what_comes_afterwards_stays() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    // More than a chunk, some late, and histograms.
    let samples: Vec<(i64, f64)> = (0..300).map(|t| (t * 10, t as f64)).collect();
    metrics.append(&floats("m", &samples)).unwrap();
    metrics.append(&floats("m", &[(2895, 1.0), (2985, 2.0)])).unwrap();
    metrics.append(&floats("other", &samples)).unwrap();
    let matchers = [Matcher::equal("__name__", "m")];
    assert_eq!(metrics.delete(&matchers, 500, 2890).unwrap(), 1);
    assert_eq!(metrics.delete(&matchers, 500, 2890).unwrap(), 0, "there is nothing left of that time");
    // Late, and where something was deleted.
    metrics.append(&floats("m", &[(2890, 7.0)])).unwrap();
    let mut expected: Vec<(i64, f64)> =
        samples.iter().copied().filter(|(t, _)| !(500..=2890).contains(t)).collect();
    expected.extend([(2890, 7.0), (2895, 1.0), (2985, 2.0)]);
    expected.sort_by_key(|(t, _)| *t);
    assert_eq!(all(&metrics, "m"), expected);
    assert_eq!(all(&metrics, "other"), samples);
    // The newest sample is gone, so the same one is none that is there already.
    assert_eq!(metrics.delete(&matchers, 2900, i64::MAX).unwrap(), 1);
    assert_eq!(metrics.append(&floats("m", &[(2990, 299.0)])).unwrap().stored, 1);
    metrics.append(&floats("m", &[(3000, 8.0)])).unwrap();
    expected.retain(|(t, _)| *t < 2900);
    expected.extend([(2990, 299.0), (3000, 8.0)]);
    assert_eq!(all(&metrics, "m"), expected);
    drop(metrics);
    let metrics = open(&disk.crash_image(1));
    assert_eq!(all(&metrics, "m"), expected);
    assert_eq!(all(&metrics, "other"), samples);
    assert_eq!(metrics.delete(&matchers, i64::MIN, i64::MAX).unwrap(), 1);
    assert_eq!(metrics.series(&matchers, i64::MIN, i64::MAX).unwrap(), []);
}

#[test]
fn series_are_counted_by_what_they_have_in_common() {
    let metrics = open(&SimDisk::new());
    let mut batch = Batch::default();
    for (name, host) in [("a", "1"), ("a", "2"), ("b", "1")] {
        let series = batch.series([("__name__", name), ("host", host)]).unwrap();
        batch.float(series, 0, 0, 1.0);
    }
    metrics.append(&batch).unwrap();
    let counted = metrics.cardinality(2);
    assert_eq!((counted.series, counted.pairs, counted.chunks), (3, 4, 3));
    let list = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert_eq!(counted.series_by_metric, list(&[("a", 2), ("b", 1)]));
    assert_eq!(counted.values_by_label, list(&[("__name__", 2), ("host", 2)]));
    assert_eq!(counted.bytes_by_label, list(&[("__name__", 3), ("host", 3)]));
    assert_eq!(counted.series_by_pair, list(&[("__name__=a", 2), ("host=1", 2)]));
}

#[test]
fn what_is_too_late_is_refused_with_the_reason() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    let late = metrics.append(&floats("m", &[(5000, 1.0), (3999, 2.0), (4000, 3.0)])).unwrap();
    let refusal = Refusal::TooOld { t: 3999, newest: 5000, window_ms: WINDOW };
    assert_eq!(late.first_refusal, Some((1, refusal)));
    assert_eq!(all(&metrics, "m"), [(4000, 3.0), (5000, 1.0)]);
    drop(metrics);
    let strict = open_with(&disk, MetricsOptions { out_of_order_window_ms: 0, ..options() });
    let late = strict.append(&floats("m", &[(4999, 1.0)])).unwrap();
    assert_eq!(late.first_refusal, Some((0, Refusal::OutOfOrder { t: 4999, newest: 5000 })));
}

#[test]
fn a_series_over_the_limit_is_refused_and_known_ones_go_on() {
    let disk = SimDisk::new();
    let limited = || MetricsOptions { series_max: 2, ..options() };
    let metrics = open_with(&disk, limited());
    metrics.append(&floats("a", &[(1, 1.0)])).unwrap();
    metrics.append(&floats("b", &[(1, 1.0)])).unwrap();
    let check = |metrics: &Metrics, t: i64| {
        let refused = metrics.append(&floats("c", &[(t, 1.0)])).unwrap();
        assert_eq!((refused.stored, refused.refused), (0, 1));
        assert!(refused.first_refusal.unwrap().1.to_string().contains("2 series"));
        assert_eq!(metrics.append(&floats("a", &[(t, 1.0)])).unwrap().stored, 1);
        assert_eq!(metrics.series_len(), 2);
        assert!(
            metrics
                .label_values("__name__", &[], i64::MIN, i64::MAX)
                .unwrap()
                .iter()
                .map(|v| &**v)
                .eq(["a", "b"])
        );
    };
    check(&metrics, 2);
    drop(metrics);
    check(&open_with(&disk, limited()), 3);
}

#[test]
fn a_series_of_another_batch_is_refused() {
    let metrics = open(&SimDisk::new());
    let mut other = Batch::default();
    let series = other.series([("__name__", "m")]).unwrap();
    let mut batch = Batch::default();
    batch.float(series, 1, 0, 1.0);
    let appended = metrics.append(&batch).unwrap();
    assert_eq!((appended.refused, appended.first_refusal), (1, Some((0, Refusal::UnknownSeries))));
    assert_eq!(metrics.series_len(), 0);
}

#[test]
fn a_series_known_by_name_is_the_one_that_was_named() {
    let metrics = open_with(&SimDisk::new(), MetricsOptions { series_max: 2, ..options() });
    let name = |text: &str| metrics.known_names().fingerprint(text.as_bytes());
    let known = |text: &str| {
        let names = metrics.known_names();
        names.get(names.fingerprint(text.as_bytes()))
    };
    let named = |label: &str, t: i64| {
        let mut batch = floats(label, &[]);
        let series = batch.series([("__name__", label)]).unwrap();
        batch.name(series, name(label));
        batch.float(series, t, 0, 1.0);
        metrics.append(&batch).unwrap()
    };
    assert_eq!(known("a"), None);
    assert_eq!((named("a", 1).stored, named("b", 1).stored, named("c", 1).refused), (1, 1, 1));
    assert_eq!(known("c"), None, "it was not taken");
    // By name, by labels and by name again, in one batch.
    let mut batch = Batch::default();
    let (b, a) = (batch.known(known("b").unwrap()), batch.known(known("a").unwrap()));
    let labelled = batch.series([("__name__", "a")]).unwrap();
    for (series, t) in [(b, 2), (a, 2), (labelled, 3), (a, 4)] {
        batch.float(series, t, 0, t as f64);
    }
    batch.float(b, 2, 0, 7.0);
    let pending = metrics.begin_append(&batch).unwrap();
    assert_eq!(pending.refused_series(), Some(&Labels::new([("__name__", "b")])));
    let appended = pending.wait().unwrap();
    assert_eq!((appended.stored, appended.first_refusal), (4, Some((4, Refusal::Conflicting { t: 2 }))));
    assert_eq!(all(&metrics, "a"), [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]);
    assert_eq!(all(&metrics, "b"), [(1, 1.0), (2, 2.0)]);
    assert_eq!(metrics.series_len(), 2);
}

fn histogram(count: f64, buckets: &[(i32, f64)]) -> Arc<FloatHistogram> {
    let positive = buckets.iter().map(|(index, count)| Bucket { index: *index, count: *count }).collect();
    Arc::new(FloatHistogram { count, positive, ..FloatHistogram::default() })
}

#[test]
fn numbers_and_histograms_of_one_series_come_back_as_they_were_across_chunks_and_a_restart() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    let mut batch = Batch::default();
    let series = batch.series([("__name__", "m")]).unwrap();
    // The kind changes, the layout grows, and chunks fill.
    for t in 0..1000i64 {
        let count = t as f64;
        match t / 100 % 3 {
            0 => batch.float(series, t, t / 250, -count),
            1 => batch.histogram(series, t, 0, histogram(count, &[(1, count)])),
            _ => batch.histogram(series, t, 7, histogram(count, &[(1, count), (t as i32 / 40, 1.0)])),
        }
    }
    assert_eq!(metrics.append(&batch).unwrap().stored, 1000);
    let check = |metrics: &Metrics| {
        let data = select(metrics, "m", 50, 949);
        assert_eq!(data.floats.len() + data.histograms.len(), 900);
        for (point, start) in data.floats.iter().zip(&data.float_starts) {
            assert_eq!((point.v, *start), (-(point.t as f64), point.t / 250));
        }
        for (point, start) in data.histograms.iter().zip(&data.histogram_starts) {
            let count = point.t as f64;
            let wide = point.t / 100 % 3 == 2;
            let more = [(1, count), (point.t as i32 / 40, 1.0)];
            let expected = histogram(count, if wide { &more } else { &more[..1] });
            assert!(point.h.same_data(&expected), "{} at {}", point.h, point.t);
            assert_eq!(*start, if wide { 7 } else { 0 });
        }
    };
    check(&metrics);
    drop(metrics);
    check(&open(&disk));
}

#[test]
fn the_end_of_a_series_of_histograms_is_a_histogram_and_ends_the_run_of_resets() {
    let metrics = open(&SimDisk::new());
    let mut batch = Batch::default();
    let series = batch.series([("__name__", "m")]).unwrap();
    batch.histogram(series, 1, 0, histogram(5.0, &[(1, 5.0)]));
    batch.histogram(series, 2, 0, histogram(6.0, &[(1, 6.0)]));
    batch.float(series, 3, 0, STALE_MARKER);
    batch.histogram(series, 4, 0, histogram(1.0, &[(1, 1.0)]));
    metrics.append(&batch).unwrap();
    let data = select(&metrics, "m", 0, 10);
    assert!(data.floats.is_empty());
    assert!(is_stale(data.histograms[2].h.sum));
    let hints: Vec<ResetHint> = data.histograms.iter().map(|p| p.h.hint).collect();
    assert_eq!([hints[0], hints[1], hints[3]], [ResetHint::Unknown, ResetHint::NotReset, ResetHint::Unknown]);
}

#[test]
fn another_number_of_shards_has_the_same_series_in_the_same_order() {
    let disk = SimDisk::new();
    let mut batch = Batch::default();
    for n in 0..200i64 {
        let host = format!("host-{n}");
        let series = batch.series([("__name__", "m"), ("host", &host)]).unwrap();
        batch.float(series, n, 0, n as f64);
    }
    open(&disk).append(&batch).unwrap();
    let seen = |shards: usize| -> Vec<(String, usize)> {
        let metrics = open_with(&disk, MetricsOptions { shards, ..options() });
        let matchers = [Matcher::new(MatchOp::Regex, "host", "host-1.*").unwrap()];
        let found = metrics.select(&Select { matchers: &matchers, start: 0, end: 1000 }).unwrap();
        let seen: Vec<(String, usize)> =
            found.map(Result::unwrap).map(|data| (data.labels.to_string(), data.floats.len())).collect();
        let series: Vec<String> =
            metrics.series(&matchers, i64::MIN, i64::MAX).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(series, seen.iter().map(|(labels, _)| labels.clone()).collect::<Vec<_>>());
        seen
    };
    let three = seen(3);
    assert_eq!(three.len(), 111);
    assert_eq!(three, seen(1));
    assert_eq!(three, seen(16));
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let disk = SimDisk::new();
    let _metrics = open(&disk);
    let error = Metrics::open(Arc::new(disk.clone()), Path::new("/metrics"), options()).unwrap_err();
    assert!(matches!(&error, Error::InUse { .. }) && error.to_string().contains("/metrics"), "{error}");
}

#[test]
fn readers_see_a_batch_as_a_whole_while_others_write() {
    let metrics = open_with(&SimDisk::new(), MetricsOptions { shards: 16, ..options() });
    let names: Vec<String> = (0..24).map(|n| n.to_string()).collect();
    let writing = AtomicUsize::new(2);
    std::thread::scope(|scope| {
        for writer in ["x", "y"] {
            let (metrics, names, writing) = (&metrics, &names, &writing);
            scope.spawn(move || {
                for round in 1..4000i64 {
                    let mut batch = Batch::default();
                    for name in names {
                        let series =
                            batch.series([("__name__", "m"), ("host", name), ("writer", writer)]).unwrap();
                        batch.float(series, round, 0, round as f64);
                    }
                    assert_eq!(metrics.begin_append(&batch).unwrap().wait().unwrap().stored, names.len());
                }
                writing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let matchers = [Matcher::equal("__name__", "m")];
        let select = Select { matchers: &matchers, start: 0, end: i64::MAX };
        while writing.load(Ordering::Relaxed) > 0 {
            // Most of the time goes into selecting: only that can come between.
            let selects: Vec<_> = (0..50).map(|_| metrics.select(&select).unwrap()).collect();
            let mut rounds: BTreeMap<(usize, String), Vec<i64>> = BTreeMap::new();
            for (at, found) in selects.into_iter().enumerate() {
                for data in found.map(Result::unwrap) {
                    let writer = data.labels.get("writer").to_owned();
                    rounds.entry((at, writer)).or_default().push(data.floats.last().unwrap().t);
                }
            }
            for newest in rounds.values() {
                assert_eq!(newest.len(), names.len());
                assert!(newest.iter().all(|round| *round == newest[0]), "{newest:?}");
            }
        }
    });
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_not_even_a_duplicate() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    metrics.append(&floats("m", &[(1, 1.0)])).unwrap();
    disk.set_faults(FaultPlan { sync_error_at: Some(0), ..FaultPlan::default() });
    assert!(matches!(metrics.append(&floats("m", &[(2, 2.0)])), Err(Error::Log(_))));
    assert!(matches!(metrics.append(&floats("m", &[(2, 2.0)])), Err(Error::Log(_))));
    assert!(matches!(metrics.append(&floats("m", &[(3, 3.0)])), Err(Error::Log(_))));
    disk.set_faults(FaultPlan::default());
    disk.kill(metrics);
    let newest = all(&open(&disk), "m").last().copied().unwrap();
    assert!(newest.0 <= 2);
}

#[test]
fn a_duplicate_is_acknowledged_when_what_it_repeats_is_durable() {
    let disk = SimDisk::new();
    let metrics = open(&disk);
    let _not_waited_for = metrics.begin_append(&floats("m", &[(1, 1.0)])).unwrap();
    assert_eq!(metrics.append(&floats("m", &[(1, 1.0)])).unwrap().duplicates, 1);
    for seed in 0..16 {
        assert_eq!(all(&open(&disk.crash_image(seed)), "m"), [(1, 1.0)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn samples_in_any_order_read_as_a_map_that_keeps_the_first(
        samples in proptest::collection::vec((0i64..2500, 0u8..4), 1..600),
        batches in 1usize..40,
        from in 0i64..2500,
        length in 0i64..2500,
        restart in any::<prop::sample::Index>(),
    ) {
        let disk = SimDisk::new();
        let mut metrics = open(&disk);
        let mut model: BTreeMap<i64, f64> = BTreeMap::new();
        let restart = restart.index(samples.len());
        for (at, chunk) in samples.chunks(batches).enumerate() {
            if at * batches <= restart && restart < (at + 1) * batches {
                drop(metrics);
                metrics = open(&disk);
            }
            let chunk: Vec<(i64, f64)> = chunk.iter().map(|(t, v)| (*t, f64::from(*v))).collect();
            let mut refused = 0;
            for (t, v) in &chunk {
                let newest = model.last_key_value().map(|(t, v)| (*t, *v));
                match newest {
                    Some((newest, value)) if newest == *t => refused += usize::from(value != *v),
                    Some((newest, _)) if *t < newest - WINDOW => refused += 1,
                    _ => {
                        model.entry(*t).or_insert(*v);
                    }
                }
            }
            prop_assert_eq!(metrics.append(&floats("m", &chunk)).unwrap().refused, refused);
        }
        let to = from + length;
        let expected: Vec<(i64, f64)> = model.range(from..=to).map(|(t, v)| (*t, *v)).collect();
        let read = |metrics: &Metrics| -> Vec<(i64, f64)> {
            select(metrics, "m", from, to).floats.iter().map(|p| (p.t, p.v)).collect()
        };
        prop_assert_eq!(read(&metrics), expected.clone());
        drop(metrics);
        prop_assert_eq!(read(&open(&disk)), expected);
    }
}
