//! What functions make of the samples in a window.

use std::sync::Arc;

use crate::annotation::Annotations;
use crate::ast::Boundary;
use crate::error::{Result, failed};
use crate::histogram::{
    Combination, CompensatedSum, FloatHistogram, IncompatibleSchemas, ResetHint, RunningMean,
};
use crate::summation::add_compensated;
use crate::value::{FloatPoint, HistogramPoint, Sample};

use super::average::{FloatMean, quantile, variance};
use super::change::Change;
use super::range_calls::RangeCall;
use super::rate;
use super::window::Window;

/// The value of a function for one window that holds at least one sample.
pub(super) fn apply(call: &RangeCall<'_>, window: &Window<'_>) -> Result<Option<Sample>> {
    let float = |v: f64| Ok(Some(Sample::Float(v)));
    let arg = |at: usize| call.args.get(at).copied().unwrap_or(f64::NAN);
    if let Some(change) = Change::of(call.name) {
        return rate::extrapolated(call, window, change);
    }
    match call.name {
        "irate" => Ok(rate::instant(call, window, true)),
        "idelta" => Ok(rate::instant(call, window, false)),
        "count_over_time" => float((window.floats.len() + window.histograms.len()) as f64),
        "present_over_time" | "absent_over_time" => float(1.0),
        "first_over_time" => Ok(at_end(window.floats.first(), window.histograms.first(), |f, h| f < h)),
        "last_over_time" => Ok(at_end(window.floats.last(), window.histograms.last(), |f, h| f > h)),
        "ts_of_first_over_time" => float(seconds(ends(window).min())),
        "ts_of_last_over_time" => float(seconds(ends(window).max())),
        "sum_over_time" => sum(call, window),
        "avg_over_time" => average(call, window),
        "changes" => Ok(count_pairs(window, differ)),
        "resets" => Ok(count_pairs(window, is_reset)),
        _ => floats_only(call, window, arg),
    }
}

/// Functions that pass over histograms.
fn floats_only(
    call: &RangeCall<'_>,
    window: &Window<'_>,
    arg: impl Fn(usize) -> f64,
) -> Result<Option<Sample>> {
    let floats = window.floats;
    let [first, ..] = floats else { return Ok(None) };
    let pairs = matches!(call.name, "deriv" | "predict_linear" | "double_exponential_smoothing");
    if call.name == "quantile_over_time" {
        let q = arg(0);
        if q.is_nan() || !(0.0..=1.0).contains(&q) {
            call.note(|notes, _, span| notes.invalid_quantile(q, span));
        }
    }
    if !window.histograms.is_empty() {
        call.note(Annotations::ignored_in_mixed_range);
    }
    if call.name == "double_exponential_smoothing" {
        let (smoothing, trend) = (arg(0), arg(1));
        if smoothing <= 0.0 || smoothing >= 1.0 {
            return failed(format!("invalid smoothing factor. Expected: 0 < sf < 1, got: {smoothing:.6}"));
        }
        if trend <= 0.0 || trend >= 1.0 {
            return failed(format!("invalid trend factor. Expected: 0 < tf < 1, got: {trend:.6}"));
        }
    }
    if pairs && floats.len() < 2 {
        return Ok(None);
    }
    let values = || floats.iter().map(|p| p.v);
    let value = match call.name {
        "min_over_time" => call.extreme.borrow_mut().of(floats, window.first_float, |v, so_far| v < so_far),
        "max_over_time" => call.extreme.borrow_mut().of(floats, window.first_float, |v, so_far| v > so_far),
        "ts_of_min_over_time" => seconds(Some(extreme(floats, |v, so_far| v <= so_far).t)),
        "ts_of_max_over_time" => seconds(Some(extreme(floats, |v, so_far| v >= so_far).t)),
        "stdvar_over_time" => variance(values()),
        "stddev_over_time" => variance(values()).sqrt(),
        "quantile_over_time" => quantile(arg(0), &mut values().collect::<Vec<_>>()),
        "mad_over_time" => {
            let median = quantile(0.5, &mut values().collect::<Vec<_>>());
            quantile(0.5, &mut values().map(|v| (v - median).abs()).collect::<Vec<_>>())
        }
        // A time near the samples keeps the digits.
        "deriv" => regression(floats, first.t).0,
        "predict_linear" => {
            let (slope, intercept) = regression(floats, window.t);
            slope * arg(0) + intercept
        }
        "double_exponential_smoothing" => smoothed(floats, arg(0), arg(1)),
        other => return failed(format!("function {other} does not take a range")),
    };
    Ok(Some(Sample::Float(value)))
}

fn seconds(t: Option<i64>) -> f64 {
    t.unwrap_or(0) as f64 / 1000.0
}

/// The first and last times of either kind.
fn ends<'w>(window: &Window<'w>) -> impl Iterator<Item = i64> + 'w {
    let (f, h) = (window.floats, window.histograms);
    let floats = f.first().into_iter().chain(f.last()).map(|p| p.t);
    floats.chain(h.first().into_iter().chain(h.last()).map(|p| p.t))
}

fn at_end(
    float: Option<&FloatPoint>,
    histogram: Option<&HistogramPoint>,
    float_wins: impl Fn(i64, i64) -> bool,
) -> Option<Sample> {
    match (float, histogram) {
        (Some(f), h) if h.is_none_or(|h| float_wins(f.t, h.t)) => Some(Sample::Float(f.v)),
        (_, Some(h)) => Some(Sample::Histogram(h.h.clone())),
        _ => None,
    }
}

/// The first sample that no later one beats; NaN is beaten by anything.
fn extreme(floats: &[FloatPoint], beats: impl Fn(f64, f64) -> bool) -> FloatPoint {
    let mut best = floats[0];
    for point in floats {
        if beats(point.v, best.v) || best.v.is_nan() {
            best = *point;
        }
    }
    best
}

