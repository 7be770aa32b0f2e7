//! Functions of results.

use std::time::{SystemTime, UNIX_EPOCH};

use luma_promql::{Grid, Labels, Result};

use super::aggregate::at_step;
use super::rollup::labels_of;
use super::{Context, Row, failed, histogram, labels, math, number, running};
use crate::ast::{Call, Expr};

/// Those that keep the metric's name: what they give is still what it names.
const KEEP_NAMES: [&str; 18] = [
    "ceil",
    "clamp",
    "clamp_max",
    "clamp_min",
    "floor",
    "interpolate",
    "keep_last_value",
    "keep_next_value",
    "range_first",
    "range_last",
    "range_linear_regression",
    "range_median",
    "range_quantile",
    "range_stddev",
    "range_stdvar",
    "remove_resets",
    "round",
    "smooth_exponential",
];

const OTHERS: [&str; 26] = [
    "absent",
    "bitmap_and",
    "bitmap_or",
    "bitmap_xor",
    "clamp",
    "clamp_max",
    "clamp_min",
    "end",
    "interpolate",
    "keep_last_value",
    "keep_next_value",
    "limit_offset",
    "now",
    "pi",
    "range_linear_regression",
    "range_quantile",
    "remove_resets",
    "round",
    "scalar",
    "smooth_exponential",
    "sort",
    "sort_desc",
    "start",
    "step",
    "time",
    "vector",
];

pub(crate) fn is_transform(name: &str) -> bool {
    let ranges = ["first", "last", "median", "stddev", "stdvar"];
    let of_range = |by: &str| running::step_of(by).is_some() || ranges.contains(&by);
    OTHERS.contains(&name)
        || math::named(name).is_some()
        || math::date_part(name).is_some()
        || labels::NAMES.contains(&name)
        || name == "sort_by_label_desc"
        || histogram::NAMES.contains(&name)
        || name.strip_prefix("running_").is_some_and(|by| running::step_of(by).is_some())
        || name.strip_prefix("range_").is_some_and(of_range)
}

impl Context<'_> {
    pub(super) fn transform(&self, grid: Grid, call: &Call) -> Result<Vec<Row>> {
        if let Some(rows) = self.label_call(grid, call)? {
            return Ok(rows);
        }
        if let Some(rows) = self.histogram_call(grid, call)? {
            return Ok(rows);
        }
        let (name, args) = (call.name.as_str(), call.args.as_slice());
        if let Some(values) = of_query(grid, name) {
            return Ok(vec![Row { labels: Labels::default(), values }]);
        }
        // Which argument is the series.
        let at = match name {
            "range_quantile" => 1,
            "limit_offset" => 2,
            _ => 0,
        };
        let mut rows = match args.get(at) {
            Some(Expr::Text(text)) if name == "scalar" => {
                return Ok(number(grid, text.parse().unwrap_or(f64::NAN)));
            }
            Some(arg) => self.eval(grid, arg)?,
            None if math::date_part(name).is_some() => {
                let values = grid.times().map(|t| t as f64 / 1e3).collect();
                vec![Row { labels: Labels::default(), values }]
            }
            None => return failed(format!("{name} needs {} arguments or more", at + 1)),
        };
        match name {
            "vector" => return Ok(rows),
            "scalar" => {
                return Ok(match rows.as_mut_slice() {
                    [row] => vec![Row { labels: Labels::default(), values: std::mem::take(&mut row.values) }],
                    _ => number(grid, f64::NAN),
                });
            }
            "absent" => return Ok(absent(grid, &args[0], &rows)),
            "sort" | "sort_desc" => {
                sort(&mut rows, name == "sort_desc");
                return Ok(rows);
            }
            "limit_offset" => {
                let number = |arg: usize| -> Result<usize> {
                    let of = args.get(arg).map_or(Ok(Vec::new()), |arg| self.scalar(grid, arg))?;
                    Ok(at_step(&of, 0).max(0.0) as usize)
                };
                let (limit, offset) = (number(0)?, number(1)?);
                rows.retain(|row| !row.is_empty());
                return Ok(rows.into_iter().skip(offset).take(limit).collect());
            }
            _ => {}
        }
        let others: Vec<Vec<f64>> = args
            .iter()
            .enumerate()
            .filter(|(own, _)| *own != at)
            .map(|(_, arg)| self.scalar(grid, arg))
            .collect::<Result<_>>()?;
        let (least, most) = scalars_of(name);
        if !(least..=most).contains(&others.len()) {
            return failed(format!("{name} has a wrong number of arguments"));
        }
        let keeps = call.keep_names || KEEP_NAMES.contains(&name);
        for row in &mut rows {
            if !keeps {
                row.unnamed();
            }
            change(grid, name, row, &others);
        }
        Ok(rows)
    }
}

