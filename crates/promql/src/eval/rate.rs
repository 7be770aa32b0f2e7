//! How counters and gauges change: `rate`, `increase` and `delta` of histograms and between boundaries, `irate`, `idelta`.

use std::sync::Arc;

use crate::annotation::Annotations;
use crate::ast::Boundary;
use crate::error::Result;
use crate::histogram::{FloatHistogram, ResetHint};
use crate::value::{FloatPoint, HistogramPoint, Sample};

use super::change::Change;
use super::range_calls::RangeCall;
use super::window::Window;

/// Whether a counter's start shows that it was reset between two samples.
fn starts_anew(before_start: i64, before: i64, start: i64, t: i64) -> bool {
    if start == 0 || start > t || start < before {
        return false;
    }
    // A start on the sample before is a delta's, unless that sample's start is unknown, too.
    start > before || before_start != 0
}

/// The same for the sample `at` and the one before it, if starts are known.
pub(super) fn starts_anew_at(starts: &[i64], time: impl Fn(usize) -> i64, at: usize) -> bool {
    match (at.checked_sub(1).and_then(|before| starts.get(before)), starts.get(at)) {
        (Some(before_start), Some(start)) => starts_anew(*before_start, time(at - 1), *start, time(at)),
        _ => false,
    }
}

/// `rate` (per second), `increase` and, for gauges, `delta` over a window of any kind.
pub(super) fn extrapolated(
    call: &RangeCall<'_>,
    window: &Window<'_>,
    asked: Change,
) -> Result<Option<Sample>> {
    let Change { counter, per_second } = asked;
    if window.boundary != Boundary::Plain {
        return Ok(between_boundaries(window, counter, per_second).map(Sample::Float));
    }
    let (floats, histograms) = (window.floats, window.histograms);
    if !floats.is_empty() && !histograms.is_empty() {
        call.note(Annotations::mixed_range);
        return Ok(None);
    }
    let ends = (window.start, window.end);
    if histograms.len() > 1 {
        let Some(mut change) = histogram_change(call, window, counter) else { return Ok(None) };
        let (first, last) = (&histograms[0], &histograms[histograms.len() - 1]);
        let zero =
            (counter && change.count > 0.0 && first.h.count >= 0.0).then(|| first.h.count / change.count);
        change.scale(asked.factor(ends, (first.t, last.t), histograms.len(), zero));
        return Ok(Some(Sample::Histogram(Arc::new(change))));
    }
    Ok(asked.within(floats, window.float_starts, ends).map(Sample::Float))
}

/// The change of histograms from the first to the last one.
fn histogram_change(call: &RangeCall<'_>, window: &Window<'_>, counter: bool) -> Option<FloatHistogram> {
    let points = window.histograms;
    let (first, last) = (&points.first()?.h, &points.last()?.h);
    let mixed = || {
        call.note(Annotations::mixed_schemas);
        None
    };
    if counter && points.iter().any(|p| p.h.hint == ResetHint::Gauge) {
        call.note(Annotations::not_a_counter);
    }
    let time = |at: usize| points[at].t;
    let is_reset = |at: usize, before: &FloatHistogram| {
        starts_anew_at(window.histogram_starts, time, at) || points[at].h.is_reset_after(before)
    };
    // Behind a reset right after it, the first sample's layout is of no interest.
    let mut base = first.clone();
    if counter && is_reset(1, first) {
        let second = &points[1].h;
        base = Arc::new(FloatHistogram {
            schema: second.schema,
            custom_bounds: second.custom_bounds.clone(),
            zero_threshold: 0.0,
            ..FloatHistogram::default()
        });
    }
    if last.uses_custom_buckets() != base.uses_custom_buckets() {
        return mixed();
    }
    let mut schema = last.schema.min(base.schema);
    if counter {
        for point in &points[1..points.len() - 1] {
            if point.h.uses_custom_buckets() != base.uses_custom_buckets() {
                return mixed();
            }
            schema = schema.min(point.h.schema);
        }
    }
    let mut change = (**last).clone();
    change.reduce_resolution(schema);
    let note_bounds = |operation: &str| call.note(|notes, _, span| notes.bounds_reconciled(operation, span));
    match change.subtract(&base) {
        Err(_) => return mixed(),
        Ok(noticed) if noticed.bounds_reconciled => note_bounds("subtraction"),
        Ok(_) => {}
    }
    if counter {
        let mut before = base;
        for (at, point) in points.iter().enumerate().skip(1) {
            if is_reset(at, &before) {
                match change.add(&before) {
                    Err(_) => return mixed(),
                    Ok(noticed) if noticed.bounds_reconciled => note_bounds("addition"),
                    Ok(_) => {}
                }
            }
            before = point.h.clone();
        }
    } else if first.hint != ResetHint::Gauge || last.hint != ResetHint::Gauge {
        call.note(Annotations::not_a_gauge);
    }
    change.hint = ResetHint::Gauge;
    Some(change.compacted())
}

