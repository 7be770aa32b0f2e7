//! Queries made up at random: none panics, and a step of a range is what an instant query answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use luma_promql::ast::ValueType;
use luma_promql::{
    Bucket, CUSTOM_BUCKETS, Error, FUNCTIONS, FloatHistogram, Labels, MemorySource, Options, STALE_MARKER,
    Sample, Series, Value, instant, parse, range,
};
use proptest::prelude::*;

const STEP: i64 = 30_000;

/// Series of every kind, with all that can be wrong with them.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    let mut add = |name: &str, label: (&str, &str), samples: &[Option<Sample>]| {
        let labels = Labels::new([("__name__", name), label, ("job", "j")]);
        for (at, sample) in samples.iter().enumerate() {
            if let Some(sample) = sample {
                source.insert(&labels, at as i64 * 20_000, at as i64 % 3 * 1000, sample.clone());
            }
        }
    };
    let float = |v: f64| Some(Sample::Float(v));
    let histogram = |schema: i32, first: i32, counts: &[f64], zero: f64| {
        let positive: Vec<Bucket> =
            counts.iter().zip(first..).map(|(count, index)| Bucket { index, count: *count }).collect();
        let custom = schema == CUSTOM_BUCKETS;
        let count = counts.iter().sum::<f64>() + zero;
        Some(Sample::Histogram(Arc::new(FloatHistogram {
            schema,
            count,
            sum: count * 1.5,
            zero_count: zero,
            zero_threshold: if custom { 0.0 } else { 0.01 },
            negative: if custom { Vec::new() } else { positive.clone() },
            positive,
            custom_bounds: if custom { [1.0, 5.0, 10.0].into() } else { Vec::new().into() },
            ..FloatHistogram::default()
        })))
    };
    let counter: Vec<Option<Sample>> = (0..40).map(|n| float(f64::from(n * 7 % 100))).collect();
    add("c_total", ("i", "1"), &counter);
    add("c_total", ("i", "2"), &counter[..20]);
    add(
        "g",
        ("i", "1"),
        &[float(1.0), None, float(f64::NAN), float(-5.0), float(f64::INFINITY), float(STALE_MARKER)],
    );
    add("g", ("i", "2"), &[float(0.0), float(-0.0), float(1e300), float(1e300), float(f64::NEG_INFINITY)]);
    for (le, factor) in [("0.1", 1.0), ("1", 3.0), ("5", 2.0), ("+Inf", 4.0), ("bad", 1.0)] {
        let buckets: Vec<Option<Sample>> = (0..40).map(|n| float(f64::from(n) * factor)).collect();
        add("b_bucket", ("le", le), &buckets);
    }
    let exponential: Vec<Option<Sample>> = (0..40)
        .map(|n| histogram(n % 4 - 1, n % 3 - 1, &[f64::from(n), 2.0, 0.0, 5.0], f64::from(n % 2)))
        .collect();
    add("h", ("i", "1"), &exponential);
    let custom: Vec<Option<Sample>> =
        (0..40).map(|n| histogram(CUSTOM_BUCKETS, 0, &[1.0, f64::from(n), 3.0, 1.0], 0.0)).collect();
    add("h", ("i", "2"), &custom);
    let mixed: Vec<Option<Sample>> = counter
        .iter()
        .zip(&exponential)
        .zip(0..)
        .map(|((f, h), n)| if n % 3 == 0 { h } else { f }.clone())
        .collect();
    add("h", ("i", "3"), &mixed);
    add("target_info", ("i", "9"), &counter);
    source
}

fn scalar() -> BoxedStrategy<String> {
    proptest::sample::select(vec!["0", "1", "-1.5", "NaN", "Inf", "2", "0.9", "time()", "1e9", "scalar(g)"])
        .prop_map(str::to_owned)
        .boxed()
}

