//! Series that sleep answer, count and come back as if memory had never let go of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use luma_promql::{Labels, MatchOp, Matcher, Select, Source};
use luma_telemetry::{Appended, Batch, Exemplar, Metrics, MetricsOptions, Refusal};
use luma_vfs::SimDisk;
use proptest::prelude::*;
use support::{Steps, all, every, open_with, options, selected};

const FOREVER: i64 = i64::MAX / 4;

fn open(disk: &SimDisk, shards: usize) -> Metrics {
    open_with(disk, options(shards, FOREVER))
}

fn batch(samples: &[(u32, i64, f64)]) -> Batch {
    let mut batch = Batch::default();
    for (number, t, value) in samples {
        let (name, pod) = (format!("m{}", number % 3), format!("pod-{number}"));
        let series = batch.series([("__name__", name.as_str()), ("job", "j"), ("pod", &pod)]).unwrap();
        batch.float(series, *t, 0, *value);
    }
    batch
}

fn append(metrics: &Metrics, samples: &[(u32, i64, f64)]) -> Appended {
    metrics.append(&batch(samples)).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u32, i64, i8)>),
    Flush(i64),
    Sleep(i64),
    Restart(usize),
    Retain(i64),
    Compact,
    Delete(u32, i64),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let samples = proptest::collection::vec((0u32..9, -60_000i64..1000, any::<i8>()), 1..8);
    prop_oneof![
        6 => samples.prop_map(Step::Append),
        4 => prop_oneof![3 => Just(i64::MAX), 1 => Just(i64::MIN), 1 => 0i64..200_000].prop_map(Step::Flush),
        5 => prop_oneof![2 => Just(i64::MAX), 1 => 0i64..200_000].prop_map(Step::Sleep),
        2 => (1usize..4).prop_map(Step::Restart),
        1 => (0i64..100_000).prop_map(Step::Retain),
        1 => Just(Step::Compact),
        1 => (0u32..9, -30_000i64..30_000).prop_map(|(series, back)| Step::Delete(series, back)),
        2 => Just(Step::Forget),
    ]
}

fn apply(
    disk: &SimDisk,
    metrics: &mut Option<Metrics>,
    step: &Step,
    now: i64,
    sleeps: bool,
) -> Vec<Appended> {
    let store = metrics.as_ref().unwrap();
    let mut outcomes = Vec::new();
    match step {
        Step::Append(samples) => {
            let at: Vec<_> =
                samples.iter().map(|(series, back, v)| (*series, now + back, f64::from(*v))).collect();
            outcomes.push(append(store, &at));
        }
        Step::Flush(hot_from) => {
            store.flush(*hot_from).unwrap();
        }
        Step::Sleep(before) => {
            if sleeps {
                store.put_to_sleep(*before).unwrap();
            }
        }
        Step::Restart(shards) => {
            drop(metrics.take());
            *metrics = Some(open(disk, *shards));
        }
        Step::Retain(from) => {
            store.retain(Some(*from), None).unwrap();
        }
        Step::Compact => while store.compact(now).unwrap().is_some() {},
        Step::Delete(series, back) => {
            let pod = format!("pod-{series}");
            store.delete(&[Matcher::equal("pod", pod.as_str())], now - back, i64::MAX).unwrap();
        }
        Step::Forget => {
            store.forget_ended().unwrap();
        }
    }
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_store_whose_series_sleep_is_one_whose_series_do_not(
        steps in proptest::collection::vec(step(), 1..40),
        asked in (0i64..250_000, 0i64..100_000, 0u32..9),
    ) {
        let (disk, twin_disk) = (SimDisk::new(), SimDisk::new());
        let (mut metrics, mut twin) = (Some(open(&disk, 2)), Some(open(&twin_disk, 2)));
        // What is past keeping may still be in memory.
        let (mut now, mut kept_from) = (50_000, i64::MIN);
        let kept = |metrics: &Metrics, matchers: &[Matcher], from| selected(metrics, matchers, from, i64::MAX);
        for step in &steps {
            if matches!(step, Step::Append(_)) {
                now += 7000;
            }
            let outcomes = apply(&disk, &mut metrics, step, now, true);
            prop_assert_eq!(outcomes, apply(&twin_disk, &mut twin, step, now, false), "{:?}", step);
            let (metrics, twin) = (metrics.as_ref().unwrap(), twin.as_ref().unwrap());
            if let Step::Retain(from) = step {
                kept_from = kept_from.max(*from);
            }
            prop_assert_eq!(kept(metrics, &every(), kept_from), kept(twin, &every(), kept_from), "after {:?}", step);
            prop_assert_eq!(twin.dormant_len(), 0);
            prop_assert!(metrics.series_len() + metrics.dormant_len() <= 9);
        }
        let (metrics, twin) = (metrics.unwrap(), twin.unwrap());
        let (from, to) = (asked.0.max(kept_from), asked.0 + asked.1);
        let pod = format!("pod-{}", asked.2);
        for matchers in [
            every(),
            vec![Matcher::equal("pod", pod.as_str())],
            vec![Matcher::new(MatchOp::NotRegex, "__name__", "m[01]").unwrap(), Matcher::equal("job", "j")],
            vec![Matcher::equal("__name__", "m1"), Matcher::new(MatchOp::NotEqual, "pod", pod.as_str()).unwrap()],
        ] {
            let there = selected(&twin, &matchers, from, to);
            prop_assert_eq!(&selected(&metrics, &matchers, from, to), &there);
            let order = |metrics: &Metrics| -> Vec<Labels> {
                let found = metrics.select(&Select { matchers: &matchers, start: from, end: to }).unwrap();
                let found = found.map(Result::unwrap).filter(|data| !data.floats.is_empty());
                found.map(|data| data.labels).collect()
            };
            // One that went as a whole in one of them comes back as the newest.
            let none_went = !steps.iter().any(|step| matches!(step, Step::Retain(_) | Step::Delete(..)));
            prop_assert!(!none_went || order(&metrics) == order(&twin), "series keep their order");
            let names: BTreeSet<String> = there.keys().map(|(labels, _)| labels.clone()).collect();
            let shown = metrics.series(&matchers, from, to).unwrap();
            let shown: BTreeSet<String> = shown.iter().map(Labels::to_string).collect();
            prop_assert!(shown.is_superset(&names));
            for data in twin.select(&Select { matchers: &matchers, start: from, end: to }).unwrap() {
                let data = data.unwrap();
                for (name, value) in data.labels.iter().filter(|_| !data.floats.is_empty()) {
                    prop_assert!(metrics.label_names(&matchers, from, to).unwrap().contains(name));
                    prop_assert!(metrics.label_values(name, &matchers, from, to).unwrap().contains(value));
                }
            }
        }
        // Of what is deleted as a whole nothing is left.
        for metrics in [&metrics, &twin] {
            metrics.delete(&every(), i64::MIN, i64::MAX).unwrap();
            metrics.forget_ended().unwrap();
            prop_assert_eq!((metrics.series_len(), metrics.dormant_len()), (0, 0));
            prop_assert!(metrics.label_names(&[], i64::MIN, i64::MAX).unwrap().is_empty());
        }
    }
}

