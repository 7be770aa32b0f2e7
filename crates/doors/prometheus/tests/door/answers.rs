//! Answers to range queries that are kept: they are those that computing anew gives, whatever was written, deleted or removed meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use luma_door_prometheus::{DoorOptions, Metrics};
use luma_promql::{Bucket, FloatHistogram, Matcher, STALE_MARKER};
use luma_telemetry::{Batch, MetricsOptions, TableOptions};
use luma_vfs::SimDisk;

use crate::http::{Client, Server, escaped, store, timeless};

const SECOND: i64 = 1000;

/// Queries of every kind: those whose steps stand for themselves, those that do not, and those with annotations and errors.
const QUERIES: [&str; 58] = [
    "g",
    "rate(c_total[1m])",
    "sum(rate(c_total[50s]))",
    "sum by (x) (g)",
    "avg(sum by (i) (g))",
    "stddev(avg without (i) (g) / 3)",
    "topk(2, sum by (x) (g))",
    "bottomk(1, g)",
    "limitk(2, g)",
    "limit_ratio(0.5, g)",
    "topk(scalar(count(g)) / 2, g)",
    "quantile(0.7, g)",
    "count_values(\"v\", round(g))",
    "histogram_quantile(0.9, sum by (le) (rate(h_bucket[1m])))",
    "g offset 45s",
    "g offset -45s",
    "rate(c_total[1m] offset -20s)",
    "g @ 100",
    "sum(g @ end())",
    "g - g @ start()",
    "start() + g",
    "g * range()",
    "max_over_time(g[1m])",
    "avg_over_time(sum(g)[2m:15s])",
    "max_over_time(rate(c_total[1m])[1m:20s] offset 10s)",
    "sum_over_time((g / on(i, x) g)[1m:15s])",
    "sum_over_time(g[range() + 10s])",
    "sum_over_time(g[step() * 3])",
    "g / on(i) group_left() sum by (i) (rate(c_total[1m]))",
    "sum(g / on(i, x) (g offset 10s))",
    "g and on(i) c_total > 3",
    "g or c_total",
    "sum(g or c_total)",
    "g unless on(x) g{i=\"1\"}",
    "g == bool 2",
    "absent(g{i=\"1\"})",
    "absent_over_time(g{x=\"b\"}[40s])",
    "timestamp(g)",
    "time() - timestamp(c_total)",
    "minute()",
    "vector(time())",
    "1 + time()",
    "predict_linear(g[1m], 60)",
    "deriv(g[90s])",
    "irate(c_total[1m])",
    "label_replace(g, \"x\", \"$1\", \"i\", \"(.*)\")",
    "sum(label_join(g, \"y\", \"-\", \"x\", \"i\"))",
    "info(g)",
    "g smoothed",
    "increase(c_total[1m] anchored)",
    "increase(c_total[1m] smoothed)",
    // Annotations.
    "sum(rate(g[1m]))",
    "sort(g)",
    "quantile(2, g)",
    // Native histograms.
    "n",
    "histogram_quantile(0.5, sum(rate(n[1m])))",
    "histogram_count(n)",
    // An error where both sides have several.
    "g * on(x) g",
];

const METRICSQL: [&str; 6] = [
    "rate(c_total)",
    "sum(g) by (x)",
    "avg_over_time(g[1m])",
    "sum(g @ end()) + g",
    "running_sum(g)",
    "g offset 1m",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as i64 % bound
    }

    fn one_in(&mut self, many: i64) -> bool {
        self.below(many) == 0
    }
}

fn histogram(random: &mut Random) -> Arc<FloatHistogram> {
    let count = random.below(50) as f64;
    let positive = vec![Bucket { index: 1, count }, Bucket { index: 3, count: 2.0 }];
    Arc::new(FloatHistogram { count: count + 2.0, sum: count * 1.7, positive, ..FloatHistogram::default() })
}

/// A round of samples at a time; some series are left out, end or come anew.
fn round(random: &mut Random, t: i64) -> Batch {
    let mut batch = Batch::default();
    let jitter = |random: &mut Random| t + random.below(3) * 137;
    for i in ["0", "1", "2", "3"] {
        for x in ["a", "b"] {
            if random.one_in(4) {
                continue;
            }
            let value = if random.one_in(12) { STALE_MARKER } else { random.below(400) as f64 / 7.0 - 10.0 };
            let series = batch.series([("__name__", "g"), ("i", i), ("x", x)]).unwrap();
            batch.float(series, jitter(random), 0, value);
        }
        let counter = batch.series([("__name__", "c_total"), ("i", i), ("job", "j")]).unwrap();
        let value = if random.one_in(10) { 0.0 } else { t as f64 / 300.0 + random.below(9) as f64 };
        batch.float(counter, jitter(random), 0, value);
        for (at, le) in ["1", "2", "+Inf"].into_iter().enumerate() {
            let series = batch.series([("__name__", "h_bucket"), ("i", i), ("le", le)]).unwrap();
            batch.float(series, t, 0, (t / SECOND * (at as i64 + 1)) as f64);
        }
    }
    let series =
        batch.series([("__name__", "target_info"), ("instance", ""), ("job", "j"), ("v", "1")]).unwrap();
    batch.float(series, t, 0, 1.0);
    if random.one_in(2) {
        let series = batch.series([("__name__", "n")]).unwrap();
        batch.histogram(series, t, 0, histogram(random));
    }
    batch
}