fn vector(depth: u32) -> BoxedStrategy<String> {
    let names = vec![
        "c_total",
        "g",
        "h",
        "b_bucket",
        "h{i=\"1\"}",
        "{job=\"j\"}",
        "nothing",
        "c_total offset 1m",
        "h offset -1m",
        "g @ 90",
        "g smoothed",
    ];
    let selector = proptest::sample::select(names).prop_map(str::to_owned).boxed();
    if depth == 0 {
        return selector;
    }
    let inner = || vector(depth - 1);
    let grouping = proptest::sample::select(vec!["", " by (i)", " without (i)", " by (le, __name__)"]);
    let aggregation = (
        proptest::sample::select(vec!["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]),
        grouping.clone(),
        inner(),
    )
        .prop_map(|(op, grouping, operand)| format!("{op}{grouping}({operand})"));
    let chosen = (
        proptest::sample::select(vec!["topk", "bottomk", "quantile", "limitk", "limit_ratio"]),
        grouping,
        scalar(),
        inner(),
    )
        .prop_map(|(op, grouping, param, operand)| format!("{op}{grouping}({param}, {operand})"));
    let operators = vec!["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "</", ">/", "atan2"];
    let modifiers = vec![
        "",
        "on(i)",
        "ignoring(i)",
        "on(job) group_left",
        "ignoring(i, le) group_right(i)",
        "on(i) fill(1)",
        "fill_left(2)",
    ];
    let joined =
        (inner(), proptest::sample::select(operators.clone()), proptest::sample::select(modifiers), inner())
            .prop_map(|(a, op, modifier, b)| format!("({a}) {op} {modifier} ({b})"));
    let scaled = (inner(), proptest::sample::select(operators), scalar(), any::<bool>()).prop_map(
        |(vector, op, scalar, first)| {
            if first { format!("({scalar}) {op} ({vector})") } else { format!("({vector}) {op} ({scalar})") }
        },
    );
    let sets =
        (inner(), proptest::sample::select(vec!["and", "or", "unless", "and on(i)", "or on()"]), inner())
            .prop_map(|(a, op, b)| format!("({a}) {op} ({b})"));
    prop_oneof![
        selector,
        aggregation,
        chosen,
        joined,
        scaled,
        sets,
        call(depth - 1),
        inner().prop_map(|v| format!("-({v})"))
    ]
    .boxed()
}

fn matrix(depth: u32) -> BoxedStrategy<String> {
    let plain = proptest::sample::select(vec![
        "c_total[2m]",
        "g[3m]",
        "h[2m30s]",
        "h{i=\"3\"}[5m]",
        "b_bucket[1m] offset 30s",
        "g[2m] @ 120",
        "c_total[2m] anchored",
        "c_total[2m] smoothed",
    ])
    .prop_map(str::to_owned);
    let subquery = (
        vector(depth),
        proptest::sample::select(vec!["[2m:30s]", "[3m:]", "[1m:7s] offset 20s", "[2m:1m] @ 200"]),
    )
        .prop_map(|(inner, range)| format!("({inner}){range}"));
    prop_oneof![plain, subquery].boxed()
}

fn call(depth: u32) -> BoxedStrategy<String> {
    (0..FUNCTIONS.len())
        .prop_flat_map(move |at| {
            let function = &FUNCTIONS[at];
            let args: Vec<BoxedStrategy<String>> = function
                .args
                .iter()
                .map(|arg| match arg {
                    ValueType::Scalar => scalar(),
                    ValueType::String => {
                        proptest::sample::select(vec!["\"i\"", "\"x\"", "\"(.*)\"", "\"$1\"", "\"le\""])
                            .prop_map(str::to_owned)
                            .boxed()
                    }
                    ValueType::Vector => vector(depth),
                    ValueType::Matrix => matrix(depth),
                })
                .collect();
            let (name, returns) = (function.name, function.returns);
            args.prop_map(move |mut args| {
                if name == "info" {
                    args.truncate(1);
                }
                let call = format!("{name}({})", args.join(", "));
                if returns == ValueType::Scalar { format!("vector({call})") } else { call }
            })
        })
        .boxed()
}

/// What a series has at a time, bit for bit.
fn at(series: &Series, t: i64) -> Option<String> {
    let float = series.floats.iter().find(|p| p.t == t).map(|p| format!("{:x}", p.v.to_bits()));
    float.or_else(|| series.histograms.iter().find(|p| p.t == t).map(|p| format!("{:?}", p.h)))
}

fn shown(sample: &Sample) -> String {
    match sample {
        Sample::Float(v) => format!("{:x}", v.to_bits()),
        Sample::Histogram(h) => format!("{h:?}"),
    }
}

proptest! {
    #[test]
    fn a_step_of_a_range_is_an_instant(query in vector(3), t in 0i64..20) {
        let source = source();
        let t = t * STEP;
        let options = Options { max_samples: 1_000_000, ..Options::default() };
        // A query on its own length differs from itself as a part of a longer one.
        let moves = ["start()", "end()", "range()", "step()"].iter().any(|word| query.contains(word));
        let parsed = parse(&query);
        if let Ok(parsed) = &parsed {
            let printed = parsed.to_string();
            prop_assert_eq!(parse(&printed).map(|p| p.to_string()), Ok(printed));
        }
        let once = instant(&source, &query, t, &options);
        let often = range(&source, &query, t - 2 * STEP, t + 2 * STEP, STEP, &options);
        if let Err(Error::Parse(_)) = once {
            return Ok(());
        }
        match (once, often) {
            // Other steps may fail where this one does not.
            (_, Err(_)) => {}
            (Err(error), Ok(_)) => prop_assert!(moves, "{query}: only as an instant: {error}"),
            (Ok(once), Ok(often)) if !moves => {
                let (Value::Vector(_, once), Value::Matrix(often)) = (once.value, often.value) else {
                    panic!("{query}: neither vector nor matrix");
                };
                let mut once: Vec<(Labels, String)> =
                    once.iter().map(|s| (s.labels.clone(), shown(&s.value))).collect();
                once.sort();
                let often: Vec<(Labels, String)> =
                    often.iter().filter_map(|s| at(s, t).map(|v| (s.labels.clone(), v))).collect();
                prop_assert_eq!(once, often, "{}", query);
            }
            _ => {}
        }
    }
}
