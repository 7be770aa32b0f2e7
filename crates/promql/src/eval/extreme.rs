//! The largest or the smallest number in a window that moves along a series.
//!
//! A sample that a later one beats is forgotten, as it leaves the window earlier. So each is looked at once, however
//! much the windows of steps overlap.

use std::collections::VecDeque;

use crate::value::FloatPoint;

/// Samples that may still be the extreme of a window, each with its place in the series; each beats all behind it or equals the
/// next.
#[derive(Debug, Default)]
pub(super) struct MovingExtreme {
    candidates: VecDeque<(usize, f64)>,
    next: usize,
}

impl MovingExtreme {
    /// The number in a window that no other beats, of several such the first; NaN if there is no number. `first` is the place of
    /// the window's first sample in its series, which never falls from call to call.
    pub fn of(&mut self, window: &[FloatPoint], first: usize, beats: impl Fn(f64, f64) -> bool) -> f64 {
        while self.candidates.front().is_some_and(|(at, _)| *at < first) {
            self.candidates.pop_front();
        }
        let seen = self.next.saturating_sub(first);
        for (at, point) in window.iter().enumerate().skip(seen).filter(|(_, point)| !point.v.is_nan()) {
            while self.candidates.back().is_some_and(|(_, v)| beats(point.v, *v)) {
                self.candidates.pop_back();
            }
            self.candidates.push_back((first + at, point.v));
        }
        self.next = self.next.max(first + window.len());
        self.candidates.front().map_or(f64::NAN, |(_, v)| *v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_moving_extreme_is_that_of_each_window_by_itself(
            values in proptest::collection::vec(
                prop_oneof![4 => (-3i8..4).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(-0.0), 1 => Just(f64::INFINITY)], 1..60),
            moves in proptest::collection::vec((0usize..4, 0usize..6), 1..60),
        ) {
            let points: Vec<_> = values.iter().map(|v| FloatPoint { t: 0, v: *v }).collect();
            let (mut from, mut to) = (0, 0);
            let (mut largest, mut smallest) = (MovingExtreme::default(), MovingExtreme::default());
            for (back, front) in moves {
                to = (to + front).min(points.len());
                from = (from + back).min(to);
                let of = |beats: fn(f64, f64) -> bool| {
                    let beaten = |best: f64, v: f64| if beats(v, best) || best.is_nan() { v } else { best };
                    values[from..to].iter().copied().fold(f64::NAN, beaten).to_bits()
                };
                let window = &points[from..to];
                let largest = largest.of(window, from, |v, so_far| v > so_far);
                let smallest = smallest.of(window, from, |v, so_far| v < so_far);
                prop_assert!(largest.is_nan() || largest.to_bits() == of(|v, so_far| v > so_far));
                prop_assert!(smallest.is_nan() || smallest.to_bits() == of(|v, so_far| v < so_far));
                prop_assert_eq!(largest.is_nan(), values[from..to].iter().all(|v| v.is_nan()));
            }
        }
    }
}
