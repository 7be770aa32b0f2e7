//! Series of which no sample is left go, from memory and from the registry, lose nothing by it, and come back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;

use luma_promql::{Labels, Matcher};
use luma_telemetry::{Batch, Error, Metrics};
use luma_vfs::SimDisk;
use proptest::prelude::*;
use support::{Content, Steps, all, open_with, options};

fn open(disk: &SimDisk, shards: usize) -> Metrics {
    open_with(disk, options(shards, 100_000))
}

fn shown(metrics: &Metrics, from: i64, to: i64) -> BTreeSet<String> {
    metrics.series(&[Matcher::equal("job", "j")], from, to).unwrap().iter().map(Labels::to_string).collect()
}

fn name(series: u32) -> String {
    format!("s{series}")
}

fn labels(series: u32) -> String {
    Labels::new([("__name__", name(series).as_str()), ("job", "j")]).to_string()
}

/// A batch of samples, each series named as a sender of remote write does, by what it may have called it before.
fn batch(metrics: &Metrics, samples: &[(u32, i64, f64)]) -> Batch {
    let mut batch = Batch::default();
    let known = metrics.known_names();
    for (number, t, value) in samples {
        let fingerprint = known.fingerprint(name(*number).as_bytes());
        let series = match known.get(fingerprint) {
            Some(series) => batch.known(series),
            None => {
                let series = batch.series([("__name__", name(*number).as_str()), ("job", "j")]).unwrap();
                batch.name(series, fingerprint);
                series
            }
        };
        batch.float(series, *t, 0, *value);
    }
    batch
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u32, i64, i8)>),
    Flush(i64),
    Restart(usize),
    Retain(i64),
    Compact,
    Delete(u32, bool),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let samples = proptest::collection::vec((0u32..6, -20_000i64..20_000, any::<i8>()), 1..12);
    prop_oneof![
        6 => samples.prop_map(Step::Append),
        3 => prop_oneof![Just(i64::MAX), Just(i64::MIN), 0i64..200_000].prop_map(Step::Flush),
        2 => (1usize..4).prop_map(Step::Restart),
        2 => (0i64..250_000).prop_map(Step::Retain),
        1 => Just(Step::Compact),
        2 => (0u32..6, any::<bool>()).prop_map(|(series, whole)| Step::Delete(series, whole)),
        4 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn only_series_without_samples_go_and_they_come_back_with_samples(
        steps in proptest::collection::vec(step(), 1..40),
        asked in (0i64..250_000, 0i64..100_000),
    ) {
        let disk = SimDisk::new();
        let mut metrics = open(&disk, 2);
        let mut model = Content::new();
        let (mut now, mut kept_from) = (50_000, i64::MIN);
        // What is past keeping may still be in memory after its file went.
        let kept = |model: &mut Content, left: Content, from: i64| {
            assert!(left.iter().all(|(at, value)| model.get(at) == Some(value)), "there is more than there was");
            let lost = model.keys().find(|at| at.1 >= from && !left.contains_key(*at));
            assert!(lost.is_none(), "{lost:?} is kept and not there");
            *model = left;
        };
        for step in steps {
            match step {
                Step::Append(samples) => {
                    now += 7_000;
                    for (series, apart, value) in samples {
                        let (t, value) = (now + apart, f64::from(value));
                        let appended = metrics.append(&batch(&metrics, &[(series, t, value)])).unwrap();
                        if appended.stored == 1 {
                            model.entry((labels(series), t)).or_insert((false, value.to_bits()));
                        }
                    }
                }
                Step::Flush(hot_from) => { metrics.flush(hot_from).unwrap(); }
                Step::Restart(shards) => {
                    drop(metrics);
                    metrics = open(&disk, shards);
                }
                Step::Retain(from) => {
                    metrics.retain(Some(from), None).unwrap();
                    kept_from = kept_from.max(from);
                }
                Step::Compact => { while metrics.compact(now).unwrap().is_some() {} }
                Step::Delete(series, whole) => {
                    let from = if whole { i64::MIN } else { now };
                    metrics.delete(&[Matcher::equal("__name__", name(series).as_str())], from, i64::MAX).unwrap();
                    model.retain(|(of, t), _| *of != labels(series) || *t < from);
                }
                Step::Forget => { metrics.forget_ended().unwrap(); }
            }
            kept(&mut model, all(&metrics), kept_from);
        }
        let (from, to) = (asked.0, asked.0 + asked.1);
        let there = |from, to| -> BTreeSet<String> {
            model.keys().filter(|(_, t)| (from..=to).contains(t)).map(|(labels, _)| labels.clone()).collect()
        };
        prop_assert!(shown(&metrics, from, to).is_superset(&there(from, to)));
        // Of what is deleted as a whole nothing is left, whatever there was of it.
        for series in 0..6 {
            if series % 2 == 0 {
                metrics.delete(&[Matcher::equal("__name__", name(series).as_str())], i64::MIN, i64::MAX).unwrap();
            }
        }
        metrics.forget_ended().unwrap();
        let deleted = |labels: &String| (0..6).step_by(2).any(|series| *labels == self::labels(series));
        prop_assert!(!shown(&metrics, i64::MIN, i64::MAX).iter().any(deleted));
        prop_assert_eq!(metrics.series_len(), shown(&metrics, i64::MIN, i64::MAX).len());
        drop(metrics);
        let metrics = open(&disk, 3);
        metrics.forget_ended().unwrap();
        prop_assert!(!shown(&metrics, i64::MIN, i64::MAX).iter().any(deleted));
        model.retain(|(labels, _), _| !deleted(labels));
        kept(&mut model, all(&metrics), kept_from);
        metrics.flush(i64::MAX).unwrap();
        metrics.retain(Some(i64::MAX), None).unwrap();
        metrics.forget_ended().unwrap();
        prop_assert_eq!(metrics.series_len(), 0);
        prop_assert!(metrics.label_names(&[], i64::MIN, i64::MAX).unwrap().is_empty());
    }
}

