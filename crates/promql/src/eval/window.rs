//! A window that moves along one series.

use std::ops::Range;

use crate::ast::Boundary;
use crate::source::SeriesData;
use crate::value::{FloatPoint, HistogramPoint};

use super::Grid;

/// Where the window of a step lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement {
    /// The time that takes the step's place.
    pub fixed: Option<i64>,
    /// How far back, in milliseconds.
    pub offset: i64,
    /// How long, in milliseconds.
    pub range: i64,
    /// How the ends are treated.
    pub boundary: Boundary,
    /// How far samples beyond the ends are looked for, in milliseconds.
    pub lookback: i64,
}

impl Placement {
    fn before(self) -> i64 {
        if self.boundary == Boundary::Plain { 0 } else { self.lookback }
    }

    fn after(self) -> i64 {
        if self.boundary == Boundary::Smoothed { self.lookback } else { 0 }
    }

    /// The end of a step's window.
    pub fn end(self, t: i64) -> i64 {
        self.fixed.unwrap_or(t).saturating_sub(self.offset)
    }

    /// The first and last millisecond that a grid's windows look at.
    pub fn span(self, grid: Grid) -> (i64, i64) {
        let first = self.end(grid.start).saturating_sub(self.range).saturating_sub(self.before());
        (first.saturating_add(1), self.end(grid.end).saturating_add(self.after()))
    }

    /// The steps whose windows may have samples of a series: most series of a long query are short.
    pub fn steps(self, data: &SeriesData, grid: Grid) -> Range<usize> {
        let (floats, histograms) = (&data.floats, &data.histograms);
        let first = floats.first().map(|p| p.t).into_iter().chain(histograms.first().map(|p| p.t)).min();
        let last = floats.last().map(|p| p.t).into_iter().chain(histograms.last().map(|p| p.t)).max();
        let (Some(first), Some(last)) = (first, last) else { return 0..0 };
        let steps = 0..grid.len();
        if self.fixed.is_some() {
            return steps;
        }
        let wide = i128::from;
        let earliest = wide(first) + wide(self.offset) - wide(self.after());
        let latest = wide(last) + wide(self.offset) + wide(self.range) + wide(self.before());
        let step_of = |t: i128| (t - wide(grid.start)).div_euclid(wide(grid.step.max(1)));
        let at = |step: i128| usize::try_from(step.max(0)).unwrap_or(usize::MAX).min(steps.end);
        // The first at or behind the earliest, up to the last before the latest.
        let begin = at(step_of(earliest - 1) + 1);
        begin..at(step_of(latest) + 1).max(begin)
    }
}

/// The samples of one step: those behind `start`, up to `end`. With an anchored or smoothed
/// boundary also those around.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'w> {
    /// The time of the step.
    pub t: i64,
    /// The window's start.
    pub start: i64,
    /// The window's end.
    pub end: i64,
    /// How the ends are treated.
    pub boundary: Boundary,
    pub floats: &'w [FloatPoint],
    /// Which of the series' numbers comes first here.
    pub first_float: usize,
    pub float_starts: &'w [i64],
    pub histograms: &'w [HistogramPoint],
    pub histogram_starts: &'w [i64],
}

impl Window<'_> {
    /// The window's length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }
}

/// Calls `f` with the window of every step that has a sample in it. Each end moves along the series
/// once: windows cost no more than their functions.
pub(super) fn for_each_window<E>(
    data: &SeriesData,
    placement: Placement,
    grid: Grid,
    mut f: impl FnMut(usize, Window<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut floats, mut histograms) = ((0, 0), (0, 0));
    let steps = placement.steps(data, grid);
    for (step, t) in steps.clone().zip(grid.times_from(steps.start)) {
        let end = placement.end(t);
        let start = end.saturating_sub(placement.range);
        let after = start.saturating_sub(placement.before());
        let until = end.saturating_add(placement.after());
        floats = moved(floats, &data.floats, |p| p.t, after, until);
        histograms = moved(histograms, &data.histograms, |p| p.t, after, until);
        let window = Window {
            t,
            start,
            end,
            boundary: placement.boundary,
            floats: &data.floats[floats.0..floats.1],
            first_float: floats.0,
            float_starts: data.float_starts.get(floats.0..floats.1).unwrap_or_default(),
            histograms: &data.histograms[histograms.0..histograms.1],
            histogram_starts: data.histogram_starts.get(histograms.0..histograms.1).unwrap_or_default(),
        };
        if !window.floats.is_empty() || !window.histograms.is_empty() {
            f(step, window)?;
        }
    }
    Ok(())
}

/// Where a window lies on a series whose last one lay before.
pub(super) fn moved<P>(
    (mut from, mut to): (usize, usize),
    points: &[P],
    time: impl Fn(&P) -> i64,
    after: i64,
    until: i64,
) -> (usize, usize) {
    while points.get(to).is_some_and(|p| time(p) <= until) {
        to += 1;
    }
    while from < to && time(&points[from]) <= after {
        from += 1;
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_window_holds_exactly_its_samples(
            times in proptest::collection::btree_set(-200i64..200, 0..60),
            start in -100i64..100,
            length in 0i64..150,
            step in 1i64..40,
            range in 1i64..90,
            offset in -50i64..50,
        ) {
            let floats: Vec<FloatPoint> = times.iter().map(|t| FloatPoint { t: *t, v: 0.0 }).collect();
            let data = SeriesData { floats, ..SeriesData::default() };
            let grid = Grid { start, end: start + length, step };
            let placement = Placement { fixed: None, offset, range, boundary: Boundary::Plain, lookback: 10 };
            let mut seen = Vec::new();
            let done: Result<(), ()> = for_each_window(&data, placement, grid, |step, window| {
                seen.push((step, window.floats.iter().map(|p| p.t).collect::<Vec<_>>()));
                Ok(())
            });
            prop_assert!(done.is_ok());
            let expected: Vec<(usize, Vec<i64>)> = grid
                .times()
                .enumerate()
                .map(|(at, t)| {
                    let end = t - offset;
                    (at, times.iter().copied().filter(|s| *s > end - range && *s <= end).collect::<Vec<_>>())
                })
                .filter(|(_, samples)| !samples.is_empty())
                .collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
