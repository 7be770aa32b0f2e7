//! Queries over more series than one thread takes answer as if each series had been asked alone.

#![allow(clippy::unwrap_used, clippy::panic)]

use luma_promql::{
    Answer, Error, Labels, MemorySource, Options, Sample, Select, Series, SeriesSet, Source, SourceError,
    Value, range,
};

const SERIES: usize = 700;
const SAMPLES: i64 = 120;
const STEP: i64 = 15_000;

/// Counters, some of which are reset or end early.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for series in 0..SERIES {
        let labels = Labels::new([("__name__", "work"), ("n", format!("{series:04}").as_str())]);
        let length = if series % 50 == 7 { 11 } else { SAMPLES };
        for sample in 0..length {
            let value = (sample * (series as i64 % 9 + 1)) % (200 + series as i64);
            source.insert(&labels, sample * STEP, 0, Sample::Float(value as f64));
        }
    }
    source
}

fn ask(source: &dyn Source, query: &str, options: &Options) -> Result<Answer, Error> {
    range(source, query, 0, SAMPLES * STEP, 4 * STEP, options)
}

fn series(answer: &Answer) -> &[Series] {
    let Value::Matrix(series) = &answer.value else { panic!("no range") };
    series
}

#[test]
fn all_together_and_one_by_one_are_the_same() {
    let source = source();
    let options = Options::default();
    for query in ["work{}", "rate(work{}[3m])", "resets(work{}[10m])", "max_over_time(work{}[5m])"] {
        let together = ask(&source, &query.replace("{}", ""), &options).unwrap();
        assert_eq!(series(&together).len(), SERIES);
        let mut read = 0;
        for (at, found) in series(&together).iter().enumerate() {
            let one = ask(&source, &query.replace("{}", &format!("{{n=\"{at:04}\"}}")), &options).unwrap();
            let points = |series: &Series| -> Vec<(i64, u64)> {
                series.floats.iter().map(|point| (point.t, point.v.to_bits())).collect()
            };
            assert_eq!(series(&one).len(), 1);
            assert_eq!(found.labels, series(&one)[0].labels);
            assert_eq!(points(found), points(&series(&one)[0]), "{query} of {at}");
            read += one.statistics.read_samples;
            assert_eq!(together.annotations.infos(query), one.annotations.infos(query));
        }
        assert_eq!(together.statistics.read_samples, read, "{query}");
    }
}

#[test]
fn limits_hold_for_all_threads_together() {
    let source = source();
    let answer = ask(&source, "work", &Options::default()).unwrap();
    let points = series(&answer).iter().map(|series| series.floats.len()).sum();
    let enough = Options { max_samples: points, ..Options::default() };
    ask(&source, "work", &enough).unwrap();
    let short = Options { max_samples: points - 1, ..Options::default() };
    assert!(matches!(ask(&source, "work", &short), Err(Error::TooManySamples)));
    // An aggregation holds its groups, and of its series those that are being computed.
    ask(
        &source,
        "sum(work) / count(rate(work[3m]))",
        &Options { max_samples: points * 9 / 10, ..Options::default() },
    )
    .unwrap();
    assert!(matches!(ask(&source, "sum by (n) (work)", &short), Err(Error::TooManySamples)));
}

/// Sums depend on the order of what is added, so it has to be that of one thread.
#[test]
fn sums_are_those_of_the_series_one_after_another() {
    let mut source = source();
    for series in 0..SERIES as i64 {
        let labels = Labels::new([("__name__", "odd"), ("n", format!("{series:04}").as_str())]);
        for sample in series % 5..SAMPLES - series % 7 {
            let value = 1.0 / (series * 7 + sample + 1) as f64 * 10f64.powi((series % 40 - 20) as i32);
            source.insert(&labels, sample * STEP, 0, Sample::Float(value));
        }
    }
    let options = Options::default();
    let bits = |answer: &Answer| -> Vec<(i64, u64)> {
        let points = series(answer).iter().flat_map(|series| &series.floats);
        points.map(|point| (point.t, point.v.to_bits())).collect()
    };
    for inner in ["odd", "increase(odd[2m])", "avg_over_time(odd[1m])"] {
        for op in ["sum", "avg", "stddev", "min", "quantile"] {
            let parameter = if op == "quantile" { "0.3, " } else { "" };
            // A set operator gives all series at once.
            let streamed = ask(&source, &format!("{op} ({parameter}{inner})"), &options).unwrap();
            let at_once = ask(&source, &format!("{op} ({parameter}{inner} or nothing)"), &options).unwrap();
            assert!(bits(&streamed).len() > 20, "{op} {inner}");
            assert_eq!(bits(&streamed), bits(&at_once), "{op} {inner}");
        }
    }
}

#[test]
fn a_series_that_cannot_be_read_fails_the_query() {
    struct Damaged(MemorySource);
    impl Source for Damaged {
        fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError> {
            let good = self.0.select(request)?.enumerate();
            Ok(SeriesSet::of(
                good.map(|(at, series)| if at == 500 { Err("disk on fire".into()) } else { series }),
            ))
        }
    }
    for query in ["sum(rate(work[5m]))", "count(work)"] {
        let error = ask(&Damaged(source()), query, &Options::default()).unwrap_err();
        assert_eq!(error.to_string(), "expanding series: disk on fire");
    }
}
