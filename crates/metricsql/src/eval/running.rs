//! Functions of a row as a whole, from its first step to its last.

use super::Row;
use super::numbers::{quantile, regression, variance};
use super::rollup::without_resets;

/// Each value made of all before it.
pub(super) fn running(values: &mut [f64], f: impl Fn(f64, f64, usize) -> f64) {
    let Some(first) = values.iter().position(|value| !value.is_nan()) else { return };
    let Some(values) = values.get_mut(first..) else { return };
    let mut so_far = values.first().copied().unwrap_or(f64::NAN);
    for (at, value) in values.iter_mut().enumerate().skip(1) {
        if !value.is_nan() {
            so_far = f(so_far, *value, at);
        }
        *value = so_far;
    }
}

/// What `running_x` and `range_x` are made with.
pub(super) fn step_of(name: &str) -> Option<fn(f64, f64, usize) -> f64> {
    Some(match name {
        "sum" => |a, b, _| a + b,
        "min" => |a, b, _| a.min(b),
        "max" => |a, b, _| a.max(b),
        "avg" => |a, b, at| a + (b - a) / (at + 1) as f64,
        _ => return None,
    })
}

/// Puts one value that stands for a row in all places; gaps stay, but for those that running values fill.
pub(super) fn over_range(name: &str, values: &mut [f64]) {
    let there = |values: &[f64]| values.iter().copied().filter(|value| !value.is_nan()).collect::<Vec<_>>();
    let value = match name {
        "first" => there(values).first().copied().unwrap_or(f64::NAN),
        "last" => there(values).last().copied().unwrap_or(f64::NAN),
        "median" => quantile(0.5, there(values)),
        "stddev" => variance(there(values)).sqrt(),
        "stdvar" => variance(there(values)),
        _ => {
            if let Some(f) = step_of(name) {
                running(values, f);
            }
            values.last().copied().unwrap_or(f64::NAN)
        }
    };
    put(values, value);
}

/// Puts a value in all places that are no gaps.
pub(super) fn put(values: &mut [f64], value: f64) {
    values.iter_mut().filter(|own| !own.is_nan()).for_each(|own| *own = value);
}

/// The straight line through a row's values.
pub(super) fn line(values: &mut [f64], times: &[i64]) {
    let start = times.first().copied().unwrap_or(0);
    let (base, slope) = regression(values, times, start);
    for (value, t) in values.iter_mut().zip(times) {
        *value = base + slope * ((t - start) as f64 / 1e3);
    }
}

pub(super) fn keep_last(values: &mut [f64]) {
    let mut last = f64::NAN;
    for value in values {
        if value.is_nan() {
            *value = last;
        }
        last = *value;
    }
}

pub(super) fn keep_next(values: &mut [f64]) {
    values.reverse();
    keep_last(values);
    values.reverse();
}

/// Fills gaps with straight lines, those at the ends with the value that is next to them.
pub(super) fn interpolate(values: &mut [f64]) {
    let mut at = 0;
    while let Some(gap) = values.iter().skip(at).position(|value| value.is_nan()).map(|gap| at + gap) {
        let end = values.iter().skip(gap).position(|value| !value.is_nan()).map(|end| gap + end);
        let before = gap.checked_sub(1).and_then(|at| values.get(at)).copied();
        let behind = end.and_then(|at| values.get(at)).copied();
        let (Some(from), Some(to)) = (before.or(behind), behind.or(before)) else { return };
        at = end.unwrap_or(values.len());
        let by = (to - from) / (at - gap + 1) as f64;
        for (place, value) in values.iter_mut().enumerate().take(at).skip(gap) {
            *value = from + by * (place - gap + 1) as f64;
        }
    }
}

pub(super) fn smooth(values: &mut [f64], factors: &[f64]) {
    let mut average = f64::NAN;
    for (at, value) in values.iter_mut().enumerate() {
        if value.is_nan() {
            continue;
        }
        if average.is_nan() {
            if value.is_finite() {
                average = *value;
            }
            continue;
        }
        if value.is_infinite() {
            *value = average;
            continue;
        }
        let factor = factors.get(at).copied().unwrap_or(1.0);
        let factor = if factor.is_nan() { 1.0 } else { factor.clamp(0.0, 1.0) };
        average = average * (1.0 - factor) + *value * factor;
        *value = average;
    }
}

/// A counter that goes on where it began anew; gaps stay.
pub(super) fn remove_resets(row: &mut Row) {
    let (places, mut values): (Vec<usize>, Vec<f64>) =
        row.values.iter().copied().enumerate().filter(|(_, value)| !value.is_nan()).unzip();
    without_resets(&mut values);
    for (at, value) in places.into_iter().zip(values) {
        if let Some(place) = row.values.get_mut(at) {
            *place = value;
        }
    }
}
