//! Native histograms with fractional counts: what the language computes with.
//!
//! Invariants: the buckets of a side are sorted by index and unique. An exponential histogram has
//! a schema from -4 to 8 and no custom bounds; bucket `i` of schema `s` ends at `2^(i·2^-s)`. A
//! histogram with custom bounds has schema [`CUSTOM_BUCKETS`], no zero bucket and no negative
//! side; bucket `i` ends at bound `i`, the last one at infinity.
//!
//! A bucket takes 16 bytes; buckets that are not there cost nothing.

mod arithmetic;
mod compensated;
mod quantile;
mod reset;
mod trim;

use std::fmt;
use std::sync::Arc;

pub use arithmetic::{Combination, IncompatibleSchemas};
pub(crate) use compensated::{CompensatedSum, RunningMean};
pub(crate) use quantile::{QuantileNote, fraction, quantile};
pub use reset::mark_counter_resets;

use crate::number::format_general;

/// The schema of histograms with custom bounds.
pub const CUSTOM_BUCKETS: i32 = -53;

/// What is known about a counter reset before a histogram sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// Nothing is known: the samples have to be compared.
    #[default]
    Unknown,
    /// The counter was reset before this sample.
    Reset,
    /// The counter was not reset before this sample.
    NotReset,
    /// The histogram is a gauge.
    Gauge,
}

/// How many observations a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Which bucket.
    pub index: i32,
    /// Its own count, not a cumulative one.
    pub count: f64,
}

/// A bucket with its limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundedBucket {
    /// The lower limit.
    pub lower: f64,
    /// The upper limit.
    pub upper: f64,
    /// Whether the lower limit belongs to the bucket.
    pub lower_inclusive: bool,
    /// Whether the upper limit belongs to the bucket.
    pub upper_inclusive: bool,
    /// Its own count.
    pub count: f64,
}

/// A native histogram.
#[derive(Debug, Clone, Default)]
pub struct FloatHistogram {
    /// What is known about a counter reset.
    pub hint: ResetHint,
    /// The resolution, or [`CUSTOM_BUCKETS`].
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// The sum of the observed values.
    pub sum: f64,
    /// Buckets of positive values, or all buckets if the bounds are custom.
    pub positive: Vec<Bucket>,
    /// Buckets of negative values.
    pub negative: Vec<Bucket>,
    /// The upper bounds of custom buckets.
    pub custom_bounds: Arc<[f64]>,
}

impl FloatHistogram {
    /// Whether the buckets have custom bounds.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// Buckets from spans (a gap before each run and its length) and the counts of all runs.
    /// Counts beyond the spans, and spans beyond the counts, are left out.
    pub fn buckets_of_spans(spans: &[(i32, u32)], counts: &[f64]) -> Vec<Bucket> {
        let mut buckets = Vec::with_capacity(counts.len());
        let mut counts = counts.iter();
        let mut index = 0i32;
        'spans: for (offset, length) in spans {
            index = index.saturating_add(*offset);
            for _ in 0..*length {
                let Some(count) = counts.next() else { break 'spans };
                buckets.push(Bucket { index, count: *count });
                index = index.saturating_add(1);
            }
        }
        buckets
    }

    /// The same observations reduced to count, sum and hint.
    pub(crate) fn statistics(&self, hint: ResetHint) -> Self {
        Self {
            hint,
            schema: self.schema,
            count: self.count,
            sum: self.sum,
            custom_bounds: self.custom_bounds.clone(),
            ..Self::default()
        }
    }

    /// What the histogram counts against the limit of samples.
    pub(crate) fn samples(&self) -> usize {
        let bytes = 176 + 16 * (self.positive.len() + self.negative.len()) + 8 * self.custom_bounds.len();
        bytes / 16
    }

    fn bucket(&self, bucket: Bucket, positive: bool) -> BoundedBucket {
        let count = bucket.count;
        if self.uses_custom_buckets() {
            let bound = |at: i64| usize::try_from(at).ok().and_then(|at| self.custom_bounds.get(at).copied());
            let at = i64::from(bucket.index);
            return BoundedBucket {
                lower: if at <= 0 { f64::NEG_INFINITY } else { bound(at - 1).unwrap_or(f64::INFINITY) },
                upper: bound(at).unwrap_or(f64::INFINITY),
                lower_inclusive: at <= 0,
                upper_inclusive: true,
                count,
            };
        }
        let far = exponential_bound(bucket.index, self.schema);
        let near = exponential_bound(bucket.index.saturating_sub(1), self.schema);
        if positive {
            BoundedBucket { lower: near, upper: far, lower_inclusive: false, upper_inclusive: true, count }
        } else {
            BoundedBucket { lower: -far, upper: -near, lower_inclusive: true, upper_inclusive: false, count }
        }
    }

    /// The positive buckets with their limits, away from zero.
    pub(crate) fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = BoundedBucket> {
        self.positive.iter().map(|b| self.bucket(*b, true))
    }

