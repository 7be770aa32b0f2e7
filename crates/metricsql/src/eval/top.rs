//! The largest, the smallest, and the strangest series.

use luma_promql::Labels;

use super::Row;
use super::aggregate::{at_step, column};
use super::numbers::{folded, mean, quantile};

/// What series are ranked by.
#[derive(Clone, Copy)]
pub(super) enum Ranking {
    /// Their values, at each step anew.
    AtStep { largest: bool },
    /// A number of all their values.
    ByRow { compute: fn(&[f64]) -> f64, largest: bool },
    /// How far they are from the median of all.
    Outliers,
}

pub(super) fn ranking(name: &str) -> Option<Ranking> {
    let (kind, by) = name.split_once('_').map_or((name, ""), |(kind, by)| (kind, by));
    let largest = match kind {
        "topk" => true,
        "bottomk" => false,
        "outliersk" if by.is_empty() => return Some(Ranking::Outliers),
        _ => return None,
    };
    let compute: fn(&[f64]) -> f64 = match by {
        "" if name.contains('_') => return None,
        "" => return Some(Ranking::AtStep { largest }),
        "avg" => |values| mean(values.iter().copied()),
        "min" => |values| folded(values.iter().copied(), f64::min),
        "max" => |values| folded(values.iter().copied(), f64::max),
        "median" => |values| quantile(0.5, values.iter().copied()),
        "last" => |values| values.iter().rev().copied().find(|value| !value.is_nan()).unwrap_or(f64::NAN),
        _ => return None,
    };
    Some(Ranking::ByRow { compute, largest })
}

/// The order of what is ranked: gaps are behind everything.
fn ranked(a: f64, b: f64, largest: bool) -> std::cmp::Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Greater,
        (false, true) => std::cmp::Ordering::Less,
        (false, false) if largest => b.total_cmp(&a),
        (false, false) => a.total_cmp(&b),
    }
}

/// Leaves at each step those of the first `k` places.
fn cut(rows: &mut [Row], k: &[f64]) {
    for (place, row) in rows.iter_mut().enumerate() {
        for (at, value) in row.values.iter_mut().enumerate() {
            let k = at_step(k, at);
            if k.is_nan() || place as f64 >= k.floor() {
                *value = f64::NAN;
            }
        }
    }
}

pub(super) fn at_each_step(mut rows: Vec<Row>, k: &[f64], largest: bool) -> Vec<Row> {
    let steps = rows.first().map_or(0, |row| row.values.len());
    for at in 0..steps {
        let mut places: Vec<usize> = (0..rows.len()).collect();
        let values: Vec<f64> = column(&rows, at).collect();
        places.sort_by(|a, b| ranked(at_step(&values, *a), at_step(&values, *b), largest));
        let k = at_step(k, at);
        let k = if k.is_nan() || k < 0.0 { 0 } else { k as usize };
        for row in places.into_iter().skip(k) {
            if let Some(value) = rows.get_mut(row).and_then(|row| row.values.get_mut(at)) {
                *value = f64::NAN;
            }
        }
    }
    rows.retain(|row| !row.is_empty());
    // The best at the end first.
    let last = |row: &Row| row.values.last().copied().unwrap_or(f64::NAN);
    rows.sort_by(|a, b| ranked(last(a), last(b), largest));
    rows
}

pub(super) fn by_row(
    labels: Labels,
    mut rows: Vec<Row>,
    k: &[f64],
    largest: bool,
    compute: fn(&[f64]) -> f64,
    rest: Option<&str>,
) -> Vec<Row> {
    rows.sort_by(|a, b| ranked(compute(&a.values), compute(&b.values), largest));
    let others = rest.map(|rest| {
        let (name, value) = rest.split_once('=').unwrap_or((rest, rest));
        let of_step = |at: usize| {
            let k = at_step(k, at).max(0.0) as usize;
            folded(column(&rows, at).skip(k), |a, b| a + b)
        };
        let steps = rows.first().map_or(0, |row| row.values.len());
        Row { labels: labels.with(name, value), values: (0..steps).map(of_step).collect() }
    });
    cut(&mut rows, k);
    rows.extend(others);
    rows.retain(|row| !row.is_empty());
    rows
}

pub(super) fn outliers(mut rows: Vec<Row>, k: &[f64]) -> Vec<Row> {
    let steps = rows.first().map_or(0, |row| row.values.len());
    let medians: Vec<f64> = (0..steps).map(|at| quantile(0.5, column(&rows, at))).collect();
    let far = |row: &Row| -> f64 {
        let apart = row.values.iter().zip(&medians).map(|(value, median)| (value - median).powi(2));
        apart.filter(|square| !square.is_nan()).sum()
    };
    rows.sort_by(|a, b| ranked(far(a), far(b), true));
    cut(&mut rows, k);
    rows.retain(|row| !row.is_empty());
    rows
}

/// The rows that are further from the median at some step than so many times as others are in the median.
pub(super) fn far_away(mut rows: Vec<Row>, tolerance: &[f64]) -> Vec<Row> {
    let steps = rows.first().map_or(0, |row| row.values.len());
    let limits: Vec<(f64, f64)> = (0..steps)
        .map(|at| {
            let median = quantile(0.5, column(&rows, at));
            let apart = quantile(0.5, column(&rows, at).map(|value| (value - median).abs()));
            (median, apart * at_step(tolerance, at))
        })
        .collect();
    rows.retain(|row| {
        row.values.iter().zip(&limits).any(|(value, (median, limit))| (value - median).abs() > *limit)
    });
    rows
}
