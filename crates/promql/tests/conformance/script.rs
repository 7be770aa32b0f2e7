//! Scripts: `load`, `clear` and `eval` commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use luma_promql::{
    Answer, BUCKET_LABEL, Bucket, CUSTOM_BUCKETS, Error, FloatHistogram, Labels, METRIC_NAME, Options,
    Sample, Source, parse_duration, unquote,
};

use super::compare::{self, Expected};
use super::series::{self, Item};

pub struct Outcome {
    pub cases: usize,
    pub failures: Vec<String>,
}

/// What series are loaded into and queried from.
pub trait Store {
    /// Adds a sample; one of the same series and time may be replaced or kept.
    fn insert(&mut self, labels: &Labels, t: i64, start: i64, sample: Sample);
    /// Called when a `load` is done.
    fn loaded(&mut self) {}
    fn source(&self) -> &dyn Source;
    fn instant(&self, query: &str, t: i64) -> Result<Answer, Error> {
        luma_promql::instant(self.source(), query, t, &Options::default())
    }
    fn range(&self, query: &str, start: i64, end: i64, step: i64) -> Result<Answer, Error> {
        luma_promql::range(self.source(), query, start, end, step, &Options::default())
    }
}

/// Runs a script on stores that are empty at first; every `eval` is a case.
pub fn run<S: Store>(text: &str, empty: impl Fn() -> S) -> Outcome {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut outcome = Outcome { cases: 0, failures: Vec::new() };
    let mut store = empty();
    let mut at = 0;
    while at < lines.len() {
        let start = at;
        let line = lines[at];
        at += 1;
        let mut block = Vec::new();
        let command = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if command.starts_with("load") || command.starts_with("eval") {
            while at < lines.len() && !lines[at].is_empty() && !is_command(lines[at]) {
                block.push(lines[at]);
                at += 1;
            }
        }
        let result = match command.as_str() {
            "" => Ok(()),
            "clear" => {
                store = empty();
                Ok(())
            }
            c if c.starts_with("load") => load(line, &block, &mut store),
            c if c.starts_with("eval") => {
                outcome.cases += 1;
                eval(line, &block, &store)
            }
            other => Err(format!("unknown command {other}")),
        };
        if let Err(message) = result {
            outcome.failures.push(format!("{}: {line}\n    {message}", start + 1));
        }
    }
    outcome
}

fn is_command(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    matches!(
        word,
        "eval" | "load" | "load_with_nhcb" | "eval_fail" | "eval_warn" | "eval_info" | "eval_ordered"
    )
}

fn load(line: &str, block: &[&str], store: &mut impl Store) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let classic_too = words.next() == Some("load_with_nhcb");
    let step = parse_duration(words.next().ok_or("load needs a step")?)?;
    let mut loaded: Vec<(Labels, Vec<Item>)> = Vec::new();
    let (mut default_starts, mut starts): (Vec<Option<i64>>, Option<Vec<Option<i64>>>) = (Vec::new(), None);
    for line in block {
        if let Some((described, offsets)) = line.split_once("@st ") {
            let offsets = series::starts(offsets)?;
            if described.is_empty() {
                default_starts = offsets;
            } else {
                starts = Some(offsets);
            }
            continue;
        }
        let (labels, rest) = series::labels(line)?;
        let items = series::values(rest)?;
        let own = starts.take();
        for (at, item) in items.iter().enumerate() {
            let Some(sample) = &item.sample else { continue };
            let t = at as i64 * step;
            let start = match &own {
                Some(own) => own.get(at).copied().flatten(),
                None if default_starts.is_empty() => None,
                None => default_starts[at % default_starts.len()],
            };
            store.insert(&labels, t, start.map_or(0, |offset| t + offset), sample.clone());
        }
        loaded.push((labels, items));
    }
    if classic_too {
        native_from_classic(step, &loaded, store)?;
    }
    store.loaded();
    Ok(())
}

