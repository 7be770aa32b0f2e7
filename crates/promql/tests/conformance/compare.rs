//! Expectations, and whether an answer meets them.

use luma_promql::{Answer, Error, FloatHistogram, Labels, Sample, Series, Value};
use regex::Regex;

use super::script::When;
use super::series::Item;

/// A text that is expected.
pub enum Text {
    Exact(String),
    Pattern(Regex),
}

impl Text {
    pub fn pattern(pattern: &str) -> Result<Self, String> {
        Regex::new(pattern).map(Self::Pattern).map_err(|e| e.to_string())
    }

    fn is(&self, text: &str) -> bool {
        match self {
            Self::Exact(expected) => expected == text,
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }

    fn shown(&self) -> &str {
        match self {
            Self::Exact(expected) => expected,
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }
}

pub struct Expected {
    pub times: When,
    pub range_vector: bool,
    pub ordered: bool,
    /// Not empty if the query must fail.
    pub fail: Vec<Option<Text>>,
    pub warnings: Vec<Option<Text>>,
    pub infos: Vec<Option<Text>>,
    pub no_warning: bool,
    pub no_info: bool,
    pub text: Option<String>,
    pub scalar: Option<f64>,
    pub series: Vec<(Labels, Vec<Item>)>,
}

impl Expected {
    pub fn new(times: When) -> Self {
        Self {
            times,
            range_vector: false,
            ordered: false,
            fail: Vec::new(),
            warnings: Vec::new(),
            infos: Vec::new(),
            no_warning: false,
            no_info: false,
            text: None,
            scalar: None,
            series: Vec::new(),
        }
    }

    pub fn in_ranges_too(&self) -> bool {
        !self.ordered && !self.range_vector && self.text.is_none()
    }

    pub fn directive(&mut self, text: &str) -> Result<(), String> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        let wanted = if let Some(message) = rest.strip_prefix("msg:") {
            Some(Text::Exact(message.trim().to_owned()))
        } else if let Some(pattern) = rest.strip_prefix("regex:") {
            Some(Text::pattern(pattern.trim())?)
        } else {
            None
        };
        match kind {
            "ordered" => self.ordered = true,
            "fail" => self.fail.push(wanted),
            "warn" => self.warnings.push(wanted),
            "no_warn" => self.no_warning = true,
            "info" => self.infos.push(wanted),
            "no_info" => self.no_info = true,
            other => return Err(format!("unknown expectation {other}")),
        }
        Ok(())
    }

    fn annotations(&self, query: &str, answer: &Answer) -> Result<(), String> {
        let warnings = answer.annotations.warnings(query);
        let infos = answer.annotations.infos(query);
        for (expected, none, got, name) in [
            (&self.warnings, self.no_warning, &warnings, "warning"),
            (&self.infos, self.no_info, &infos, "info"),
        ] {
            if none && !got.is_empty() {
                return Err(format!("unexpected {name}: {got:?}"));
            }
            if !expected.is_empty() && got.is_empty() {
                return Err(format!("expected a {name}, got none"));
            }
            for text in expected.iter().flatten() {
                if !got.iter().any(|g| text.is(g)) {
                    return Err(format!("expected {name} {:?}, got {got:?}", text.shown()));
                }
            }
            let named: Vec<&Text> = expected.iter().flatten().collect();
            if !named.is_empty()
                && let Some(other) = got.iter().find(|g| !named.iter().any(|t| t.is(g)))
            {
                return Err(format!("unexpected {name}: {other:?}"));
            }
        }
        Ok(())
    }
}

/// Compares the values of an instant answer only: what is said about them names other places.
pub fn check_values(expected: &Expected, answer: Result<Answer, Error>) -> Result<(), String> {
    match answer {
        Err(_) if !expected.fail.is_empty() => Ok(()),
        Err(error) => Err(format!("failed: {error}")),
        Ok(answer) => values(expected, answer.value, None),
    }
}

/// Compares an answer, of a range only its points at `only`.
pub fn check(
    expected: &Expected,
    query: &str,
    answer: Result<Answer, Error>,
    only: Option<i64>,
) -> Result<(), String> {
    let answer = match (answer, expected.fail.first()) {
        (Err(error), Some(wanted)) => {
            let text = error.to_string();
            return match wanted {
                Some(wanted) if !wanted.is(&text) => {
                    Err(format!("expected failure {:?}, got {text:?}", wanted.shown()))
                }
                _ => Ok(()),
            };
        }
        (Err(error), None) => return Err(format!("failed: {error}")),
        // A range may fail at another step than its middle, or not at all.
        (Ok(_), Some(_)) if only.is_some() => return Ok(()),
        (Ok(_), Some(_)) => return Err("expected a failure, got an answer".to_owned()),
        (Ok(answer), None) => answer,
    };
    if only.is_none() {
        expected.annotations(query, &answer)?;
    }
    values(expected, answer.value, only)
}

fn values(expected: &Expected, value: Value, only: Option<i64>) -> Result<(), String> {
    match (value, only) {
        (Value::Scalar(point), _) => match expected.scalar {
            Some(wanted) if nearly(wanted, point.v) => Ok(()),
            wanted => Err(format!("expected {wanted:?}, got scalar {}", point.v)),
        },
        (Value::String(_, text), _) => match &expected.text {
            Some(wanted) if *wanted == text => Ok(()),
            wanted => Err(format!("expected {wanted:?}, got string {text:?}")),
        },
        (Value::Vector(_, samples), _) => {
            let samples: Vec<(Labels, Sample)> = samples.into_iter().map(|s| (s.labels, s.value)).collect();
            vector(expected, &samples)
        }
        (Value::Matrix(series), Some(t)) => {
            let samples: Vec<(Labels, Sample)> =
                series.iter().filter_map(|s| at(s, t).map(|v| (s.labels.clone(), v))).collect();
            match expected.scalar {
                Some(wanted) => match samples.as_slice() {
                    [(_, Sample::Float(v))] if nearly(wanted, *v) => Ok(()),
                    other => Err(format!("expected {wanted}, got {other:?}")),
                },
                None => vector(expected, &samples),
            }
        }
        (Value::Matrix(series), None) => matrix(expected, &series),
    }
}

fn at(series: &Series, t: i64) -> Option<Sample> {
    let float = series.floats.iter().find(|p| p.t == t).map(|p| Sample::Float(p.v));
    float.or_else(|| series.histograms.iter().find(|p| p.t == t).map(|p| Sample::Histogram(p.h.clone())))
}

fn vector(expected: &Expected, samples: &[(Labels, Sample)]) -> Result<(), String> {
    for (position, (labels, sample)) in samples.iter().enumerate() {
        let Some(at) = expected.series.iter().rposition(|(l, _)| l == labels) else {
            return Err(format!("unexpected series {labels} with {sample:?}"));
        };
        if expected.ordered && at != position {
            return Err(format!("expected {labels} at place {at}, got it at {position}"));
        }
        let item = expected.series[at].1.first().ok_or("an expected series has no value")?;
        same(item, Some(sample)).map_err(|e| format!("{labels}: {e}"))?;
    }
    for (labels, _) in &expected.series {
        if !samples.iter().any(|(l, _)| l == labels) {
            return Err(format!("expected series {labels}, not found"));
        }
    }
    Ok(())
}

fn matrix(expected: &Expected, series: &[Series]) -> Result<(), String> {
    let When::Range { start, end, step } = expected.times else {
        return Err("got a matrix without an expected range vector".to_owned());
    };
    if !series.is_sorted_by(|a, b| a.labels < b.labels) {
        return Err("the series are not sorted".to_owned());
    }
    for s in series {
        let Some((_, items)) = expected.series.iter().rfind(|(l, _)| *l == s.labels) else {
            return Err(format!("unexpected series {} with {:?} {:?}", s.labels, s.floats, s.histograms));
        };
        let times = || (0..).map(|at| start + at * step);
        let wanted = items.iter().filter(|i| i.sample.is_some()).count();
        if wanted != s.floats.len() + s.histograms.len() {
            return Err(format!(
                "{}: expected {wanted} points, got {:?} {:?}",
                s.labels, s.floats, s.histograms
            ));
        }
        for (item, t) in items.iter().zip(times()) {
            if t > end {
                return Err(format!("more points are expected than fit until {end}"));
            }
            same(item, at(s, t).as_ref()).map_err(|e| format!("{} at {t}: {e}", s.labels))?;
        }
    }
    for (labels, items) in &expected.series {
        if items.iter().any(|i| i.sample.is_some()) && !series.iter().any(|s| s.labels == *labels) {
            return Err(format!("expected series {labels}, not found"));
        }
    }
    Ok(())
}

fn same(item: &Item, got: Option<&Sample>) -> Result<(), String> {
    match (&item.sample, got) {
        (None, None) => Ok(()),
        (Some(Sample::Float(wanted)), Some(Sample::Float(got))) if nearly(*wanted, *got) => Ok(()),
        (Some(Sample::Float(wanted)), got) => Err(format!("expected {wanted}, got {got:?}")),
        (Some(Sample::Histogram(wanted)), Some(Sample::Histogram(got)))
            if same_histogram(wanted, got, item.hint_given) =>
        {
            Ok(())
        }
        (Some(Sample::Histogram(wanted)), got) => {
            Err(format!("expected histogram\n    {wanted:?}, got\n    {got:?}"))
        }
        (None, got) => Err(format!("expected nothing, got {got:?}")),
    }
}

fn same_histogram(wanted: &FloatHistogram, got: &FloatHistogram, hint_given: bool) -> bool {
    let (wanted, got) = (wanted.clone().compacted(), got.clone().compacted());
    let side = |a: &[luma_promql::Bucket], b: &[luma_promql::Bucket]| {
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.index == y.index && nearly(x.count, y.count))
    };
    wanted.schema == got.schema
        && nearly(wanted.count, got.count)
        && nearly(wanted.sum, got.sum)
        && wanted.zero_threshold == got.zero_threshold
        && nearly(wanted.zero_count, got.zero_count)
        && wanted.custom_bounds == got.custom_bounds
        && side(&wanted.positive, &got.positive)
        && side(&wanted.negative, &got.negative)
        && (!hint_given || wanted.hint == got.hint)
}

/// Equal within a relative difference of a millionth; NaN equals NaN.
fn nearly(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let difference = (a - b).abs();
    let size = a.abs() + b.abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < 1e-6
}