fn sum(call: &RangeCall<'_>, window: &Window<'_>) -> Result<Option<Sample>> {
    if !window.histograms.is_empty() {
        return Ok(of_histograms(call, window, |points| {
            let mut sum = CompensatedSum::new(&points[0].h);
            let noticed = add_all(points, |h| sum.add(h))?;
            Ok((sum.finish(), noticed))
        }));
    }
    let (mut sum, mut lost) = (0.0, 0.0);
    for point in window.floats {
        (sum, lost) = add_compensated(point.v, sum, lost);
    }
    Ok(Some(Sample::Float(if sum.is_infinite() { sum } else { sum + lost })))
}

fn average(call: &RangeCall<'_>, window: &Window<'_>) -> Result<Option<Sample>> {
    if !window.histograms.is_empty() {
        return Ok(of_histograms(call, window, |points| {
            let mut mean = RunningMean::new(&points[0].h);
            let noticed = add_all(points, |h| mean.add(h))?;
            Ok((mean.finish(), noticed))
        }));
    }
    let mut values = window.floats.iter().map(|p| p.v);
    let Some(first) = values.next() else { return Ok(None) };
    let mut mean = FloatMean::new(first);
    values.for_each(|v| mean.add(v));
    Ok(Some(Sample::Float(mean.finish())))
}

/// Adds all histograms but the first; what was noticed on the way.
fn add_all(
    points: &[HistogramPoint],
    mut add: impl FnMut(&FloatHistogram) -> Result<Combination, IncompatibleSchemas>,
) -> Result<Combination, IncompatibleSchemas> {
    let mut all = Combination::default();
    for point in &points[1..] {
        all.bounds_reconciled |= add(&point.h)?.bounds_reconciled;
    }
    let hinted = |hint: ResetHint| points.iter().any(|p| p.h.hint == hint);
    all.reset_collision = hinted(ResetHint::Reset) && hinted(ResetHint::NotReset);
    Ok(all)
}

/// The result for a window with histograms; numbers among them spoil it.
fn of_histograms(
    call: &RangeCall<'_>,
    window: &Window<'_>,
    combine: impl FnOnce(&[HistogramPoint]) -> Result<(FloatHistogram, Combination), IncompatibleSchemas>,
) -> Option<Sample> {
    if !window.floats.is_empty() {
        call.note(Annotations::mixed_range);
        return None;
    }
    match combine(window.histograms) {
        Ok((histogram, noticed)) => {
            if noticed.reset_collision {
                call.note(|notes, _, span| notes.reset_collision("aggregation", span));
            }
            if noticed.bounds_reconciled {
                call.note(|notes, _, span| notes.bounds_reconciled("aggregation", span));
            }
            Some(Sample::Histogram(Arc::new(histogram)))
        }
        Err(IncompatibleSchemas) => {
            call.note(Annotations::mixed_schemas);
            None
        }
    }
}

/// How many samples differ from the one before in a way.
fn count_pairs(window: &Window<'_>, counts: impl Fn(&Sample, &Sample) -> bool) -> Option<Sample> {
    let mut floats = window.floats;
    if window.boundary == Boundary::Anchored {
        // The last sample before the window counts as its start.
        if floats.last()?.t <= window.start {
            return None;
        }
        let first = floats[..floats.len() - 1].partition_point(|p| p.t <= window.start).saturating_sub(1);
        floats = &floats[first..];
    }
    let mut histograms = window.histograms.iter().peekable();
    let mut floats = floats.iter().peekable();
    let mut next = || -> Option<Sample> {
        let float_first = match (floats.peek(), histograms.peek()) {
            (Some(f), Some(h)) => f.t < h.t,
            (f, _) => f.is_some(),
        };
        if float_first {
            floats.next().map(|p| Sample::Float(p.v))
        } else {
            histograms.next().map(|p| Sample::Histogram(p.h.clone()))
        }
    };
    let mut before = next()?;
    let mut count = 0.0;
    while let Some(sample) = next() {
        if counts(&before, &sample) {
            count += 1.0;
        }
        before = sample;
    }
    Some(Sample::Float(count))
}

fn differ(before: &Sample, sample: &Sample) -> bool {
    match (before, sample) {
        (Sample::Float(a), Sample::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Sample::Histogram(a), Sample::Histogram(b)) => !a.same_data(b),
        _ => true,
    }
}

fn is_reset(before: &Sample, sample: &Sample) -> bool {
    match (before, sample) {
        (Sample::Float(a), Sample::Float(b)) => b < a,
        (Sample::Histogram(a), Sample::Histogram(b)) => b.is_reset_after(a),
        _ => true,
    }
}

/// Slope and value at a time of the line with the least squares.
fn regression(floats: &[FloatPoint], at: i64) -> (f64, f64) {
    let first = floats[0].v;
    if floats.iter().all(|p| p.v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let mut sums = [(0.0, 0.0); 4];
    for point in floats {
        let x = (point.t - at) as f64 / 1e3;
        for (sum, value) in sums.iter_mut().zip([x, point.v, x * point.v, x * x]) {
            *sum = add_compensated(value, sum.0, sum.1);
        }
    }
    let n = floats.len() as f64;
    let [x, y, xy, xx] = sums.map(|(sum, lost)| sum + lost);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

/// Holt's linear smoothing.
fn smoothed(floats: &[FloatPoint], smoothing: f64, trend_factor: f64) -> f64 {
    let mut before = 0.0;
    let mut level = floats[0].v;
    let mut trend = floats[1].v - floats[0].v;
    for (at, point) in floats.iter().enumerate().skip(1) {
        if at > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * point.v + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    level
}