    /// The negative buckets with their limits, away from zero.
    pub(crate) fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = BoundedBucket> {
        self.negative.iter().map(|b| self.bucket(*b, false))
    }

    /// The zero bucket.
    pub(crate) fn zero_bucket(&self) -> BoundedBucket {
        BoundedBucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets in ascending order; those that reach into the zero bucket are cut at it.
    pub fn all_buckets(&self) -> Vec<BoundedBucket> {
        let threshold = self.zero_threshold;
        let mut all = Vec::with_capacity(self.positive.len() + self.negative.len() + 1);
        all.extend(self.negative_buckets().rev());
        if self.zero_count > 0.0 {
            all.push(self.zero_bucket());
        }
        all.extend(self.positive_buckets());
        for bucket in &mut all {
            if bucket.upper < 0.0 && bucket.upper > -threshold {
                bucket.upper = -threshold;
            } else if bucket.lower > 0.0 && bucket.lower < threshold {
                bucket.lower = threshold;
            }
        }
        all
    }

    /// Removes empty buckets.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.positive.retain(|b| b.count != 0.0);
        self.negative.retain(|b| b.count != 0.0);
        self
    }

    /// Whether two histograms hold the same data, bit for bit; hints are not compared.
    pub fn same_data(&self, other: &Self) -> bool {
        let bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let side = |a: &[Bucket], b: &[Bucket]| {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.index == y.index && bits(x.count, y.count))
        };
        self.schema == other.schema
            && bits(self.count, other.count)
            && bits(self.sum, other.sum)
            && (!self.uses_custom_buckets() || self.custom_bounds == other.custom_bounds)
            && self.zero_threshold == other.zero_threshold
            && bits(self.zero_count, other.zero_count)
            && side(&self.positive, &other.positive)
            && side(&self.negative, &other.negative)
    }
}

/// The upper limit of bucket `index` in an exponential schema.
pub(crate) fn exponential_bound(index: i32, schema: i32) -> f64 {
    let index = i64::from(index);
    if schema <= 0 {
        let exponent = index << (-schema).clamp(0, 4);
        return power_of_two(exponent);
    }
    let schema = schema.min(8);
    let per_power = 1i64 << schema;
    let whole = index.div_euclid(per_power);
    let fraction = index.rem_euclid(per_power);
    if fraction == 0 {
        return power_of_two(whole);
    }
    (fraction as f64 / per_power as f64).exp2() * power_of_two(whole)
}

fn power_of_two(exponent: i64) -> f64 {
    // The bucket that ends at 2^1024 holds the largest finite values.
    if exponent == 1024 {
        return f64::MAX;
    }
    2f64.powi(exponent.clamp(-1100, 1100) as i32)
}

impl fmt::Display for BoundedBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{},{}{}:{}",
            if self.lower_inclusive { '[' } else { '(' },
            format_general(self.lower),
            format_general(self.upper),
            if self.upper_inclusive { ']' } else { ')' },
            format_general(self.count)
        )
    }
}

impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_general(self.count), format_general(self.sum))?;
        let zero = (self.zero_count != 0.0).then(|| self.zero_bucket());
        let all = self.negative_buckets().rev().chain(zero).chain(self.positive_buckets());
        for bucket in all.filter(|b| b.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_powers_the_schema_says() {
        assert_eq!(exponential_bound(0, 0), 1.0);
        assert_eq!(exponential_bound(3, 0), 8.0);
        assert_eq!(exponential_bound(-2, 0), 0.25);
        assert_eq!(exponential_bound(1, -1), 4.0);
        assert_eq!(exponential_bound(4, 2), 2.0);
        assert_eq!(exponential_bound(-8, 3), 0.5);
        assert!((exponential_bound(1, 1) - 2f64.sqrt()).abs() < 1e-15);
        assert_eq!(exponential_bound(1024, 0), f64::MAX);
    }

    #[test]
    fn spans_that_do_not_fit_the_counts_are_cut() {
        let buckets = FloatHistogram::buckets_of_spans(&[(1, 2), (3, 4_000_000_000)], &[1.0, 2.0, 3.0]);
        let indices: Vec<i32> = buckets.iter().map(|b| b.index).collect();
        assert_eq!(indices, [1, 2, 6]);
    }

    #[test]
    fn a_histogram_is_written_from_its_lowest_bucket() {
        let histogram = FloatHistogram {
            count: 7.0,
            sum: 2.5,
            zero_count: 1.0,
            zero_threshold: 0.001,
            positive: vec![Bucket { index: 1, count: 2.0 }],
            negative: vec![Bucket { index: 0, count: 4.0 }],
            ..FloatHistogram::default()
        };
        assert_eq!(histogram.to_string(), "{count:7, sum:2.5, [-1,-0.5):4, [-0.001,0.001]:1, (1,2]:2}");
    }
}
