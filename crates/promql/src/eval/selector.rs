//! Selectors: a series' current value at every step, or its samples over a range.

use crate::ast::{Boundary, MatrixSelector, VectorSelector};
use crate::error::{Result, failed};
use crate::source::SeriesData;
use crate::value::{FloatPoint, HistogramPoint, Sample, Series, is_stale};

use super::each::{Sink, collected};
use super::rate::interpolated;
use super::window::{Placement, for_each_window};
use super::{Context, Grid};

/// What of a sample is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aspect {
    /// Its value.
    Value,
    /// When it was taken.
    Time,
    /// When its counter started, if that is known.
    Start,
}

impl Context<'_> {
    pub(super) fn instant_vector(&self, grid: Grid, selector: &VectorSelector) -> Result<Vec<Series>> {
        self.instant_aspect(grid, selector, Aspect::Value)
    }

    pub(super) fn instant_aspect(
        &self,
        grid: Grid,
        selector: &VectorSelector,
        aspect: Aspect,
    ) -> Result<Vec<Series>> {
        collected(|sink| self.instant_each(grid, selector, aspect, sink))
    }

    pub(super) fn instant_each(
        &self,
        grid: Grid,
        selector: &VectorSelector,
        aspect: Aspect,
        sink: Sink<'_>,
    ) -> Result<()> {
        let (fixed, offset) = self.shift(&selector.shift)?;
        let lookback = self.options.lookback_ms;
        let placement = Placement { fixed, offset, range: lookback, boundary: Boundary::Plain, lookback };
        let (start, mut end) = placement.span(grid);
        let smoothed = selector.boundary == Boundary::Smoothed;
        if smoothed {
            end = end.saturating_add(lookback);
        }
        let f = |context: &Context<'_>, data: SeriesData| {
            let series = if smoothed {
                smoothed_series(data, placement, grid, lookback)?
            } else {
                current(data, placement, grid, aspect)
            };
            context.used(series.samples());
            if context.options.count_steps {
                series.floats.iter().for_each(|point| context.used_at(grid.index(point.t), 1));
                series
                    .histograms
                    .iter()
                    .for_each(|point| context.used_at(grid.index(point.t), point.h.samples()));
            }
            context.charge(series.samples())?;
            Ok((!series.is_empty()).then_some(series))
        };
        self.each_series(selector, (start, end), f, sink)
    }

    /// The placement of a range selector's windows.
    pub(super) fn placement(&self, selector: &MatrixSelector) -> Result<Placement> {
        let (fixed, offset) = self.shift(&selector.selector.shift)?;
        let range = self.duration(&selector.range, true)?;
        let boundary = selector.selector.boundary;
        Ok(Placement { fixed, offset, range, boundary, lookback: self.options.lookback_ms })
    }

    /// The samples of a range selector at a single time.
    pub(crate) fn range_vector(&self, grid: Grid, selector: &MatrixSelector) -> Result<Vec<Series>> {
        let placement = self.placement(selector)?;
        let f = |context: &Context<'_>, data: SeriesData| {
            let data = data.without_stale();
            let mut series = Series { labels: data.labels.clone(), ..Series::default() };
            for_each_window(&data, placement, grid, |_, window| {
                if placement.boundary == Boundary::Plain {
                    series.floats.extend_from_slice(window.floats);
                    series.histograms.extend_from_slice(window.histograms);
                    return Ok(());
                }
                if !window.histograms.is_empty() {
                    return failed("anchored modifier is not supported with histograms");
                }
                series.floats = super::rate::extended(&window);
                Ok(())
            })?;
            context.used(series.samples());
            context.used_at(0, series.samples());
            context.charge(series.samples())?;
            Ok(Some(series))
        };
        collected(|sink| self.each_series(&selector.selector, placement.span(grid), f, sink))
    }
}

/// The latest sample at every step, unless it is older than the lookback or marks the end.
fn current(data: SeriesData, placement: Placement, grid: Grid, aspect: Aspect) -> Series {
    let mut series = Series::default();
    let (mut floats, mut histograms) = (0, 0);
    for t in grid.times() {
        let reference = placement.end(t);
        while data.floats.get(floats).is_some_and(|p| p.t <= reference) {
            floats += 1;
        }
        while data.histograms.get(histograms).is_some_and(|p| p.t <= reference) {
            histograms += 1;
        }
        let oldest = reference.saturating_sub(placement.range);
        let float = floats.checked_sub(1).map(|at| (at, data.floats[at])).filter(|(_, p)| p.t > oldest);
        let histogram =
            histograms.checked_sub(1).map(|at| (at, &data.histograms[at])).filter(|(_, p)| p.t > oldest);
        let (taken, started, sample) = match (float, histogram) {
            (Some((at, f)), h) if h.is_none_or(|(_, h)| h.t < f.t) => {
                if is_stale(f.v) {
                    continue;
                }
                (f.t, data.float_starts.get(at), Sample::Float(f.v))
            }
            (_, Some((at, h))) => {
                if is_stale(h.h.sum) {
                    continue;
                }
                (h.t, data.histogram_starts.get(at), Sample::Histogram(h.h.clone()))
            }
            _ => continue,
        };
        let sample = match aspect {
            Aspect::Value => sample,
            Aspect::Time => Sample::Float(taken as f64 / 1000.0),
            Aspect::Start => match started {
                Some(start) => Sample::Float(*start as f64 / 1000.0),
                None => continue,
            },
        };
        series.push(t, sample);
    }
    series.labels = data.labels;
    series
}

/// The value at every step on the line between the samples around it.
fn smoothed_series(data: SeriesData, placement: Placement, grid: Grid, lookback: i64) -> Result<Series> {
    let data = data.without_stale();
    let mut series = Series { labels: data.labels.clone(), ..Series::default() };
    let around = Placement { boundary: Boundary::Smoothed, range: 0, lookback, ..placement };
    for_each_window(&data, around, grid, |_, window| {
        if !window.histograms.is_empty() {
            return failed("smoothed and anchored modifiers do not work with native histograms");
        }
        let at = window.floats.partition_point(|p| p.t < window.end);
        let before = at.checked_sub(1).and_then(|at| window.floats.get(at));
        let v = match (before, window.floats.get(at)) {
            (_, Some(exact)) if exact.t == window.end => exact.v,
            (Some(before), Some(after)) => interpolated(*before, *after, window.end, false),
            (Some(before), None) => before.v,
            (None, _) => return Ok(()),
        };
        series.floats.push(FloatPoint { t: window.t, v });
        Ok(())
    })?;
    Ok(series)
}

/// Sets every point's value to the step's time: what `timestamp` makes of computed values.
pub(super) fn step_times(mut series: Vec<Series>) -> Vec<Series> {
    for s in &mut series {
        let taken = std::mem::take(&mut s.histograms);
        s.floats.extend(taken.iter().map(|HistogramPoint { t, .. }| FloatPoint { t: *t, v: 0.0 }));
        s.floats.sort_by_key(|p| p.t);
        for point in &mut s.floats {
            point.v = point.t as f64 / 1000.0;
        }
        s.drop_name = true;
    }
    series
}