#[test]
fn a_crash_while_series_fall_asleep_and_wake_loses_nothing() {
    let disk = SimDisk::new();
    disk.record();
    let metrics = open(&disk, 2);
    let mut steps = Steps::of(&disk, &metrics);
    for round in 0..6i64 {
        let t = 100_000 + round * 20_000;
        let samples: Vec<_> = (0..4).map(|n| (round as u32 % 3 * 2 + n, t, round as f64)).collect();
        append(&metrics, &samples);
        steps.note(&metrics);
        metrics.flush(if round % 2 == 0 { i64::MAX } else { t - 5000 }).unwrap();
        steps.note(&metrics);
        metrics.put_to_sleep(t - 10_000 * (round % 2)).unwrap();
        steps.note(&metrics);
        if round == 3 {
            metrics.delete(&[Matcher::equal("pod", "pod-2")], i64::MIN, i64::MAX).unwrap();
            metrics.forget_ended().unwrap();
            steps.note(&metrics);
        }
    }
    assert!(metrics.dormant_len() > 0);
    drop(metrics);
    steps.crash_everywhere(
        |disk| open(disk, 2),
        |disk, index, metrics, there| {
            let again: Vec<_> = (0..4).map(|series| (series, 900_000, 9.0)).collect();
            assert_eq!(append(&metrics, &again).stored, 4);
            metrics.flush(i64::MAX).unwrap();
            metrics.put_to_sleep(i64::MAX).unwrap();
            assert_eq!(metrics.series_len(), 0, "all of them can sleep");
            let expected = all(&metrics);
            assert_eq!(expected.len(), there.len() + 4, "change {index}");
            drop(metrics);
            let metrics = open(disk, 1);
            assert_eq!(all(&metrics), expected, "change {index}");
            let shown = metrics.series(&every(), i64::MIN, i64::MAX).unwrap();
            let different: BTreeSet<String> = shown.iter().map(Labels::to_string).collect();
            assert_eq!(shown.len(), different.len(), "change {index}: a series is shown twice");
            assert_eq!(metrics.dormant_len(), different.len(), "change {index}");
        },
    );
}

