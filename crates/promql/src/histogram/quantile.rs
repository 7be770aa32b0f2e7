//! Quantiles and fractions of native histograms.
//!
//! Within a bucket the observations are taken as spread evenly on a logarithmic scale, in the
//! zero bucket and in custom buckets on a linear one.

use super::{BoundedBucket, FloatHistogram};

/// What to say about a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuantileNote {
    /// Observations of NaN make the result NaN.
    NanResult,
    /// Observations of NaN push the result up.
    NanSkew,
}

/// Observations of NaN are in no fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FractionNote;

pub(crate) fn quantile(q: f64, h: &FloatHistogram) -> (f64, Option<QuantileNote>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // NaN observations are counted but in no bucket, so only counting from below finds the rank.
    let forward = h.sum.is_nan() || q < 0.5;
    let mut buckets = h.all_buckets();
    if !forward {
        buckets.reverse();
    }
    let mut rank = if forward { q * h.count } else { (1.0 - q) * h.count };
    let mut count = 0.0;
    let mut bucket =
        BoundedBucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0 };
    let mut rest = buckets.iter();
    for next in rest.by_ref() {
        bucket = *next;
        count += bucket.count;
        if bucket.count != 0.0 && count >= rank {
            break;
        }
    }
    if h.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        bias_zero_bucket(&mut bucket, h);
    }
    let count_all = count.min(h.count);
    if count_all < rank {
        if h.sum.is_nan() {
            return (f64::NAN, Some(QuantileNote::NanResult));
        }
        return (bucket.upper, None);
    }
    rank = if forward { rank - (count_all - bucket.count) } else { count_all - rank };
    let note = (h.sum.is_nan() && count + rest.map(|b| b.count).sum::<f64>() < h.count)
        .then_some(QuantileNote::NanSkew);
    let share = rank / bucket.count;
    if h.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * share, note);
    }
    let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let value = if bucket.lower > 0.0 {
        (low + (high - low) * share).exp2()
    } else {
        -(high + (low - high) * (1.0 - share)).exp2()
    };
    (value, note)
}

/// A histogram with values on one side only has them on that side of its zero bucket, too.
pub(super) fn bias_zero_bucket(bucket: &mut BoundedBucket, h: &FloatHistogram) {
    if h.negative.is_empty() && !h.positive.is_empty() {
        bucket.lower = 0.0;
    } else if h.positive.is_empty() && !h.negative.is_empty() {
        bucket.upper = 0.0;
    }
}

pub(crate) fn fraction(lower: f64, upper: f64, h: &FloatHistogram) -> (f64, Option<FractionNote>) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let mut rank = 0.0;
    let (mut lower_rank, mut upper_rank) = (None, None);
    let buckets = h.all_buckets();
    for bucket in &buckets {
        let mut b = *bucket;
        let zero = b.lower <= 0.0 && b.upper >= 0.0;
        if zero {
            bias_zero_bucket(&mut b, h);
        }
        let linear = h.uses_custom_buckets() || zero;
        let rank_of = |value: f64, set: &mut Option<f64>| {
            if set.is_some() {
                return;
            }
            if b.lower >= value {
                *set = Some(rank);
            } else if b.upper > value {
                *set = Some(if linear {
                    rank_linear(&b, rank, value)
                } else {
                    rank_exponential(&b, rank, value)
                });
            }
        };
        rank_of(lower, &mut lower_rank);
        rank_of(upper, &mut upper_rank);
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += b.count;
    }
    let (mut count, mut note) = (h.count, None);
    if h.sum.is_nan() {
        count = buckets.iter().map(|b| b.count).sum();
        note = (count < h.count).then_some(FractionNote);
    }
    let capped = |rank: Option<f64>| rank.filter(|r| *r <= count).unwrap_or(count);
    ((capped(upper_rank) - capped(lower_rank)) / h.count, note)
}

fn rank_linear(b: &BoundedBucket, rank: f64, value: f64) -> f64 {
    // Nothing can be said about where in an endless bucket the values lie.
    if b.lower == f64::NEG_INFINITY {
        return b.count;
    }
    rank + b.count * (value - b.lower) / (b.upper - b.lower)
}

fn rank_exponential(b: &BoundedBucket, rank: f64, value: f64) -> f64 {
    rank + b.count * exponential_share(b, value)
}

/// Which share of a bucket's observations lies below a value within it.
pub(super) fn exponential_share(b: &BoundedBucket, value: f64) -> f64 {
    let (low, high) = (b.lower.abs().log2(), b.upper.abs().log2());
    let at = value.abs().log2();
    if value > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) }
}
