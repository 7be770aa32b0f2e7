//! Means and variances that do not lose digits.

use crate::summation::add_compensated;

/// A mean that sums as long as the sum is finite, and goes on from mean to mean from then on.
#[derive(Debug, Clone, Copy)]
pub(super) struct FloatMean {
    sum: f64,
    mean: f64,
    lost: f64,
    count: f64,
    incremental: bool,
}

impl FloatMean {
    pub fn new(first: f64) -> Self {
        Self { sum: first, mean: first, lost: 0.0, count: 1.0, incremental: false }
    }

    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let (sum, lost) = add_compensated(value, self.sum, self.lost);
            if !sum.is_infinite() {
                (self.sum, self.lost) = (sum, lost);
                return;
            }
            self.incremental = true;
            self.mean = self.sum / (self.count - 1.0);
            self.lost /= self.count - 1.0;
        }
        let keep = (self.count - 1.0) / self.count;
        (self.mean, self.lost) = add_compensated(value / self.count, keep * self.mean, keep * self.lost);
    }

    pub fn finish(self) -> f64 {
        if self.incremental { self.mean + self.lost } else { self.sum / self.count + self.lost / self.count }
    }
}

/// The variance of numbers.
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut mean_lost, mut squares, mut squares_lost) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_lost);
        (mean, mean_lost) = add_compensated(delta / count, mean, mean_lost);
        let square = delta * (value - (mean + mean_lost));
        (squares, squares_lost) = add_compensated(square, squares, squares_lost);
    }
    (squares + squares_lost) / count
}

/// A quantile of numbers, on the line between the two nearest; the numbers are sorted in place.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN counts as the smallest.
    values.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.total_cmp(b),
    });
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_numbers_whose_sum_overflows_is_finite() {
        let mut mean = FloatMean::new(f64::MAX);
        mean.add(f64::MAX);
        mean.add(f64::MAX);
        assert!((mean.finish() / f64::MAX - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_quantile_lies_between_its_neighbours_and_nan_is_smallest() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert!(quantile(0.0, &mut [3.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [3.0, f64::NAN]), 3.0);
        assert_eq!(quantile(-0.1, &mut [1.0]), f64::NEG_INFINITY);
    }
}