/// The value on the line between two samples. A counter that fell started at zero.
pub(super) fn interpolated(before: FloatPoint, after: FloatPoint, t: i64, counter: bool) -> f64 {
    let from = if counter && after.v < before.v { 0.0 } else { before.v };
    from + (after.v - from) * (t - before.t) as f64 / (after.t - before.t) as f64
}

/// The values at a window's ends, and the samples between them.
struct Ends<'w> {
    left: f64,
    right: f64,
    inner: &'w [FloatPoint],
}

fn ends<'w>(window: &Window<'w>, counter: bool) -> Option<Ends<'w>> {
    let floats = window.floats;
    let smoothed = window.boundary == Boundary::Smoothed;
    let top = floats.len().checked_sub(1)?;
    let mut first = floats[..top].partition_point(|p| p.t <= window.start).saturating_sub(1);
    let mut last = if smoothed { floats[..top].partition_point(|p| p.t < window.end) } else { top };
    if floats[last].t <= window.start {
        return None;
    }
    let left = match floats.get(first + 1) {
        Some(next) if smoothed && floats[first].t < window.start => {
            interpolated(floats[first], *next, window.start, counter)
        }
        _ => floats[first].v,
    };
    let right = if smoothed && last > 0 && floats[last].t > window.end {
        interpolated(floats[last - 1], floats[last], window.end, counter)
    } else {
        floats[last].v
    };
    if floats[first].t <= window.start {
        first += 1;
    }
    // `last` becomes the index behind the last inner sample.
    last = if floats[last].t >= window.end { last } else { last + 1 };
    Some(Ends { left, right, inner: floats.get(first..last).unwrap_or_default() })
}

fn between_boundaries(window: &Window<'_>, counter: bool, per_second: bool) -> Option<f64> {
    let Ends { left, right, inner } = ends(window, counter)?;
    let mut change = right - left;
    if counter {
        let mut before = left;
        for v in inner.iter().map(|p| p.v).chain([right]) {
            if v < before {
                change += before;
            }
            before = v;
        }
    }
    Some(if per_second { change / window.seconds() } else { change })
}

/// The samples of an anchored or smoothed range with one at either end.
pub(super) fn extended(window: &Window<'_>) -> Vec<FloatPoint> {
    let Some(ends) = ends(window, false) else { return Vec::new() };
    let mut out = vec![FloatPoint { t: window.start, v: ends.left }];
    out.extend_from_slice(ends.inner);
    out.push(FloatPoint { t: window.end, v: ends.right });
    out
}

/// `irate` and `idelta`: the change between the last two samples.
pub(super) fn instant(call: &RangeCall<'_>, window: &Window<'_>, counter: bool) -> Option<Sample> {
    let start_of = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
    let mut lasts: Vec<(i64, i64, Sample)> = Vec::with_capacity(4);
    for (at, p) in window.floats.iter().enumerate().rev().take(2) {
        lasts.push((p.t, start_of(window.float_starts, at), Sample::Float(p.v)));
    }
    for (at, HistogramPoint { t, h }) in window.histograms.iter().enumerate().rev().take(2) {
        lasts.push((*t, start_of(window.histogram_starts, at), Sample::Histogram(h.clone())));
    }
    lasts.sort_by_key(|(t, ..)| *t);
    let last = lasts.pop()?;
    let before = lasts.pop()?;
    let millis = last.0 - before.0;
    if millis == 0 {
        return None;
    }
    let anew = starts_anew(before.1, before.0, last.1, last.0);
    let seconds = millis as f64 / 1000.0;
    match (before.2, last.2) {
        (Sample::Float(from), Sample::Float(to)) => {
            let change = if counter && (to < from || anew) { to } else { to - from };
            Some(Sample::Float(if counter { change / seconds } else { change }))
        }
        (Sample::Histogram(from), Sample::Histogram(to)) => {
            let gauges = [&from, &to].map(|h| h.hint == ResetHint::Gauge);
            if counter && gauges.contains(&true) {
                call.note(Annotations::not_a_counter);
            }
            if !counter && gauges.contains(&false) {
                call.note(Annotations::not_a_gauge);
            }
            let mut change = (*to).clone();
            if !counter || !(anew || to.is_reset_after(&from)) {
                match change.subtract(&from) {
                    Err(_) => {
                        call.note(Annotations::mixed_schemas);
                        return None;
                    }
                    Ok(noticed) if noticed.bounds_reconciled => {
                        call.note(|notes, _, span| notes.bounds_reconciled("subtraction", span));
                    }
                    Ok(_) => {}
                }
            }
            change.hint = ResetHint::Gauge;
            let mut change = change.compacted();
            if counter {
                change.divide(seconds);
            }
            Some(Sample::Histogram(Arc::new(change)))
        }
        _ => {
            call.note(Annotations::mixed_range);
            None
        }
    }
}