#[test]
fn what_sleeps_is_not_in_memory_and_wakes_with_its_newest_sample() {
    let disk = SimDisk::new();
    let limited = || MetricsOptions { series_max: 4, ..options(2, 10_000) };
    let mut metrics = open_with(&disk, limited());
    append(&metrics, &[(1, 100_000, 1.0), (2, 100_000, 2.0), (3, 100_000, 3.0), (4, 100_000, 4.0)]);
    let full = append(&metrics, &[(5, 100_000, 5.0)]);
    assert!(matches!(full.first_refusal, Some((0, Refusal::SeriesLimit { limit: 4 }))));
    assert_eq!(metrics.put_to_sleep(i64::MAX).unwrap(), 0, "memory has their samples");
    metrics.flush(i64::MAX).unwrap();
    assert_eq!(metrics.put_to_sleep(100_000).unwrap(), 0, "they are too new");
    assert_eq!(metrics.put_to_sleep(100_001).unwrap(), 4);
    assert_eq!((metrics.series_len(), metrics.dormant_len()), (0, 4));
    for restarted in [false, true] {
        if restarted {
            drop(metrics);
            metrics = open_with(&disk, limited());
            assert_eq!((metrics.series_len(), metrics.dormant_len()), (2, 2));
        }
        let (one, other) = if restarted { (3, 4) } else { (1, 2) };
        let value = f64::from(one);
        let outcome = append(&metrics, &[(one, 80_000, 0.0)]);
        assert!(
            matches!(outcome.first_refusal, Some((0, Refusal::TooOld { newest: 100_000, .. }))),
            "{outcome:?}"
        );
        assert_eq!(append(&metrics, &[(one, 100_000, value)]).duplicates, 1);
        let outcome = append(&metrics, &[(other, 100_000, 0.0)]);
        assert!(
            matches!(outcome.first_refusal, Some((0, Refusal::Conflicting { t: 100_000 }))),
            "{outcome:?}"
        );
        assert_eq!(append(&metrics, &[(one, 200_000, 7.0), (other, 95_000, 8.0)]).stored, 2);
    }
    assert_eq!((metrics.series_len(), metrics.dormant_len()), (4, 0), "both count against the limit again");
    assert_eq!(append(&metrics, &[(5, 200_000, 5.0)]).refused, 1);
    assert_eq!(all(&metrics).len(), 8);
}

#[test]
fn exemplars_and_copies_have_what_sleeps() {
    let disk = SimDisk::new();
    let metrics = open(&disk, 2);
    let mut with_example = batch(&[(1, 1000, 1.0)]);
    let series = with_example.series([("__name__", "m1"), ("job", "j"), ("pod", "pod-1")]).unwrap();
    with_example.exemplar(series, Exemplar { labels: Labels::new([("trace", "t1")]), value: 1.0, t: 1000 });
    metrics.append(&with_example).unwrap();
    append(&metrics, &[(2, 90_000, 2.0)]);
    metrics.flush(i64::MAX).unwrap();
    assert_eq!(metrics.put_to_sleep(50_000).unwrap(), 1);
    let examples = metrics.exemplars(&every(), 0, 2000).unwrap();
    assert_eq!(examples.iter().map(|(_, of)| of.len()).collect::<Vec<_>>(), [1]);
    metrics.snapshot(Path::new("/copy"), true).unwrap();
    let copy = Metrics::open(Arc::new(disk.clone()), Path::new("/copy"), options(1, FOREVER)).unwrap();
    assert_eq!((copy.series_len(), copy.dormant_len()), (1, 1));
    assert_eq!(all(&copy), all(&metrics));
    assert_eq!(append(&copy, &[(1, 100_000, 3.0)]).stored, 1);
    assert_eq!(copy.dormant_len(), 0);
    assert_eq!(all(&copy).len(), 3);
}

#[test]
fn a_fleet_that_is_replaced_takes_no_memory_for_those_that_went_and_all_is_found() {
    let disk = SimDisk::new();
    let mut metrics = open(&disk, 2);
    for round in 0..60i64 {
        let t = 100_000 + round * 10_000;
        let samples: Vec<_> = (0..50).map(|n| (round as u32 * 50 + n, t, 1.0)).collect();
        append(&metrics, &samples);
        metrics.flush(t - 20_000).unwrap();
        metrics.put_to_sleep(t - 20_000).unwrap();
        assert!(metrics.series_len() <= 4 * 50, "{} series in round {round}", metrics.series_len());
        assert_eq!(metrics.series(&every(), t, t).unwrap().len(), 50, "round {round}");
        if round % 13 == 12 {
            drop(metrics);
            metrics = open(&disk, 2);
            assert!(metrics.series_len() <= 4 * 50, "{} series after a restart", metrics.series_len());
        }
    }
    assert_eq!(all(&metrics).len(), 3000);
    assert_eq!(metrics.label_values("pod", &[], i64::MIN, i64::MAX).unwrap().len(), 3000);
    // Of a time at which a fleet had samples its series are shown, whether they sleep or not.
    assert_eq!(metrics.label_values("pod", &every(), 105_000, 115_000).unwrap().len(), 50);
    // What is past keeping goes, asleep as well.
    metrics.retain(Some(400_000), None).unwrap();
    assert!(metrics.forget_ended().unwrap() >= 25 * 50);
    assert_eq!(metrics.dormant_len() + metrics.series_len(), all(&metrics).len());
}