fn changed(server: &Server, random: &mut Random, now: &mut i64) {
    let store = &server.store;
    match random.below(20) {
        // A late sample, or some long before.
        0..3 => {
            let mut batch = Batch::default();
            for _ in 0..=random.below(3) {
                let (i, x) =
                    (["0", "1", "9"][random.below(3) as usize], ["a", "b"][random.below(2) as usize]);
                let series = batch.series([("__name__", "g"), ("i", i), ("x", x)]).unwrap();
                batch.float(
                    series,
                    (*now - random.below(400) * SECOND).max(0) + 1,
                    0,
                    random.below(100) as f64,
                );
            }
            let late = batch.series([("__name__", "n")]).unwrap();
            batch.histogram(late, (*now - random.below(300) * SECOND).max(0) + 3, 0, histogram(random));
            store.append(&batch).unwrap();
        }
        3 => {
            let name = ["g", "c_total", "n", "h_bucket"][random.below(4) as usize];
            let from = *now - random.below(300) * SECOND;
            let matchers = [Matcher::equal("__name__", name)];
            store.delete(&matchers, from, from + random.below(200) * SECOND).unwrap();
        }
        4 => drop(store.flush(*now - random.below(200) * SECOND).unwrap()),
        5 if random.one_in(3) => drop(store.retain(Some(*now - 250 * SECOND), None).unwrap()),
        6 => drop(store.forget_ended().unwrap()),
        7 => drop(store.compact(*now).unwrap()),
        8..11 => {}
        _ => {
            *now += 10 * SECOND;
            store.append(&round(random, *now)).unwrap();
        }
    }
}

fn asked(client: &mut Client, query: &str, range: &str) -> (String, String) {
    let path = format!("/api/v1/query_range?query={}&{range}", escaped(query));
    (client.get(&path).text(), client.get(&format!("{path}&nocache=1")).text())
}

/// Some minutes until about now, whole steps or not, sometimes a part of what was asked or long ago.
fn range(random: &mut Random, now: i64) -> String {
    let step = [10, 15, 15, 30][random.below(4) as usize];
    let length = [step, 2 * step, 60, 120, 300, 300, 300][random.below(7) as usize];
    let end = now / SECOND + [0, 0, 0, 20, -60, -200][random.below(6) as usize];
    let end = if random.one_in(5) { end } else { end / step * step };
    let start = (end - length).max(0);
    format!("start={start}&end={}&step={step}", end.max(start))
}

fn prove(seed: u64, bytes: usize) -> (u64, u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let warm = TableOptions { window_ms: 60 * SECOND, ..TableOptions::default() };
    let options = MetricsOptions { out_of_order_window_ms: i64::MAX, warm, ..MetricsOptions::default() };
    let counted = Arc::new(Metrics::default());
    let door = DoorOptions { query_cache_bytes: bytes, metrics: Arc::clone(&counted), ..timeless() };
    let server = Server::with(store(&SimDisk::new(), options), door);
    let mut client = server.client();
    let mut now = 0;
    for _ in 0..30 {
        now += 10 * SECOND;
        server.store.append(&round(&mut random, now)).unwrap();
    }
    for turn in 0..120 {
        changed(&server, &mut random, &mut now);
        let range = range(&mut random, now);
        for _ in 0..5 {
            let query = QUERIES[random.below(QUERIES.len() as i64) as usize];
            let (kept, anew) = asked(&mut client, query, &range);
            assert_eq!(kept, anew, "seed {seed}, turn {turn}: {query} {range}");
        }
        let query = METRICSQL[random.below(METRICSQL.len() as i64) as usize];
        let (kept, anew) = asked(&mut client, query, &format!("{range}&dialect=metricsql"));
        assert_eq!(kept, anew, "seed {seed}, turn {turn}: {query} {range}");
    }
    (counted.cached_queries.load(Ordering::Relaxed), counted.query_cache_bytes.load(Ordering::Relaxed))
}

#[test]
fn an_answer_with_kept_steps_is_the_one_that_computing_anew_gives() {
    let mut cached = 0;
    for seed in 1..=8 {
        cached += prove(seed, 1 << 20).0;
    }
    // Otherwise nothing was shown.
    assert!(cached > 300, "only {cached} queries found something");
}

#[test]
fn answers_take_no_more_memory_than_they_may() {
    let (cached, bytes) = prove(99, 20_000);
    assert!(cached > 0);
    assert!((1..=20_000).contains(&bytes), "{bytes}");
    assert_eq!(prove(100, 0), (0, 0));
}

#[test]
fn what_time_it_is_is_asked_anew() {
    let server = Server::new();
    let mut client = server.client();
    let path = "/api/v1/query_range?dialect=metricsql&start=0&end=60&step=15&query=1%2Bsum(now())";
    let (first, second) = (client.get(path).data(), client.get(path).data());
    assert_ne!(first, second);
}

#[test]
fn ranges_at_the_ends_of_time_are_answered() {
    let server = Server::new();
    let mut client = server.client();
    let (first, last) = ("-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z");
    for query in ["1", "g", "sum(g offset 5m)", "g smoothed", "g @ 5"] {
        for (start, end) in [(first, last), (first, "0"), ("0", last)] {
            let path =
                format!("/api/v1/query_range?query={}&start={start}&end={end}&step=9e12", escaped(query));
            let (once, again) = (client.get(&path), client.get(&path));
            assert_eq!((once.status, once.text()), (200, again.text()), "{path}");
        }
    }
}
