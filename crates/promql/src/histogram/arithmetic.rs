//! Adding, subtracting and scaling histograms.
//!
//! Histograms of different resolution meet at the lower one, zero buckets at the wider one, custom
//! bounds at those that both have. Exponential and custom histograms do not mix.

use std::sync::Arc;

use super::{Bucket, CUSTOM_BUCKETS, FloatHistogram, ResetHint, exponential_bound};

/// An exponential histogram met one with custom bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncompatibleSchemas;

/// What was noticed while two histograms were combined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Combination {
    /// One said that its counter was reset, the other that it was not.
    pub reset_collision: bool,
    /// Their custom bounds differed and were reduced to those in common.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Multiplies all counts and the sum; a negative factor makes a gauge.
    pub fn scale(&mut self, factor: f64) {
        self.apply(|v| v * factor);
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum; by zero no bucket remains.
    pub fn divide(&mut self, divisor: f64) {
        self.apply(|v| v / divisor);
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        } else if divisor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    fn apply(&mut self, f: impl Fn(f64) -> f64) {
        self.zero_count = f(self.zero_count);
        self.count = f(self.count);
        self.sum = f(self.sum);
        for bucket in self.positive.iter_mut().chain(&mut self.negative) {
            bucket.count = f(bucket.count);
        }
    }

    /// Adds another histogram.
    ///
    /// # Errors
    ///
    /// When one of the two has custom bounds and the other has not.
    pub fn add(&mut self, other: &Self) -> Result<Combination, IncompatibleSchemas> {
        self.combine(other, 1.0)
    }

    /// Subtracts another histogram.
    ///
    /// # Errors
    ///
    /// When one of the two has custom bounds and the other has not.
    pub fn subtract(&mut self, other: &Self) -> Result<Combination, IncompatibleSchemas> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Combination, IncompatibleSchemas> {
        let mut noticed = Combination::default();
        let aligned = self.align(other, None, &mut noticed)?;
        self.zero_count += sign * aligned.zero_count;
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        merge(&mut self.positive, &aligned.positive, |own, theirs| own + sign * theirs);
        merge(&mut self.negative, &aligned.negative, |own, theirs| own + sign * theirs);
        Ok(noticed)
    }

    /// Brings both histograms (and what goes along with the own one) to a common layout and gives
    /// the other's zero count and buckets in it.
    pub(super) fn align(
        &mut self,
        other: &Self,
        mut companion: Option<&mut Self>,
        noticed: &mut Combination,
    ) -> Result<Aligned, IncompatibleSchemas> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(IncompatibleSchemas);
        }
        noticed.reset_collision = self.adjust_hint(other.hint);
        if self.uses_custom_buckets() {
            if self.custom_bounds == other.custom_bounds {
                let positive = other.positive.clone();
                return Ok(Aligned { zero_count: 0.0, positive, negative: Vec::new() });
            }
            noticed.bounds_reconciled = true;
            let common: Arc<[f64]> = common_bounds(&self.custom_bounds, &other.custom_bounds).into();
            let positive = rebucket(&other.positive, &other.custom_bounds, &common);
            self.positive = rebucket(&self.positive, &self.custom_bounds, &common);
            if let Some(companion) = companion {
                companion.positive = rebucket(&companion.positive, &self.custom_bounds, &common);
                companion.custom_bounds = common.clone();
            }
            self.custom_bounds = common;
            return Ok(Aligned { zero_count: 0.0, positive, negative: Vec::new() });
        }
        let mut zero_count = other.zero_count;
        let mut threshold = other.zero_threshold;
        while threshold != self.zero_threshold && !(threshold.is_nan() || self.zero_threshold.is_nan()) {
            if self.zero_threshold > threshold {
                (zero_count, threshold) = other.zero_count_for(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                let (count, wider) = self.zero_count_for(threshold);
                self.zero_count = count;
                self.zero_threshold = wider;
                self.drop_buckets_in_zero();
                if let Some(companion) = companion.as_deref_mut() {
                    companion.swallow_into_zero(wider);
                }
            }
        }
        let schema = self.schema.min(other.schema);
        self.reduce_resolution(schema);
        if let Some(companion) = companion {
            companion.reduce_resolution(schema);
        }
        // What the zero bucket has taken must not be there a second time, so it goes before buckets
        // of a lower resolution could hide it.
        let side = |buckets: &[Bucket]| {
            let outside = |b: &Bucket| exponential_bound(b.index, other.schema) > self.zero_threshold;
            let first = buckets.iter().position(outside).unwrap_or(buckets.len());
            reduced(&buckets[first..], other.schema, schema)
        };
        Ok(Aligned { zero_count, positive: side(&other.positive), negative: side(&other.negative) })
    }

    /// The hint of a combination; whether the two contradict each other.
    fn adjust_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        match (self.hint, other) {
            (own, other) if own == other => {}
            (Gauge, _) | (_, Gauge) => self.hint = Gauge,
            (Unknown, _) | (_, Unknown) => self.hint = Unknown,
            _ => {
                self.hint = Unknown;
                return true;
            }
        }
        false
    }

    /// Lowers the resolution; a schema that is not lower changes nothing.
    pub fn reduce_resolution(&mut self, schema: i32) {
        if schema >= self.schema || self.uses_custom_buckets() || schema == CUSTOM_BUCKETS {
            return;
        }
        self.positive = reduced(&self.positive, self.schema, schema);
        self.negative = reduced(&self.negative, self.schema, schema);
        self.schema = schema;
    }

    /// The zero count if the zero bucket reached (at least) to the threshold, and the threshold
    /// it then has: none that lies within a populated bucket.
    pub(super) fn zero_count_for(&self, threshold: f64) -> (f64, f64) {
        let mut threshold = threshold;
        if threshold <= self.zero_threshold {
            return (self.zero_count, self.zero_threshold);
        }
        'again: loop {
            let mut count = self.zero_count;
            for bucket in self.positive_buckets() {
                if bucket.lower >= threshold {
                    break;
                }
                count += bucket.count;
                if bucket.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for bucket in self.negative_buckets() {
                if bucket.upper <= -threshold {
                    break;
                }
                count += bucket.count;
                if bucket.lower < -threshold {
                    if bucket.count != 0.0 {
                        threshold = -bucket.lower;
                        continue 'again;
                    }
                    break;
                }
            }
            return (count, threshold);
        }
    }

    fn drop_buckets_in_zero(&mut self) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let outside = |b: &Bucket| exponential_bound(b.index.saturating_sub(1), schema) >= threshold;
        self.positive.retain(|b| outside(b) && b.count != 0.0);
        self.negative.retain(|b| outside(b) && b.count != 0.0);
    }

    /// Widens the zero bucket to a threshold that is known to fit, whatever the buckets hold.
    fn swallow_into_zero(&mut self, threshold: f64) {
        self.zero_threshold = threshold;
        let schema = self.schema;
        let inside = |b: &&Bucket| exponential_bound(b.index.saturating_sub(1), schema) < threshold;
        let swallowed: f64 = self.positive.iter().chain(&self.negative).filter(inside).map(|b| b.count).sum();
        self.zero_count += swallowed;
        self.drop_buckets_in_zero();
    }
}

