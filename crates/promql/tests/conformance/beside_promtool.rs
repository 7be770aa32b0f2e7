//! Queries beside Prometheus' own evaluator: `promtool test rules` is told that it must get exactly what
//! this crate answers, digit for digit.
//!
//! Functions and rules that are younger than the installed promtool are left to the scripts. Answers
//! with NaN are left out, for promtool takes no NaN for another.

use std::fmt::Write as _;
use std::process::Command;

use super::series;
use luma_promql::{Labels, MemorySource, Options, Sample, Value, format_plain, instant};

const SERIES: &str = include_str!("beside_promtool/series.txt");
const QUERIES: &str = include_str!("beside_promtool/queries.txt");
const STEP: i64 = 60_000;
/// No window may start at a sample: until Prometheus 3 such a sample was in it.
const TIMES: [i64; 4] = [7_000, 245_000, 641_000, 1_205_000];

/// A query and what this promtool calls it.
fn named(query: &str) -> (String, &str) {
    (query.replace("holt_winters", "double_exponential_smoothing"), query)
}

fn loaded() -> MemorySource {
    let mut source = MemorySource::default();
    for line in SERIES.lines() {
        let (labels, rest) = series::labels(line).unwrap();
        for (at, item) in series::values(rest).unwrap().into_iter().enumerate() {
            if let Some(sample) = item.sample {
                source.insert(&labels, at as i64 * STEP, 0, sample);
            }
        }
    }
    source
}

/// The samples of an answer, unless one is NaN.
fn samples(value: Value) -> Option<Vec<(Labels, f64)>> {
    let samples = match value {
        Value::Scalar(point) => vec![(Labels::default(), point.v)],
        Value::Vector(_, samples) => samples
            .into_iter()
            .map(|s| match s.value {
                Sample::Float(v) => (s.labels, v),
                Sample::Histogram(_) => panic!("no histograms here"),
            })
            .collect(),
        other => panic!("{other:?}"),
    };
    samples.iter().all(|(_, v)| !v.is_nan()).then_some(samples)
}

fn yaml(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[test]
fn promtool_gets_the_same_answers() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("skipped: there is no promtool (package prometheus)");
        return;
    }
    let source = loaded();
    let mut rules = String::from("evaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n");
    for line in SERIES.lines() {
        let (_, values) = series::labels(line).unwrap();
        let name = &line[..line.len() - values.len()];
        writeln!(rules, "  - series: {}\n    values: {}", yaml(name), yaml(values.trim())).unwrap();
    }
    rules.push_str("  promql_expr_test:\n");
    let mut compared = 0;
    for (own, query) in QUERIES.lines().map(named) {
        for t in TIMES {
            let answer =
                instant(&source, &own, t, &Options::default()).unwrap_or_else(|e| panic!("{own}: {e}"));
            let Some(samples) = samples(answer.value) else { continue };
            compared += 1;
            let seconds = t / 1000;
            writeln!(rules, "  - expr: {}\n    eval_time: {seconds}s\n    exp_samples:", yaml(query))
                .unwrap();
            for (labels, v) in samples {
                let labels = yaml(&labels.to_string());
                let v = format_plain(v).replace("+Inf", ".inf").replace("-Inf", "-.inf");
                writeln!(rules, "    - labels: {labels}\n      value: {v}").unwrap();
            }
        }
    }
    let directory = std::env::temp_dir().join(format!("luma-promql-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("rules_test.yml");
    std::fs::write(&file, rules).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(output.status.success(), "of {compared} answers some differ:\n{text}");
    println!("{compared} answers are the same");
    assert!(compared > 400, "only {compared} answers were compared");
}
