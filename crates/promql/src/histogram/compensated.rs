//! Sums and means of histograms with compensated (Kahan–Neumaier) summation.

use super::arithmetic::merge;
use super::{Combination, FloatHistogram, IncompatibleSchemas};
use crate::summation::add_compensated;

/// A running sum with what rounding has lost so far.
#[derive(Debug, Clone)]
pub(crate) struct CompensatedSum {
    sum: FloatHistogram,
    lost: FloatHistogram,
}

impl CompensatedSum {
    pub fn new(first: &FloatHistogram) -> Self {
        let lost = FloatHistogram {
            hint: first.hint,
            schema: first.schema,
            zero_threshold: first.zero_threshold,
            custom_bounds: first.custom_bounds.clone(),
            ..FloatHistogram::default()
        };
        Self { sum: first.clone(), lost }
    }

    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combination, IncompatibleSchemas> {
        let mut noticed = Combination::default();
        let aligned = self.sum.align(other, Some(&mut self.lost), &mut noticed)?;
        let (sum, lost) = (&mut self.sum, &mut self.lost);
        (sum.zero_count, lost.zero_count) =
            add_compensated(aligned.zero_count, sum.zero_count, lost.zero_count);
        (sum.count, lost.count) = add_compensated(other.count, sum.count, lost.count);
        (sum.sum, lost.sum) = add_compensated(other.sum, sum.sum, lost.sum);
        for (own, lost, theirs) in [
            (&mut sum.positive, &mut lost.positive, &aligned.positive),
            (&mut sum.negative, &mut lost.negative, &aligned.negative),
        ] {
            // Both sides get every bucket of the other, so that they can be walked together.
            merge(own, theirs, |own, _| own);
            merge(lost, own, |lost, _| lost);
            merge(own, lost, |own, _| own);
            let mut theirs = theirs.iter().peekable();
            for (own, lost) in own.iter_mut().zip(lost.iter_mut()) {
                if let Some(their) = theirs.next_if(|b| b.index == own.index) {
                    (own.count, lost.count) = add_compensated(their.count, own.count, lost.count);
                }
            }
        }
        Ok(noticed)
    }

    fn scale(&mut self, factor: f64) {
        self.sum.scale(factor);
        self.lost.scale(factor);
    }

    fn divide(&mut self, divisor: f64) {
        self.sum.divide(divisor);
        self.lost.divide(divisor);
    }

    /// The sum with what was lost.
    pub fn finish(self) -> FloatHistogram {
        let hint = self.sum.hint;
        let mut sum = self.sum;
        // Same layout by construction.
        if sum.add(&self.lost).is_ok() {
            sum.hint = hint;
        }
        sum
    }

    fn overflows(&self) -> bool {
        let sum = &self.sum;
        sum.zero_count.is_infinite()
            || sum.count.is_infinite()
            || sum.sum.is_infinite()
            || sum.positive.iter().chain(&sum.negative).any(|b| b.count.is_infinite())
    }
}

/// A mean that sums as long as the sum fits into the numbers there are, and goes on from mean to
/// mean from then on.
#[derive(Debug, Clone)]
pub(crate) struct RunningMean {
    total: CompensatedSum,
    count: f64,
    incremental: bool,
}

impl RunningMean {
    pub fn new(first: &FloatHistogram) -> Self {
        Self { total: CompensatedSum::new(first), count: 1.0, incremental: false }
    }

    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combination, IncompatibleSchemas> {
        self.count += 1.0;
        if !self.incremental {
            let mut tried = self.total.clone();
            let noticed = tried.add(other)?;
            if !tried.overflows() {
                self.total = tried;
                return Ok(noticed);
            }
            self.incremental = true;
            self.total.divide(self.count - 1.0);
        }
        self.total.scale((self.count - 1.0) / self.count);
        let mut part = other.clone();
        part.divide(self.count);
        self.total.add(&part)
    }

    pub fn finish(mut self) -> FloatHistogram {
        if !self.incremental {
            self.total.divide(self.count);
        }
        self.total.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Bucket;
    use super::*;

    fn of(count: f64, sum: f64) -> FloatHistogram {
        let positive = vec![Bucket { index: 0, count: sum }];
        FloatHistogram { count, sum, positive, ..FloatHistogram::default() }
    }

    #[test]
    fn what_a_large_value_would_swallow_survives() {
        let mut sum = CompensatedSum::new(&of(1.0, 1.0));
        for value in [1e100, 1.0, -1e100] {
            sum.add(&of(1.0, value)).unwrap();
        }
        let sum = sum.finish();
        assert_eq!(sum.sum, 2.0);
        assert_eq!(sum.positive[0].count, 2.0);
    }

    #[test]
    fn a_mean_of_values_whose_sum_overflows_is_finite() {
        let mut mean = RunningMean::new(&of(f64::MAX, 1.0));
        mean.add(&of(f64::MAX, 3.0)).unwrap();
        let mean = mean.finish();
        assert!((mean.count / f64::MAX - 1.0).abs() < 1e-12);
        assert_eq!(mean.sum, 2.0);
    }
}
