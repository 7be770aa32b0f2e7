//! The largest or the smallest number in a window that moves along a series.
//!
//! A window's samples are those that were there when it was last looked at as a whole, of which only some can still become the
//! extreme, and those that came since, of which the extreme so far is known. So each sample is looked at twice,
//! however much the windows of steps overlap, and mostly only compared.

use crate::value::FloatPoint;

/// What is known of the window before.
#[derive(Debug, Default)]
pub(super) struct MovingExtreme {
    /// Of the older part, those that no later one of it beats or equals, the earliest last; each with its place in the series.
    older: Vec<(usize, f64)>,
    /// The place behind the older part.
    newer_from: usize,
    /// The extreme of the newer part; NaN if it has no number.
    newer: f64,
    /// The place behind the window.
    seen: usize,
}

impl MovingExtreme {
    /// The number in a window that no other beats, of several such the first; NaN if there is no number. `first` is the place of
    /// the window's first sample in its series, which never falls from call to call.
    pub fn of(&mut self, window: &[FloatPoint], first: usize, beats: impl Fn(f64, f64) -> bool) -> f64 {
        let end = first + window.len();
        let of = |from: usize, to: usize| window.get(from - first..to - first).unwrap_or_default();
        self.seen = self.seen.max(first);
        if first >= self.newer_from {
            // Nothing of the older part is left: what was newer becomes that.
            self.older.clear();
            for (at, point) in of(first, self.seen).iter().enumerate().rev() {
                let is_beaten = |(_, best): &(usize, f64)| beats(*best, point.v);
                if !point.v.is_nan() && !self.older.last().is_some_and(is_beaten) {
                    self.older.push((first + at, point.v));
                }
            }
            (self.newer_from, self.newer) = (self.seen, f64::NAN);
        }
        while self.older.last().is_some_and(|(at, _)| *at < first) {
            self.older.pop();
        }
        for point in of(self.seen, end) {
            if beats(point.v, self.newer) || self.newer.is_nan() {
                self.newer = point.v;
            }
        }
        self.seen = end;
        match self.older.last() {
            Some((_, v)) if !beats(self.newer, *v) => *v,
            _ => self.newer,
        }
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