/// The parts of a classic histogram at one time.
#[derive(Default)]
struct Parts {
    buckets: BTreeMap<u64, (f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Stores classic histograms as native ones with custom buckets as well.
fn native_from_classic(
    step: i64,
    loaded: &[(Labels, Vec<Item>)],
    store: &mut impl Store,
) -> Result<(), String> {
    let mut histograms: BTreeMap<(Labels, usize), Parts> = BTreeMap::new();
    for (labels, items) in loaded {
        let name = labels.get(METRIC_NAME);
        let Some((base, part)) = name.rsplit_once('_') else { continue };
        let own = labels.with(METRIC_NAME, base).with(BUCKET_LABEL, "");
        for (at, item) in items.iter().enumerate() {
            let Some(Sample::Float(v)) = item.sample else { continue };
            let parts = histograms.entry((own.clone(), at)).or_default();
            match part {
                "bucket" => {
                    let bound: f64 =
                        labels.get(BUCKET_LABEL).to_ascii_lowercase().parse().map_err(|e| format!("{e}"))?;
                    // Sorts negative numbers before positive ones.
                    let bits = bound.to_bits();
                    let order = if bound < 0.0 { !bits } else { bits | (1 << 63) };
                    parts.buckets.entry(order).or_insert((bound, v));
                }
                "count" => parts.count = Some(v),
                "sum" => parts.sum = v,
                _ => {}
            }
        }
    }
    for ((labels, at), parts) in histograms {
        let cumulative: Vec<(f64, f64)> = parts.buckets.into_values().collect();
        let count = parts.count.or(cumulative.last().map(|b| b.1)).ok_or("no count")?;
        let bounds: Vec<f64> = cumulative.iter().map(|b| b.0).filter(|b| b.is_finite()).collect();
        let mut before = 0.0;
        let totals = cumulative.iter().filter(|b| b.0.is_finite()).map(|b| b.1).chain([count]);
        let positive = totals
            .enumerate()
            .map(|(index, total)| {
                let own = total - before;
                before = total;
                Bucket { index: index as i32, count: own }
            })
            .collect();
        let h = FloatHistogram {
            schema: CUSTOM_BUCKETS,
            count,
            sum: parts.sum,
            positive,
            custom_bounds: bounds.into(),
            ..FloatHistogram::default()
        };
        store.insert(&labels, at as i64 * step, 0, Sample::Histogram(Arc::new(h.compacted())));
    }
    Ok(())
}

/// When a case is evaluated.
#[derive(Debug, Clone, Copy)]
pub enum When {
    At(i64),
    Range { start: i64, end: i64, step: i64 },
}

fn time(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(positive) => parse_duration(positive).map(|t| -t),
        None => parse_duration(text),
    }
}

/// Takes a keyword and the word behind it off a text.
fn keyed<'t>(text: &'t str, key: &str) -> Result<(&'t str, &'t str), String> {
    let rest = text.trim_start().strip_prefix(key).ok_or_else(|| format!("expected {key:?} in {text:?}"))?;
    let rest = rest.trim_start();
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    Ok((&rest[..end], rest[end..].trim_start()))
}

fn eval(line: &str, block: &[&str], store: &impl Store) -> Result<(), String> {
    let (command, rest) = line.split_once(char::is_whitespace).ok_or("eval needs more")?;
    let rest = rest.trim_start();
    let (when, query) = if let Some(rest) = rest.strip_prefix("instant") {
        let (at, query) = keyed(rest, "at")?;
        (When::At(time(at)?), query)
    } else {
        let rest = rest.strip_prefix("range").ok_or("neither instant nor range")?;
        let (start, rest) = keyed(rest, "from")?;
        let (end, rest) = keyed(rest, "to")?;
        let (step, query) = keyed(rest, "step")?;
        (When::Range { start: time(start)?, end: time(end)?, step: time(step)? }, query)
    };
    let expected = expectation(command, block, when)?;
    match when {
        When::At(t) => {
            let answer = store.instant(query, t);
            compare::check(&expected, query, answer, None)?;
            if expected.in_ranges_too() {
                // The middle of a range must be the same.
                let answer = store.range(query, t - 60_000, t + 60_000, 60_000);
                compare::check(&expected, query, answer, Some(t)).map_err(|e| format!("as a range: {e}"))?;
            }
            let fixed =
                super::fixed::at(query, t).filter(|f| !f.contains("step()") && !f.contains("range()"));
            let others = if t == 0 { [-1000, 0, 1000, 0, 0] } else { [-10 * t, 0, t / 5, t, 10 * t] };
            for other in others {
                // At any other time, the same samples must give the same.
                let Some(fixed) = &fixed else { break };
                let answer = store.instant(fixed, other);
                compare::check_values(&expected, answer).map_err(|e| format!("{fixed} at {other}: {e}"))?;
            }
            Ok(())
        }
        When::Range { start, end, step } => {
            compare::check(&expected, query, store.range(query, start, end, step), None)
        }
    }
}

fn expectation(command: &str, block: &[&str], when: When) -> Result<Expected, String> {
    let mut expected = Expected::new(when);
    match command.strip_prefix("eval_") {
        Some("fail") => expected.fail.push(None),
        Some("warn") => expected.warnings.push(None),
        Some("info") => expected.infos.push(None),
        Some("ordered") => expected.ordered = true,
        _ => {}
    }
    for line in block {
        if let Some(rest) = line.strip_prefix("expect range vector") {
            let (start, rest) = keyed(rest, "from")?;
            let (end, rest) = keyed(rest, "to")?;
            let (step, _) = keyed(rest, "step")?;
            expected.times = When::Range { start: time(start)?, end: time(end)?, step: time(step)? };
            expected.range_vector = true;
        } else if let Some(text) = line.strip_prefix("expect string") {
            expected.text = Some(unquote(text.trim())?);
        } else if let Some(rest) = line.strip_prefix("expect ") {
            expected.directive(rest.trim())?;
        } else if let Some(rest) = line.strip_prefix("expected_fail_message") {
            expected.fail.push(Some(compare::Text::Exact(rest.trim().to_owned())));
        } else if let Some(rest) = line.strip_prefix("expected_fail_regexp") {
            expected.fail.push(Some(compare::Text::pattern(rest.trim())?));
        } else if let Some(number) = luma_promql::parse_number(line.trim_start_matches('+')) {
            expected.scalar = Some(number);
        } else {
            let (labels, rest) = series::labels(line)?;
            expected.series.push((labels, series::values(rest)?));
        }
    }
    Ok(expected)
}
