//! What queries over a range cost, per sample and step: `cargo run --release -p luma-promql --example range_queries`.

use std::time::Instant;

use luma_promql::{
    FloatPoint, Labels, Options, Select, SeriesData, SeriesSet, Source, SourceError, matches_all, range,
};

const SERIES: usize = 1000;
const SAMPLES: i64 = 1440;
const INTERVAL: i64 = 15_000;
const STEP: i64 = 60_000;

/// Decoded series, as a store with warm blocks has them.
struct Decoded(Vec<SeriesData>);

impl Source for Decoded {
    fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError> {
        let matchers = request.matchers.to_vec();
        let chosen = self.0.iter().filter(move |s| matches_all(&matchers, &s.labels));
        Ok(SeriesSet::of(chosen.map(|s| Ok(s.clone()))))
    }
}

fn main() -> Result<(), luma_promql::Error> {
    let series = (0..SERIES).map(|at| {
        let host = (at / 10).to_string();
        let bound = ["0.1", "0.5", "1", "5", "+Inf"][at % 5];
        let path = (at % 10).to_string();
        SeriesData {
            labels: Labels::new([
                ("__name__", "requests_bucket"),
                ("host", &host),
                ("path", &path),
                ("le", bound),
            ]),
            floats: (0..SAMPLES)
                .map(|n| FloatPoint { t: n * INTERVAL, v: (n * (at as i64 % 5 + 1)) as f64 })
                .collect(),
            ..SeriesData::default()
        }
    });
    let source = Decoded(series.collect());
    let end = SAMPLES * INTERVAL;
    println!("{SERIES} series of {SAMPLES} samples, {} steps", end / STEP + 1);
    for query in [
        "requests_bucket",
        "rate(requests_bucket[5m])",
        "sum(rate(requests_bucket[5m]))",
        "sum by (host) (rate(requests_bucket[5m]))",
        "max_over_time(requests_bucket[1h])",
        "requests_bucket / requests_bucket",
        "requests_bucket / on(host, path, le) group_left sum by (host, path, le) (requests_bucket)",
        "topk(5, requests_bucket)",
        "histogram_quantile(0.9, sum by (le, host) (rate(requests_bucket[5m])))",
        "quantile_over_time(0.9, requests_bucket[5m])",
        "max_over_time(rate(requests_bucket[5m])[1h:1m])",
    ] {
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let started = Instant::now();
            let answer = range(&source, query, 0, end, STEP, &Options::default())?;
            best = best.min(started.elapsed().as_secs_f64());
            std::hint::black_box(answer);
        }
        println!("{:>9.1} ms  {query}", best * 1000.0);
    }
    Ok(())
}