#[test]
fn a_crash_while_series_go_and_come_back_loses_nothing() {
    let disk = SimDisk::new();
    disk.record();
    let metrics = open(&disk, 2);
    let mut steps = Steps::of(&disk, &metrics);
    for round in 0..6i64 {
        let t = 100_000 + round * 20_000;
        let samples: Vec<_> = (0..4).map(|series| (series, t, round as f64)).collect();
        metrics.append(&batch(&metrics, &samples)).unwrap();
        steps.note(&metrics);
        let only = 10 + round as u32;
        metrics.append(&batch(&metrics, &[(only, t, 1.0)])).unwrap();
        steps.note(&metrics);
        if round % 2 == 0 {
            metrics.flush(i64::MAX).unwrap();
        }
        let goes = [Matcher::equal("__name__", name(round as u32 % 4).as_str())];
        metrics.delete(&goes, i64::MIN, i64::MAX).unwrap();
        steps.note(&metrics);
        metrics.forget_ended().unwrap();
        steps.note(&metrics);
        if round == 4 {
            metrics.flush(i64::MAX).unwrap();
            metrics.retain(Some(t), None).unwrap();
            steps.note(&metrics);
            assert!(metrics.forget_ended().unwrap() > 1);
            steps.note(&metrics);
        }
    }
    drop(metrics);
    steps.crash_everywhere(
        |disk| open(disk, 2),
        |disk, index, metrics, there| {
            metrics.forget_ended().unwrap();
            let again: Vec<_> = (0..4).map(|series| (series, 900_000, 9.0)).collect();
            assert_eq!(metrics.append(&batch(&metrics, &again)).unwrap().stored, 4);
            metrics.flush(i64::MAX).unwrap();
            let expected = all(&metrics);
            assert_eq!(expected.len(), there.len() + 4, "change {index}");
            drop(metrics);
            assert_eq!(all(&open(disk, 1)), expected, "change {index}");
        },
    );
}

#[test]
fn a_batch_that_knows_series_from_before_some_went_is_refused_as_a_whole() {
    let disk = SimDisk::new();
    let metrics = open(&disk, 1);
    let samples = [(1, 1000, 1.0), (2, 1000, 2.0)];
    metrics.append(&batch(&metrics, &samples)).unwrap();
    let later = [(1, 2000, 1.0), (2, 2000, 2.0), (3, 2000, 3.0)];
    let before = batch(&metrics, &later);
    metrics.delete(&[Matcher::equal("__name__", "s1")], i64::MIN, i64::MAX).unwrap();
    assert_eq!(metrics.forget_ended().unwrap(), 1);
    assert_eq!(metrics.forget_ended().unwrap(), 0, "there is nothing to look at");
    // Its number is given to another series meanwhile.
    metrics.append(&batch(&metrics, &[(4, 1000, 4.0)])).unwrap();
    assert!(matches!(metrics.append(&before), Err(Error::Outdated)));
    assert_eq!(all(&metrics).len(), 2);
    assert_eq!(metrics.append(&batch(&metrics, &later)).unwrap().stored, 3);
    let expected: Content = [(2, 1000, 2.0), (4, 1000, 4.0), (1, 2000, 1.0), (2, 2000, 2.0), (3, 2000, 3.0)]
        .map(|(series, t, value): (u32, i64, f64)| ((labels(series), t), (false, value.to_bits())))
        .into();
    assert_eq!(all(&metrics), expected);
}

#[test]
fn a_fleet_that_is_replaced_again_and_again_takes_no_more_than_what_is_kept() {
    let disk = SimDisk::new();
    let mut metrics = open(&disk, 2);
    for round in 0..60i64 {
        let t = 100_000 + round * 10_000;
        let samples: Vec<_> = (0..50).map(|n| (round as u32 * 50 + n, t, 1.0)).collect();
        metrics.append(&batch(&metrics, &samples)).unwrap();
        metrics.flush(t - 20_000).unwrap();
        metrics.retain(Some(t - 30_000), None).unwrap();
        metrics.forget_ended().unwrap();
        assert!(metrics.series_len() <= 5 * 50, "{} series in round {round}", metrics.series_len());
        assert!(metrics.label_values("__name__", &[], i64::MIN, i64::MAX).unwrap().len() <= 5 * 50);
        // Of a time at which a fleet had no samples it is not shown.
        assert_eq!(shown(&metrics, t, t).len(), 50, "round {round}");
        assert_eq!(metrics.label_values("__name__", &[], t, t).unwrap().len(), 50);
        assert_eq!(metrics.label_names(&[], t + 1, i64::MAX).unwrap().len(), 0);
        if round % 7 == 6 {
            let before = all(&metrics);
            drop(metrics);
            metrics = open(&disk, 2);
            assert_eq!(all(&metrics), before);
            metrics.forget_ended().unwrap();
            assert!(metrics.series_len() <= 5 * 50, "{} series after a restart", metrics.series_len());
            assert_eq!(shown(&metrics, t, t).len(), 50, "round {round}, opened again");
        }
    }
}
