//! `</` and `>/`: the part of a histogram below or above a value.
//!
//! Buckets that the value cuts are divided as quantiles divide them. The sum of what remains is
//! estimated from the middles of the remaining parts; a histogram of which nothing is cut off
//! keeps its sum.

use super::quantile::{bias_zero_bucket, exponential_share};
use super::{BoundedBucket, FloatHistogram};

/// What remains of a bucket: a count and the middle of where it lies.
struct Kept {
    count: f64,
    middle: f64,
}

impl FloatHistogram {
    /// The observations below the limit (`below`), or above it.
    #[must_use]
    pub(crate) fn trimmed(&self, limit: f64, below: bool) -> Self {
        let mut out = self.clone();
        let mut sum = 0.0;
        let mut count = 0.0;
        let mut cut = false;
        let mut keep = |own: f64, kept: Kept| {
            if kept.count != own {
                cut = true;
            }
            if kept.count != 0.0 {
                sum += kept.count * kept.middle;
            }
            count += kept.count;
            kept.count
        };
        for (bucket, bounded) in out.positive.iter_mut().zip(self.positive_buckets()) {
            let kept = if self.uses_custom_buckets() {
                linear(&bounded, limit, below)
            } else {
                exponential(&bounded, limit, below)
            };
            bucket.count = keep(bounded.count, kept);
        }
        for (bucket, bounded) in out.negative.iter_mut().zip(self.negative_buckets()) {
            bucket.count = keep(bounded.count, exponential(&bounded, limit, below));
        }
        if self.zero_count > 0.0 {
            let mut zero = self.zero_bucket();
            bias_zero_bucket(&mut zero, self);
            out.zero_count = keep(self.zero_count, linear(&zero, limit, below));
        }
        out.count = count;
        if !cut {
            return self.clone().compacted();
        }
        out.sum = if count == 0.0 { 0.0 } else { sum };
        out.compacted()
    }
}

fn exponential(b: &BoundedBucket, limit: f64, below: bool) -> Kept {
    let middle = |from: f64, to: f64| (from.abs() * to.abs()).sqrt().copysign(b.lower + b.upper);
    divided(b, limit, below, |value| exponential_share(b, value), middle)
}

fn linear(b: &BoundedBucket, limit: f64, below: bool) -> Kept {
    if b.lower.is_infinite() || b.upper.is_infinite() {
        return endless(b, limit, below);
    }
    let share = |value: f64| (value - b.lower) / (b.upper - b.lower);
    divided(b, limit, below, share, f64::midpoint)
}

fn divided(
    b: &BoundedBucket,
    limit: f64,
    below: bool,
    share: impl Fn(f64) -> f64,
    middle: impl Fn(f64, f64) -> f64,
) -> Kept {
    let whole = Kept { count: b.count, middle: middle(b.lower, b.upper) };
    let nothing = Kept { count: 0.0, middle: 0.0 };
    if limit >= b.upper {
        return if below { whole } else { nothing };
    }
    if limit <= b.lower {
        return if below { nothing } else { whole };
    }
    let under = b.count * share(limit);
    if below {
        Kept { count: under, middle: middle(b.lower, limit) }
    } else {
        Kept { count: b.count - under, middle: middle(limit, b.upper) }
    }
}

/// A custom bucket without a lower or an upper limit. One from minus infinity to a positive bound
/// is taken to start at zero, as everywhere else; otherwise its values are as near to the finite
/// bound as the limit lets them.
fn endless(b: &BoundedBucket, limit: f64, below: bool) -> Kept {
    let nothing = Kept { count: 0.0, middle: 0.0 };
    let all = |middle: f64| Kept { count: b.count, middle };
    let bounded_above = b.upper.is_finite();
    if b.lower == f64::NEG_INFINITY {
        let usual = if !bounded_above {
            0.0
        } else if b.upper > 0.0 {
            b.upper / 2.0
        } else {
            b.upper
        };
        return match below {
            true if limit >= b.upper => all(usual),
            false if limit == f64::NEG_INFINITY => all(usual),
            true if limit.is_infinite() => nothing,
            _ if bounded_above && b.upper > limit && limit >= 0.0 => {
                let under = b.count * limit / b.upper;
                if below {
                    Kept { count: under, middle: limit / 2.0 }
                } else {
                    Kept { count: b.count - under, middle: f64::midpoint(limit, b.upper) }
                }
            }
            true if b.upper <= 0.0 => all(limit),
            _ => nothing,
        };
    }
    match below {
        true if limit == f64::INFINITY => all(b.lower),
        true => nothing,
        false if limit <= b.lower => all(b.lower),
        false if limit.is_infinite() => nothing,
        false => all(limit),
    }
}
