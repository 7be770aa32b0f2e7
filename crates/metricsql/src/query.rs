//! Running a query: at one time, or at every step of a range.

use std::collections::HashSet;

use luma_promql::{
    Annotations, Answer, Error, FloatPoint, Grid, Options, Result, Sample, Series, Source, Statistics, Value,
    VectorSample,
};

use crate::ast::Expr;
use crate::eval::{Context, Row, failed};
use crate::parser::parse;

/// The step of a query at one time that names none, in milliseconds.
const STEP_MS: i64 = 300_000;

/// Evaluates a query at one time. All times are in milliseconds since the epoch; `step` is what functions look back by that name
/// no window, five minutes if it is not given.
///
/// # Errors
/// When the text is no query, the data does not allow it, a limit is reached or the source fails.
pub fn instant(
    source: &dyn Source,
    query: &str,
    t: i64,
    step: Option<i64>,
    options: &Options,
) -> Result<Answer> {
    let grid = Grid { start: t, end: t, step: positive(step.unwrap_or(STEP_MS))? };
    let (rows, _) = run(source, query, grid, options)?;
    let sample = |row: Row| {
        let value = row.values.first().copied().filter(|value| !value.is_nan())?;
        Some(VectorSample { labels: row.labels, value: Sample::Float(value) })
    };
    Ok(answer(Value::Vector(t, rows.into_iter().filter_map(sample).collect())))
}

/// Evaluates a query at every step from `start` to `end` (the end included).
///
/// # Errors
/// As [`instant`], and when the step is not positive.
pub fn range(
    source: &dyn Source,
    query: &str,
    start: i64,
    end: i64,
    step: i64,
    options: &Options,
) -> Result<Answer> {
    let grid = Grid { start, end, step: positive(step)? };
    let (mut rows, is_sorted) = run(source, query, grid, options)?;
    if !is_sorted {
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    let series = rows.into_iter().filter_map(|row| {
        let points = grid.times().zip(&row.values).filter(|(_, v)| !v.is_nan());
        let floats: Vec<FloatPoint> = points.map(|(t, v)| FloatPoint { t, v: *v }).collect();
        let mut series = Series::default();
        (series.labels, series.floats) = (row.labels, floats);
        (!series.floats.is_empty()).then_some(series)
    });
    Ok(answer(Value::Matrix(series.collect())))
}

/// Whether the answer to a query follows from the samples alone, and not from the time at which it is asked.
pub fn is_repeatable(query: &str) -> bool {
    parse(query).is_ok_and(|expr| !expr.asks_the_clock())
}

fn positive(step: i64) -> Result<i64> {
    if step > 0 { Ok(step) } else { failed("the step must be more than 0") }
}

fn answer(value: Value) -> Answer {
    Answer {
        value,
        annotations: Annotations::default(),
        statistics: Statistics::default(),
        step_samples: Vec::new(),
    }
}

/// The rows of a query that are not empty, and whether the query puts them in order.
fn run(source: &dyn Source, query: &str, grid: Grid, options: &Options) -> Result<(Vec<Row>, bool)> {
    let expr = parse(query)
        .map_err(|fault| Error::Type(format!("at byte {} of the query: {}", fault.at + 1, fault.what)))?;
    let mut rows = Context::new(source, options).eval(grid, &expr)?;
    rows.retain(|row| !row.is_empty());
    let mut seen = HashSet::with_capacity(rows.len());
    if let Some(twice) = rows.iter().find(|row| !seen.insert(row.labels.clone())) {
        return failed(format!("duplicate output timeseries: {}", twice.labels));
    }
    let is_sorted = match &expr {
        Expr::Call(call) => call.name.starts_with("sort") || call.name == "limit_offset",
        Expr::Aggregate(aggregate) => {
            aggregate.name.starts_with("topk") || aggregate.name.starts_with("bottomk")
        }
        Expr::Union(_) => true,
        _ => false,
    };
    Ok((rows, is_sorted))
}