/// The other operand in the common layout.
pub(super) struct Aligned {
    pub zero_count: f64,
    pub positive: Vec<Bucket>,
    pub negative: Vec<Bucket>,
}

/// Merges sorted buckets into sorted buckets; a bucket that is not there counts as zero.
pub(super) fn merge(own: &mut Vec<Bucket>, theirs: &[Bucket], f: impl Fn(f64, f64) -> f64) {
    if theirs.is_empty() {
        return;
    }
    let mut merged = Vec::with_capacity(own.len() + theirs.len());
    let mut left = own.iter().peekable();
    for bucket in theirs {
        while let Some(before) = left.next_if(|b| b.index < bucket.index) {
            merged.push(*before);
        }
        let base = left.next_if(|b| b.index == bucket.index).map_or(0.0, |b| b.count);
        merged.push(Bucket { index: bucket.index, count: f(base, bucket.count) });
    }
    merged.extend(left.copied());
    *own = merged;
}

/// Buckets of one schema as buckets of a lower one.
pub(super) fn reduced(buckets: &[Bucket], from: i32, to: i32) -> Vec<Bucket> {
    let shift = (from - to).clamp(0, 31);
    let mut out: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        let index =
            if shift == 0 { bucket.index } else { (((i64::from(bucket.index) - 1) >> shift) + 1) as i32 };
        match out.last_mut() {
            Some(last) if last.index == index => last.count += bucket.count,
            _ => out.push(Bucket { index, count: bucket.count }),
        }
    }
    out
}

/// The bounds that two sorted lists have in common.
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut b = b.iter().peekable();
    let mut common = Vec::new();
    for bound in a {
        while b.next_if(|other| *other < bound).is_some() {}
        if b.next_if(|other| *other == bound).is_some() {
            common.push(*bound);
        }
    }
    common
}

