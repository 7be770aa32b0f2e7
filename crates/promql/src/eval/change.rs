//! How numbers change over windows that move along a series: `rate`, `increase` and, for gauges, `delta`.

use crate::source::SeriesData;
use crate::value::FloatPoint;

use super::Grid;
use super::rate::starts_anew_at;
use super::window::{Placement, moved};

/// What is asked of the change over a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// Whether a fall is a reset.
    pub counter: bool,
    /// Whether it is divided by the window's length.
    pub per_second: bool,
}

/// The numbers of a window: at least two, and those before which the counter was reset, by their places.
struct Numbers<'w, R> {
    floats: &'w [FloatPoint],
    resets: R,
}

impl Change {
    /// What a function asks, if it is one of these.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "rate" => Some(Self { counter: true, per_second: true }),
            "increase" => Some(Self { counter: true, per_second: false }),
            "delta" => Some(Self { counter: false, per_second: false }),
            _ => None,
        }
    }

    /// The change at every step whose window has two numbers, for plain windows of a series of numbers. `seen` is told of each window with a number how many there are.
    pub fn along(
        self,
        data: &SeriesData,
        placement: Placement,
        grid: Grid,
        mut seen: impl FnMut(usize, usize),
    ) -> Vec<FloatPoint> {
        let floats = &data.floats[..];
        let resets = if self.counter { resets(floats, &data.float_starts) } else { Vec::new() };
        let mut later_resets = &resets[..];
        let steps = placement.steps(data, grid);
        let mut changes = Vec::with_capacity(steps.len());
        let (mut from, mut to) = (0, 0);
        for (step, t) in steps.clone().zip(grid.times_from(steps.start)) {
            let end = placement.end(t);
            let start = end.saturating_sub(placement.range);
            (from, to) = moved((from, to), floats, |p| p.t, start, end);
            let window = &floats[from..to];
            if window.is_empty() {
                continue;
            }
            seen(step, window.len());
            if window.len() < 2 {
                continue;
            }
            // A window's first sample has none before it.
            while let [first, rest @ ..] = later_resets
                && *first <= from
            {
                later_resets = rest;
            }
            let resets = later_resets.iter().map(|at| at - from);
            let v = self.over(Numbers { floats: window, resets }, (start, end));
            changes.push(FloatPoint { t, v });
        }
        changes
    }

    /// The change over one window of a series that has more than numbers.
    pub fn within(self, floats: &[FloatPoint], starts: &[i64], ends: (i64, i64)) -> Option<f64> {
        let resets = if self.counter { resets(floats, starts) } else { Vec::new() };
        (floats.len() > 1).then(|| self.over(Numbers { floats, resets: resets.into_iter() }, ends))
    }

    fn over(self, numbers: Numbers<'_, impl Iterator<Item = usize>>, ends: (i64, i64)) -> f64 {
        let floats = numbers.floats;
        let (first, last) = (floats[0], floats[floats.len() - 1]);
        let mut change = last.v - first.v;
        for at in numbers.resets.take_while(|at| *at < floats.len()) {
            change += floats[at - 1].v;
        }
        let zero = (self.counter && change > 0.0 && first.v >= 0.0).then(|| first.v / change);
        change * self.factor(ends, (first.t, last.t), floats.len(), zero)
    }

    /// What the change between the first and last sample is multiplied by for the change over the window from `start` to `end`:
    /// a series that reaches nearly to an end of the window is taken to reach on to it, another to end
    /// half a sampling interval beyond its samples. A counter does not reach back beyond where it was
    /// zero: `zero` is that distance in lengths of the sampled time.
    pub fn factor(
        self,
        (start, end): (i64, i64),
        (first, last): (i64, i64),
        samples: usize,
        zero: Option<f64>,
    ) -> f64 {
        let mut to_start = (first - start) as f64 / 1000.0;
        let mut to_end = (end - last) as f64 / 1000.0;
        let sampled = (last - first) as f64 / 1000.0;
        let between = sampled / (samples - 1) as f64;
        let threshold = between * 1.1;
        if to_start >= threshold {
            to_start = between / 2.0;
        }
        if let Some(zero) = zero {
            let to_zero = sampled * zero;
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if to_end >= threshold {
            to_end = between / 2.0;
        }
        let factor = (sampled + to_start + to_end) / sampled;
        if self.per_second { factor / ((end - start) as f64 / 1000.0) } else { factor }
    }
}

/// The numbers before which the counter was reset, by their places.
fn resets(floats: &[FloatPoint], starts: &[i64]) -> Vec<usize> {
    let fell = floats.windows(2).map(|two| two[1].v < two[0].v);
    let is_reset = |(at, fell): (usize, bool)| {
        (fell || starts_anew_at(starts, |at| floats[at].t, at + 1)).then_some(at + 1)
    };
    fell.enumerate().filter_map(is_reset).collect()
}
