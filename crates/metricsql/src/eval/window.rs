//! A window that is moved along the samples of a series.
//!
//! What names no window looks back one step, and those functions that need two samples at least as far as samples of
//! the series are apart.

use super::numbers::quantile;
use luma_promql::Grid;

/// How far before a query samples are read, and how far apart samples are if nothing tells, in milliseconds.
pub(super) const SILENCE_MS: i64 = 300_000;
/// Of how many intervals between samples one is estimated.
const INTERVALS_MAX: usize = 20;

/// The samples of a window, and what is around it.
#[derive(Debug)]
pub(super) struct Window<'a> {
    pub values: &'a [f64],
    /// Milliseconds.
    pub times: &'a [i64],
    /// The sample before, NaN if there is none close enough.
    pub previous: f64,
    pub previous_time: i64,
    /// The sample before however far, NaN if there is none.
    pub real_previous: f64,
    /// The sample behind, NaN if there is none.
    pub real_next: f64,
    /// Its end, and its length.
    pub now: i64,
    pub length: i64,
    /// Which step it is.
    pub index: usize,
}

/// How a function's window is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Milliseconds, 0 for what the step and the samples say.
    pub length: i64,
    /// Whether it may be longer than a step then.
    pub may_grow: bool,
}

/// Calls `f` with the window at each step; its values.
pub(super) fn rolled(
    grid: Grid,
    shape: Shape,
    times: &[i64],
    values: &[f64],
    mut f: impl FnMut(&Window<'_>) -> f64,
) -> Vec<f64> {
    let reach = with_jitter(interval(times));
    let mut length = shape.length;
    if length <= 0 {
        length = grid.step;
        if shape.may_grow && length < reach {
            length = reach;
        }
    }
    let (mut from, mut to) = (0, 0);
    let of = |at: Option<usize>| at.and_then(|at| values.get(at)).copied().unwrap_or(f64::NAN);
    let roll = |(index, now): (usize, i64)| {
        let start = now.saturating_sub(length);
        from += times.get(from..).map_or(0, |rest| rest.partition_point(|t| *t <= start));
        to = to.max(from);
        to += times.get(to..).map_or(0, |rest| rest.partition_point(|t| *t <= now));
        let mut window = Window {
            values: values.get(from..to).unwrap_or_default(),
            times: times.get(from..to).unwrap_or_default(),
            previous: f64::NAN,
            previous_time: start.saturating_sub(reach),
            real_previous: of(from.checked_sub(1)),
            real_next: of(Some(to)),
            now,
            length,
            index,
        };
        let before = from.checked_sub(1).and_then(|at| times.get(at));
        if let Some(t) = before.filter(|t| from < times.len() && **t > window.previous_time) {
            (window.previous, window.previous_time) = (window.real_previous, *t);
        }
        f(&window)
    };
    grid.times().enumerate().map(roll).collect()
}

/// How far samples are apart, about.
fn interval(times: &[i64]) -> i64 {
    let apart = times.windows(2).take(INTERVALS_MAX).map(|two| (two[1] - two[0]) as f64);
    let interval = quantile(0.6, apart) as i64;
    if interval > 0 { interval } else { SILENCE_MS }
}

/// How far two samples may be apart that follow each other.
fn with_jitter(interval: i64) -> i64 {
    interval.saturating_add(match interval {
        i64::MIN..=2_000 => interval.saturating_mul(4),
        2_001..=4_000 => interval * 2,
        4_001..=8_000 => interval,
        8_001..=16_000 => interval / 2,
        16_001..=32_000 => interval / 4,
        _ => interval / 8,
    })
}
