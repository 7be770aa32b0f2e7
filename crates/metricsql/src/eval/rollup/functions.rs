//! The functions over time, by name.

use super::super::numbers::{folded, mean, mode, quantile, regression, variance};
use super::super::window::Window;

/// What is done with the samples of a series before windows are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepare {
    Nothing,
    /// Counters that begin anew go on instead.
    Counter,
    Rates,
    Derivatives,
    Increases,
    Deltas,
    Intervals,
}

/// What is computed of a window, and of the numbers that the function was called with.
type Computing = dyn Fn(&Window<'_>, &[Vec<f64>]) -> f64 + Sync;
type Compute = fn(&Window<'_>, &[Vec<f64>]) -> f64;

/// A function over time.
pub(super) struct Function {
    pub prepare: Prepare,
    /// Whether its window may be longer than a step if none is named.
    pub may_grow: bool,
    pub keeps_name: bool,
    /// How many numbers it takes beside samples.
    pub scalars: usize,
    pub compute: Box<Computing>,
}

/// How alike numbers are taken as the same.
const PRECISION: f64 = 1e-12;

impl Prepare {
    pub fn apply(self, times: &[i64], values: &mut [f64]) {
        if matches!(self, Self::Counter | Self::Rates | Self::Increases) {
            without_resets(values);
        }
        match self {
            Self::Rates | Self::Derivatives => derivatives(times, values),
            Self::Increases | Self::Deltas => deltas(values),
            Self::Intervals => intervals(times, values),
            Self::Nothing | Self::Counter => {}
        }
    }
}

/// Counters that begin anew go on instead.
pub(crate) fn without_resets(values: &mut [f64]) {
    let Some(first) = values.first() else { return };
    let (mut correction, mut previous) = (0.0, *first);
    for value in values {
        let by = *value - previous;
        if by < 0.0 {
            // One that fell a little was not set to 0.
            correction += if -by * 8.0 < previous { previous - *value } else { previous };
        }
        previous = *value;
        *value += correction;
    }
}

fn deltas(values: &mut [f64]) {
    let mut last = 0.0;
    for at in 1..values.len() {
        last = values[at] - values[at - 1];
        values[at - 1] = last;
    }
    if let Some(value) = values.last_mut() {
        *value = last;
    }
}

fn derivatives(times: &[i64], values: &mut [f64]) {
    let mut last = 0.0;
    for at in 1..values.len().min(times.len()) {
        last = (values[at] - values[at - 1]) / ((times[at] - times[at - 1]) as f64 / 1e3);
        values[at - 1] = last;
    }
    if let Some(value) = values.last_mut() {
        *value = last;
    }
}

fn intervals(times: &[i64], values: &mut [f64]) {
    for at in 1..values.len().min(times.len()) {
        values[at] = times[at] as f64 / 1e3 - times[at - 1] as f64 / 1e3;
    }
    if let [first, second, ..] = values {
        *first = *second;
    }
}

/// The function that gives one quantile.
pub(super) fn quantile_of(phi: f64) -> Function {
    Function {
        prepare: Prepare::Nothing,
        may_grow: false,
        keeps_name: true,
        scalars: 0,
        compute: Box::new(move |w, _| quantile(phi, w.values.iter().copied())),
    }
}

pub(crate) fn is_rollup(name: &str) -> bool {
    let several = [
        "histogram_over_time",
        "rollup",
        "rollup_rate",
        "rollup_deriv",
        "rollup_increase",
        "rollup_delta",
        "rollup_scrape_interval",
        "rollup_candlestick",
        "aggr_over_time",
        "quantiles_over_time",
    ];
    several.contains(&name) || named(name).is_some()
}

/// The function of a name.
pub(super) fn find(name: &str) -> Option<Function> {
    let (scalars, compute) = named(name)?;
    let counter = ["increase", "increase_prometheus", "increase_pure", "irate", "rate"];
    let may_grow = [
        "default_rollup",
        "deriv",
        "deriv_fast",
        "ideriv",
        "irate",
        "rate",
        "rate_over_sum",
        "scrape_interval",
        "timestamp",
    ];
    let keeps_name = [
        "avg_over_time",
        "default_rollup",
        "first_over_time",
        "geomean_over_time",
        "hoeffding_bound_lower",
        "hoeffding_bound_upper",
        "holt_winters",
        "last_over_time",
        "max_over_time",
        "median_over_time",
        "min_over_time",
        "mode_over_time",
        "predict_linear",
        "quantile_over_time",
        "timestamp_with_name",
    ];
    Some(Function {
        prepare: if counter.contains(&name) { Prepare::Counter } else { Prepare::Nothing },
        may_grow: may_grow.contains(&name),
        keeps_name: keeps_name.contains(&name),
        scalars,
        compute: Box::new(compute),
    })
}

/// How many numbers a function takes, and what it computes.
fn named(name: &str) -> Option<(usize, Compute)> {
    let none: Compute = match name {
        "default_rollup" | "last_over_time" => |w, _| last(w),
        "first_over_time" => |w, _| first(w),
        "avg_over_time" => |w, _| mean(all(w)),
        "min_over_time" => |w, _| folded(all(w), f64::min),
        "max_over_time" => |w, _| folded(all(w), f64::max),
        "range_over_time" => |w, _| folded(all(w), f64::max) - folded(all(w), f64::min),
        "sum_over_time" => |w, _| if w.values.is_empty() { f64::NAN } else { all(w).sum() },
        "sum2_over_time" => |w, _| match w.values {
            [] => w.previous * w.previous,
            values => values.iter().map(|v| v * v).sum(),
        },
        "geomean_over_time" => |w, _| match w.values.len() {
            0 => w.previous,
            count => all(w).product::<f64>().powf(1.0 / count as f64),
        },
        "count_over_time" => |w, _| if w.values.is_empty() { f64::NAN } else { w.values.len() as f64 },
        "present_over_time" => |w, _| if w.values.is_empty() { f64::NAN } else { 1.0 },
        "absent_over_time" => |w, _| if w.values.is_empty() { 1.0 } else { f64::NAN },
        "stale_samples_over_time" => |w, _| match w.values.len() {
            0 => f64::NAN,
            _ => all(w).filter(|value| luma_promql::is_stale(*value)).count() as f64,
        },
        "distinct_over_time" => |w, _| {
            if w.values.is_empty() {
                return if w.previous.is_nan() { f64::NAN } else { 0.0 };
            }
            let mut sorted: Vec<f64> = all(w).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            sorted.chunk_by(|a, b| a == b).count() as f64
        },
        "median_over_time" => |w, _| quantile(0.5, all(w)),
        "mode_over_time" => |w, _| mode(w.previous, all(w)),
        "stddev_over_time" => |w, _| variance(all(w)).sqrt(),
        "stdvar_over_time" => |w, _| variance(all(w)),
        "delta" | "increase" => |w, _| delta(w),
        "increase_pure" => |w, _| match (w.real_previous.is_nan(), w.values.last()) {
            (true, last) => last.copied().unwrap_or(f64::NAN),
            (false, last) => last.map_or(0.0, |last| last - w.real_previous),
        },
        "delta_prometheus" | "increase_prometheus" => |w, _| match w.values {
            [first, .., last] => last - first,
            _ => f64::NAN,
        },
        "idelta" => |w, _| match w.values {
            [] if w.previous.is_nan() => f64::NAN,
            [] => 0.0,
            [only] if w.previous.is_nan() => *only,
            [only] => only - w.previous,
            [.., before, last] => last - before,
        },
        "rate" | "deriv_fast" => |w, _| rate(w),
        "irate" | "ideriv" => |w, _| last_rate(w),
        "deriv" => |w, _| regression(w.values, w.times, w.now).1,
        "rate_over_sum" => |w, _| match w.values.len() {
            0 if w.previous.is_nan() => f64::NAN,
            _ => all(w).sum::<f64>() / (w.length as f64 / 1e3),
        },
        "lifetime" => |w, _| match (w.previous.is_nan(), w.times) {
            (true, [first, .., last]) => seconds(*first, *last),
            (true, _) | (false, []) => f64::NAN,
            (false, [.., last]) => seconds(w.previous_time, *last),
        },
        "lag" => |w, _| lag(w),
        "scrape_interval" => |w, _| scrape_interval(w),
        "changes" => |w, _| match (w.previous.is_nan(), w.values) {
            (true, []) => f64::NAN,
            (true, [first, rest @ ..]) => 1.0 + changes(*first, rest),
            (false, values) => changes(w.previous, values),
        },
        "changes_prometheus" => |w, _| match w.values {
            [] => f64::NAN,
            [first, rest @ ..] => changes(*first, rest),
        },
        "resets" => |w, _| steps(w, |by, value| by < 0.0 && by.abs() >= PRECISION * value.abs()),
        "increases_over_time" => |w, _| steps(w, |by, _| by > 0.0),
        "decreases_over_time" => |w, _| steps(w, |by, _| by < 0.0),
        "ascent_over_time" => |w, _| way(w, |by| by.max(0.0)),
        "descent_over_time" => |w, _| way(w, |by| (-by).max(0.0)),
        "tfirst_over_time" => |w, _| w.times.first().map_or(f64::NAN, |t| *t as f64 / 1e3),
        "tlast_over_time" | "timestamp" | "timestamp_with_name" => |w, _| time_of_last(w),
        "tmin_over_time" => |w, _| time_of(w, |value, best| value <= best),
        "tmax_over_time" => |w, _| time_of(w, |value, best| value >= best),
        "tlast_change_over_time" => |w, _| last_change(w),
        "integrate" => |w, _| integral(w),
        "zscore_over_time" => |w, _| {
            let (interval, lag) = (scrape_interval(w), lag(w));
            if interval.is_nan() || lag.is_nan() || lag > interval {
                return f64::NAN;
            }
            let apart = last(w) - mean(all(w));
            if apart == 0.0 { 0.0 } else { apart / variance(all(w)).sqrt() }
        },
        _ => return with_scalars(name),
    };
    Some((0, none))
}

/// Functions that take numbers.
fn with_scalars(name: &str) -> Option<(usize, Compute)> {
    Some(match name {
        "quantile_over_time" => (1, |w, args| quantile(argument(args, 0, w), all(w))),
        "predict_linear" => (1, |w, args| {
            let (value, slope) = regression(w.values, w.times, w.now);
            value + slope * argument(args, 0, w)
        }),
        "holt_winters" => (2, |w, args| holt_winters(w, argument(args, 0, w), argument(args, 1, w))),
        "share_le_over_time" => (1, |w, args| share(w, |v| v <= argument(args, 0, w))),
        "share_gt_over_time" => (1, |w, args| share(w, |v| v > argument(args, 0, w))),
        "count_le_over_time" => (1, |w, args| count(w, |v| v <= argument(args, 0, w))),
        "count_gt_over_time" => (1, |w, args| count(w, |v| v > argument(args, 0, w))),
        "count_eq_over_time" => (1, |w, args| count(w, |v| v == argument(args, 0, w))),
        "count_ne_over_time" => (1, |w, args| count(w, |v| v != argument(args, 0, w))),
        "duration_over_time" => (1, |w, args| {
            let longest = (argument(args, 0, w) * 1000.0) as i64;
            let apart = w.times.windows(2).map(|two| two[1] - two[0]).filter(|by| *by <= longest);
            if w.times.is_empty() { f64::NAN } else { apart.sum::<i64>() as f64 / 1e3 }
        }),
        "hoeffding_bound_lower" => (1, |w, args| {
            let (bound, mean) = hoeffding(w, argument(args, 0, w));
            mean - bound
        }),
        "hoeffding_bound_upper" => (1, |w, args| {
            let (bound, mean) = hoeffding(w, argument(args, 0, w));
            mean + bound
        }),
        // What candlesticks are made of, which nobody can name in a query.
        "open" => (0, |w, _| candle(w).find(|value| !value.is_nan()).unwrap_or(f64::NAN)),
        "close" => (0, |w, _| candle(w).last().unwrap_or(f64::NAN)),
        "high" => (0, |w, _| folded(candle(w), f64::max)),
        "low" => (0, |w, _| folded(candle(w), f64::min)),
        _ => return None,
    })
}

fn argument(args: &[Vec<f64>], at: usize, w: &Window<'_>) -> f64 {
    args.get(at).and_then(|values| values.get(w.index)).copied().unwrap_or(f64::NAN)
}

fn all(w: &Window<'_>) -> impl Iterator<Item = f64> {
    w.values.iter().copied()
}

/// What a candle is made of: the sample before, if it is close, and those of the window but for one at its end.
fn candle(w: &Window<'_>) -> impl Iterator<Item = f64> {
    let is_close = w.previous_time.saturating_add(w.length) >= w.now;
    let inner = w.times.partition_point(|t| *t < w.now);
    std::iter::once(if is_close { w.previous } else { f64::NAN }).chain(all(w).take(inner))
}

/// The sample before and those of the window.
fn around(w: &Window<'_>) -> impl Iterator<Item = f64> {
    std::iter::once(w.previous).chain(all(w))
}

fn first(w: &Window<'_>) -> f64 {
    w.values.first().copied().unwrap_or(f64::NAN)
}

fn last(w: &Window<'_>) -> f64 {
    w.values.last().copied().unwrap_or(f64::NAN)
}

fn seconds(from: i64, to: i64) -> f64 {
    (to - from) as f64 / 1e3
}

fn delta(w: &Window<'_>) -> f64 {
    let (mut previous, mut values) = (w.previous, w.values);
    if previous.is_nan() {
        let [first, rest @ ..] = values else { return f64::NAN };
        if !w.real_previous.is_nan() {
            return last(w) - w.real_previous;
        }
        // It began at 0, unless it is far more than what it grows by.
        let by = rest.first().map_or(w.real_next, |second| *second) - first;
        let by = if by.is_nan() { 10.0 } else { by };
        if first.abs() < 10.0 * (by.abs() + 1.0) {
            previous = 0.0;
        } else {
            (previous, values) = (*first, rest);
        }
    }
    values.last().map_or(0.0, |last| last - previous)
}

fn rate(w: &Window<'_>) -> f64 {
    match (w.previous.is_nan(), w.values, w.times) {
        (true, [first, .., last], [from, .., to]) => (last - first) / seconds(*from, *to),
        (true, ..) => f64::NAN,
        (false, [.., last], [.., to]) => (last - w.previous) / seconds(w.previous_time, *to),
        (false, ..) => 0.0,
    }
}

fn last_rate(w: &Window<'_>) -> f64 {
    match (w.values, w.times) {
        ([.., before, last], [.., from, to]) => (last - before) / seconds(*from, *to),
        ([only], [to]) if !w.previous.is_nan() => (only - w.previous) / seconds(w.previous_time, *to),
        _ => f64::NAN,
    }
}

fn lag(w: &Window<'_>) -> f64 {
    match w.times.last() {
        Some(t) => seconds(*t, w.now),
        None if w.previous.is_nan() => f64::NAN,
        None => seconds(w.previous_time, w.now),
    }
}

fn scrape_interval(w: &Window<'_>) -> f64 {
    match (w.previous.is_nan(), w.times) {
        (true, [first, .., last]) => seconds(*first, *last) / (w.times.len() - 1) as f64,
        (true, _) | (false, []) => f64::NAN,
        (false, [.., last]) => seconds(w.previous_time, *last) / w.times.len() as f64,
    }
}

fn changes(mut previous: f64, values: &[f64]) -> f64 {
    let mut count = 0.0;
    for value in values {
        if (value - previous).abs() >= PRECISION * value.abs() && *value != previous {
            count += 1.0;
            previous = *value;
        }
    }
    count
}

/// How many steps from one value to the next are chosen.
fn steps(w: &Window<'_>, chosen: impl Fn(f64, f64) -> bool) -> f64 {
    if w.values.is_empty() && w.previous.is_nan() {
        return f64::NAN;
    }
    pairs(w).filter(|(from, to)| chosen(to - from, *to)).count() as f64
}

/// The sum of what steps from one value to the next count.
fn way(w: &Window<'_>, counts: impl Fn(f64) -> f64) -> f64 {
    if w.values.is_empty() && w.previous.is_nan() {
        return f64::NAN;
    }
    pairs(w).map(|(from, to)| counts(to - from)).sum()
}

/// Values that follow each other, the sample before included.
fn pairs(w: &Window<'_>) -> impl Iterator<Item = (f64, f64)> {
    around(w).zip(all(w)).filter(|(from, _)| !from.is_nan())
}

fn time_of_last(w: &Window<'_>) -> f64 {
    w.times.last().map_or(f64::NAN, |t| *t as f64 / 1e3)
}

/// The time of the last value that is better than all before.
fn time_of(w: &Window<'_>, is_better: impl Fn(f64, f64) -> bool) -> f64 {
    let mut best: Option<(f64, i64)> = None;
    for (value, t) in w.values.iter().zip(w.times) {
        if best.is_none_or(|(best, _)| is_better(*value, best)) {
            best = Some((*value, *t));
        }
    }
    best.map_or(f64::NAN, |(_, t)| t as f64 / 1e3)
}

fn last_change(w: &Window<'_>) -> f64 {
    let Some(last) = w.values.last() else { return f64::NAN };
    match w.values.iter().rposition(|value| value != last) {
        Some(at) => w.times.get(at + 1).map_or(f64::NAN, |t| *t as f64 / 1e3),
        None if w.previous.is_nan() || w.previous != *last => {
            w.times.first().map_or(f64::NAN, |t| *t as f64 / 1e3)
        }
        None => f64::NAN,
    }
}

fn integral(w: &Window<'_>) -> f64 {
    let (mut value, mut t, mut skip) = (w.previous, w.now - w.length, 0);
    if value.is_nan() {
        let (Some(first), Some(at)) = (w.values.first(), w.times.first()) else { return f64::NAN };
        (value, t, skip) = (*first, *at, 1);
    }
    let mut sum = 0.0;
    for (next, at) in w.values.iter().zip(w.times).skip(skip) {
        sum += value * seconds(t, *at);
        (value, t) = (*next, *at);
    }
    sum + value * seconds(t, w.now)
}

fn holt_winters(w: &Window<'_>, smoothing: f64, trend: f64) -> f64 {
    if !(0.0..=1.0).contains(&smoothing) || !(0.0..=1.0).contains(&trend) {
        return f64::NAN;
    }
    let (mut level, mut values) = (w.previous, w.values);
    if values.is_empty() {
        return level;
    }
    if level.is_nan() {
        let [first, rest @ ..] = values else { return f64::NAN };
        (level, values) = (*first, rest);
    }
    let Some(second) = values.first() else { return level };
    let mut slope = second - level;
    for value in values {
        let next = smoothing * value + (1.0 - smoothing) * (level + slope);
        slope = trend * (next - level) + (1.0 - trend) * slope;
        level = next;
    }
    level
}

fn count(w: &Window<'_>, chosen: impl Fn(f64) -> bool) -> f64 {
    if w.values.is_empty() { f64::NAN } else { all(w).filter(|value| chosen(*value)).count() as f64 }
}

fn share(w: &Window<'_>, chosen: impl Fn(f64) -> bool) -> f64 {
    count(w, chosen) / w.values.len() as f64
}

fn hoeffding(w: &Window<'_>, phi: f64) -> (f64, f64) {
    let mean = mean(all(w));
    let range = folded(all(w), f64::max) - folded(all(w), f64::min);
    if w.values.len() < 2 || range <= 0.0 || phi <= 0.0 {
        return (0.0, mean);
    }
    if phi >= 1.0 {
        return (f64::INFINITY, mean);
    }
    (range * ((1.0 / (1.0 - phi)).ln() / (2.0 * w.values.len() as f64)).sqrt(), mean)
}
