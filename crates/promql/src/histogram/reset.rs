//! Counter resets of histograms: seen between two samples, and noted once per sample.

use std::sync::Arc;

use super::arithmetic::reduced;
use super::{Bucket, FloatHistogram, ResetHint, exponential_bound};

impl FloatHistogram {
    /// Whether the counter was reset between the previous sample and this one: a count went down,
    /// a populated bucket is gone, or the layout changed in a way a running counter's cannot.
    pub fn is_reset_after(&self, previous: &Self) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_bounds != previous.custom_bounds {
                return self.custom_counts_fell(previous);
            }
            return counts_fell(&self.positive, &previous.positive);
        }
        if previous.uses_custom_buckets()
            || self.schema > previous.schema
            || self.zero_threshold < previous.zero_threshold
        {
            return true;
        }
        let (zero_count, threshold) = previous.zero_count_for(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let side = |own: &[Bucket], before: &[Bucket]| {
            let mut before = reduced(before, previous.schema, self.schema);
            before.retain(|b| exponential_bound(b.index, self.schema) > self.zero_threshold);
            counts_fell(own, &before)
        };
        side(&self.positive, &previous.positive) || side(&self.negative, &previous.negative)
    }

    /// The same with different custom bounds: compared where both have a bound.
    fn custom_counts_fell(&self, previous: &Self) -> bool {
        let up_to = |h: &Self, bound: f64| -> f64 {
            h.positive_buckets().take_while(|b| b.upper <= bound).map(|b| b.count).sum()
        };
        let (mut own_before, mut previous_before) = (0.0, 0.0);
        let common = self.custom_bounds.iter().filter(|b| previous.custom_bounds.contains(b)).copied();
        for bound in common.chain([f64::INFINITY]) {
            let (own, before) = (up_to(self, bound), up_to(previous, bound));
            if own - own_before < before - previous_before {
                return true;
            }
            (own_before, previous_before) = (own, before);
        }
        false
    }
}

fn counts_fell(own: &[Bucket], before: &[Bucket]) -> bool {
    let mut own = own.iter().peekable();
    before.iter().any(|bucket| {
        while own.next_if(|b| b.index < bucket.index).is_some() {}
        match own.next_if(|b| b.index == bucket.index) {
            Some(now) => now.count < bucket.count,
            None => bucket.count != 0.0,
        }
    })
}

/// Notes for the samples of one series, in the order of time, which of them follow on the sample
/// before without a reset, as a store does that compares once instead of at every query. The first
/// sample, and one behind a reset, stays [`ResetHint::Unknown`]; gauges stay gauges.
pub fn mark_counter_resets(samples: &mut [Arc<FloatHistogram>]) {
    let mut previous: Option<Arc<FloatHistogram>> = None;
    for sample in samples {
        let hint = match (sample.hint, &previous) {
            (ResetHint::Gauge, _) => ResetHint::Gauge,
            (_, Some(before)) if before.hint != ResetHint::Gauge && continues(sample, before) => {
                ResetHint::NotReset
            }
            _ => ResetHint::Unknown,
        };
        let unmarked = sample.clone();
        if hint != sample.hint {
            Arc::make_mut(sample).hint = hint;
        }
        previous = Some(unmarked);
    }
}

fn continues(sample: &FloatHistogram, before: &FloatHistogram) -> bool {
    let same_layout = sample.schema == before.schema
        && sample.zero_threshold == before.zero_threshold
        && sample.custom_bounds == before.custom_bounds;
    let compared = FloatHistogram { hint: ResetHint::Unknown, ..sample.clone() };
    sample.hint != ResetHint::Reset && same_layout && !compared.is_reset_after(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[f64]) -> FloatHistogram {
        let positive: Vec<Bucket> = counts
            .iter()
            .enumerate()
            .filter(|(_, c)| **c >= 0.0)
            .map(|(index, count)| Bucket { index: index as i32, count: *count })
            .collect();
        FloatHistogram { count: 10.0, positive, ..FloatHistogram::default() }
    }

    #[test]
    fn a_bucket_that_falls_or_vanishes_is_a_reset() {
        assert!(of(&[1.0, 1.0]).is_reset_after(&of(&[1.0, 2.0])));
        assert!(of(&[1.0, -1.0]).is_reset_after(&of(&[1.0, 2.0])));
        assert!(!of(&[1.0, -1.0]).is_reset_after(&of(&[1.0, 0.0])));
        assert!(!of(&[1.0, 2.0, 3.0]).is_reset_after(&of(&[1.0, 2.0])));
    }

    #[test]
    fn a_higher_resolution_is_a_reset_and_a_lower_one_is_compared() {
        let fine = FloatHistogram { schema: 1, ..of(&[0.0, 1.0, 2.0]) };
        assert!(fine.is_reset_after(&of(&[1.0])));
        assert!(!of(&[0.0, 3.0]).is_reset_after(&fine));
        assert!(of(&[0.0, 2.0]).is_reset_after(&fine));
    }

    #[test]
    fn only_samples_that_follow_on_are_marked() {
        let samples = [of(&[1.0]), of(&[2.0]), of(&[1.0]), of(&[1.0])];
        let mut samples: Vec<Arc<FloatHistogram>> = samples.into_iter().map(Arc::new).collect();
        mark_counter_resets(&mut samples);
        let hints: Vec<ResetHint> = samples.iter().map(|h| h.hint).collect();
        use ResetHint::{NotReset, Unknown};
        assert_eq!(hints, [Unknown, NotReset, Unknown, NotReset]);
    }
}