/// What is the same whatever series there are.
fn of_query(grid: Grid, name: &str) -> Option<Vec<f64>> {
    let constant = |value: f64| Some(vec![value; grid.len()]);
    match name {
        "time" => Some(grid.times().map(|t| t as f64 / 1e3).collect()),
        "now" => constant(SystemTime::now().duration_since(UNIX_EPOCH).map_or(f64::NAN, |t| t.as_secs_f64())),
        "pi" => constant(std::f64::consts::PI),
        "start" => constant(grid.start as f64 / 1e3),
        "end" => constant(grid.end as f64 / 1e3),
        "step" => constant(grid.step as f64 / 1e3),
        _ => None,
    }
}

/// How many numbers a function takes beside its series.
fn scalars_of(name: &str) -> (usize, usize) {
    match name {
        "clamp" => (2, 2),
        "clamp_min" | "clamp_max" | "bitmap_and" | "bitmap_or" | "bitmap_xor" | "range_quantile"
        | "smooth_exponential" => (1, 1),
        "round" => (0, 1),
        _ => (0, 0),
    }
}

fn change(grid: Grid, name: &str, row: &mut Row, args: &[Vec<f64>]) {
    let arg = |number: usize, at: usize| args.get(number).map_or(f64::NAN, |values| at_step(values, at));
    let bits = |value: f64| value as u64;
    let each = |row: &mut Row, f: &dyn Fn(f64, usize) -> f64| {
        row.values.iter_mut().enumerate().for_each(|(at, value)| *value = f(*value, at));
    };
    if let Some(f) = math::named(name).or_else(|| math::date_part(name)) {
        return each(row, &|value, _| f(value));
    }
    match name {
        "clamp" => each(row, &|value, at| clamp_max(clamp_min(value, arg(0, at)), arg(1, at))),
        "clamp_min" => each(row, &|value, at| clamp_min(value, arg(0, at))),
        "clamp_max" => each(row, &|value, at| clamp_max(value, arg(0, at))),
        "round" => {
            let nearest = |at| if args.is_empty() { 1.0 } else { arg(0, at) };
            each(row, &|value, at| math::rounded(value, nearest(at)));
        }
        "bitmap_and" => each(row, &|value, at| masked(value, bits(value) & bits(arg(0, at)))),
        "bitmap_or" => each(row, &|value, at| masked(value, bits(value) | bits(arg(0, at)))),
        "bitmap_xor" => each(row, &|value, at| masked(value, bits(value) ^ bits(arg(0, at)))),
        "interpolate" => running::interpolate(&mut row.values),
        "keep_last_value" => running::keep_last(&mut row.values),
        "keep_next_value" => running::keep_next(&mut row.values),
        "remove_resets" => running::remove_resets(row),
        "smooth_exponential" => {
            let factors = args.first().map_or(&[][..], Vec::as_slice);
            running::smooth(&mut row.values, factors);
        }
        "range_linear_regression" => running::line(&mut row.values, &grid.times().collect::<Vec<_>>()),
        "range_quantile" => {
            let value = super::numbers::quantile(arg(0, 0), row.values.iter().copied());
            running::put(&mut row.values, value);
        }
        _ => {
            if let Some(f) = name.strip_prefix("running_").and_then(running::step_of) {
                running::running(&mut row.values, f);
            } else if let Some(by) = name.strip_prefix("range_") {
                running::over_range(by, &mut row.values);
            }
        }
    }
}

fn clamp_min(value: f64, least: f64) -> f64 {
    if value < least { least } else { value }
}

fn clamp_max(value: f64, most: f64) -> f64 {
    if value > most { most } else { value }
}

fn masked(value: f64, bits: u64) -> f64 {
    if value.is_nan() { value } else { bits as f64 }
}

fn absent(grid: Grid, arg: &Expr, rows: &[Row]) -> Vec<Row> {
    let is_absent = |at: usize| rows.iter().all(|row| at_step(&row.values, at).is_nan());
    let values = (0..grid.len()).map(|at| if is_absent(at) { 1.0 } else { f64::NAN });
    vec![Row { labels: labels_of(arg), values: values.collect() }]
}

/// By the last step, and those before it where there are gaps or the same values.
fn sort(rows: &mut [Row], descending: bool) {
    rows.sort_by(|a, b| {
        let pairs = a.values.iter().rev().zip(b.values.iter().rev());
        let different = pairs.filter(|(a, b)| !a.is_nan() && !b.is_nan()).find(|(a, b)| a != b);
        let order = different.map_or(std::cmp::Ordering::Equal, |(a, b)| a.total_cmp(b));
        if descending { order.reverse() } else { order }
    });
}