/// Buckets of one list of custom bounds as buckets of fewer bounds; empty ones are left out.
fn rebucket(buckets: &[Bucket], from: &[f64], to: &[f64]) -> Vec<Bucket> {
    let mut out: Vec<Bucket> = Vec::new();
    for bucket in buckets {
        let target = match usize::try_from(bucket.index).ok().and_then(|at| from.get(at)) {
            Some(bound) => to.partition_point(|t| t < bound),
            None => to.len(),
        };
        let index = i32::try_from(target).unwrap_or(i32::MAX);
        match out.last_mut() {
            Some(last) if last.index == index => last.count += bucket.count,
            _ => out.push(Bucket { index, count: bucket.count }),
        }
    }
    out.retain(|b| b.count != 0.0);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn histogram(schema: i32, positive: &[(i32, f64)]) -> FloatHistogram {
        let positive: Vec<Bucket> =
            positive.iter().map(|(index, count)| Bucket { index: *index, count: *count }).collect();
        let count = positive.iter().map(|b| b.count).sum();
        FloatHistogram { schema, count, positive, ..FloatHistogram::default() }
    }

    fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
        let buckets = || proptest::collection::btree_map(-40i32..40, 0u8..20, 0..12);
        (-4i32..=8, buckets(), buckets(), 0u8..5, 0u8..4).prop_map(|(schema, p, n, zero, width)| {
            let side = |m: std::collections::BTreeMap<i32, u8>| {
                m.into_iter().map(|(index, c)| Bucket { index, count: f64::from(c) }).collect::<Vec<_>>()
            };
            let zero_threshold = f64::from(width) * 0.3;
            // No bucket reaches into the zero bucket.
            let outside = |mut buckets: Vec<Bucket>| {
                buckets.retain(|b| exponential_bound(b.index - 1, schema) >= zero_threshold);
                buckets
            };
            let (positive, negative) = (outside(side(p)), outside(side(n)));
            let count = positive.iter().chain(&negative).map(|b| b.count).sum::<f64>() + f64::from(zero);
            FloatHistogram {
                schema,
                positive,
                negative,
                zero_count: f64::from(zero),
                zero_threshold,
                count,
                sum: count,
                ..FloatHistogram::default()
            }
        })
    }

    fn observations(h: &FloatHistogram) -> f64 {
        h.zero_count + h.positive.iter().chain(&h.negative).map(|b| b.count).sum::<f64>()
    }

    proptest! {
        #[test]
        fn no_observation_is_lost_or_won_by_adding(a in any_histogram(), b in any_histogram()) {
            let mut sum = a.clone();
            sum.add(&b).unwrap();
            prop_assert_eq!(observations(&sum), observations(&a) + observations(&b));
            prop_assert_eq!(sum.count, a.count + b.count);
            prop_assert!(sum.positive.windows(2).all(|w| w[0].index < w[1].index));
            prop_assert!(sum.negative.windows(2).all(|w| w[0].index < w[1].index));
        }

        #[test]
        fn subtracting_what_was_added_leaves_the_counts(a in any_histogram(), b in any_histogram()) {
            let mut there = a.clone();
            there.add(&b).unwrap();
            there.subtract(&b).unwrap();
            prop_assert_eq!(observations(&there), observations(&a));
        }
    }

    #[test]
    fn resolutions_meet_at_the_lower_one() {
        let mut low = histogram(-1, &[(1, 1.0)]);
        low.add(&histogram(0, &[(1, 2.0), (2, 2.0)])).unwrap();
        assert_eq!(low.positive, [Bucket { index: 1, count: 5.0 }]);
        assert_eq!(low.schema, -1);
    }

    #[test]
    fn custom_bounds_meet_at_those_in_common() {
        let custom = |bounds: &[f64], buckets: &[(i32, f64)]| FloatHistogram {
            custom_bounds: bounds.into(),
            ..histogram(CUSTOM_BUCKETS, buckets)
        };
        let mut a = custom(&[2.0, 4.0, 6.0], &[(0, 1.0), (1, 2.0), (2, 5.0), (3, 7.0)]);
        let noticed = a.add(&custom(&[1.0, 2.0, 6.0], &[(0, 10.0), (3, 1.0)])).unwrap();
        assert!(noticed.bounds_reconciled);
        assert_eq!(&*a.custom_bounds, [2.0, 6.0]);
        let counts: Vec<(i32, f64)> = a.positive.iter().map(|b| (b.index, b.count)).collect();
        assert_eq!(counts, [(0, 11.0), (1, 7.0), (2, 8.0)]);
        assert_eq!(a.add(&histogram(0, &[])), Err(IncompatibleSchemas));
    }

    #[test]
    fn contradicting_hints_are_noticed() {
        let mut a = FloatHistogram { hint: ResetHint::Reset, ..FloatHistogram::default() };
        let b = FloatHistogram { hint: ResetHint::NotReset, ..FloatHistogram::default() };
        assert!(a.add(&b).unwrap().reset_collision);
        assert_eq!(a.hint, ResetHint::Unknown);
    }
}
